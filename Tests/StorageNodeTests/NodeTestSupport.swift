import BorealisCore
import BorealisStorageBackend
import BorealisStorageNode
import BorealisWire
import Testing

typealias TestBackend = FaultyStorageBackend<InMemoryStorageBackend>

let testVolume = VolumeID(0xB0EA)
let pg0 = ProtectionGroupID(0)
let testWriter = PeerID.instance(1)

/// One node over a backend that loses what was not synced.
final class TestNode {
  let id: NodeID
  let backend: TestBackend
  var configuration: StorageNodeConfiguration
  var machine: StorageNode
  var isDown = false

  init(_ id: NodeID, _ configuration: StorageNodeConfiguration) throws {
    self.id = id
    self.configuration = configuration
    backend = TestBackend(InMemoryStorageBackend(), seed: UInt64(id.value))
    machine = try StorageNode(
      id: id, volume: testVolume, backend: backend, configuration: configuration, now: .zero)
  }
  func nextJob(_ lane: StorageLane, now: Instant) -> StorageJob? { machine.nextJob(lane, now: now) }
  /// Loses power and comes back.
  func restart(now: Instant, using generator: inout DeterministicGenerator) throws {
    backend.crash(using: &generator)
    machine = try StorageNode(
      id: id, volume: testVolume, backend: backend, configuration: configuration, now: now)
    isDown = false
  }
}

/// Several nodes and a writer's mailbox; messages are delivered by hand, jobs are run at once or held back.
final class TestCluster {
  var nodes: [TestNode] = []
  var now = Instant.zero
  /// What nodes have sent and nobody has delivered.
  var wire: [Outgoing] = []
  /// What arrived at instances, decoded.
  var answers: [(from: NodeID, header: MessageHeader, message: Message)] = []
  var members: [SegmentMember]
  var checksInvariants = true

  init(
    _ count: Int, pageSize: Int = 512, kinds: [SegmentKind] = [],
    edit: (inout StorageNodeConfiguration) -> Void = { _ in }
  )
    throws
  {
    var configuration = StorageNodeConfiguration(
      pageSize: pageSize, chunkSize: 64 << 10, logLimit: 1 << 20, gossipInterval: 10_000_000, pullDelay: 0)
    edit(&configuration)
    members = (0..<count).map {
      SegmentMember(node: NodeID(UInt32($0)), zone: ZoneID(UInt8($0 % 3)), kind: $0 < kinds.count ? kinds[$0] : .full)
    }
    for member in members { nodes.append(try TestNode(member.node, configuration)) }
  }

  func group(
    _ id: ProtectionGroupID = pg0, epoch: UInt32 = 1, proposedBy: UInt32 = 1, members: [SegmentMember]? = nil
  ) -> GroupConfiguration {
    let members = members ?? self.members
    let all = MemberSet.first(members.count)
    let rule = QuorumRule(
      write: [[Threshold(members.count / 2 + 1, of: all)]], read: [[Threshold((members.count + 1) / 2, of: all)]])
    return GroupConfiguration(
      group: id, epoch: MembershipEpoch(epoch), proposedBy: VolumeEpoch(proposedBy), members: members, rule: rule,
      geometry: id == pg0 ? 1 : 0)
  }

  func header(epoch: UInt32 = 1, membership: UInt32 = 1, group: ProtectionGroupID = pg0) -> MessageHeader {
    MessageHeader(
      volume: testVolume, sender: testWriter, volumeEpoch: VolumeEpoch(epoch), group: group,
      membershipEpoch: MembershipEpoch(membership))
  }

