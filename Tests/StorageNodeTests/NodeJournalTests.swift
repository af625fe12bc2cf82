import BorealisCore
import BorealisStorageBackend
import BorealisWire
import Testing

@testable import BorealisStorageNode

@Suite struct NodeJournalTests {
  private typealias Disk = FaultyStorageBackend<InMemoryStorageBackend>

  private func open(_ disk: Disk) throws -> NodeStore {
    try NodeStore(
      node: NodeID(1), volume: VolumeID(2), backend: disk,
      configuration: NodeStoreConfiguration(pageSize: 512, chunkSize: 16384, logLimit: 1 << 20, journalLimit: 4000))
  }
  private func configuration(_ group: UInt32) -> GroupConfiguration {
    let all = MemberSet.first(1)
    return GroupConfiguration(
      group: ProtectionGroupID(group), epoch: MembershipEpoch(group + 1), proposedBy: VolumeEpoch(1),
      members: [SegmentMember(node: NodeID(1), zone: ZoneID(0))],
      rule: QuorumRule(write: [[Threshold(1, of: all)]], read: [[Threshold(1, of: all)]]))
  }

  /// Runs a fixed story of facts and pages with compactions in it; stops (crashes) before operation `limit`.
  ///
  /// Returns the number of operations, and the epochs that were durable and under way.
  private func story(_ disk: Disk, limit: Int) throws -> (operations: Int, durable: UInt32, attempted: UInt32) {
    var store = try open(disk)
    var done = 0
    var (durable, attempted): (UInt32, UInt32) = (0, 0)
    let image = [UInt8](repeating: 7, count: 512)
    for round in 1...UInt32(32) {
      _ = store.record(.volumeEpoch(VolumeEpoch(round)))
      _ = store.record(.configuration(configuration(round % 5)))
      _ = store.record(.segment(SegmentFacts(group: ProtectionGroupID(round % 5), scl: LSN(UInt64(round)))))
      attempted = round
      let page = PageID(object: ObjectID(1), index: UInt64(round % 7))
      _ = image.withUnsafeBytes {
        store.stagePage(ProtectionGroupID(1), page, lsn: LSN(UInt64(round)), image: $0, pins: [])
      }
      while let job = store.nextBackgroundJob() {
        for operation in job {
          if done == limit { return (done, durable, attempted) }
          try disk.perform(operation)
          done += 1
        }
        let outcome = store.endBackgroundJob(succeeded: true)
        if outcome.kind == .facts { durable = round }
      }
    }
    #expect(store.journal.generation > 4, "compacted \(store.journal.generation - 1) times")
    return (done, durable, attempted)
  }

  /// The story crashed before each of its operations, three ways: everything durable is there, frames are whole.
  @Test func survivesCrashAtEachOperation() throws {
    let whole = try story(Disk(InMemoryStorageBackend()), limit: .max).operations
    var problems: [String] = []
    for limit in 0..<whole {
      for (n, kind) in [StorageCrash.random, .dropAll, .keepAll].enumerated() {
        var generator = DeterministicGenerator(seed: UInt64(limit * 3 + n))
        let disk = Disk(InMemoryStorageBackend(), seed: UInt64(limit))
        let (_, durable, attempted) = try story(disk, limit: limit)
        disk.crash(using: &generator, kind)
        let store = try open(disk)
        let epoch = store.state.volumeEpoch.value
        let scl = store.state.segments.map(\.scl.value).max() ?? 0
        if epoch != durable && epoch != attempted { problems.append("\(limit) \(kind): epoch \(epoch) for \(durable)") }
        if scl != UInt64(epoch) { problems.append("\(limit) \(kind): half a frame, \(scl) with \(epoch)") }
        if store.state.configurations.count != min(5, Int(epoch)) {
          problems.append("\(limit) \(kind): configurations")
        }
        // Each page is at the version of its last round, that of the round under way perhaps.
        for index in 0..<UInt64(7) {
          let version = store.pages.version(ProtectionGroupID(1), PageID(object: ObjectID(1), index: index))?.value
          let last = (0...UInt64(durable)).last { $0 % 7 == index && $0 > 0 }
          let before = (0..<UInt64(durable)).last { $0 % 7 == index && $0 > 0 }
          if version != last && version != before { problems.append("\(limit) \(kind): page \(index)") }
        }
        problems += store.checkInvariants()
      }
    }
    #expect(problems.isEmpty, "\(problems.prefix(3))")
    #expect(whole > 150)
  }

