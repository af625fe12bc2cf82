import BorealisCore

/// Which node's file a block belongs to: a block of another one is not valid, whatever its checksum.
struct StoreIdentity: Hashable, Sendable {
  var node: NodeID
  var volume: VolumeID
}

/// The sealed index at the end of a chunk: header, filter, entries.
///
/// The byte table is in `Documentation/Formats-Node.md`.
enum IndexBlock {
  static let magic: UInt32 = 0x4943_4C42  // "BLCI"
  static let version: UInt16 = 1
  static let headerSize = 64

  /// Bytes of the index of `records` records, rounded up to whole sectors.
  static func size(_ records: Int) -> Int {
    (headerSize + PageFilter.wordCount(records) * 8 + records * RecordEntry.size + 511) & ~511
  }
  /// Bytes of header and filter.
  static func prefixSize(_ records: Int) -> Int { headerSize + PageFilter.wordCount(records) * 8 }

  /// The encoded index.
  static func encode(
    _ entries: [RecordEntry], filter: PageFilter, sequence: UInt64, identity: StoreIdentity
  ) -> [UInt8] {
    var bytes = [UInt8](repeating: 0, count: size(entries.count))
    let start = prefixSize(entries.count)
    bytes.withUnsafeMutableBytes { raw in
      func put<T: FixedWidthInteger>(_ value: T, _ at: Int) {
        raw.storeBytes(of: value.littleEndian, toByteOffset: at, as: T.self)
      }
      put(magic, 0)
      put(version, 4)
      put(sequence, 8)
      put(UInt32(entries.count), 16)
      put(UInt32(filter.words.count * 8), 20)
      put(identity.volume.value, 24)
      put(identity.node.value, 32)
      for (i, word) in filter.words.enumerated() { put(word, headerSize + i * 8) }
      for i in entries.indices { entries[i].store(to: raw, at: start + i * RecordEntry.size) }
      func sum(_ range: Range<Int>) -> UInt32 { CRC32C.checksum(UnsafeRawBufferPointer(rebasing: raw[range])) }
      put(sum(start..<(start + entries.count * RecordEntry.size)), 40)
      put(sum(headerSize..<start), 44)
      put(sum(0..<60), 60)
    }
    return bytes
  }

  /// Checks header and filter (of which all bytes must be given) and returns the filter.
  static func decodeFilter(
    _ bytes: UnsafeRawBufferPointer, records: Int, sequence: UInt64, identity: StoreIdentity
  ) throws(DecodeError) -> PageFilter {
    var r = ByteReader(bytes, structure: "chunkIndex")
    guard try r.u32() == magic else { throw DecodeError(.badMagic, "chunkIndex") }
    guard try r.u16() == version else { throw DecodeError(.unsupportedVersion, "chunkIndex", offset: 4) }
    _ = try r.u16()
    guard try r.u64() == sequence, try Int(r.u32()) == records, try Int(r.u32()) == PageFilter.wordCount(records) * 8,
      try r.u64() == identity.volume.value, try r.u32() == identity.node.value
    else { throw DecodeError(.invalidField, "chunkIndex", offset: 8) }
    _ = try r.raw(24)
    let sum = try r.u32()
    guard CRC32C.checksum(UnsafeRawBufferPointer(rebasing: bytes[0..<60])) == sum else {
      throw DecodeError(.checksumMismatch, "chunkIndex")
    }
    let raw = try r.raw(PageFilter.wordCount(records) * 8)
    guard CRC32C.checksum(raw) == UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 44, as: UInt32.self)) else {
      throw DecodeError(.checksumMismatch, "chunkIndex.filter", offset: headerSize)
    }
    var words: [UInt64] = []
    words.reserveCapacity(raw.count / 8)
    for i in 0..<(raw.count / 8) {
      words.append(UInt64(littleEndian: raw.loadUnaligned(fromByteOffset: i * 8, as: UInt64.self)))
    }
    return PageFilter(words: words)
  }

  /// Checks everything and returns filter and entries, which are in order.
  static func decode(
    _ bytes: UnsafeRawBufferPointer, records: Int, sequence: UInt64, identity: StoreIdentity,
    positions: Range<UInt64>
  ) throws(DecodeError) -> (PageFilter, [RecordEntry]) {
    let filter = try decodeFilter(bytes, records: records, sequence: sequence, identity: identity)
    var r = ByteReader(bytes, offset: prefixSize(records), structure: "chunkIndex.entries")
    let raw = try r.raw(records * RecordEntry.size)
    guard CRC32C.checksum(raw) == UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 40, as: UInt32.self)) else {
      throw DecodeError(.checksumMismatch, "chunkIndex.entries", offset: prefixSize(records))
    }
    var entries: [RecordEntry] = []
    entries.reserveCapacity(records)
    for i in 0..<records {
      guard let entry = RecordEntry(from: raw, at: i * RecordEntry.size, positions: positions) else {
        throw DecodeError(.invalidField, "chunkIndex.entry", offset: prefixSize(records) + i * RecordEntry.size)
      }
      if let last = entries.last, !RecordEntry.isOrdered(last, entry) {
        throw DecodeError(.invalidField, "chunkIndex.order", offset: prefixSize(records) + i * RecordEntry.size)
      }
      entries.append(entry)
    }
    return (filter, entries)
  }
}