  /// Gives a message to a node, without running what follows from it.
  func give(_ message: Message, _ header: MessageHeader, to node: Int) {
    guard !nodes[node].isDown else { return }
    nodes[node].machine.receive(message.encoded(header), now: now, into: &wire)
  }
  /// Runs the node's jobs until there are none.
  func runJobs(_ node: Int) {
    guard !nodes[node].isDown else { return }
    for _ in 0..<10_000 {
      var didWork = false
      for lane in StorageLane.allCases {
        guard let job = nodes[node].machine.nextJob(lane, now: now) else { continue }
        didWork = true
        let error = nodes[node].backend.perform(job)
        nodes[node].machine.complete(job, error: error, now: now, into: &wire)
        if error != nil { return }
      }
      if !didWork { return }
    }
    Issue.record("jobs of \(nodes[node].id) do not end")
  }
  /// Delivers everything that is on the wire (not what follows from it), less what `drops` says.
  func deliver(drops: (Outgoing) -> Bool = { _ in false }) {
    let batch = wire
    wire.removeAll()
    for message in batch where !drops(message) {
      if let node = message.to.node {
        guard let k = nodes.firstIndex(where: { $0.id == node }), !nodes[k].isDown else { continue }
        nodes[k].machine.receive(message.bytes, now: now, into: &wire)
      } else {
        do throws(DecodeError) {
          let (header, decoded) = try Message.decode(message.bytes)
          answers.append((header.sender.node ?? NodeID(.max), header, decoded))
        } catch { Issue.record("a node sent what cannot be decoded: \(error)") }
      }
    }
  }
  /// Runs jobs and delivers until nothing happens.
  func settle(drops: (Outgoing) -> Bool = { _ in false }) {
    for _ in 0..<10_000 {
      for k in nodes.indices { runJobs(k) }
      if wire.isEmpty { return check() }
      deliver(drops: drops)
    }
    Issue.record("the cluster does not come to rest")
  }
  /// Lets time pass in steps of 10 ms.
  func pass(milliseconds: UInt64, drops: (Outgoing) -> Bool = { _ in false }) {
    var left = milliseconds
    while left > 0 {
      let step = min(left, 10)
      left -= step
      now = now.advanced(byMilliseconds: step)
      for node in nodes where !node.isDown { node.machine.tick(now: now, into: &wire) }
      settle(drops: drops)
    }
  }
  /// Invariants of every node.
  func check() {
    guard checksInvariants else { return }
    for node in nodes where !node.isDown {
      let wrong = node.machine.checkInvariants()
      if !wrong.isEmpty { Issue.record("\(node.id): \(wrong)") }
    }
  }
  /// Chains of every node, in full.
  func checkChains() throws {
    for node in nodes where !node.isDown {
      let wrong = try node.machine.checkChains()
      if !wrong.isEmpty { Issue.record("\(node.id): \(wrong)") }
    }
  }
  func status(_ node: Int, _ group: ProtectionGroupID = pg0) -> SegmentStatus? {
    nodes[node].machine.status(of: group)
  }
  func scl(_ node: Int) -> UInt64 { status(node)?.scl.value ?? .max }
  /// Creates the group on all nodes.
  func create(epoch: UInt32 = 1) {
    for k in nodes.indices { give(.configure(group(proposedBy: epoch)), header(epoch: epoch), to: k) }
    settle()
    answers.removeAll()
  }
  /// The answers of one node that `pick` picks, which are then forgotten.
  func take<T>(_ node: Int, _ pick: (Message) -> T?) -> [T] {
    var found: [T] = []
    answers.removeAll { answer in
      guard answer.from == NodeID(UInt32(node)), let value = pick(answer.message) else { return false }
      found.append(value)
      return true
    }
    return found
  }
  func acks(_ node: Int) -> [UInt64] {
    take(node) { if case .appendAck(let scl) = $0 { scl.value } else { nil } }
  }
  /// SCLs in answers that are statuses.
  func statuses(_ node: Int) -> [UInt64] {
    take(node) { message -> UInt64? in
      switch message {
      case .status(let s), .truncated(let s): s.scl.value
      default: nil
      }
    }
  }
  func rejects(_ node: Int) -> [RejectReason] {
    take(node) { if case .reject(_, let reason, _) = $0 { reason } else { nil } }
  }
  /// Reads a page from a node: whole, or why not.
  func read(
    _ node: Int, _ page: PageID, at readPoint: LSN, requiredSCL: LSN, epoch: UInt32 = 1, membership: UInt32 = 1
  ) -> ReadOutcome {
    give(
      .readPage(request: 77, page: page, readPoint: readPoint, requiredSCL: requiredSCL),
      header(epoch: epoch, membership: membership), to: node)
    deliver()
    let size = nodes[node].configuration.pageSize
    let found = take(node) { message -> ReadOutcome? in
      switch message {
      case .pageImage(77, let lsn, let image):
        .page(lsn, image + [UInt8](repeating: 0, count: size - image.count))
      case .reject(77, let reason, _): .refused(reason)
      default: nil
      }
    }
    return found.first ?? .silence
  }
  /// Reads pages that lie one behind the other: those that came, or why none did.
  func readRun(
    _ node: Int, _ first: PageID, count: UInt32, at readPoint: LSN, requiredSCL: LSN, epoch: UInt32 = 1
  ) -> [ReadOutcome] {
    give(
      .readPages(request: 78, page: first, count: count, readPoint: readPoint, requiredSCL: requiredSCL),
      header(epoch: epoch), to: node)
    deliver()
    let size = nodes[node].configuration.pageSize
    let found = take(node) { message -> [ReadOutcome]? in
      switch message {
      case .pageRun(78, let run):
        var pages: [ReadOutcome] = []
        run.forEach { _, lsn, image in
          pages.append(.page(lsn, Array(image) + [UInt8](repeating: 0, count: size - image.count)))
        }
        return pages
      case .reject(78, let reason, _): return [.refused(reason)]
      default: return nil
      }
    }
    return found.first ?? [.silence]
  }
}

