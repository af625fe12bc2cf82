import BorealisCore
import BorealisStorageBackend
import BorealisWire

extension LogStore {
  /// Finds the log's chunks: sealed ones from the journal, the others by the first sector of each slot.
  ///
  /// Only chunks that are not sealed are read through. What is lost for certain stays to be seen at every opening until
  /// the chunks are sealed, which new facts of the segments come before.
  mutating func open(_ state: JournalState, report: inout OpeningReport) throws(StorageBackendError) {
    truncation = state.truncation
    let fileSize = try backend.size(of: .log).value
    slotCount = Int(clamping: (fileSize + UInt64(chunkSize) - 1) / UInt64(chunkSize))
    for sealed in state.chunks { slotCount = max(slotCount, Int(sealed.slot) + 1) }
    reservedSlots = Int(clamping: fileSize / UInt64(chunkSize))
    slotSequence = [UInt64](repeating: 0, count: slotCount)
    for sealed in state.chunks {
      slotSequence[Int(sealed.slot)] = sealed.sequence
      highest = noteHighest(sealed.groups)
      chunks.append(
        Chunk(
          sequence: sealed.sequence, slot: sealed.slot, used: Int(sealed.usedBytes), flushes: sealed.flushCount,
          groups: sealed.groups, recordCount: Int(sealed.recordCount)))
    }
    var found = try findUnsealed(above: state.lastSealed)
    found.sort { $0.sequence < $1.sequence }
    // What segments' facts rest on was durable: where it is missing at the log's end the tail is not torn but damaged.
    let stated = state.segments.map(\.logEnd).max() ?? LogEnd()
    let newest = max(found.last?.sequence ?? 0, stated.chunk, state.lastSealed)
    for sequence in (state.lastSealed + 1)..<(newest + 1) where !found.contains(where: { $0.sequence == sequence }) {
      // No block of it is left.
      report.damagedLog.append(DamagedRange(chunk: sequence, range: 0..<0))
    }
    for (n, candidate) in found.enumerated() {
      slotSequence[Int(candidate.slot)] = candidate.sequence
      var scanned = try scan(candidate.slot, candidate.sequence, into: &report)
      let isLast = n + 1 == found.count
      // The chunk after this one remembers how many blocks this one had.
      var blocks = isLast ? 0 : try peek(found[n + 1])
      if stated.chunk == candidate.sequence { blocks = max(blocks, stated.blocks) }
      let isCut = blocks > scanned.flushes
      if isCut {
        report.damagedLog.append(
          DamagedRange(chunk: candidate.sequence, range: fileRange(candidate.slot, scanned.used, chunkSize)))
        scanned.flushes = blocks
      } else if isLast, scanned.isTorn {
        report.cutTornTail = true
      }
      active = Active(
        sequence: candidate.sequence, slot: candidate.slot, used: scanned.used, flushes: scanned.flushes,
        written: max(scanned.written, index.count), previousFlushes: scanned.previousFlushes)
      report.scannedRecords += index.count
      // No block may take the place of a lost one: the next opening, too, must see that it is missing.
      let isWhole = isLast && !isCut && candidate.sequence >= stated.chunk
      if !isWhole || scanned.used + IndexBlock.size(max(scanned.written, index.count)) > chunkSize { closeActive() }
    }
    nextSequence = newest + 1
    for slot in stride(from: slotCount - 1, through: 0, by: -1) where slotSequence[slot] == 0 {
      freeSlots.append(UInt32(slot))
    }
  }

  private func fileRange(_ slot: UInt32, _ from: Int, _ to: Int) -> Range<UInt64> {
    let base = UInt64(slot) * UInt64(chunkSize)
    return (base + UInt64(from))..<(base + UInt64(to))
  }

  /// Scans one chunk into the (empty) active index.
  private mutating func scan(
    _ slot: UInt32, _ sequence: UInt64, into report: inout OpeningReport
  ) throws(StorageBackendError) -> ChunkScan.Result {
    // Locally, so that the closure does not hold all of the log.
    var filled = spareIndex ?? OpenIndex()
    spareIndex = nil
    let result = try ChunkScan.run(
      backend, base: UInt64(slot) * UInt64(chunkSize), size: chunkSize, sequence: sequence, identity: identity,
      bug: configuration.plantedBug
    ) { filled.insert(RecordEntry($0, position: $1)) }
    index = filled
    report.knownVDL = max(report.knownVDL, result.knownVDL)
    for range in result.damaged {
      report.damagedLog.append(
        DamagedRange(chunk: sequence, range: fileRange(slot, range.lowerBound, range.upperBound)))
    }
    return result
  }

  /// What the first header of a chunk says of the chunk before it; 0 when it is damaged.
  private func peek(_ chunk: (sequence: UInt64, slot: UInt32)) throws(StorageBackendError) -> UInt32 {
    let sector = try firstSector(chunk.slot)
    let identity = identity
    let header = sector.withUnsafeBytes { try? FlushBlock.decode($0, identity: identity) }
    guard let header, header.0.sequence == chunk.sequence else { return 0 }
    return header.0.previousFlushes
  }
  private func firstSector(_ slot: UInt32) throws(StorageBackendError) -> [UInt8] {
    var sector: [UInt8] = []
    try backend.append(.log, at: UInt64(slot) * UInt64(chunkSize), count: 512, to: &sector)
    return sector
  }

  /// Slots that hold a chunk that is not sealed.
  private func findUnsealed(above floor: UInt64) throws(StorageBackendError) -> [(sequence: UInt64, slot: UInt32)] {
    var found: [(sequence: UInt64, slot: UInt32)] = []
    var blank: [UInt32] = []
    var suspicious: [UInt32] = []
    for slot in 0..<UInt32(slotCount) where slotSequence[Int(slot)] == 0 {
      let sector = try firstSector(slot)
      let identity = identity
      let header = sector.withUnsafeBytes { try? FlushBlock.decode($0, identity: identity) }
      if let (block, _) = header, block.offset == 0 {
        if block.sequence > floor { found.append((block.sequence, slot)) }
      } else if sector.allSatisfy({ $0 == 0 }) {
        blank.append(slot)
      } else {
        suspicious.append(slot)
      }
    }
    // A first sector that is neither a header nor empty may be a damaged one: look for later blocks. The same for all,
    // when a chunk is missing in the sequence.
    func search(_ slots: [UInt32]) throws(StorageBackendError) {
      for slot in slots {
        let result = try ChunkScan.run(
          backend, base: UInt64(slot) * UInt64(chunkSize), size: chunkSize, sequence: nil, above: floor,
          identity: identity, bug: nil
        ) { _, _ in }
        if result.isFound, !found.contains(where: { $0.sequence == result.sequence }) {
          found.append((result.sequence, slot))
        }
      }
    }
    try search(suspicious)
    let highest = found.map(\.sequence).max() ?? floor
    if highest - floor != UInt64(found.count) { try search(blank) }
    return found
  }
}
