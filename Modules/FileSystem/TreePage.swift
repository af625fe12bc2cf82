import BorealisCore

/// A page of the tree: a header, an array of cell offsets in key order, and a heap of cells that grows downwards.
///
/// An insert moves two bytes a cell in the array and writes one cell, so that few bytes of the page change. The bytes
/// are checked once, by `validate`; everything else here trusts them. Format: Documentation/Formats-FileSystem.md.
struct TreePage: Sendable, Equatable {
  static let magic: UInt32 = 0x4E53_4642
  static let headerSize = 24
  /// Bytes of a cell besides key and value.
  static let cellOverhead = 4
  /// Levels of the deepest tree that is read.
  static let levelMax = 24
  /// The smallest page in which every page holds several of the longest cells.
  static let pageSizeMin = 2048
  /// Bytes of the longest value.
  static let valueSizeMax = 128

  enum Kind: UInt8, Sendable {
    case leaf = 1
    case branch = 2
    case free = 3
  }
  var bytes: [UInt8]

  /// An empty page.
  init(_ kind: Kind, level: Int, index: UInt64, pageSize: Int) {
    bytes = [UInt8](repeating: 0, count: pageSize)
    bytes.storeInteger(TreePage.magic, at: 0)
    bytes[4] = kind.rawValue
    bytes[5] = UInt8(level)
    bytes.storeInteger(UInt32(pageSize), at: 8)
    bytes.storeInteger(index, at: 16)
  }
  /// A page of the list of free pages.
  init(freeAt index: UInt64, next: UInt64, pageSize: Int) {
    self.init(.free, level: 0, index: index, pageSize: pageSize)
    bytes.storeInteger(next, at: TreePage.headerSize)
  }
  /// Bytes as they were read; to be used only after `validate`.
  init(unchecked bytes: [UInt8]) { self.bytes = bytes }

  // MARK: Header

  var kind: Kind { Kind(rawValue: bytes[4]) ?? .free }
  var isLeaf: Bool { bytes[4] == Kind.leaf.rawValue }
  var level: Int { Int(bytes[5]) }
  var index: UInt64 { integer(16) }
  /// Of a free page: the next one; 0 is none.
  var nextFree: UInt64 { integer(TreePage.headerSize) }
  private(set) var count: Int {
    get { Int(integer(6) as UInt16) }
    set { bytes.storeInteger(UInt16(newValue), at: 6) }
  }
  /// Where the heap begins.
  private var heapStart: Int {
    get { Int(integer(8) as UInt32) }
    set { bytes.storeInteger(UInt32(newValue), at: 8) }
  }
  /// Bytes of the heap that belong to no cell any more.
  private var garbage: Int {
    get { Int(integer(12) as UInt32) }
    set { bytes.storeInteger(UInt32(newValue), at: 12) }
  }
  /// Bytes that cells and their offsets may take.
  var capacity: Int { bytes.count - TreePage.headerSize }
  /// Bytes that they do take.
  var used: Int { capacity - (heapStart - slotsEnd) - garbage }
  private var slotsEnd: Int { TreePage.headerSize + 2 * count }

