import BorealisCore
import BorealisStorageBackend
import BorealisStorageNode
import BorealisWire

/// A record's identity in the model.
struct RecordKey: Hashable, Comparable {
  var group: ProtectionGroupID
  var lsn: LSN
  static func < (a: RecordKey, b: RecordKey) -> Bool { a.group == b.group ? a.lsn < b.lsn : a.group < b.group }
}

/// A page's identity in the model.
struct PageKey: Hashable {
  var group: ProtectionGroupID
  var page: PageID
}

/// What the journal and the page store should hold: compared as a whole, since a frame is durable whole or not at all.
struct DurableModel: Equatable {
  var epoch = VolumeEpoch.zero
  var segments: [ProtectionGroupID: SegmentFacts] = [:]
  /// Versions by page; nil is a tombstone.
  var pages: [PageKey: [LSN: [UInt8]?]] = [:]
  var retired: Set<UInt64> = []

  mutating func apply(_ fact: JournalFact) {
    switch fact {
    case .volumeEpoch(let epoch): self.epoch = epoch
    case .segment(let facts): segments[facts.group] = facts
    default: break
    }
  }
  /// Installs a version the dumb way: what is below stays only where some pin sees it.
  mutating func install(_ key: PageKey, _ lsn: LSN, _ image: [UInt8]?, pins: [LSN]) {
    var versions = pages[key] ?? [:]
    let newer = versions.keys.filter { $0 > lsn }.min()
    if let newer, !pins.contains(where: { lsn <= $0 && $0 < newer }) { return }
    versions[lsn] = .some(image)
    for old in versions.keys where old < lsn {
      let seen = pins.contains { pin in pin < lsn && versions.keys.filter { $0 <= pin }.max() == old }
      if !seen { versions[old] = nil }
    }
    pages[key] = versions
  }
}

/// One node's store over a faulty backend, driven by a generator and compared with a model that is too dumb to be wrong.
final class StoreWorld {
  static let pageSize = 512
  static let groups = [ProtectionGroupID(0), ProtectionGroupID(3), ProtectionGroupID(7)]

  let disk: FaultyStorageBackend<InMemoryStorageBackend>
  var generator: DeterministicGenerator
  let configuration: NodeStoreConfiguration
  var store: NodeStore
  var problems: [String] = []
  var steps = 0

  // The log's model.
  var issued: [RecordKey: [UInt8]] = [:]
  var headers: [RecordKey: RecordHeader] = [:]
  var nextLSN: UInt64 = 1
  var tails: [ProtectionGroupID: LSN] = [:]
  var lastInVolume = LSN.zero
  /// Records issued and kept back, to be staged out of order.
  var withheld: [RecordKey] = []
  /// In the index now, with where they stand.
  var present: [RecordKey: UInt64] = [:]
  /// What flushes were in progress or failed: may be there after a crash.
  var tickets: [UInt64: [RecordKey]] = [:]

  // The model of journal and pages.
  var durable = DurableModel()
  /// What a crash may show instead.
  var attempted: [DurableModel] = []
  var queuedFacts: [JournalFact] = []
  var stagedSteps: [(inout DurableModel) -> Void] = []
  var stagedRetires: [UInt64] = []
  var jobFacts = 0
  var pins: [LSN] = []
  var crashes = 0, sealings = 0, retirements = 0, failures = 0

  init(seed: UInt64, chunkSize: Int = 8192, logLimit: UInt64 = 8 * 8192, journalLimit: Int = 8192) throws {
    generator = DeterministicGenerator(seed: seed)
    disk = FaultyStorageBackend(InMemoryStorageBackend(), seed: seed)
    configuration = NodeStoreConfiguration(
      pageSize: Self.pageSize, chunkSize: chunkSize, logLimit: logLimit, indexMemory: 20_000, journalLimit: journalLimit
    )
    store = try NodeStore(
      node: NodeID(5), volume: VolumeID(77), backend: disk, configuration: configuration)
  }

  func problem(_ text: String) { problems.append("step \(steps): \(text)") }

  // MARK: Records

