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

/// Why stored bytes could not be given.
package enum StoreReadError: Error, Sendable {
  /// The bytes are there and are not what was written: fetch them again from a peer.
  case damaged
  /// The chunk was retired since the entry was looked up.
  case gone
  /// The backend refused; nothing is known of the bytes.
  case backend(StorageBackendError)
}