  @inline(__always)
  private func integer<T: FixedWidthInteger>(_ offset: Int) -> T {
    bytes.withUnsafeBytes { T(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: T.self)) }
  }

  // MARK: Cells

  private func cellStart(_ i: Int) -> Int { Int(integer(TreePage.headerSize + 2 * i) as UInt16) }
  private func cellSize(_ start: Int) -> Int {
    TreePage.cellOverhead + Int(integer(start) as UInt16) + Int(integer(start + 2) as UInt16)
  }
  func keyRange(_ i: Int) -> Range<Int> {
    let start = cellStart(i)
    let begin = start + TreePage.cellOverhead
    return begin..<(begin + Int(integer(start) as UInt16))
  }
  func valueRange(_ i: Int) -> Range<Int> {
    let begin = keyRange(i).upperBound
    return begin..<(begin + Int(integer(cellStart(i) + 2) as UInt16))
  }
  func key(_ i: Int) -> ArraySlice<UInt8> { bytes[keyRange(i)] }
  func value(_ i: Int) -> ArraySlice<UInt8> { bytes[valueRange(i)] }
  /// Of a branch: the page below a cell.
  func child(_ i: Int) -> UInt64 { integer(valueRange(i).lowerBound) }

  /// The first cell whose key is not below `key`, and whether it is equal.
  func search(_ key: [UInt8]) -> (at: Int, found: Bool) {
    bytes.withUnsafeBytes { page in
      key.withUnsafeBytes { key in
        var (low, high) = (0, count)
        while low < high {
          let middle = (low + high) / 2
          let order = TreePage.compare(page, middle, key)
          if order == 0 { return (middle, true) }
          if order < 0 { low = middle + 1 } else { high = middle }
        }
        return (low, false)
      }
    }
  }
  @inline(__always)
  private static func compare(_ page: UnsafeRawBufferPointer, _ i: Int, _ key: UnsafeRawBufferPointer) -> Int {
    let start = Int(
      UInt16(littleEndian: page.loadUnaligned(fromByteOffset: headerSize + 2 * i, as: UInt16.self)))
    let size = Int(UInt16(littleEndian: page.loadUnaligned(fromByteOffset: start, as: UInt16.self)))
    let begin = start + cellOverhead
    return TreeKey.compare(UnsafeRawBufferPointer(rebasing: page[begin..<(begin + size)]), key)
  }
  /// Of a branch: the cell to follow; the first one has no lower bound.
  func branch(for key: [UInt8]) -> Int {
    let (at, found) = search(key)
    return found ? at : max(0, at - 1)
  }

  // MARK: Changing

  /// Whether a cell of this size can be inserted.
  func hasRoom(key: Int, value: Int) -> Bool { used + TreePage.cellOverhead + key + value + 2 <= capacity }

  /// Inserts a cell; there must be room, and the place must be the key's.
  mutating func insert(at i: Int, _ key: some Collection<UInt8>, _ value: some Collection<UInt8>) {
    let size = TreePage.cellOverhead + key.count + value.count
    precondition(i <= count && used + size + 2 <= capacity, "no room for the cell")
    if heapStart - slotsEnd < size + 2 { compact() }
    let start = heapStart - size
    bytes.storeInteger(UInt16(key.count), at: start)
    bytes.storeInteger(UInt16(value.count), at: start + 2)
    var at = start + TreePage.cellOverhead
    for part in key {
      bytes[at] = part
      at += 1
    }
    for part in value {
      bytes[at] = part
      at += 1
    }
    let place = TreePage.headerSize + 2 * i
    let end = slotsEnd
    bytes.withUnsafeMutableBytes { raw in
      guard let base = raw.baseAddress else { return }
      (base + place + 2).copyMemory(from: base + place, byteCount: end - place)
    }
    bytes.storeInteger(UInt16(start), at: place)
    heapStart = start
    count += 1
  }
  mutating func remove(at i: Int) {
    let start = cellStart(i)
    let size = cellSize(start)
    let place = TreePage.headerSize + 2 * i
    let end = slotsEnd
    bytes.withUnsafeMutableBytes { raw in
      guard let base = raw.baseAddress else { return }
      (base + place).copyMemory(from: base + place + 2, byteCount: end - place - 2)
    }
    bytes.storeInteger(UInt16(0), at: end - 2)
    count -= 1
    if start == heapStart { heapStart = start + size } else { garbage += size }
  }
  /// Of a branch: makes the first key empty, as it must be: what lies below may be lower than any key that was there.
  mutating func clearFirstKey() {
    let value = Array(value(0))
    remove(at: 0)
    insert(at: 0, [], value)
  }
  /// Overwrites a value by one of the same length.
  mutating func setValue(at i: Int, _ value: [UInt8]) {
    let range = valueRange(i)
    precondition(range.count == value.count, "a value never changes its length")
    bytes.replaceSubrange(range, with: value)
  }
  /// Moves the cells from `i` on to `other`, behind its own.
  mutating func moveCells(from i: Int, to other: inout TreePage) {
    for cell in i..<count { other.insert(at: other.count, key(cell), value(cell)) }
    while count > i { remove(at: count - 1) }
    compact()
  }
  /// Packs the cells together at the end of the page.
  mutating func compact() {
    var heap = bytes.count
    var packed = [UInt8](repeating: 0, count: bytes.count)
    packed.replaceSubrange(0..<slotsEnd, with: bytes[0..<slotsEnd])
    for i in 0..<count {
      let start = cellStart(i)
      let size = cellSize(start)
      heap -= size
      packed.replaceSubrange(heap..<(heap + size), with: bytes[start..<(start + size)])
      packed.storeInteger(UInt16(heap), at: TreePage.headerSize + 2 * i)
    }
    bytes = packed
    heapStart = heap
    garbage = 0
  }

  // MARK: Checking

  /// Refuses bytes that are no page of the tree: after it every access stays inside the page, and keys ascend.
  func validate(index: UInt64) throws(DecodeError) {
    guard bytes.count >= TreePage.pageSizeMin, integer(0) == TreePage.magic else {
      throw DecodeError(.badMagic, "tree.page")
    }
    guard let kind = Kind(rawValue: bytes[4]) else { throw DecodeError(.invalidField, "tree.kind", offset: 4) }
    guard self.index == index else { throw DecodeError(.invalidField, "tree.index", offset: 16) }
    let isLevelRight = kind == .branch ? (1...TreePage.levelMax).contains(level) : level == 0
    guard isLevelRight else { throw DecodeError(.invalidField, "tree.level", offset: 5) }
    guard heapStart <= bytes.count, slotsEnd <= heapStart, garbage <= bytes.count - heapStart else {
      throw DecodeError(.invalidField, "tree.heap", offset: 8)
    }
    if kind == .free {
      guard count == 0, heapStart == bytes.count, garbage == 0 else {
        throw DecodeError(.invalidField, "tree.free", offset: 6)
      }
      return
    }
    guard kind == .leaf || count > 0 else { throw DecodeError(.invalidField, "tree.count", offset: 6) }
    try validateCells(kind)
  }
  private func validateCells(_ kind: Kind) throws(DecodeError) {
    var cells = 0
    var places: [UInt32] = []
    places.reserveCapacity(count)
    for i in 0..<count {
      let at = TreePage.headerSize + 2 * i
      let start = cellStart(i)
      guard start >= heapStart, start + TreePage.cellOverhead <= bytes.count, start + cellSize(start) <= bytes.count
      else { throw DecodeError(.invalidField, "tree.cell", offset: at) }
      let keySize = keyRange(i).count
      let valueSize = valueRange(i).count
      guard keySize <= TreeKey.sizeMax, kind == .branch ? valueSize == 8 : valueSize <= TreePage.valueSizeMax else {
        throw DecodeError(.invalidField, "tree.cell", offset: at)
      }
      guard kind == .branch || keySize >= TreeKey.prefixSize else {
        throw DecodeError(.invalidField, "tree.key", offset: at)
      }
      guard kind == .leaf || (i == 0) == (keySize == 0) else {
        throw DecodeError(.invalidField, "tree.key", offset: at)
      }
      if i > 0 {
        let isAscending = bytes.withUnsafeBytes { page in
          TreePage.compare(page, i - 1, UnsafeRawBufferPointer(rebasing: page[keyRange(i)])) < 0
        }
        guard isAscending else { throw DecodeError(.invalidField, "tree.order", offset: at) }
      }
      cells += cellSize(start)
      places.append(UInt32(start) << 16 | UInt32(cellSize(start)))
    }
    // Cells that overlap would destroy each other when one of them is removed.
    places.sort()
    for i in places.indices.dropFirst() where places[i - 1] >> 16 + places[i - 1] & 0xFFFF > places[i] >> 16 {
      throw DecodeError(.invalidField, "tree.cell", offset: Int(places[i] >> 16))
    }
    guard cells + garbage == bytes.count - heapStart else { throw DecodeError(.invalidField, "tree.heap", offset: 8) }
  }
}
