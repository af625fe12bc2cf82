import BorealisCore
import BorealisStorageBackend
import BorealisWire

/// The header of a flush block: what one flush of the log adds.
///
/// The byte table is in `Documentation/Formats-Node.md`.
struct FlushBlock: Hashable, Sendable {
  static let magic: UInt32 = 0x4246_4C42  // "BLFB"
  static let version: UInt16 = 1
  static let headerSize = 64

  /// The chunk's number: bytes of an earlier use of the slot have a lower one.
  var sequence: UInt64
  /// Counted from 0 in each chunk.
  var number: UInt32
  /// Where in the chunk the block begins: so that a copy elsewhere (in a page's contents) is never taken for a block.
  var offset: UInt32
  /// Bytes of records after the header.
  var recordBytes: UInt32
  /// Number of records.
  var recordCount: UInt32
  /// Highest VDL that the node had heard of.
  var knownVDL: LSN
  /// Flush blocks of the chunk before this one: tells when that one's end is damaged.
  var previousFlushes: UInt32

  /// Bytes of a block with that many bytes of records: whole sectors.
  static func size(_ recordBytes: Int) -> Int { (headerSize + recordBytes + 511) & ~511 }
  var size: Int { Self.size(Int(recordBytes)) }

  /// Fills in the header of a block whose records stand in `bytes` from byte 64 on.
  func store(to bytes: inout [UInt8], identity: StoreIdentity) {
    bytes.withUnsafeMutableBytes { raw in
      func put<T: FixedWidthInteger>(_ value: T, _ at: Int) {
        raw.storeBytes(of: value.littleEndian, toByteOffset: at, as: T.self)
      }
      put(Self.magic, 0)
      put(Self.version, 4)
      put(UInt16(0), 6)
      put(sequence, 8)
      put(number, 16)
      put(offset, 20)
      put(recordBytes, 24)
      put(recordCount, 28)
      put(knownVDL.value, 32)
      put(identity.volume.value, 40)
      put(identity.node.value, 48)
      put(previousFlushes, 52)
      let records = UnsafeRawBufferPointer(rebasing: raw[Self.headerSize..<(Self.headerSize + Int(recordBytes))])
      put(CRC32C.checksum(records), 56)
      put(CRC32C.checksum(UnsafeRawBufferPointer(rebasing: raw[0..<60])), 60)
    }
  }

  /// Reads and checks a header; the records' checksum comes with it.
  static func decode(
    _ bytes: UnsafeRawBufferPointer, identity: StoreIdentity
  ) throws(DecodeError) -> (FlushBlock, recordsChecksum: UInt32) {
    var r = ByteReader(bytes, structure: "flushBlock")
    guard try r.u32() == magic else { throw DecodeError(.badMagic, "flushBlock") }
    guard bytes.count >= headerSize else { throw DecodeError(.truncated, "flushBlock") }
    guard
      CRC32C.checksum(UnsafeRawBufferPointer(rebasing: bytes[0..<60]))
        == UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 60, as: UInt32.self))
    else { throw DecodeError(.checksumMismatch, "flushBlock") }
    guard try r.u16() == version else { throw DecodeError(.unsupportedVersion, "flushBlock", offset: 4) }
    _ = try r.u16()
    let (sequence, number, offset) = (try r.u64(), try r.u32(), try r.u32())
    let (recordBytes, recordCount, vdl) = (try r.u32(), try r.u32(), try r.lsn())
    guard try r.u64() == identity.volume.value, try r.u32() == identity.node.value,
      UInt64(recordCount) * UInt64(RecordHeader.encodedSize) <= UInt64(recordBytes)
    else { throw DecodeError(.invalidField, "flushBlock", offset: 24) }
    let previous = try r.u32()
    let block = FlushBlock(
      sequence: sequence, number: number, offset: offset, recordBytes: recordBytes, recordCount: recordCount,
      knownVDL: vdl, previousFlushes: previous)
    return (block, try r.u32())
  }
}

extension StorageBackend {
  /// Appends `count` bytes of the file to `buffer`; on failure nothing is appended.
  func append(
    _ file: StorageFile, at offset: UInt64, count: Int, to buffer: inout [UInt8]
  ) throws(StorageBackendError) {
    var failure: StorageBackendError?
    withUnsafeTemporaryAllocation(byteCount: count, alignment: 8) { raw in
      do throws(StorageBackendError) {
        try read(file, at: offset, into: raw)
        buffer.append(contentsOf: UnsafeRawBufferPointer(raw))
      } catch { failure = error }
    }
    if let failure { throw failure }
  }
}

extension [UInt8] {
  /// Appends zeros; unlike a repeated element, at the speed of memory in debug builds too.
  mutating func appendZeros(_ count: Int) {
    withUnsafeTemporaryAllocation(byteCount: count, alignment: 8) { raw in
      raw.initializeMemory(as: UInt8.self, repeating: 0)
      append(contentsOf: UnsafeRawBufferPointer(raw))
    }
  }
}
