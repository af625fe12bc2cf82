import BorealisCore
import BorealisReplicationPolicy
import BorealisWire

@testable import BorealisVolume

/// A writer, perhaps readers, and six model nodes, with a network that the test drives message by message.
final class TestVolume {
  struct Options {
    var groups = 1
    /// Nodes beyond the six.
    var spares = 0
    var pageSize = 512
    var network = Network()
    var writer = VolumeWriterConfiguration()
  }
  /// Chances in a thousand.
  struct Network {
    var loss: UInt64 = 0
    var duplicate: UInt64 = 0
    var isOrdered = true
  }
  static let volume = VolumeID(7)
  static let writerPeer = PeerID.instance(1)

  let options: Options
  var random: DeterministicGenerator
  var now = Instant(nanoseconds: 1_000_000_000)
  var nodes: [PerfectNode]
  var writer: VolumeWriter
  var effects = VolumeEffects()
  var inFlight: [Outgoing] = []
  /// Nodes that get nothing.
  var down: Set<NodeID> = []
  /// What the writer was told, for the oracle: SCL by group and member.
  var heardSCL: [[LSN]]
  /// All records sent, by LSN.
  var issued: [LSN: RecordHeader] = [:]
  var durable: [WaiterID] = []
  var failed: [WaiterID] = []
  var completed: [ReadID: Result<PageImage, VolumeError>] = [:]
  var events: [VolumeEvent] = []
  var roomCount = 0
  /// Messages for readers.
  var toReaders: [Outgoing] = []

  static func configuration(_ group: Int, policy: any ReplicationPolicy = AuroraPolicy(), geometry: Int)
    -> GroupConfiguration
  {
    let kinds = policy.kinds
    let members = (0..<kinds.count).map {
      SegmentMember(node: NodeID(UInt32($0 + 1)), zone: ZoneID(UInt8($0 % 3)), kind: kinds[$0])
    }
    return GroupConfiguration(
      group: ProtectionGroupID(UInt32(group)), epoch: MembershipEpoch(1), proposedBy: VolumeEpoch(1), members: members,
      rule: policy.rule(members: members), geometry: group == 0 ? UInt32(geometry) : 0)
  }
  static func opened(_ options: Options) -> OpenedVolume {
    let groups = (0..<options.groups).map {
      OpenedGroup(
        configuration: configuration($0, policy: options.writer.policy, geometry: options.groups), tail: .zero, scls: []
      )
    }
    return OpenedVolume(
      volume: volume, epoch: VolumeEpoch(1), vdl: .zero, nextLSN: LSN(1), lastRecord: .zero, groups: groups,
      truncation: TruncationList(), retention: Retention(), isNew: true)
  }

  init(seed: UInt64 = 1, _ options: Options = Options()) {
    self.options = options
    random = DeterministicGenerator(seed: seed)
    var configuration = options.writer
    configuration.pageSize = options.pageSize
    let opened = TestVolume.opened(options)
    nodes = (1...(6 + options.spares)).map { PerfectNode(id: NodeID(UInt32($0)), pageSize: options.pageSize) }
    for i in nodes.indices {
      for group in opened.groups where group.configuration.index(of: nodes[i].id) != nil {
        nodes[i].segments[group.configuration.group] = PerfectSegment(configuration: group.configuration)
      }
    }
    heardSCL = opened.groups.map { [LSN](repeating: .zero, count: $0.configuration.members.count) }
    writer = VolumeWriter(opened: opened, configuration: configuration, instance: TestVolume.writerPeer, now: now)
    writer.start(now: now, into: &effects)
    absorb()
  }

  /// A second opening of the same nodes, as recovery would hand it over when all is quiet.
  func reopened(epoch: UInt32) -> OpenedVolume {
    let groups = writer.configurations.map { configuration in
      OpenedGroup(
        configuration: configuration, tail: issuedTail(configuration.group),
        scls: configuration.members.map { member in
          nodes.first { $0.id == member.node }?.segments[configuration.group]?.scl ?? .zero
        })
    }
    return OpenedVolume(
      volume: TestVolume.volume, epoch: VolumeEpoch(epoch), vdl: writer.vdl,
      nextLSN: LSN(writer.nextLSN.value + 10_000),
      lastRecord: writer.vdl, groups: groups, truncation: TruncationList(), retention: Retention(), isNew: false)
  }
  private func issuedTail(_ group: ProtectionGroupID) -> LSN {
    issued.values.filter { $0.group == group && $0.lsn <= writer.vdl }.map(\.lsn).max() ?? .zero
  }

  // MARK: Steps