enum ReadOutcome: Equatable {
  case page(LSN, [UInt8])
  case refused(RejectReason)
  case silence
}

/// A dumb writer of one group: gives LSNs, links records, and knows what every page must look like.
struct TestLog {
  struct Entry {
    var header: RecordHeader
    var bytes: [UInt8]
    var payload: [UInt8]
  }
  private(set) var entries: [Entry] = []
  /// Places in `entries` of each page's records.
  private var places: [UInt64: [Int]] = [:]
  var next = LSN(1)
  var last = LSN.zero
  var epoch: UInt32 = 1
  let pageSize: Int
  let group: ProtectionGroupID

  init(pageSize: Int = 512, group: ProtectionGroupID = pg0) {
    self.pageSize = pageSize
    self.group = group
  }

  @discardableResult
  mutating func append(_ page: UInt64, _ kind: RecordKind, _ payload: [UInt8]) -> LSN {
    let lsn = next
    let header = RecordHeader(
      lsn: lsn, previousInVolume: last, previousInGroup: last, previousOfPage: .zero,
      page: PageID(object: ObjectID(1), index: page), group: group, epoch: VolumeEpoch(epoch), kind: kind,
      isConsistencyPoint: true, timestamp: 1, payloadSize: payload.count)
    var bytes: [UInt8] = []
    payload.withUnsafeBytes { header.encode(payload: $0, into: &bytes) }
    places[page, default: []].append(entries.count)
    entries.append(Entry(header: header, bytes: bytes, payload: payload))
    last = lsn
    next = lsn.advanced(by: 1)
    return lsn
  }
  /// Writes `bytes` at `offset` of a page.
  @discardableResult
  mutating func write(_ page: UInt64, at offset: Int, _ bytes: [UInt8]) -> LSN {
    var payload: [UInt8] = []
    bytes.withUnsafeBytes { RecordPayload.appendRange(offset: offset, bytes: $0, to: &payload) }
    return append(page, .delta, payload)
  }
  /// A random change of one of `pages` pages.
  @discardableResult
  mutating func random(pages: UInt64, using g: inout DeterministicGenerator) -> LSN {
    let page = g.below(pages)
    switch g.below(12) {
    case 0: return append(page, .discard, [])
    case 1: return append(page, .image, (0..<g.index(pageSize + 1)).map { _ in UInt8(truncatingIfNeeded: g.next()) })
    default:
      let length = 1 + g.index(40)
      let offset = g.index(pageSize - length)
      return write(page, at: offset, (0..<length).map { _ in UInt8(truncatingIfNeeded: g.next()) })
    }
  }
  /// Records above `after`, up to `through`, as one batch.
  func batch(after: LSN = .zero, through: LSN = .max) -> RecordBatch {
    var bytes: [UInt8] = []
    for entry in entries[firstEntry(above: after)...] {
      if entry.header.lsn > through { break }
      bytes += entry.bytes
    }
    return RecordBatch(bytes)
  }
  private func firstEntry(above lsn: LSN) -> Int {
    var (low, high) = (0, entries.count)
    while low < high {
      let middle = (low + high) / 2
      if entries[middle].header.lsn <= lsn { low = middle + 1 } else { high = middle }
    }
    return low
  }
  /// One record as a batch.
  func batch(only lsn: LSN) -> RecordBatch { batch(after: LSN(lsn.value - 1), through: lsn) }
  /// What page `index` must look like at `readPoint`.
  func page(_ index: UInt64, at readPoint: LSN, retention: Retention = Retention()) throws -> (LSN, [UInt8]) {
    var page = [UInt8](repeating: 0, count: pageSize)
    var lsn = LSN.zero
    for place in places[index] ?? [] {
      let entry = entries[place]
      if entry.header.lsn > readPoint { break }
      guard retention.isVisible(entry.header.lsn) else { continue }
      try page.withUnsafeMutableBytes { target in
        try entry.payload.withUnsafeBytes { try RecordPayload.apply(kind: entry.header.kind, payload: $0, to: target) }
      }
      lsn = entry.header.kind == .discard ? .zero : entry.header.lsn
    }
    return (lsn, page)
  }
  /// Forgets the records in a void range and goes on above it, as after a recovery.
  mutating func truncate(_ range: LSNRange, epoch: UInt32) {
    entries.removeAll { range.contains($0.header.lsn) }
    places = [:]
    for (k, entry) in entries.enumerated() { places[entry.header.page.index, default: []].append(k) }
    last = entries.last?.header.lsn ?? .zero
    next = range.through.advanced(by: 1)
    self.epoch = epoch
  }
}

func testPage(_ index: UInt64) -> PageID { PageID(object: ObjectID(1), index: index) }
