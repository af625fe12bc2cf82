import BorealisCore
import BorealisStorageBackend
import BorealisWire
import Testing

@testable import BorealisStorageNode

/// A log with a chain of records of one group, and what was written.
private final class LogWorld {
  let disk: FaultyStorageBackend<InMemoryStorageBackend>
  var configuration: NodeStoreConfiguration
  var store: NodeStore
  var records: [LSN: [UInt8]] = [:]
  var positions: [LSN: UInt64] = [:]
  var generator: DeterministicGenerator
  let group = ProtectionGroupID(1)

  init(seed: UInt64, chunkSize: Int = 16384, plantedBug: PlantedBug? = nil) throws {
    generator = DeterministicGenerator(seed: seed)
    disk = FaultyStorageBackend(InMemoryStorageBackend(), seed: seed)
    configuration = NodeStoreConfiguration(pageSize: 512, chunkSize: chunkSize, logLimit: 64 << 20)
    configuration.plantedBug = plantedBug
    store = try NodeStore(node: NodeID(1), volume: VolumeID(2), backend: disk, configuration: configuration)
  }
  func reopen() throws {
    store = try NodeStore(node: NodeID(1), volume: VolumeID(2), backend: disk, configuration: configuration)
  }
  /// Stages records and flushes them as one block; stops after `operations` of the job.
  @discardableResult func write(_ count: Int, operations: Int = .max) throws -> [StorageOperation] {
    var bytes: [UInt8] = []
    for _ in 0..<count {
      let lsn = LSN(UInt64(records.count) + 1)
      let header = RecordHeader(
        lsn: lsn, previousInVolume: LSN(lsn.value - 1), previousInGroup: LSN(lsn.value - 1), previousOfPage: .zero,
        page: PageID(object: ObjectID(4), index: lsn.value % 17), group: group, epoch: VolumeEpoch(1), kind: .image,
        isConsistencyPoint: true, payloadSize: 200)
      var record: [UInt8] = []
      var payload: [UInt8] = []
      for _ in 0..<25 { payload.appendInteger(generator.next()) }
      payload.withUnsafeBytes { header.encode(payload: $0, into: &record) }
      records[lsn] = record
      bytes += record
    }
    #expect(store.stage(bytes, range: 0..<bytes.count, count: count, purpose: .append) != nil)
    let job = store.nextFlush(knownVDL: LSN(7)) ?? []
    for operation in job.prefix(operations) { try disk.perform(operation) }
    if operations < job.count { return job }
    let block = store.endFlush(succeeded: true)
    var cursor = block.start
    while let record = block.next(&cursor) {
      positions[record.header.lsn] = record.position
      store.log.insert(record.header, position: record.position)
    }
    store.log.recycle(block)
    return job
  }
  func settle() throws {
    while true {
      if let job = store.nextBackgroundJob() {
        for operation in job { try disk.perform(operation) }
        _ = store.endBackgroundJob(succeeded: true)
      } else if store.hasFlush, let job = store.nextFlush(knownVDL: .zero) {
        for operation in job { try disk.perform(operation) }
        store.log.recycle(store.endFlush(succeeded: true))
      } else {
        return
      }
    }
  }
  func lsns() throws -> [LSN] {
    var entries: [RecordEntry] = []
    try store.log.records(of: group, after: .zero, through: .max, limit: .max, into: &entries)
    return entries.map(\.lsn)
  }
  /// LSNs that read as they were written; anything read that is not what was written is a failure.
  func readable() throws -> [LSN] {
    var entries: [RecordEntry] = []
    try store.log.records(of: group, after: .zero, through: .max, limit: .max, into: &entries)
    var good: [LSN] = []
    for entry in entries {
      var bytes: [UInt8] = []
      do throws(StoreReadError) {
        try store.log.read(entry, into: &bytes)
        #expect(bytes == records[entry.lsn])
        good.append(entry.lsn)
      } catch {
        guard case .damaged = error else {
          Issue.record("\(entry.lsn): \(error)")
          continue
        }
      }
    }
    return good
  }
}

@Suite struct LogStoreTests {
  @Test func sizes() {
    #expect(MemoryLayout<RecordEntry>.stride <= RecordEntry.size)
    #expect(RecordEntry.size == 64)
  }

