import BorealisCore
import BorealisStorageBackend
import BorealisWire

/// Records that were staged together.
struct StagedBatch: Sendable {
  var ticket: UInt64
  /// Where they end in the block.
  var end: Int
}

/// The records of one durable flush block, in the order they were staged.
///
///     var cursor = block.start
///     while let record = block.next(&cursor) { ... store.log.insert(record.header, position: record.position) }
///     store.log.recycle(block)
package struct FlushedBlock: Sendable {
  /// One record of the block.
  package struct Record: Sendable {
    /// Its header.
    package var header: RecordHeader
    /// Where it stands in the log file: for `insert`.
    package var position: UInt64
    /// The ticket that `stage` returned for it.
    package var ticket: UInt64
  }
  /// Where `next` is.
  package struct Cursor: Sendable {
    var offset = FlushBlock.headerSize
    var batch = 0
  }

  var bytes: [UInt8]
  var batches: [StagedBatch]
  var end: Int
  /// Offset of the block in the log file.
  var base: UInt64
  /// Full chunks whose index the flush's sync makes durable.
  var sealing: [UInt64] = []
  /// Whether it is durable.
  ///
  /// When not there is nothing to iterate.
  package internal(set) var succeeded = false
  /// Every ticket up to here is wholly in this or an earlier block (or was dropped by a failure).
  package internal(set) var completedTicket: UInt64
  /// Number of records.
  package internal(set) var count: Int

  /// Before the first record.
  package var start: Cursor { Cursor() }
  /// The next record, nil at the end.
  package func next(_ cursor: inout Cursor) -> Record? {
    guard succeeded, cursor.offset < end else { return nil }
    let offset = cursor.offset
    // They were verified before they were staged.
    let header = bytes.withUnsafeBytes { try? RecordHeader.decode($0, at: offset, verifying: false) }
    guard let header else { return nil }
    while cursor.batch < batches.count, batches[cursor.batch].end <= offset { cursor.batch += 1 }
    cursor.offset += header.encodedSize
    return Record(
      header: header, position: base + UInt64(offset),
      ticket: cursor.batch < batches.count ? batches[cursor.batch].ticket : completedTicket + 1)
  }
}

extension LogStore {
  /// Bytes of records that a block alone in a chunk can hold, if each is no longer than `recordLengthMax`.
  private var usableInChunk: Int { chunkSize - recordLengthMax - 1024 }
  /// Longest record that a chunk takes: what a page of this size can need, and then some.
  package var recordLengthMax: Int { Self.recordLengthMax(pageSize: configuration.pageSize) }
  static func recordLengthMax(pageSize: Int) -> Int {
    min(RecordHeader.encodedSizeMax, RecordHeader.encodedSize + 2 * pageSize)
  }
  /// The chunk size for a page size: what was asked for, at least what two of the longest records need.
  static func chunkSize(_ configuration: NodeStoreConfiguration) -> Int {
    let least = 2 * (recordLengthMax(pageSize: configuration.pageSize) + 128) + 4096
    return (max(configuration.chunkSize, least) + 4095) & ~4095
  }

  /// Room for records and their index entries, staged ones not counted.
  private func room(_ purpose: StagePurpose) -> Int {
    let limit = purpose == .append ? slotsForAppends : slotsMax
    let used = chunks.count + (active == nil ? 0 : 1)
    let inActive = active.map { max(0, chunkSize - $0.used - IndexBlock.size($0.written) - recordLengthMax) } ?? 0
    return max(0, limit - used) * usableInChunk + inActive
  }
  /// What records cost besides their bytes: index entry and filter.
  private static let recordOverhead = RecordEntry.size + 3

  /// Bytes staged and not under way.
  package var stagedBytes: Int { staging.count - FlushBlock.headerSize }

  /// See `NodeStore.stage`.
  mutating func stage(_ bytes: [UInt8], range: Range<Int>, count: Int, purpose: StagePurpose) -> UInt64? {
    precondition(range.lowerBound >= 0 && range.upperBound <= bytes.count)
    guard count > 0, isWhole(bytes, range, count) else { return nil }
    let inFlight = flight.map { $0.end + $0.count * Self.recordOverhead } ?? 0
    let waiting = staging.count + stagedRecords * Self.recordOverhead + inFlight
    guard waiting + range.count + count * Self.recordOverhead + 1024 <= room(purpose) else { return nil }
    bytes.withUnsafeBytes { staging.append(contentsOf: UnsafeRawBufferPointer(rebasing: $0[range])) }
    lastTicket += 1
    stagedRecords += count
    batches.append(StagedBatch(ticket: lastTicket, end: staging.count))
    return lastTicket
  }
  /// Whether the range is `count` records, none too long.
  private func isWhole(_ bytes: [UInt8], _ range: Range<Int>, _ count: Int) -> Bool {
    bytes.withUnsafeBytes { raw in
      var at = range.lowerBound
      for _ in 0..<count {
        guard range.upperBound - at >= RecordHeader.encodedSize else { return false }
        let length = Int(UInt32(littleEndian: raw.loadUnaligned(fromByteOffset: at + 4, as: UInt32.self)))
        guard length >= RecordHeader.encodedSize, length <= recordLengthMax else { return false }
        at += length
      }
      return at == range.upperBound
    }
  }

