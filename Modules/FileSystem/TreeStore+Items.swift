import BorealisCore

extension TreeStore {
  /// The way from the root to a leaf: pages and the cell that was followed in each.
  struct Step: Sendable {
    var index: UInt64
    var cell: Int
  }

  // MARK: Finding

  /// The leaf for `key`; `bound` is the first key beyond it, nil at the end of the tree.
  private mutating func leaf(
    for key: [UInt8], path: inout [Step], bound: inout [UInt8]?
  ) throws(FileSystemError) -> TreePage {
    var index = edited.root
    var level = edited.level
    while level > 0 {
      let page = try page(index, level: level)
      let cell = page.branch(for: key)
      if cell + 1 < page.count { bound = Array(page.key(cell + 1)) }
      path.append(Step(index: index, cell: cell))
      index = page.child(cell)
      level -= 1
    }
    return try page(index, level: 0)
  }
  /// The value of an item.
  mutating func value(of key: [UInt8]) throws(FileSystemError) -> ArraySlice<UInt8>? {
    var index = edited.root
    var level = edited.level
    while level > 0 {
      let page = try page(index, level: level)
      index = page.child(page.branch(for: key))
      level -= 1
    }
    let leaf = try page(index, level: 0)
    let (at, found) = leaf.search(key)
    return found ? leaf.value(at) : nil
  }
  /// Calls `body` with the items from `key` on, in order, until it says false.
  mutating func scan(
    from key: [UInt8], _ body: (ArraySlice<UInt8>, ArraySlice<UInt8>) throws(FileSystemError) -> Bool
  ) throws(FileSystemError) {
    var from = key
    while true {
      var path: [Step] = []
      var bound: [UInt8]?
      let leaf = try leaf(for: from, path: &path, bound: &bound)
      for i in leaf.search(from).at..<leaf.count where !(try body(leaf.key(i), leaf.value(i))) { return }
      guard let next = bound else { return }
      guard from.lexicographicallyPrecedes(next) else { throw damaged("keys of the tree do not ascend") }
      from = next
    }
  }

  // MARK: Changing

  /// Inserts an item that is not there.
  mutating func insert(_ key: [UInt8], _ value: [UInt8]) throws(FileSystemError) {
    var path: [Step] = []
    var bound: [UInt8]?
    let leaf = try leaf(for: key, path: &path, bound: &bound)
    let (at, found) = leaf.search(key)
    guard !found else { throw damaged("an item is there already") }
    if leaf.hasRoom(key: key.count, value: value.count) {
      edit(leaf) { $0.insert(at: at, key, value) }
      return
    }
    try split(leaf, at: at, key, value, path: path, isLast: bound == nil && at == leaf.count)
  }
  /// Replaces the value of an item by one of the same length.
  mutating func update(_ key: [UInt8], _ value: [UInt8]) throws(FileSystemError) {
    var path: [Step] = []
    var bound: [UInt8]?
    let leaf = try leaf(for: key, path: &path, bound: &bound)
    let (at, found) = leaf.search(key)
    guard found, leaf.valueRange(at).count == value.count else { throw damaged("an item is not there") }
    edit(leaf) { $0.setValue(at: at, value) }
  }
  /// Removes an item.
  mutating func remove(_ key: [UInt8]) throws(FileSystemError) {
    var path: [Step] = []
    var bound: [UInt8]?
    let leaf = try leaf(for: key, path: &path, bound: &bound)
    let (at, found) = leaf.search(key)
    guard found else { throw damaged("an item is not there") }
    let (used, count) = edit(leaf) { page in
      page.remove(at: at)
      return (page.used, page.count)
    }
    try shrink(leaf.index, level: 0, used: used, count: count, path: path)
  }

  // MARK: Splitting and merging