  /// A torn last block is cut; the records before it stay, and the next block takes its place.
  @Test func tornTailIsCut() throws {
    let world = try LogWorld(seed: 1)
    try world.write(3)
    let job = try world.write(10, operations: 1)
    guard case .write(_, let at, let bytes) = job[0] else { return }
    // One sector in the middle never came.
    try world.disk.perform(.write(.log, at: at + 1024, [UInt8](repeating: 0, count: 512)))
    #expect(bytes.count > 2048)
    try world.reopen()
    #expect(try world.lsns() == [LSN(1), LSN(2), LSN(3)])
    #expect(world.store.opening.cutTornTail)
    #expect(world.store.opening.damagedLog.isEmpty)
    #expect(world.store.opening.knownVDL == LSN(7))
    for lsn in world.records.keys where lsn > LSN(3) { world.records[lsn] = nil }
    try world.write(2)
    try world.reopen()
    #expect(try world.readable().count == 5)
  }

  /// The planted bug takes the torn block's records, which the check above would see.
  @Test func plantedBugAcceptsTornTail() throws {
    let world = try LogWorld(seed: 1, plantedBug: .tornTailAccepted)
    try world.write(3)
    let job = try world.write(10, operations: 1)
    guard case .write(_, let at, _) = job[0] else { return }
    try world.disk.perform(.write(.log, at: at + 1024 + 300, [UInt8](repeating: 0, count: 150)))
    try world.reopen()
    #expect(try world.lsns().count > 3)
  }

  /// Bit rot anywhere in an unsealed chunk: nothing wrong is ever read, and what is certain is reported.
  @Test(arguments: 0..<120) func rotInUnsealedChunk(seed: Int) throws {
    let world = try LogWorld(seed: UInt64(seed), chunkSize: 256 << 10)
    for _ in 0..<8 { try world.write(1 + world.generator.index(6)) }
    let beforeLast = LSN(UInt64(world.records.count))
    try world.write(1 + world.generator.index(6))
    let last = world.positions[LSN(UInt64(world.records.count))] ?? 0
    let hits = world.disk.flipBits(
      .log, in: 0..<(last + 200), count: 1 + world.generator.index(3), using: &world.generator)
    try world.reopen()
    let good = Set(try world.readable())
    let report = world.store.opening
    let lastHeader = (world.positions[beforeLast.advanced(by: 1)] ?? 64) - 64
    let isLastHeaderHit = hits.contains { (lastHeader..<(lastHeader + 64)).contains($0) }
    for (lsn, position) in world.positions where !good.contains(lsn) {
      // What is lost is told; the last block apart, which cannot be told from a torn one (nor, when its header is hit,
      // can those before it that were hit too).
      let isTold = report.damagedLog.contains { $0.range.contains(position) }
      #expect(isTold || lsn > beforeLast || isLastHeaderHit, "seed \(seed): \(lsn) lost silently")
    }
    #expect(world.store.checkInvariants().isEmpty)
    // What was lost comes from a peer and is found once.
    let missing = world.records.keys.filter { !good.contains($0) }.sorted()
    var bytes: [UInt8] = []
    for lsn in missing { bytes += world.records[lsn] ?? [] }
    if !missing.isEmpty {
      #expect(world.store.stage(bytes, range: 0..<bytes.count, count: missing.count, purpose: .repair) != nil)
      try world.write(1)
      #expect(try world.readable().count == world.records.count, "seed \(seed)")
      try world.reopen()
      #expect(try world.readable().count == world.records.count, "seed \(seed) after opening")
    }
  }

  /// The first sector of a chunk is damaged: the chunk is found by its later blocks.
  @Test func rotInFirstSector() throws {
    let world = try LogWorld(seed: 3)
    for _ in 0..<4 { try world.write(4) }
    try world.disk.perform(.write(.log, at: 9, [1, 2, 3]))
    try world.reopen()
    // The header of the first block is gone and its records with it.
    #expect(try world.readable().count == 12)
    #expect(world.store.opening.damagedLog.first?.range.lowerBound == 0)
  }

