import BorealisCore
import BorealisStorageBackend
import BorealisWire

extension LogStore {
  /// The chunk to seal next.
  var chunkToSeal: Int? {
    // In order, so that everything at or below the highest sealed sequence is sealed.
    chunks.firstIndex { !$0.isSealed }
  }

  /// Writes the index of the chunk at `i` to its end; the journal entry that makes it count is the caller's.
  mutating func beginSeal(_ i: Int) -> (operations: [StorageOperation], entry: SealedChunk) {
    guard let open = chunks[i].open else { preconditionFailure("a full chunk has its index") }
    let entries = open.sorted()
    let filter = PageFilter(entries)
    let size = IndexBlock.size(entries.count)
    let offset = chunkSize - size
    precondition(offset >= chunks[i].used, "room was kept for the index")
    chunks[i].filter = filter
    chunks[i].loaded = SealedIndex(entries)
    let bytes = IndexBlock.encode(entries, filter: filter, sequence: chunks[i].sequence, identity: identity)
    let entry = SealedChunk(
      sequence: chunks[i].sequence, slot: chunks[i].slot, usedBytes: UInt32(chunks[i].used),
      flushCount: chunks[i].flushes, recordCount: UInt32(entries.count), indexOffset: UInt32(offset),
      groups: chunks[i].groups)
    let at = UInt64(chunks[i].slot) * UInt64(chunkSize) + UInt64(offset)
    return ([.write(.log, at: at, bytes), .sync(.log)], entry)
  }
  /// The journal entry is durable (or not): the index in memory may go.
  mutating func endSeal(_ sequence: UInt64, succeeded: Bool) {
    guard let i = chunks.firstIndex(where: { $0.sequence == sequence }) else { return }
    if !succeeded {
      (chunks[i].loaded, chunks[i].filter) = (nil, nil)
      return
    }
    if spareIndex == nil, var open = chunks[i].open {
      chunks[i].open = nil
      open.removeAll()
      spareIndex = open
    }
    chunks[i].open = nil
    touch(i)
    evict(keeping: i)
  }
  /// The journal entry is durable: the slot is free.
  mutating func endRetire(_ sequence: UInt64) {
    guard let i = chunks.firstIndex(where: { $0.sequence == sequence }) else { return }
    giveSlot(chunks[i].slot)
    chunks.remove(at: i)
    isBlocked = false
  }
  /// Whether the chunk is there and sealed.
  func isSealed(_ sequence: UInt64) -> Bool { chunks.contains { $0.sequence == sequence && $0.isSealed } }

  // MARK: Indexes in memory

  mutating func touch(_ i: Int) {
    useCounter += 1
    chunks[i].lastUse = useCounter
  }
  /// Drops indexes of sealed chunks, longest unused first, until they fit their memory. One always may stay.
  private mutating func evict(keeping kept: Int) {
    var total = 0
    for chunk in chunks where chunk.isSealed { total += chunk.loaded?.memory ?? 0 }
    while total > configuration.indexMemory {
      var oldest: Int?
      for i in chunks.indices where i != kept && chunks[i].isSealed && chunks[i].loaded != nil {
        if let other = oldest, chunks[other].lastUse <= chunks[i].lastUse { continue }
        oldest = i
      }
      guard let oldest else { return }
      total -= chunks[oldest].loaded?.memory ?? 0
      chunks[oldest].loaded = nil
    }
  }

  private func indexPosition(_ chunk: Chunk) -> UInt64 {
    UInt64(chunk.slot + 1) * UInt64(chunkSize) - UInt64(IndexBlock.size(chunk.recordCount))
  }

  /// Reads the filter of a sealed chunk; leaves it nil where it is damaged (then `load` finds out).
  mutating func loadFilter(_ i: Int) throws(StorageBackendError) {
    if chunks[i].filter != nil { return }
    scratch.removeAll(keepingCapacity: true)
    try backend.append(
      .log, at: indexPosition(chunks[i]), count: IndexBlock.prefixSize(chunks[i].recordCount), to: &scratch)
    let (records, sequence, identity) = (chunks[i].recordCount, chunks[i].sequence, identity)
    chunks[i].filter = scratch.withUnsafeBytes {
      try? IndexBlock.decodeFilter($0, records: records, sequence: sequence, identity: identity)
    }
  }

  /// Brings the index of a sealed chunk into memory: from its end, or if that is damaged from its records.
  mutating func load(_ i: Int) throws(StorageBackendError) {
    touch(i)
    if chunks[i].loaded != nil { return }
    var bytes: [UInt8] = []
    try backend.append(.log, at: indexPosition(chunks[i]), count: IndexBlock.size(chunks[i].recordCount), to: &bytes)
    let chunk = chunks[i]
    let base = UInt64(chunk.slot) * UInt64(chunkSize)
    let decoded = bytes.withUnsafeBytes {
      try? IndexBlock.decode(
        $0, records: chunk.recordCount, sequence: chunk.sequence, identity: identity,
        positions: base..<(base + UInt64(chunk.used)))
    }
    if let (filter, entries) = decoded {
      chunks[i].filter = filter
      chunks[i].loaded = SealedIndex(entries)
    } else {
      // Bit rot in the index. The records are there: read them. What is written at the end stays as it is; the chunk
      // will be retired some day.
      var rebuilt = OpenIndex()
      _ = try ChunkScan.run(
        backend, base: base, size: chunk.used, sequence: chunk.sequence, identity: identity, bug: nil
      ) { rebuilt.insert(RecordEntry($0, position: $1)) }
      let entries = rebuilt.sorted()
      chunks[i].filter = PageFilter(entries)
      chunks[i].loaded = SealedIndex(entries)
      rebuiltIndexes += 1
    }
    evict(keeping: i)
  }
}