  /// Takes the effects of a step.
  func absorb() {
    for send in effects.sends {
      if let (_, message) = try? Message.decode(send.bytes), case .append(_, _, let batch) = message {
        for header in (try? batch.headers()) ?? [] { issued[header.lsn] = header }
      }
      if send.to.node == nil { toReaders.append(send) } else { inFlight.append(send) }
    }
    durable += effects.durable
    failed += effects.failedWaiters
    for read in effects.reads { completed[read.id] = read.result }
    events += effects.events
    if effects.hasRoom { roomCount += 1 }
    effects.removeAll()
  }
  func commit(_ mtr: MiniTransaction) throws(VolumeError) -> LSN {
    defer { absorb() }
    return try writer.commit(mtr, timestamp: now.nanoseconds, now: now, into: &effects)
  }
  func wait(for lsn: LSN, waiter: WaiterID) throws(VolumeError) -> Bool {
    defer { absorb() }
    return try writer.wait(for: lsn, waiter: waiter, now: now, into: &effects)
  }
  func tick(milliseconds: UInt64 = 5) {
    now = now.advanced(byMilliseconds: milliseconds)
    writer.tick(now: now, into: &effects)
    absorb()
  }
  func receive(_ bytes: [UInt8]) {
    if let (header, message) = try? Message.decode(bytes), case .appendAck(let scl) = message,
      let node = header.sender.node
    {
      let group = Int(header.group.value)
      while heardSCL.count < writer.configurations.count {
        heardSCL.append([LSN](repeating: .zero, count: writer.configurations[heardSCL.count].members.count))
      }
      if group < heardSCL.count, let member = writer.configurations[group].index(of: node),
        member < heardSCL[group].count
      {
        heardSCL[group][member] = max(heardSCL[group][member], scl)
      }
    }
    writer.receive(bytes, now: now, into: &effects)
    absorb()
  }
  /// Delivers one message under way, in order or not, or loses or repeats it.
  func deliverOne() {
    guard !inFlight.isEmpty else { return }
    let at = options.network.isOrdered ? 0 : random.index(inFlight.count)
    let message = inFlight.remove(at: at)
    if random.chance(options.network.loss, in: 1000) { return }
    if random.chance(options.network.duplicate, in: 1000) { inFlight.append(message) }
    deliver(message)
  }
  private func deliver(_ message: Outgoing) {
    guard let node = message.to.node else {
      if message.to == TestVolume.writerPeer { receive(message.bytes) } else { toReaders.append(message) }
      return
    }
    guard !down.contains(node), let i = nodes.firstIndex(where: { $0.id == node }) else { return }
    if let answer = nodes[i].receive(message.bytes) { inFlight.append(answer) }
  }
  /// Delivers until nothing is under way.
  func settle() {
    while !inFlight.isEmpty { deliverOne() }
  }
  /// Ticks and delivers until everything issued is durable.
  func quiesce(rounds: Int = 400) -> Bool {
    for _ in 0..<rounds {
      settle()
      if writer.vdl.value + 1 == writer.nextLSN.value, writer.statistics.recordsInFlight == 0 { return true }
      tick(milliseconds: 50)
    }
    return writer.statistics.recordsInFlight == 0
  }

  // MARK: Acks by hand

  /// An ack as a member would send it, without any node.
  func ack(group: Int, member: Int, scl: UInt64) {
    let configuration = writer.configurations[group]
    let envelope = MessageHeader(
      volume: TestVolume.volume, sender: .node(configuration.members[member].node), volumeEpoch: writer.epoch,
      group: configuration.group, membershipEpoch: configuration.epoch)
    receive(Message.appendAck(scl: LSN(scl)).encoded(envelope))
  }

  // MARK: The oracle: VCL and VDL recomputed from every ack by definition

  func oracle() -> (vcl: LSN, vdl: LSN) {
    let complete = writer.configurations.indices.map { group -> LSN in
      guard group < heardSCL.count else { return .zero }
      var best = LSN.zero
      for candidate in heardSCL[group] where candidate > best {
        var set = MemberSet()
        for (member, scl) in heardSCL[group].enumerated() where scl >= candidate {
          set.insert(MemberSet(member: member))
        }
        if writer.configurations[group].isWriteQuorum(set) { best = candidate }
      }
      return best
    }
    var vcl = LSN.zero
    var vdl = LSN.zero
    while let next = issued[LSN(vcl.value + 1)], next.lsn <= complete[Int(next.group.value)] {
      vcl = next.lsn
      if next.isConsistencyPoint { vdl = vcl }
    }
    return (vcl, vdl)
  }
  var isFenced: Bool { writer.isFenced }
  var isOpen: Bool { writer.isOpen }
  func zone(of node: NodeID) -> ZoneID {
    writer.configurations[0].members.first { $0.node == node }?.zone ?? ZoneID(0)
  }
  /// What gossip would do: the records of one node are put on another.
  func hydrate(_ target: NodeID, from source: NodeID) {
    guard let from = nodes.first(where: { $0.id == source }), let to = nodes.firstIndex(where: { $0.id == target })
    else { return }
    for (group, segment) in from.segments {
      for record in segment.records.values { _ = nodes[to].segments[group]?.add(record.header, record.payload) }
    }
  }
  var complaints: [String] { nodes.flatMap(\.complaints) + writer.checkInvariants() }
}

/// Pages as they are after each mini-transaction: what every read must equal.
struct PageModel {
  let pageSize: Int
  private(set) var history: [(lsn: LSN, pages: [PageID: [UInt8]])] = [(.zero, [:])]

  init(pageSize: Int) { self.pageSize = pageSize }
  mutating func commit(_ lsn: LSN, _ changes: [(page: PageID, offset: Int, bytes: [UInt8])]) {
    var pages = history[history.count - 1].pages
    for change in changes {
      var page = pages[change.page] ?? [UInt8](repeating: 0, count: pageSize)
      if change.bytes.isEmpty {
        page = [UInt8](repeating: 0, count: pageSize)
      } else {
        page.replaceSubrange(change.offset..<(change.offset + change.bytes.count), with: change.bytes)
      }
      pages[change.page] = page
    }
    history.append((lsn, pages))
  }
  /// The page at a read point.
  func page(_ page: PageID, at readPoint: LSN) -> [UInt8] {
    var (low, high) = (0, history.count)
    while low + 1 < high {
      let middle = (low + high) / 2
      if history[middle].lsn <= readPoint { low = middle } else { high = middle }
    }
    return history[low].pages[page] ?? [UInt8](repeating: 0, count: pageSize)
  }
  func head(_ id: PageID) -> [UInt8] { page(id, at: .max) }
}

func page(_ object: UInt64, _ index: some BinaryInteger) -> PageID {
  PageID(object: ObjectID(object), index: UInt64(index))
}