  /// A frame whose sync failed may be durable.
  ///
  /// Until it is written over, no slot that it names may be used again.
  @Test func doubtIsResolvedFirst() throws {
    let group = ProtectionGroupID(1)
    let (p, q) = (PageID(object: ObjectID(1), index: 1), PageID(object: ObjectID(1), index: 2))
    for limit in 0..<12 {
      let disk = Disk(InMemoryStorageBackend())
      var store = try open(disk)
      var image = [UInt8](repeating: 1, count: 512)
      func run(_ store: inout NodeStore, _ left: inout Int) throws {
        while let job = store.nextBackgroundJob() {
          for operation in job {
            if left == 0 { return }
            left -= 1
            try disk.perform(operation)
          }
          _ = store.endBackgroundJob(succeeded: true)
        }
      }
      var all = Int.max
      _ = image.withUnsafeBytes { store.stagePage(group, p, lsn: LSN(1), image: $0, pins: []) }
      try run(&store, &all)
      _ = image.withUnsafeBytes { store.stagePage(group, p, lsn: LSN(2), image: $0, pins: []) }
      let job = store.nextBackgroundJob() ?? []
      for operation in job.dropLast() { try disk.perform(operation) }
      #expect(job.last == .sync(.journalA))
      _ = store.endBackgroundJob(succeeded: false)
      store.retryBackground()
      _ = image.withUnsafeBytes { store.stagePage(group, q, lsn: LSN(3), image: $0, pins: []) }
      var left = limit
      try run(&store, &left)
      var generator = DeterministicGenerator(seed: 1)
      disk.crash(using: &generator, .keepAll)
      store = try open(disk)
      var failure: StoreReadError?
      var found: StoredPage?
      image.withUnsafeMutableBytes { raw in
        do throws(StoreReadError) { found = try store.pages.read(group, p, atOrBelow: .max, into: raw) } catch {
          failure = error
        }
      }
      #expect(failure == nil, "after \(limit) operations")
      #expect(found?.lsn == LSN(1) || found?.lsn == LSN(2), "after \(limit) operations")
    }
  }

  /// A damaged frame with whole ones behind it: a promise may be lost, so the node must not open.
  @Test func damageInTheMiddleIsNotATornTail() throws {
    let disk = Disk(InMemoryStorageBackend())
    var store = try open(disk)
    for round in 1...UInt32(5) {
      _ = store.record(.volumeEpoch(VolumeEpoch(round)))
      while let job = store.nextBackgroundJob() {
        for operation in job { try disk.perform(operation) }
        _ = store.endBackgroundJob(succeeded: true)
      }
    }
    let end = store.journal.size
    try disk.perform(.write(.journalA, at: UInt64(end) - 1024 + 42, [99]))
    #expect(throws: StorageBackendError.self) { _ = try open(disk) }
    // The last frame, cut short, is a torn tail.
    try disk.perform(.write(.journalA, at: UInt64(end) - 512 + 42, [99]))
    let again = try open(disk)
    #expect(again.state.volumeEpoch == VolumeEpoch(3))
  }

  /// One copy of the header may rot; both may not, and then nothing is formatted over.
  @Test func headerHasTwoCopies() throws {
    let disk = Disk(InMemoryStorageBackend())
    var store = try open(disk)
    _ = store.record(.volumeEpoch(VolumeEpoch(3)))
    while let job = store.nextBackgroundJob() {
      for operation in job { try disk.perform(operation) }
      _ = store.endBackgroundJob(succeeded: true)
    }
    try disk.perform(.write(.journalA, at: 8, [99]))
    let again = try open(disk)
    #expect(again.state.volumeEpoch == VolumeEpoch(3))
    try disk.perform(.write(.journalA, at: 520, [99]))
    #expect(throws: StorageBackendError.self) { _ = try open(disk) }
  }

  /// Another node's or volume's files are refused.
  @Test func refusesOthersFiles() throws {
    let disk = Disk(InMemoryStorageBackend())
    _ = try open(disk)
    for (node, volume, pageSize) in [(UInt32(2), UInt64(2), 512), (1, 3, 512), (1, 2, 1024)] {
      #expect(throws: StorageBackendError.self) {
        _ = try NodeStore(
          node: NodeID(node), volume: VolumeID(volume), backend: disk,
          configuration: NodeStoreConfiguration(pageSize: pageSize))
      }
    }
  }

  /// Every entry comes back as it was.
  @Test func entriesRoundTrip() throws {
    let chunk = SealedChunk(
      sequence: 9, slot: 3, usedBytes: 100, flushCount: 4, recordCount: 7, indexOffset: 900,
      groups: [ChunkGroup(group: ProtectionGroupID(1), minLSN: LSN(3), maxLSN: LSN(9), count: 7, bytes: 70)])
    let entries: [JournalEntry] = [
      .fact(.volumeEpoch(VolumeEpoch(4))), .fact(.configuration(configuration(3))),
      .fact(.truncation(TruncationList(epoch: VolumeEpoch(2), ranges: [LSNRange(after: LSN(1), through: LSN(5))]))),
      .fact(.retention(Retention(epoch: VolumeEpoch(2), sequence: 1, pins: [LSN(4), LSN(9)], floor: LSN(2)))),
      .fact(
        .segment(
          SegmentFacts(
            group: ProtectionGroupID(3), gcPoint: LSN(1), scl: LSN(2), flags: 3, mark: LSN(8),
            logEnd: LogEnd(chunk: 7, blocks: 4)))),
      .fact(.segmentRemoved(ProtectionGroupID(3), by: nil)), .chunkSealed(chunk), .chunkRetired(8), .lastSealed(9),
      .pagesInstalled([
        InstalledPage(
          group: ProtectionGroupID(1), page: PageID(object: ObjectID(2), index: 3), lsn: LSN(4), slot: 5)
      ]), .slotsFreed([1, 2, 3]),
    ]
    var frame = JournalFrame.begin()
    for entry in entries { entry.encode(into: &frame) }
    JournalFrame.seal(&frame, count: entries.count, generation: 3, number: 8)
    #expect(frame.count % 512 == 0)
    let checked = try #require(frame.withUnsafeBytes { JournalFrame.check($0, generation: 3) })
    #expect(checked.number == 8)
    let found = try frame.withUnsafeBytes { try JournalFrame.entries($0, count: checked.count, end: checked.end) }
    #expect(found == entries)
    #expect(frame.withUnsafeBytes { JournalFrame.check($0, generation: 4) } == nil)
  }
}