  func issue() -> RecordKey {
    let group = Self.groups[generator.index(Self.groups.count)]
    let lsn = LSN(nextLSN)
    nextLSN += generator.chance(1, in: 20) ? 1 + generator.below(50) : 1
    let size = generator.chance(1, in: 15) ? 700 : generator.index(120) + 9
    let payload = (0..<size).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
    let header = RecordHeader(
      lsn: lsn, previousInVolume: lastInVolume, previousInGroup: tails[group] ?? .zero, previousOfPage: .zero,
      page: page(), group: group, epoch: VolumeEpoch(1), kind: .image, isConsistencyPoint: generator.chance(1, in: 3),
      payloadSize: size)
    lastInVolume = lsn
    tails[group] = lsn
    var bytes: [UInt8] = []
    payload.withUnsafeBytes { header.encode(payload: $0, into: &bytes) }
    let key = RecordKey(group: group, lsn: lsn)
    issued[key] = bytes
    headers[key] = header
    return key
  }
  func page() -> PageID { PageID(object: ObjectID(generator.below(2)), index: generator.below(4)) }

  func stage() {
    let group = Self.groups[generator.index(Self.groups.count)]
    var keys: [RecordKey] = []
    for _ in 0..<(1 + generator.index(5)) {
      let key = issue()
      if key.group == group, !generator.chance(1, in: 12) { keys.append(key) } else { withheld.append(key) }
    }
    // Gossip brings what was missed, in any order; sometimes what is there already.
    while let last = withheld.last, generator.chance(2, in: 3) {
      keys.append(last)
      withheld.removeLast()
    }
    if generator.chance(1, in: 20), let again = present.keys.min() { keys.append(again) }
    for group in Self.groups {
      let mine = keys.filter { $0.group == group }
      if mine.isEmpty { continue }
      var bytes: [UInt8] = [0, 0, 0]
      for key in mine { bytes += issued[key] ?? [] }
      let purpose: StagePurpose = generator.chance(1, in: 10) ? .repair : .append
      if let ticket = store.stage(bytes, range: 3..<bytes.count, count: mine.count, purpose: purpose) {
        tickets[ticket] = mine
      } else {
        withheld += mine
        if withheld.count > 400 { withheld.removeFirst(200) }
      }
    }
  }

  // MARK: Lanes

  /// Performs a job's operations; nil when all went well.
  ///
  /// Crashing stops before an operation and is told by `true`.
  func perform(_ operations: [StorageOperation], crashChance: UInt64) -> (crashed: Bool, error: StorageBackendError?) {
    for operation in operations {
      if crashChance > 0, generator.chance(1, in: crashChance) { return (true, nil) }
      do throws(StorageBackendError) { try disk.perform(operation) } catch { return (false, error) }
    }
    return (crashChance > 0 && generator.chance(1, in: crashChance), nil)
  }

  /// Returns false when the machine crashed.
  func flush(crashChance: UInt64 = 0) -> Bool {
    guard let operations = store.nextFlush(knownVDL: LSN(nextLSN / 2)) else { return true }
    let (crashed, error) = perform(operations, crashChance: crashChance)
    if crashed { return false }
    let block = store.endFlush(succeeded: error == nil)
    var cursor = block.start
    var count = 0
    while let record = block.next(&cursor) {
      let key = RecordKey(group: record.header.group, lsn: record.header.lsn)
      if tickets[record.ticket]?.contains(key) != true { problem("\(key.lsn) has ticket \(record.ticket)") }
      store.log.insert(record.header, position: record.position)
      present[key] = record.position
      count += 1
    }
    if block.succeeded, count != block.count { problem("block of \(block.count) gave \(count)") }
    if error != nil { failures += 1 }
    store.log.recycle(block)
    return true
  }

