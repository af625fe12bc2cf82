import BorealisCore
import BorealisStorageBackend
import BorealisWire

/// What the index keeps of one durable log record: 64 bytes, flat.
package struct RecordEntry: Hashable, Sendable {
  /// Bytes of an entry, in memory and in a sealed chunk's index.
  package static let size = 64

  /// The record.
  package var lsn: LSN
  /// The record before it in the volume.
  package var previousInVolume: LSN
  /// The record before it in its group.
  package var previousInGroup: LSN
  /// The page that it changes.
  package var page: PageID
  /// Byte offset of the encoded record in the log file.
  package var position: UInt64
  /// Bytes of the encoded record, header included.
  package var length: UInt32
  /// The group of the page.
  package var group: ProtectionGroupID
  /// The volume epoch of the writer that issued it.
  package var epoch: VolumeEpoch
  /// `RecordKind.rawValue`; checked when an index is read.
  var rawKind: UInt8
  /// Bit 0: consistency point.
  var flags: UInt8

  /// What the payload is.
  package var kind: RecordKind { RecordKind(rawValue: rawKind) ?? .delta }
  /// Whether it is the last record of its mini-transaction.
  package var isConsistencyPoint: Bool { flags & 1 != 0 }
  /// What recovery wants to know of it.
  package var link: RecordLink {
    RecordLink(
      lsn: lsn, previousInVolume: previousInVolume, previousInGroup: previousInGroup,
      isConsistencyPoint: isConsistencyPoint)
  }
  /// The entry of the record with this header at `position` of the log file.
  @inline(__always) package init(_ header: RecordHeader, position: UInt64) {
    lsn = header.lsn
    previousInVolume = header.previousInVolume
    previousInGroup = header.previousInGroup
    page = header.page
    self.position = position
    length = UInt32(truncatingIfNeeded: header.encodedSize)
    group = header.group
    epoch = header.epoch
    rawKind = header.kind.rawValue
    flags = header.isConsistencyPoint ? 1 : 0
  }
}

extension RecordEntry {
  // Layout on disk, little-endian: 0 lsn | 8 prevVolume | 16 prevGroup | 24 object | 32 page index | 40 position
  // | 48 length | 52 group | 56 epoch | 60 kind | 61 flags | 62 zero u16.

  /// Writes the 64 bytes of the entry.
  func store(to raw: UnsafeMutableRawBufferPointer, at offset: Int) {
    func put<T: FixedWidthInteger>(_ value: T, _ at: Int) {
      raw.storeBytes(of: value.littleEndian, toByteOffset: offset + at, as: T.self)
    }
    put(lsn.value, 0)
    put(previousInVolume.value, 8)
    put(previousInGroup.value, 16)
    put(page.object.value, 24)
    put(page.index, 32)
    put(position, 40)
    put(length, 48)
    put(group.value, 52)
    put(epoch.value, 56)
    put(rawKind, 60)
    put(flags, 61)
    put(UInt16(0), 62)
  }

  /// Reads the 64 bytes of an entry whose checksum has been verified; nil where a field is out of range all the same.
  init?(from raw: UnsafeRawBufferPointer, at offset: Int, positions: Range<UInt64>) {
    func u64(_ at: Int) -> UInt64 {
      UInt64(littleEndian: raw.loadUnaligned(fromByteOffset: offset + at, as: UInt64.self))
    }
    func u32(_ at: Int) -> UInt32 {
      UInt32(littleEndian: raw.loadUnaligned(fromByteOffset: offset + at, as: UInt32.self))
    }
    lsn = LSN(u64(0))
    previousInVolume = LSN(u64(8))
    previousInGroup = LSN(u64(16))
    page = PageID(object: ObjectID(u64(24)), index: u64(32))
    position = u64(40)
    length = u32(48)
    group = ProtectionGroupID(u32(52))
    epoch = VolumeEpoch(u32(56))
    rawKind = raw[offset + 60]
    flags = raw[offset + 61]
    guard RecordKind(rawValue: rawKind) != nil, flags & ~1 == 0, positions.contains(position),
      length >= UInt32(RecordHeader.encodedSize), UInt64(length) <= positions.upperBound - position
    else { return nil }
  }

  /// Order by group, then LSN: that of a sealed index.
  static func isOrdered(_ a: RecordEntry, _ b: RecordEntry) -> Bool {
    a.group == b.group ? a.lsn < b.lsn : a.group < b.group
  }
}

/// The hash of a page, as filters on disk use it: never change it without a new index version.
@inline(__always) func pageHash(_ group: ProtectionGroupID, _ page: PageID) -> UInt64 {
  let index = page.index &* 0xC2B2_AE3D_27D4_EB4F
  var h = (page.object.value &* 0x9E37_79B9_7F4A_7C15) ^ (index << 31 | index >> 33) ^ UInt64(group.value)
  h = (h ^ (h >> 32)) &* 0xD6E8_FEB8_6659_FD93
  h = (h ^ (h >> 32)) &* 0xD6E8_FEB8_6659_FD93
  return h ^ (h >> 32)
}

/// Why stored bytes could not be given.
package enum StoreReadError: Error, Sendable {
  /// The bytes are there and are not what was written: fetch them again from a peer.
  case damaged
  /// The chunk was retired since the entry was looked up.
  case gone
  /// The backend refused; nothing is known of the bytes.
  case backend(StorageBackendError)
}
