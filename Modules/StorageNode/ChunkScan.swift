import BorealisCore
import BorealisStorageBackend
import BorealisWire

/// Reads the flush blocks of one chunk from its start: at opening, and where a sealed index is damaged.
///
/// A block is written only after the one before it is durable. So the first invalid block is the torn tail if nothing
/// valid of this chunk follows, and bit rot if something does. Headers of an earlier use of the slot have another
/// sequence, copies of blocks inside page contents another offset.
struct ChunkScan {
  /// What was found.
  struct Result {
    /// End of the last valid block.
    var used = 0
    /// Blocks up to there, damaged ones included.
    var flushes: UInt32 = 0
    /// Records in those blocks, as their headers say.
    var written = 0
    /// Certainly damaged parts, as offsets into the chunk.
    var damaged: [Range<Int>] = []
    /// Whether a block at the end was begun and not completed.
    var isTorn = false
    var knownVDL = LSN.zero
    var previousFlushes: UInt32 = 0
    /// Whether any header of the chunk was found.
    var isFound = false
    var sequence: UInt64 = 0
  }

  private let backend: any StorageBackend
  private let base: UInt64
  private let size: Int
  private let identity: StoreIdentity
  private var buffer: [UInt8] = []
  private var bufferStart = 0

  /// Scans `size` bytes at `base`.
  ///
  /// With a `sequence` only its blocks count, without one those of the first header whose sequence is above `floor`.
  /// Calls `visit` with each record and its position in the file.
  static func run(
    _ backend: any StorageBackend, base: UInt64, size: Int, sequence: UInt64?, above floor: UInt64 = 0,
    identity: StoreIdentity, bug: PlantedBug?, visit: (RecordHeader, UInt64) -> Void
  ) throws(StorageBackendError) -> Result {
    var scan = ChunkScan(backend: backend, base: base, size: size, identity: identity)
    return try scan.run(sequence, above: floor, bug: bug, visit)
  }

  private init(backend: any StorageBackend, base: UInt64, size: Int, identity: StoreIdentity) {
    self.backend = backend
    self.base = base
    self.size = size
    self.identity = identity
  }

  /// Makes `count` bytes at `offset` of the chunk available; fewer at the chunk's end.
  private mutating func window(_ offset: Int, _ count: Int) throws(StorageBackendError) -> Range<Int> {
    let end = min(size, offset + count)
    if offset < bufferStart || end > bufferStart + buffer.count {
      bufferStart = offset
      buffer.removeAll(keepingCapacity: true)
      try backend.append(
        .log, at: base + UInt64(offset), count: min(size - offset, max(count, 256 << 10)), to: &buffer)
    }
    return (offset - bufferStart)..<(end - bufferStart)
  }

  private mutating func header(at offset: Int) throws(StorageBackendError) -> (FlushBlock, UInt32)? {
    let range = try window(offset, FlushBlock.headerSize)
    let identity = identity
    let found = buffer.withUnsafeBytes {
      try? FlushBlock.decode(UnsafeRawBufferPointer(rebasing: $0[range]), identity: identity)
    }
    guard let found, Int(found.0.offset) == offset, Int(found.0.recordBytes) <= size - offset - FlushBlock.headerSize
    else { return nil }
    return found
  }

