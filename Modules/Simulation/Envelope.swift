import BorealisCore

/// The fields of a message that the simulator looks at, read without decoding the whole of it.
///
/// Offsets as in `Documentation/Formats.md`; only for messages that a machine just made, never for what arrived.
struct Envelope {
  var kind: UInt8
  var checksum: UInt32
  var volumeEpoch: VolumeEpoch
  var group: ProtectionGroupID

  init(_ bytes: [UInt8]) {
    precondition(bytes.count >= 48, "a machine sent less than an envelope")
    (kind, checksum, volumeEpoch, group) = bytes.withUnsafeBytes { raw in
      (
        raw[5], UInt32(littleEndian: raw.loadUnaligned(fromByteOffset: 12, as: UInt32.self)),
        VolumeEpoch(UInt32(littleEndian: raw.loadUnaligned(fromByteOffset: 32, as: UInt32.self))),
        ProtectionGroupID(UInt32(littleEndian: raw.loadUnaligned(fromByteOffset: 36, as: UInt32.self)))
      )
    }
  }
  /// The LSN at a byte offset of the body.
  static func lsn(_ bytes: [UInt8], at offset: Int) -> LSN {
    guard bytes.count >= 56 + offset else { return .zero }
    return LSN(
      bytes.withUnsafeBytes { UInt64(littleEndian: $0.loadUnaligned(fromByteOffset: 48 + offset, as: UInt64.self)) })
  }
  /// The 32-bit number at a byte offset of the body.
  static func number(_ bytes: [UInt8], at offset: Int) -> UInt32 {
    guard bytes.count >= 52 + offset else { return 0 }
    return bytes.withUnsafeBytes {
      UInt32(littleEndian: $0.loadUnaligned(fromByteOffset: 48 + offset, as: UInt32.self))
    }
  }
}

/// The kinds of message that the simulator looks into.
enum MessageKind {
  static let append: UInt8 = 1
  static let appendAck: UInt8 = 2
  static let reject: UInt8 = 3
  static let readPage: UInt8 = 5
  static let pageImage: UInt8 = 6
  static let prepared: UInt8 = 8
  static let truncated: UInt8 = 10
  static let status: UInt8 = 13
  static let configure: UInt8 = 16
  static let gossip: UInt8 = 20
  static let records: UInt8 = 22
  static let stream: UInt8 = 28
  static let readPoint: UInt8 = 30
}
