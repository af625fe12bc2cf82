/// Keys of the tree, compared byte by byte: inode u64, kind u8, and what the kind needs; big-endian.
enum TreeKey {
  /// What an item is.
  enum Kind: UInt8 {
    /// Attributes of the inode.
    case attributes = 1
    /// An entry of the directory: hash u64, name.
    case entry = 2
    /// Under inode 0: an inode without links that was open: inode u64.
    case orphan = 3
    /// Under inode 0: an object whose pages are to be given back: object u64.
    case doomed = 4
  }
  /// Bytes of inode and kind.
  static let prefixSize = 9
  /// The longest key.
  static let sizeMax = prefixSize + 8 + FileName.lengthMax

  static func attributes(_ inode: InodeNumber) -> [UInt8] { prefix(inode.value, .attributes, capacity: prefixSize) }
  static func entry(_ directory: InodeNumber, hash: UInt64, name: [UInt8]) -> [UInt8] {
    var key = prefix(directory.value, .entry, capacity: prefixSize + 8 + name.count)
    append(hash, to: &key)
    key.append(contentsOf: name)
    return key
  }
  static func orphan(_ inode: InodeNumber) -> [UInt8] {
    var key = prefix(0, .orphan, capacity: 17)
    append(inode.value, to: &key)
    return key
  }
  static func doomed(_ object: UInt64) -> [UInt8] {
    var key = prefix(0, .doomed, capacity: 17)
    append(object, to: &key)
    return key
  }
  static func prefix(_ inode: UInt64, _ kind: Kind, capacity: Int) -> [UInt8] {
    var key: [UInt8] = []
    key.reserveCapacity(capacity)
    append(inode, to: &key)
    key.append(kind.rawValue)
    return key
  }
  static func append(_ value: UInt64, to key: inout [UInt8]) {
    withUnsafeBytes(of: value.bigEndian) { key.append(contentsOf: $0) }
  }
  /// The big-endian number at `offset`; the bytes must exist.
  static func number(_ key: some Collection<UInt8>, at offset: Int) -> UInt64 {
    key.dropFirst(offset).prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
  }
  /// The order of two keys: below 0, 0, above 0.
  @inline(__always)
  static func compare(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Int {
    let count = min(a.count, b.count)
    var at = 0
    while at + 8 <= count {
      let x = UInt64(bigEndian: a.loadUnaligned(fromByteOffset: at, as: UInt64.self))
      let y = UInt64(bigEndian: b.loadUnaligned(fromByteOffset: at, as: UInt64.self))
      if x != y { return x < y ? -1 : 1 }
      at += 8
    }
    while at < count {
      if a[at] != b[at] { return a[at] < b[at] ? -1 : 1 }
      at += 1
    }
    return a.count - b.count
  }
}
