public import BorealisCore

/// Applying a record's payload to a page image.
///
/// A delta is a sequence of ranges, each `u32 offset | u32 length | bytes`, ascending, not overlapping, not empty.
/// An image is the page's bytes with trailing zeros left out. A discard has no payload.
public enum RecordPayload {
  /// Bytes that a range of a delta costs besides its contents.
  public static let rangeOverhead = 8

  /// Appends one range of a delta.
  public static func appendRange(offset: Int, bytes: UnsafeRawBufferPointer, to buffer: inout [UInt8]) {
    buffer.appendInteger(UInt32(offset))
    buffer.appendInteger(UInt32(bytes.count))
    buffer.append(contentsOf: bytes)
  }

  /// Checks a payload against a page size without applying it.
  public static func validate(
    kind: RecordKind, payload: UnsafeRawBufferPointer, pageSize: Int
  ) throws(DecodeError) {
    switch kind {
    case .discard:
      guard payload.isEmpty else { throw DecodeError(.trailingBytes, "record.discard") }
    case .image:
      guard payload.count <= pageSize else { throw DecodeError(.invalidField, "record.image") }
    case .delta:
      var reader = ByteReader(payload, structure: "record.delta")
      var end = 0
      guard payload.count > 0 else { throw DecodeError(.truncated, "record.delta") }
      while reader.remaining > 0 {
        let at = reader.offset
        let offset = Int(try reader.u32())
        let length = Int(try reader.u32())
        guard offset >= end, length > 0, offset + length <= pageSize else {
          throw DecodeError(.invalidField, "record.delta.range", offset: at)
        }
        _ = try reader.raw(length)
        end = offset + length
      }
    }
  }

  /// Applies a payload to `page`, whose count is the page size; a malformed one is refused before any byte changes.
  public static func apply(
    kind: RecordKind, payload: UnsafeRawBufferPointer, to page: UnsafeMutableRawBufferPointer
  ) throws(DecodeError) {
    try validate(kind: kind, payload: payload, pageSize: page.count)
    switch kind {
    case .discard:
      page.initializeMemory(as: UInt8.self, repeating: 0)
    case .image:
      page.copyMemory(from: payload)
      UnsafeMutableRawBufferPointer(rebasing: page[payload.count...]).initializeMemory(as: UInt8.self, repeating: 0)
    case .delta:
      var at = 0
      while at < payload.count {
        let offset = Int(UInt32(littleEndian: payload.loadUnaligned(fromByteOffset: at, as: UInt32.self)))
        let length = Int(UInt32(littleEndian: payload.loadUnaligned(fromByteOffset: at + 4, as: UInt32.self)))
        UnsafeMutableRawBufferPointer(rebasing: page[offset..<(offset + length)])
          .copyMemory(from: UnsafeRawBufferPointer(rebasing: payload[(at + 8)..<(at + 8 + length)]))
        at += 8 + length
      }
    }
  }
}
