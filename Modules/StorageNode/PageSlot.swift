import BorealisCore

/// The header before each page image.
///
/// The byte table is in `Documentation/Formats-Node.md`.
struct PageSlot: Hashable, Sendable {
  static let magic: UInt32 = 0x5350_4C42  // "BLPS"
  static let version: UInt16 = 1
  static let headerSize = 64

  var group: ProtectionGroupID
  var page: PageID
  var lsn: LSN
  var isAbsent: Bool

  /// A whole slot: header and image.
  func encoded(_ image: UnsafeRawBufferPointer, pageSize: Int, identity: StoreIdentity) -> [UInt8] {
    precondition(image.count <= pageSize)
    var b = [UInt8](repeating: 0, count: Self.headerSize + pageSize)
    b.withUnsafeMutableBytes { raw in
      func put<T: FixedWidthInteger>(_ value: T, _ at: Int) {
        raw.storeBytes(of: value.littleEndian, toByteOffset: at, as: T.self)
      }
      put(Self.magic, 0)
      put(Self.version, 4)
      put(UInt16(isAbsent ? 1 : 0), 6)
      put(group.value, 8)
      put(UInt32(pageSize), 12)
      put(page.object.value, 16)
      put(page.index, 24)
      put(lsn.value, 32)
      put(identity.volume.value, 40)
      put(identity.node.value, 48)
      UnsafeMutableRawBufferPointer(rebasing: raw[Self.headerSize...]).copyMemory(from: image)
      put(Self.checksum(UnsafeRawBufferPointer(raw)), 60)
    }
    return b
  }
  private static func checksum(_ raw: UnsafeRawBufferPointer) -> UInt32 {
    let head = CRC32C.checksum(UnsafeRawBufferPointer(rebasing: raw[0..<60]))
    return CRC32C.checksum(UnsafeRawBufferPointer(rebasing: raw[headerSize...]), seed: head)
  }
  /// Checks a whole slot.
  static func decode(
    _ bytes: UnsafeRawBufferPointer, pageSize: Int, identity: StoreIdentity
  ) throws(DecodeError) -> PageSlot {
    var r = ByteReader(bytes, structure: "pageSlot")
    guard bytes.count == headerSize + pageSize else { throw DecodeError(.truncated, "pageSlot") }
    guard try r.u32() == magic else { throw DecodeError(.badMagic, "pageSlot") }
    guard checksum(bytes) == UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 60, as: UInt32.self)) else {
      throw DecodeError(.checksumMismatch, "pageSlot")
    }
    guard try r.u16() == version else { throw DecodeError(.unsupportedVersion, "pageSlot", offset: 4) }
    let flags = try r.u16()
    let (group, size) = (ProtectionGroupID(try r.u32()), try r.u32())
    let page = PageID(object: ObjectID(try r.u64()), index: try r.u64())
    let lsn = try r.lsn()
    guard flags & ~1 == 0, size == UInt32(pageSize), try r.u64() == identity.volume.value,
      try r.u32() == identity.node.value
    else { throw DecodeError(.invalidField, "pageSlot", offset: 6) }
    return PageSlot(group: group, page: page, lsn: lsn, isAbsent: flags & 1 != 0)
  }
}