  /// The last block of a chunk that is full and not sealed is damaged: the chunk after it tells.
  @Test func rotAtEndOfFullChunk() throws {
    let world = try LogWorld(seed: 4)
    while world.store.log.chunks.isEmpty { try world.write(2) }
    let used = world.store.log.chunks[0].used
    try world.disk.perform(.write(.log, at: UInt64(used) - 512, [UInt8](repeating: 9, count: 512)))
    try world.reopen()
    #expect(world.store.opening.damagedLog.count == 1)
    #expect(!world.store.opening.cutTornTail)
    #expect(try world.readable().count < world.records.count)
  }

  /// The log's last blocks are damaged, and facts in the journal rest on them: that is no torn tail, and stays to be seen
  /// while the log goes on.
  @Test(arguments: [1, 2], [0, 64]) func rotAtEndThatFactsRestOn(blocks: Int, offset: UInt64) throws {
    let world = try LogWorld(seed: 8)
    for _ in 0..<3 { try world.write(2) }
    let before = world.records.count
    for _ in 0..<blocks { try world.write(2) }
    _ = world.store.record(.segment(SegmentFacts(group: world.group, scl: LSN(10), logEnd: world.store.log.end)))
    try world.settle()
    for block in 0..<blocks {
      let header = try #require(world.positions[LSN(UInt64(before + 2 * block + 1))]) - 64
      try world.disk.perform(.write(.log, at: header + offset, [1, 2, 3]))
    }
    let lost = LSN(UInt64(before + 1))
    for _ in 0..<3 {
      try world.reopen()
      #expect(!world.store.opening.damagedLog.isEmpty)
      #expect(!world.store.opening.cutTornTail)
      let found = try world.lsns()
      #expect(!found.contains(lost))
      #expect(found.filter { $0 < lost }.count == before)
      try world.write(2)
      #expect(try world.lsns().last == LSN(UInt64(world.records.count)))
      #expect(world.store.checkInvariants().isEmpty)
    }
  }

  /// The same where the chunk had that block only: nothing says that there was one but the facts.
  @Test func rotOfChunkThatFactsRestOn() throws {
    let world = try LogWorld(seed: 9)
    try world.write(2)
    _ = world.store.record(.segment(SegmentFacts(group: world.group, scl: LSN(2), logEnd: world.store.log.end)))
    try world.settle()
    try world.disk.perform(.write(.log, at: 9, [1, 2, 3]))
    for _ in 0..<3 {
      try world.reopen()
      #expect(world.store.opening.damagedLog.map(\.chunk) == [1])
      #expect(try !world.lsns().contains(LSN(1)))
      try world.write(2)
      #expect(world.store.checkInvariants().isEmpty)
    }
    #expect(try world.lsns() == (3...8).map { LSN($0) })
  }

  /// Sealed chunks with a damaged index are read record by record.
  @Test func rotInSealedIndex() throws {
    let world = try LogWorld(seed: 5)
    while world.records.count < 300 { try world.write(5) }
    try world.settle()
    let sealed = world.store.log.sealedChunks.count
    #expect(sealed > 4)
    for chunk in world.store.state.chunks {
      let at = UInt64(chunk.slot) * UInt64(world.store.log.chunkSize) + UInt64(chunk.indexOffset)
      let length = UInt64(64 + Int(chunk.recordCount) * 64)
      world.disk.flipBits(.log, in: at..<(at + length), count: 1, using: &world.generator)
    }
    try world.reopen()
    #expect(try world.readable().count == world.records.count)
    #expect(world.store.log.rebuiltIndexes > 0)
    var entries: [RecordEntry] = []
    try world.store.log.records(
      of: world.group, page: PageID(object: ObjectID(4), index: 3), after: .zero, through: .max, into: &entries)
    #expect(entries.count == world.records.keys.filter { $0.value % 17 == 3 }.count)
  }

  /// A damaged record in a sealed chunk is told by the read, and a new copy takes its place in look-ups.
  @Test func damagedRecordIsReplaced() throws {
    let world = try LogWorld(seed: 6)
    while world.records.count < 200 { try world.write(5) }
    try world.settle()
    let lsn = LSN(10)
    let position = world.positions[lsn] ?? 0
    try world.disk.perform(.write(.log, at: position + 100, [0, 1, 2, 3]))
    #expect(try !world.readable().contains(lsn))
    let copy = world.records[lsn] ?? []
    #expect(world.store.stage(copy, range: 0..<copy.count, count: 1, purpose: .repair) != nil)
    try world.write(1)
    #expect(try world.readable() == world.records.keys.sorted())
    try world.reopen()
    #expect(try world.readable() == world.records.keys.sorted())
  }

