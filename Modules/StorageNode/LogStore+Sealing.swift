import BorealisCore
import BorealisStorageBackend
import BorealisWire

extension LogStore {
  /// The chunk to seal next: in order, so that everything at or below the highest sealed sequence is sealed.
  private var firstUnsealed: Int? { chunks.firstIndex { !$0.isSealed } }
  /// The chunk whose index is to be written.
  var chunkToSeal: Int? {
    guard let i = firstUnsealed, chunks[i].phase == .none else { return nil }
    return i
  }
  /// The chunk whose index is durable: the journal entry is missing.
  var chunkToJournal: Int? {
    guard let i = firstUnsealed, chunks[i].phase == .durable else { return nil }
    return i
  }
  /// Chunks whose index a sync would make durable.
  var writtenChunks: [UInt64] {
    var result: [UInt64] = []
    for chunk in chunks where chunk.phase == .written { result.append(chunk.sequence) }
    return result
  }
  var hasWrittenChunks: Bool {
    for chunk in chunks where chunk.phase == .written { return true }
    return false
  }

  /// Writes the index of the chunk at `i` to its end.
  mutating func beginIndexWrite(_ i: Int) -> [StorageOperation] {
    guard let open = chunks[i].open else { preconditionFailure("a full chunk has its index") }
    let entries = open.sorted()
    let filter = PageFilter(entries)
    let offset = indexOffset(chunks[i])
    precondition(offset >= chunks[i].used, "room was kept for the index")
    chunks[i].phase = .writing
    chunks[i].filter = filter
    chunks[i].loaded = SealedIndex(entries)
    let bytes = IndexBlock.encode(entries, filter: filter, sequence: chunks[i].sequence, identity: identity)
    return [.write(.log, at: UInt64(chunks[i].slot) * UInt64(chunkSize) + UInt64(offset), bytes)]
  }
  /// The index is written (or not).
  mutating func endIndexWrite(succeeded: Bool) {
    // A sync that failed meanwhile has set the phase back.
    guard let i = chunks.firstIndex(where: { $0.phase == .writing }) else { return }
    chunks[i].phase = succeeded ? .written : .none
  }
  /// A sync of the log that covered the chunks' indexes succeeded, or some sync failed: then all must be written again.
  mutating func noteSync(covering sequences: [UInt64], succeeded: Bool) {
    for i in chunks.indices {
      if !succeeded, chunks[i].phase == .writing || chunks[i].phase == .written { chunks[i].phase = .none }
      if succeeded, chunks[i].phase == .written, sequences.contains(chunks[i].sequence) { chunks[i].phase = .durable }
    }
  }
  /// The journal entry of the chunk at `i`.
  func sealedEntry(_ i: Int) -> SealedChunk {
    let chunk = chunks[i]
    return SealedChunk(
      sequence: chunk.sequence, slot: chunk.slot, usedBytes: UInt32(chunk.used), flushCount: chunk.flushes,
      recordCount: UInt32(chunk.recordCount), indexOffset: UInt32(indexOffset(chunk)), groups: chunk.groups)
  }
  /// The journal entry is durable: the index in memory may go.
  mutating func endSeal(_ sequence: UInt64) {
    guard let i = chunks.firstIndex(where: { $0.sequence == sequence }) else { return }
    chunks[i].phase = .none
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
  /// Drops indexes of sealed chunks, longest unused first, until they fit their memory.
  ///
  /// One always may stay.
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

  private func indexOffset(_ chunk: Chunk) -> Int { chunkSize - IndexBlock.size(chunk.recordCount) }
  private func indexPosition(_ chunk: Chunk) -> UInt64 {
    UInt64(chunk.slot) * UInt64(chunkSize) + UInt64(indexOffset(chunk))
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

  /// A sealed chunk that has lost records: the groups that had any there; nil where there is none (left).
  ///
  /// From now on look-ups give what is left of it: the caller must not rely on any of it being whole.
  package mutating func heedLoss() -> [ProtectionGroupID]? {
    while let sequence = losses.popLast() {
      guard let i = chunks.firstIndex(where: { $0.sequence == sequence }) else { continue }
      chunks[i].isLossHeeded = true
      return chunks[i].groups.map(\.group)
    }
    return nil
  }

  /// Brings the index of a sealed chunk into memory: from its end, or if that is damaged from its records.
  ///
  /// Where some of those are damaged too, it cannot be told which: fails, until `heedLoss` has told the caller.
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
      let scan = try ChunkScan.run(
        backend, base: base, size: chunk.used, sequence: chunk.sequence, identity: identity, bug: nil
      ) { rebuilt.insert(RecordEntry($0, position: $1)) }
      let isWhole = scan.damaged.isEmpty && !scan.isTorn && scan.flushes >= chunk.flushes
      guard isWhole || chunk.isLossHeeded else {
        if !losses.contains(chunk.sequence) { losses.append(chunk.sequence) }
        throw StorageBackendError(
          .inputOutput, operation: "index", file: .log, detail: "chunk \(chunk.sequence) has lost records")
      }
      let entries = rebuilt.sorted()
      chunks[i].filter = PageFilter(entries)
      chunks[i].loaded = SealedIndex(entries)
      rebuiltIndexes += 1
    }
    evict(keeping: i)
  }
}
