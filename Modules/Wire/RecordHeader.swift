public import BorealisCore

/// What a log record does to its page.
public enum RecordKind: UInt8, Sendable, Hashable {
  /// Overwrites byte ranges of the page.
  case delta = 1
  /// Replaces the whole page; missing trailing bytes are zero.
  case image = 2
  /// Gives the page back: it reads as absent (all zero) until it is written again.
  case discard = 3
}

/// The fixed part of a log record: one change of one page, with its three back-links.
///
/// The byte table is in `Documentation/Formats.md`. Source of the back-links: P18 §2.2.
public struct RecordHeader: Hashable, Sendable {
  /// Bytes of the header on the wire and in the log; the payload follows.
  public static let encodedSize = 80
  /// Largest record: a header, a page of 64 KiB and the ranges of a delta that touches every other byte run.
  public static let encodedSizeMax = 80 + 2 * 65536

  /// Position in the volume's order.
  public var lsn: LSN
  /// LSN of the previous record of the volume (physical: skips void ranges only).
  public var previousInVolume: LSN
  /// LSN of the previous record of this protection group: the segment chain, which SCL follows.
  public var previousInGroup: LSN
  /// LSN of the previous visible record of this page; `.zero` for the first, and where the writer did not have the page
  /// in its cache (a blind write): a hint for people and tools, never followed for correctness.
  public var previousOfPage: LSN
  /// The page that changes.
  public var page: PageID
  /// The protection group that holds the page.
  public var group: ProtectionGroupID
  /// The volume epoch of the writer that issued the record.
  public var epoch: VolumeEpoch
  /// What the payload is.
  public var kind: RecordKind
  /// Whether this is a consistency point (CPL): the last record of its mini-transaction.
  public var isConsistencyPoint: Bool
  /// Wall clock of the mini-transaction in nanoseconds since 1970 on a consistency point; 0 elsewhere.
  public var timestamp: UInt64
  /// Bytes of payload after the header.
  public var payloadSize: Int

  /// Makes a header.
  public init(
    lsn: LSN, previousInVolume: LSN, previousInGroup: LSN, previousOfPage: LSN, page: PageID,
    group: ProtectionGroupID, epoch: VolumeEpoch, kind: RecordKind, isConsistencyPoint: Bool,
    timestamp: UInt64 = 0, payloadSize: Int
  ) {
    self.lsn = lsn
    self.previousInVolume = previousInVolume
    self.previousInGroup = previousInGroup
    self.previousOfPage = previousOfPage
    self.page = page
    self.group = group
    self.epoch = epoch
    self.kind = kind
    self.isConsistencyPoint = isConsistencyPoint
    self.timestamp = timestamp
    self.payloadSize = payloadSize
  }

  /// Bytes of header and payload together.
  @inlinable public var encodedSize: Int { RecordHeader.encodedSize + payloadSize }
}

extension RecordHeader {
  // Layout: 0 crc32c(4..<length) | 4 length | 8 lsn | 16 prevVolume | 24 prevGroup | 32 prevPage | 40 object
  // | 48 page index | 56 epoch | 60 group | 64 kind | 65 flags (bit 0: consistency point) | 66 version (1)
  // | 67 zero | 68 zero u32 | 72 timestamp | 80 payload.
  static let version: UInt8 = 1

  /// Appends header and payload to `buffer`; `payload.count` must equal `payloadSize`.
  public func encode(payload: UnsafeRawBufferPointer, into buffer: inout [UInt8]) {
    precondition(payload.count == payloadSize)
    let start = beginEncoding(into: &buffer)
    buffer.append(contentsOf: payload)
    RecordHeader.seal(at: start, in: &buffer)
  }

