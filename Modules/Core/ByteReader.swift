/// Reads little-endian fields from bytes that nobody has checked; never traps, never reads past the end.
///
/// The bytes are borrowed: a reader must not outlive the closure that lent them.
public struct ByteReader {
  /// All the bytes of the structure.
  public let bytes: UnsafeRawBufferPointer
  /// The next byte to read.
  public private(set) var offset: Int
  /// Named in errors.
  public let structure: StaticString

  /// Reads `bytes` from `offset`.
  public init(_ bytes: UnsafeRawBufferPointer, offset: Int = 0, structure: StaticString) {
    self.bytes = bytes
    self.offset = offset
    self.structure = structure
  }
  /// Bytes not read yet.
  public var remaining: Int { bytes.count - offset }

  private mutating func integer<T: FixedWidthInteger>(_: T.Type) throws(DecodeError) -> T {
    let size = MemoryLayout<T>.size
    guard remaining >= size else { throw DecodeError(.truncated, structure, offset: offset) }
    defer { offset += size }
    return T(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: T.self))
  }
  /// The next byte.
  public mutating func u8() throws(DecodeError) -> UInt8 { try integer(UInt8.self) }
  /// The next two bytes, little-endian.
  public mutating func u16() throws(DecodeError) -> UInt16 { try integer(UInt16.self) }
  /// The next four bytes, little-endian.
  public mutating func u32() throws(DecodeError) -> UInt32 { try integer(UInt32.self) }
  /// The next eight bytes, little-endian.
  public mutating func u64() throws(DecodeError) -> UInt64 { try integer(UInt64.self) }
  /// The next eight bytes as an LSN.
  public mutating func lsn() throws(DecodeError) -> LSN { LSN(try u64()) }
  /// The next `count` bytes, borrowed.
  public mutating func raw(_ count: Int) throws(DecodeError) -> UnsafeRawBufferPointer {
    guard count >= 0, remaining >= count else { throw DecodeError(.truncated, structure, offset: offset) }
    defer { offset += count }
    return UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + count])
  }
  /// The next `count` bytes, copied.
  public mutating func array(_ count: Int) throws(DecodeError) -> [UInt8] { Array(try raw(count)) }
  /// A count of items of at least `itemSize` bytes each: refused where the rest could not hold them.
  public mutating func count(itemSize: Int) throws(DecodeError) -> Int {
    let at = offset
    let n = Int(try u32())
    guard n <= remaining / max(1, itemSize) else { throw DecodeError(.invalidField, structure, offset: at) }
    return n
  }
  /// Refuses bytes after the end of the structure.
  public func finish() throws(DecodeError) {
    guard remaining == 0 else { throw DecodeError(.trailingBytes, structure, offset: offset) }
  }
}

extension Array where Element == UInt8 {
  /// Appends an integer, little-endian.
  @inlinable public mutating func appendInteger<T: FixedWidthInteger>(_ value: T) {
    Swift.withUnsafeBytes(of: value.littleEndian) { append(contentsOf: $0) }
  }
  /// Overwrites the integer at `offset`, little-endian; the bytes must exist.
  @inlinable public mutating func storeInteger<T: FixedWidthInteger>(_ value: T, at offset: Int) {
    precondition(offset >= 0 && offset + MemoryLayout<T>.size <= count)
    withUnsafeMutableBytes { $0.storeBytes(of: value.littleEndian, toByteOffset: offset, as: T.self) }
  }
  /// Appends an LSN as eight bytes.
  @inlinable public mutating func append(_ lsn: LSN) { appendInteger(lsn.value) }
}