  /// Whether `beginFlush` would give a job.
  var hasFlush: Bool { flight == nil && (hasBlock || hasWrittenChunks) }
  private var hasBlock: Bool { !isBlocked && staging.count > FlushBlock.headerSize }

  /// See `NodeStore.nextFlush`.
  mutating func beginFlush(knownVDL: LSN) -> [StorageOperation]? {
    guard flight == nil else { return nil }
    let sealing = writtenChunks
    if let operations = beginBlock(knownVDL: knownVDL) {
      flight?.sealing = sealing
      return operations
    }
    if sealing.isEmpty { return nil }
    // Nothing to write, but an index waits for a sync.
    flight = FlushedBlock(
      bytes: [], batches: [], end: 0, base: 0, sealing: sealing, completedTicket: completedTicket, count: 0)
    return [.sync(.log)]
  }

  private mutating func beginBlock(knownVDL: LSN) -> [StorageOperation]? {
    guard hasBlock else { return nil }
    if active != nil, fitting().records == 0 { closeActive() }
    if active == nil {
      guard let slot = takeSlot() else {
        isBlocked = true
        return nil
      }
      slotSequence[Int(slot)] = nextSequence
      active = Active(sequence: nextSequence, slot: slot, previousFlushes: lastFlushCount)
      nextSequence += 1
    }
    guard let active else { return nil }
    let (end, records) = fitting()
    precondition(records > 0, "a record fits in an empty chunk")
    let base = UInt64(active.slot) * UInt64(chunkSize) + UInt64(active.used)
    var (bytes, mine) = (staging, batches)
    // The buffers of the block before last, whose job is gone by now: emptied without giving up their memory.
    staging = spareBytes
    spareBytes = []
    staging.removeAll(keepingCapacity: true)
    staging.appendZeros(FlushBlock.headerSize)
    batches = spareBatches
    spareBatches = []
    batches.removeAll(keepingCapacity: true)
    if end < bytes.count {
      // What does not fit begins the next block.
      staging.append(contentsOf: bytes[end...])
      bytes.removeLast(bytes.count - end)
      for batch in mine where batch.end > end {
        batches.append(StagedBatch(ticket: batch.ticket, end: batch.end - end + FlushBlock.headerSize))
      }
      mine.removeAll { $0.end > end }
      // A batch in two pieces is complete with the second.
    }
    stagedRecords -= records
    let block = FlushBlock(
      sequence: active.sequence, number: active.flushes, offset: UInt32(active.used),
      recordBytes: UInt32(end - FlushBlock.headerSize), recordCount: UInt32(records), knownVDL: knownVDL,
      previousFlushes: active.previousFlushes)
    block.store(to: &bytes, identity: identity)
    bytes.appendZeros(block.size - end)
    let completed = mine.last?.ticket ?? completedTicket
    flight = FlushedBlock(
      bytes: bytes, batches: mine, end: end, base: base, completedTicket: completed, count: records)
    return [.write(.log, at: base, bytes), .sync(.log)]
  }

  /// How much of what is staged fits in the active chunk, index room left over.
  private func fitting() -> (end: Int, records: Int) {
    guard let active else { return (0, 0) }
    let room = chunkSize - active.used
    func fits(_ end: Int, _ records: Int) -> Bool {
      FlushBlock.size(end - FlushBlock.headerSize) + IndexBlock.size(active.written + records) <= room
    }
    if fits(staging.count, stagedRecords) { return (staging.count, stagedRecords) }
    return staging.withUnsafeBytes { raw in
      var (end, records) = (FlushBlock.headerSize, 0)
      while end < raw.count {
        let length = Int(UInt32(littleEndian: raw.loadUnaligned(fromByteOffset: end + 4, as: UInt32.self)))
        if !fits(end + length, records + 1) { break }
        end += length
        records += 1
      }
      return (end, records)
    }
  }

  /// Flush blocks of the newest chunk.
  private var lastFlushCount: UInt32 { chunks.last?.flushes ?? 0 }

  /// Makes the active chunk a full one.
  mutating func closeActive() {
    guard let old = active else { return }
    var open = spareIndex ?? OpenIndex()
    spareIndex = nil
    swap(&open, &index)
    let groups = open.summary()
    highest = noteHighest(groups)
    chunks.append(
      Chunk(
        sequence: old.sequence, slot: old.slot, used: old.used, flushes: old.flushes, groups: groups,
        recordCount: open.count, open: open))
    active = nil
  }

  /// See `NodeStore.endFlush`.
  mutating func endFlush(succeeded: Bool) -> FlushedBlock {
    guard var block = flight else { preconditionFailure("no flush is under way") }
    flight = nil
    block.succeeded = succeeded
    completedTicket = block.completedTicket
    noteSync(covering: block.sealing, succeeded: succeeded)
    if succeeded, block.count > 0 {
      // Only now: a failed block's place is written again, with the same number.
      active?.used += FlushBlock.size(block.end - FlushBlock.headerSize)
      active?.flushes += 1
      active?.written += block.count
    }
    return block
  }

  /// Gives a block's buffers back.
  package mutating func recycle(_ block: consuming FlushedBlock) {
    if block.count == 0 || block.bytes.capacity > 8 << 20 { return }  // An exceptional one: do not hold on to it.
    spareBytes = block.bytes
    spareBatches = block.batches
  }
}