  /// Splits a full page, with a new cell at `at`, and puts the upper half into the parent, which may split in turn.
  private mutating func split(
    _ page: TreePage, at: Int, _ key: [UInt8], _ value: [UInt8], path: [Step], isLast: Bool
  ) throws(FileSystemError) {
    guard page.level < TreePage.levelMax else { throw damaged("the tree is too deep") }
    var left = page
    var right = try allocate(page.kind, level: page.level)
    // Keys that only grow, such as inode numbers, fill their pages.
    let cut = isLast ? page.count : TreeStore.middle(of: page, at: at, adding: key.count + value.count)
    left.moveCells(from: cut, to: &right)
    if at < cut || (at == cut && !isLast && left.used <= right.used) {
      left.insert(at: at, key, value)
    } else {
      right.insert(at: at - cut, key, value)
    }
    let separator =
      page.isLeaf ? TreeStore.separator(left.key(left.count - 1), right.key(0)) : Array(right.key(0))
    if !page.isLeaf { right.clearFirstKey() }
    // Where keys only grow, nothing of the full page moves.
    if left != page { put(left) }
    put(right)
    try insertChild(right.index, separator, above: left, path: path)
  }
  private mutating func insertChild(
    _ child: UInt64, _ separator: [UInt8], above left: TreePage, path: [Step]
  ) throws(FileSystemError) {
    var value: [UInt8] = []
    value.appendInteger(child)
    guard let step = path.last else {
      guard left.index == edited.root, left.level + 1 <= TreePage.levelMax else { throw damaged("no root") }
      var root = try allocate(.branch, level: left.level + 1)
      var first: [UInt8] = []
      first.appendInteger(left.index)
      root.insert(at: 0, [], first)
      root.insert(at: 1, separator, value)
      put(root)
      edited.root = root.index
      edited.level = root.level
      return
    }
    let parent = try page(step.index, level: left.level + 1)
    let at = step.cell + 1
    if parent.hasRoom(key: separator.count, value: 8) {
      edit(parent) { $0.insert(at: at, separator, value) }
      return
    }
    try split(parent, at: at, separator, value, path: path.dropLast(), isLast: false)
  }
  /// Where to cut a page so that both halves, with a new cell of `size` bytes at `at`, are about equal.
  private static func middle(of page: TreePage, at: Int, adding size: Int) -> Int {
    let half = (page.used + size + TreePage.cellOverhead + 2) / 2
    var bytes = 0
    for i in 0..<page.count {
      if i == at { bytes += size + TreePage.cellOverhead + 2 }
      bytes += page.keyRange(i).count + page.valueRange(i).count + TreePage.cellOverhead + 2
      if bytes >= half { return min(max(1, i), page.count - 1) }
    }
    return page.count - 1
  }
  /// The shortest key above `left` and not above `right`.
  private static func separator(_ left: ArraySlice<UInt8>, _ right: ArraySlice<UInt8>) -> [UInt8] {
    var common = 0
    for (a, b) in zip(left, right) {
      if a != b { break }
      common += 1
    }
    return Array(right.prefix(common + 1))
  }

  /// Frees a page that became empty, or merges it with its neighbour where both fit well into one.
  private mutating func shrink(
    _ index: UInt64, level: Int, used: Int, count: Int, path: [Step]
  ) throws(FileSystemError) {
    guard let step = path.last else {
      try collapseRoot()
      return
    }
    let capacity = pageSize - TreePage.headerSize
    guard count == 0 || used * 3 < capacity else { return }
    let parent = try page(step.index, level: level + 1)
    if count == 0 {
      free(index)
      try removeChild(step.cell, of: parent, path: path)
      return
    }
    for cell in [step.cell, step.cell - 1] where cell >= 0 && cell + 1 < parent.count {
      var left = try page(parent.child(cell), level: level)
      let right = try page(parent.child(cell + 1), level: level)
      let separator = Array(parent.key(cell + 1))
      let grown = level == 0 ? 0 : separator.count
      guard (left.used + right.used + grown) * 5 <= capacity * 4 else { continue }
      for i in 0..<right.count {
        // The first cell of a branch has no lower bound of its own: the parent knows it.
        if level > 0, i == 0 {
          left.insert(at: left.count, separator, right.value(0))
        } else {
          left.insert(at: left.count, right.key(i), right.value(i))
        }
      }
      put(left)
      free(right.index)
      try removeChild(cell + 1, of: parent, path: path)
      return
    }
  }
  private mutating func removeChild(_ cell: Int, of parent: TreePage, path: [Step]) throws(FileSystemError) {
    let (used, count) = edit(parent) { page in
      page.remove(at: cell)
      if cell == 0, page.count > 0 { page.clearFirstKey() }
      return (page.used, page.count)
    }
    try shrink(parent.index, level: parent.level, used: used, count: count, path: path.dropLast())
  }
  /// A root with one child gives way to it; an empty one becomes a leaf.
  private mutating func collapseRoot() throws(FileSystemError) {
    while edited.level > 0 {
      let root = try page(edited.root, level: edited.level)
      guard root.count <= 1 else { return }
      guard root.count == 1 else {
        put(TreePage(.leaf, level: 0, index: root.index, pageSize: pageSize))
        edited.level = 0
        return
      }
      let child = root.child(0)
      _ = try page(child, level: edited.level - 1)
      edited.root = child
      edited.level -= 1
      free(root.index)
    }
  }
}

extension TreeStore {
  /// The page after a free page in their list.
  mutating func freePage(_ index: UInt64) throws(FileSystemError) -> UInt64 {
    let page = try load(index)
    guard page.kind == .free else { throw damaged("tree page \(index) is not free") }
    return page.nextFree
  }
}