  private mutating func run(
    _ wanted: UInt64?, above floor: UInt64, bug: PlantedBug?, _ visit: (RecordHeader, UInt64) -> Void
  ) throws(StorageBackendError) -> Result {
    var result = Result()
    result.sequence = wanted ?? 0
    var offset = 0
    var invalidFrom: Int?
    // Blocks with a good header and bad records: worth a second look once it is certain that they are not the tail.
    var suspects: [(offset: Int, block: FlushBlock)] = []
    while size - offset >= FlushBlock.headerSize {
      guard let (block, checksum) = try header(at: offset), isOurs(block, wanted, floor, &result) else {
        invalidFrom = invalidFrom ?? offset
        offset += 512
        continue
      }
      let range = try window(offset + FlushBlock.headerSize, Int(block.recordBytes))
      let isGood = buffer.withUnsafeBytes { CRC32C.checksum(UnsafeRawBufferPointer(rebasing: $0[range])) == checksum }
      guard isGood else {
        suspects.append((offset, block))
        invalidFrom = invalidFrom ?? offset
        offset += block.size
        continue
      }
      if let start = invalidFrom {
        result.damaged.append(start..<offset)
        for suspect in suspects {
          try salvage(suspect.offset, suspect.block, isStrict: true, visit)
          result.written += Int(suspect.block.recordCount)
        }
        suspects.removeAll()
        invalidFrom = nil
      }
      forEachRecord(range, at: offset + FlushBlock.headerSize, verifying: false, visit)
      accept(block, offset, &result)
      offset += block.size
    }
    if let last = suspects.popLast() {
      result.isTorn = true
      if let start = invalidFrom, start < last.offset {
        // The last block is torn, but its header says that those before it were durable.
        result.damaged.append(start..<last.offset)
        for suspect in suspects {
          try salvage(suspect.offset, suspect.block, isStrict: true, visit)
          result.written += Int(suspect.block.recordCount)
        }
        (result.used, result.flushes) = (last.offset, last.block.number)
      }
      if bug == .tornTailAccepted {
        try salvage(last.offset, last.block, isStrict: false, visit)
        accept(last.block, last.offset, &result)
      }
    }
    return result
  }

  private func isOurs(_ block: FlushBlock, _ wanted: UInt64?, _ floor: UInt64, _ result: inout Result) -> Bool {
    if let wanted, block.sequence != wanted { return false }
    if block.sequence <= floor { return false }
    if result.isFound, block.sequence != result.sequence { return false }
    if block.number < result.flushes { return false }
    if !result.isFound {
      result.isFound = true
      result.sequence = block.sequence
      result.previousFlushes = block.previousFlushes
    }
    return true
  }
  private func accept(_ block: FlushBlock, _ offset: Int, _ result: inout Result) {
    result.used = min(size, offset + block.size)
    result.flushes = block.number + 1
    result.written += Int(block.recordCount)
    result.knownVDL = max(result.knownVDL, block.knownVDL)
  }

  private func forEachRecord(
    _ range: Range<Int>, at offset: Int, verifying: Bool, _ visit: (RecordHeader, UInt64) -> Void
  ) {
    buffer.withUnsafeBytes { raw in
      let part = UnsafeRawBufferPointer(rebasing: raw[range])
      var at = 0
      while at < part.count, let header = try? RecordHeader.decode(part, at: at, verifying: verifying) {
        visit(header, base + UInt64(offset + at))
        at += header.encodedSize
      }
    }
  }

  /// Gives those records of a damaged block that are good by their own checksums (strict), or all that look like one.
  private mutating func salvage(
    _ offset: Int, _ block: FlushBlock, isStrict: Bool, _ visit: (RecordHeader, UInt64) -> Void
  ) throws(StorageBackendError) {
    let start = offset + FlushBlock.headerSize
    let range = try window(start, Int(block.recordBytes))
    if !isStrict {
      forEachRecord(range, at: start, verifying: false, visit)
      return
    }
    buffer.withUnsafeBytes { raw in
      let part = UnsafeRawBufferPointer(rebasing: raw[range])
      var at = 0
      while part.count - at >= RecordHeader.encodedSize {
        if let header = try? RecordHeader.decode(part, at: at) {
          visit(header, base + UInt64(start + at))
          at += header.encodedSize
        } else {
          // Its length may be right; if not, what follows fails its checksum too.
          let length = Int(UInt32(littleEndian: part.loadUnaligned(fromByteOffset: at + 4, as: UInt32.self)))
          guard length >= RecordHeader.encodedSize, length <= part.count - at else { return }
          at += length
        }
      }
    }
  }
}