  /// Opening does not read sealed chunks, however many there are.
  @Test func openingIsFlat() throws {
    var read: [UInt64] = []
    for size in [2_000, 20_000] {
      let world = try LogWorld(seed: 7, chunkSize: 64 << 10)
      while world.records.count < size { try world.write(100) }
      try world.settle()
      let before = world.disk.counters(of: .log).bytesRead
      try world.reopen()
      read.append(world.disk.counters(of: .log).bytesRead - before)
      #expect(world.store.opening.scannedRecords < 400)
      #expect(try world.lsns().count == world.records.count)
    }
    #expect(read[1] < read[0] + 300_000, "\(read)")
  }

  /// Void records are in no look-up, and a newer list can bring kept ones back.
  @Test func voidRecordsAreHidden() throws {
    let world = try LogWorld(seed: 8)
    while world.records.count < 200 { try world.write(10) }
    try world.settle()
    let list = TruncationList(epoch: VolumeEpoch(2), ranges: [LSNRange(after: LSN(50), through: LSN(150))])
    let ticket = world.store.record(.truncation(list))
    try world.settle()
    #expect(world.store.durableTicket >= ticket)
    for _ in 0..<2 {
      #expect(try world.lsns() == (Array(1...50) + Array(151...200)).map { LSN($0) })
      #expect(try world.store.log.contains(world.group, LSN(51)) == false)
      #expect(try world.store.log.contains(world.group, LSN(50)))
      #expect(try world.store.log.last(of: world.group, atOrBelow: LSN(149))?.lsn == LSN(50))
      var entries: [RecordEntry] = []
      try world.store.log.records(
        of: world.group, page: PageID(object: ObjectID(4), index: 0), after: LSN(40), through: LSN(170), into: &entries)
      #expect(entries.map(\.lsn) == [LSN(153), LSN(170)])
      try world.reopen()
    }
    _ = world.store.record(
      .truncation(TruncationList(epoch: VolumeEpoch(3), ranges: [LSNRange(after: LSN(150), through: LSN(160))])))
    try world.settle()
    #expect(try world.lsns() == (Array(1...150) + Array(161...200)).map { LSN($0) })
  }

  /// A failed sync of one lane must not be healed by the other lane's: what counts is written and synced again.
  @Test func indexIsSyncedByAFlush() throws {
    let world = try LogWorld(seed: 9)
    while world.store.log.chunks.isEmpty { try world.write(3) }
    while let job = world.store.nextBackgroundJob() {
      for operation in job {
        if case .sync(.log) = operation { Issue.record("the background lane syncs the log") }
        try world.disk.perform(operation)
      }
      _ = world.store.endBackgroundJob(succeeded: true)
    }
    #expect(world.store.log.sealedChunks.isEmpty)
    let waits = world.store.hasFlush
    #expect(waits)
    try world.settle()
    #expect(world.store.log.sealedChunks.count == 1)
  }

  /// A full log refuses appends before repairs, and both before the file outgrows its limit.
  @Test func fullLogKeepsRoomForRepair() throws {
    let world = try LogWorld(seed: 10)
    world.configuration.logLimit = 4 * 16384
    try world.reopen()
    var refused = false
    var bytes: [UInt8] = []
    while !refused {
      try world.write(1)
      bytes = world.records[LSN(1)] ?? []
      guard let _ = world.store.stage(bytes, range: 0..<bytes.count, count: 1, purpose: .append) else {
        refused = true
        continue
      }
    }
    var repairs = 0
    while world.store.stage(bytes, range: 0..<bytes.count, count: 1, purpose: .repair) != nil {
      repairs += 1
      guard let job = world.store.nextFlush(knownVDL: .zero) else { break }
      for operation in job { try world.disk.perform(operation) }
      world.store.log.recycle(world.store.endFlush(succeeded: true))
    }
    #expect(repairs > 20)
    #expect(try world.disk.size(of: .log).value <= 6 * 16384)
  }
}
