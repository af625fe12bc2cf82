import BorealisCore

/// Page 0 of the tree's object: where the tree is, and which numbers may be in use.
struct Superblock: Sendable, Equatable {
  static let magic: UInt64 = 0x5346_4C41_4552_4F42
  static let version: UInt32 = 1
  static let size = 88
  /// Numbers reserved at once, so that making a file does not write the superblock.
  static let reservation: UInt64 = 4096

  var pageSize: Int
  var root: UInt64
  /// Levels above the leaves.
  var level: Int
  /// Pages of the object from here on were never used.
  var pageCount: UInt64
  /// The first free page; 0 is none.
  var freeHead: UInt64 = 0
  var freeCount: UInt64 = 0
  /// Inodes from here on were never given out.
  var inodesReserved: UInt64
  /// Objects from here on were never given out.
  var objectsReserved: UInt64
  /// When it was formatted, in nanoseconds since 1970.
  var created: Int64

  func encoded() -> [UInt8] {
    var b: [UInt8] = []
    b.reserveCapacity(Superblock.size)
    b.appendInteger(Superblock.magic)
    b.appendInteger(Superblock.version)
    b.appendInteger(UInt32(pageSize))
    b.appendInteger(root)
    b.appendInteger(UInt64(level))
    b.appendInteger(pageCount)
    b.appendInteger(freeHead)
    b.appendInteger(freeCount)
    b.appendInteger(inodesReserved)
    b.appendInteger(objectsReserved)
    b.appendInteger(created)
    b.appendInteger(UInt64(0))
    return b
  }
  init(formatted pageSize: Int, at time: Int64) {
    self.pageSize = pageSize
    root = 1
    level = 0
    pageCount = 2
    inodesReserved = 2
    objectsReserved = 2
    created = time
  }
  /// Reads a superblock; nil where the page is empty, that is, nothing was ever formatted.
  init?(_ page: UnsafeRawBufferPointer) throws(DecodeError) {
    var r = ByteReader(page, structure: "superblock")
    let magic = try r.u64()
    if magic == 0 { return nil }
    guard magic == Superblock.magic else { throw DecodeError(.badMagic, "superblock") }
    guard try r.u32() == Superblock.version else { throw DecodeError(.unsupportedVersion, "superblock", offset: 8) }
    pageSize = Int(try r.u32())
    guard pageSize == page.count else { throw DecodeError(.invalidField, "superblock.pageSize", offset: 12) }
    (root, level) = (try r.u64(), Int(truncatingIfNeeded: try r.u64()))
    (pageCount, freeHead, freeCount) = (try r.u64(), try r.u64(), try r.u64())
    (inodesReserved, objectsReserved) = (try r.u64(), try r.u64())
    created = Int64(bitPattern: try r.u64())
    guard try r.u64() == 0, (0...TreePage.levelMax).contains(level), pageCount >= 2, pageCount < 1 << 40,
      (1..<pageCount).contains(root), freeHead < pageCount, freeCount < pageCount, (freeHead == 0) == (freeCount == 0),
      (2...(1 << 62)).contains(inodesReserved), (2...(1 << 62)).contains(objectsReserved)
    else { throw DecodeError(.invalidField, "superblock", offset: 16) }
  }
}