  func background(crashChance: UInt64 = 0) -> Bool {
    let hadWork = store.hasBackgroundWork
    guard let operations = store.nextBackgroundJob() else { return true }
    if !hadWork { problem("a job although there was no work") }
    jobFacts = queuedFacts.count
    // Which kind it is shows only afterwards: a crash may show the facts or the pages and retirements of the job.
    var withFacts = durable
    for fact in queuedFacts { withFacts.apply(fact) }
    var withPages = durable
    for step in stagedSteps { step(&withPages) }
    for sequence in stagedRetires { withPages.retired.insert(sequence) }
    attempted += [withFacts, withPages]
    let (crashed, error) = perform(operations, crashChance: crashChance)
    if crashed { return false }
    let outcome = store.endBackgroundJob(succeeded: error == nil)
    if error != nil { failures += 1 }
    switch outcome.kind {
    case .facts, .repair:
      if outcome.succeeded {
        durable = withFacts
        queuedFacts.removeFirst(jobFacts)
        attempted.removeAll()
      }
    case .pages:
      if outcome.succeeded {
        durable = withPages
        for sequence in outcome.retired { forget(sequence) }
        retirements += outcome.retired.count
        attempted.removeAll()
      }
      stagedSteps.removeAll()
      stagedRetires.removeAll()
    case .seal:
      if outcome.sealed != nil { sealings += 1 }
      if outcome.succeeded { attempted.removeAll() }
    case .reserve, .release, .compaction:
      attempted.removeLast(2)
    }
    return true
  }

  var retiredContents: [UInt64: [RecordKey: UInt64]] = [:]
  private func forget(_ sequence: UInt64) {
    for (key, position) in retiredContents[sequence] ?? [:] where present[key] == position { present[key] = nil }
  }

  func stageBackground() {
    switch generator.index(8) {
    case 0:
      let fact = JournalFact.volumeEpoch(VolumeEpoch(UInt32(nextLSN)))
      _ = store.record(fact)
      queuedFacts.append(fact)
    case 1:
      var facts = SegmentFacts(
        group: Self.groups[generator.index(3)], scl: LSN(nextLSN), logEnd: store.log.end)
      facts.flags = UInt32(generator.below(100))
      _ = store.record(.segment(facts))
      queuedFacts.append(.segment(facts))
    case 2:
      if generator.chance(1, in: 2) { pins.append(LSN(nextLSN)) } else if !pins.isEmpty { pins.removeFirst() }
    case 3:
      if let oldest = store.log.oldestSealed, stagedRetires.isEmpty {
        retiredContents[oldest.sequence] = contents(oldest.sequence)
        store.stageRetire(oldest.sequence)
        stagedRetires.append(oldest.sequence)
      }
    case 4:
      let key = PageKey(group: Self.groups[generator.index(3)], page: page())
      if store.stageDrop(key.group, key.page) { stagedSteps.append { $0.pages[key] = nil } }
    default:
      let key = PageKey(group: Self.groups[generator.index(3)], page: page())
      let lsn = LSN(nextLSN - min(nextLSN, generator.below(40)))
      let image: [UInt8]? =
        generator.chance(1, in: 6)
        ? nil : (0..<Self.pageSize).map { UInt8(truncatingIfNeeded: $0) ^ UInt8(truncatingIfNeeded: generator.next()) }
      let pins = pins
      let isStaged: Bool
      if let image {
        isStaged = image.withUnsafeBytes { store.stagePage(key.group, key.page, lsn: lsn, image: $0, pins: pins) }
      } else {
        isStaged = store.stagePage(key.group, key.page, lsn: lsn, image: nil, pins: pins)
      }
      if isStaged, !stagedSameTwice(key, lsn) {
        stagedKeys[key] = lsn
        stagedSteps.append { $0.install(key, lsn, image, pins: pins) }
      }
    }
  }
  /// A second version of one page in a job replaces the first, unless it is older.
  var stagedKeys: [PageKey: LSN] = [:]
  private func stagedSameTwice(_ key: PageKey, _ lsn: LSN) -> Bool {
    if stagedSteps.isEmpty { stagedKeys.removeAll() }
    if let earlier = stagedKeys[key] { return lsn < earlier }
    return false
  }

  private func contents(_ sequence: UInt64) -> [RecordKey: UInt64] {
    var result: [RecordKey: UInt64] = [:]
    var cursor = 0
    var entries: [RecordEntry] = []
    do {
      while try store.log.nextPage(ofChunk: sequence, cursor: &cursor, into: &entries) {
        for entry in entries { result[RecordKey(group: entry.group, lsn: entry.lsn)] = entry.position }
        for entry in entries where entry.page != entries[0].page || entry.group != entries[0].group {
          problem("pages mixed")
        }
      }
    } catch { problem("chunk \(sequence): \(error)") }
    return result
  }
}