  /// Appends the header only and returns its offset; the caller appends the payload, then calls `seal`.
  public func beginEncoding(into buffer: inout [UInt8]) -> Int {
    let start = buffer.count
    withUnsafeTemporaryAllocation(byteCount: RecordHeader.encodedSize, alignment: 8) { raw in
      raw.storeBytes(of: 0, as: UInt64.self)
      raw.storeBytes(of: lsn.value.littleEndian, toByteOffset: 8, as: UInt64.self)
      raw.storeBytes(of: previousInVolume.value.littleEndian, toByteOffset: 16, as: UInt64.self)
      raw.storeBytes(of: previousInGroup.value.littleEndian, toByteOffset: 24, as: UInt64.self)
      raw.storeBytes(of: previousOfPage.value.littleEndian, toByteOffset: 32, as: UInt64.self)
      raw.storeBytes(of: page.object.value.littleEndian, toByteOffset: 40, as: UInt64.self)
      raw.storeBytes(of: page.index.littleEndian, toByteOffset: 48, as: UInt64.self)
      raw.storeBytes(of: epoch.value.littleEndian, toByteOffset: 56, as: UInt32.self)
      raw.storeBytes(of: group.value.littleEndian, toByteOffset: 60, as: UInt32.self)
      raw.storeBytes(of: kind.rawValue, toByteOffset: 64, as: UInt8.self)
      raw.storeBytes(of: isConsistencyPoint ? 1 : 0, toByteOffset: 65, as: UInt8.self)
      raw.storeBytes(of: RecordHeader.version, toByteOffset: 66, as: UInt8.self)
      raw.storeBytes(of: 0, toByteOffset: 67, as: UInt8.self)
      raw.storeBytes(of: 0, toByteOffset: 68, as: UInt32.self)
      raw.storeBytes(of: timestamp.littleEndian, toByteOffset: 72, as: UInt64.self)
      buffer.append(contentsOf: UnsafeRawBufferPointer(raw))
    }
    return start
  }

  /// Fills in length and checksum of the record that begins at `start` and ends with `buffer`.
  public static func seal(at start: Int, in buffer: inout [UInt8]) {
    let length = buffer.count - start
    precondition(length >= encodedSize && length <= encodedSizeMax)
    buffer.withUnsafeMutableBytes { raw in
      raw.storeBytes(of: UInt32(length).littleEndian, toByteOffset: start + 4, as: UInt32.self)
      let sum = CRC32C.checksum(UnsafeRawBufferPointer(rebasing: raw[(start + 4)..<(start + length)]))
      raw.storeBytes(of: sum.littleEndian, toByteOffset: start, as: UInt32.self)
    }
  }

  /// Reads and checks the record at `offset`: length, version, fields, and (unless told not to) the checksum.
  ///
  /// - Parameter verifying: false only where the same bytes were verified before (an in-process hand-over).
  public static func decode(
    _ bytes: UnsafeRawBufferPointer, at offset: Int = 0, verifying: Bool = true
  ) throws(DecodeError) -> RecordHeader {
    guard offset >= 0, bytes.count - offset >= encodedSize else {
      throw DecodeError(.truncated, "record", offset: offset)
    }
    @inline(__always) func u64(_ at: Int) -> UInt64 {
      UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset + at, as: UInt64.self))
    }
    @inline(__always) func u32(_ at: Int) -> UInt32 {
      UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: offset + at, as: UInt32.self))
    }
    let length = Int(u32(4))
    guard length >= encodedSize, length <= encodedSizeMax else {
      throw DecodeError(.invalidField, "record.length", offset: offset + 4)
    }
    guard length <= bytes.count - offset else { throw DecodeError(.truncated, "record", offset: offset) }
    if verifying {
      let body = UnsafeRawBufferPointer(rebasing: bytes[(offset + 4)..<(offset + length)])
      guard CRC32C.checksum(body) == u32(0) else { throw DecodeError(.checksumMismatch, "record", offset: offset) }
    }
    guard bytes[offset + 66] == version else { throw DecodeError(.unsupportedVersion, "record", offset: offset + 66) }
    guard let kind = RecordKind(rawValue: bytes[offset + 64]) else {
      throw DecodeError(.invalidField, "record.kind", offset: offset + 64)
    }
    let flags = bytes[offset + 65]
    guard flags & ~1 == 0, bytes[offset + 67] == 0, u32(68) == 0 else {
      throw DecodeError(.invalidField, "record.flags", offset: offset + 65)
    }
    let lsn = LSN(u64(8))
    let (volume, group, page) = (LSN(u64(16)), LSN(u64(24)), LSN(u64(32)))
    guard volume < lsn, group <= volume, page <= group, lsn != .max else {
      throw DecodeError(.invalidField, "record.backLinks", offset: offset + 8)
    }
    return RecordHeader(
      lsn: lsn, previousInVolume: volume, previousInGroup: group, previousOfPage: page,
      page: PageID(object: ObjectID(u64(40)), index: u64(48)), group: ProtectionGroupID(u32(60)),
      epoch: VolumeEpoch(u32(56)), kind: kind, isConsistencyPoint: flags & 1 != 0, timestamp: u64(72),
      payloadSize: length - encodedSize)
  }
}
