import Borealis
import Testing

@testable import BorealisFileSystem

@Suite("The tree against a sorted dictionary")
struct TreeModelTests {
  @Test("growing and shrinking through many levels", arguments: 1...6)
  func randomItems(seed: UInt64) throws {
    var g = DeterministicGenerator(seed: seed)
    let space = InMemoryPageSpace(pageSize: 2048)
    var tree = TreeStore(space, superblock: Superblock(formatted: 2048, at: 0), cachePages: 16)
    tree.put(TreePage(.leaf, level: 0, index: 1, pageSize: 2048))
    tree.transaction.write(PageID(object: TreeStore.object, index: 0), at: 0, tree.edited.encoded())
    _ = try tree.commit(space)
    var model: [[UInt8]: [UInt8]] = [:]
    var levels = 0
    for round in 0..<8 {
      let isGrowing = round % 2 == 0
      for _ in 0..<1500 {
        // Whole stretches go at once, so that pages become empty beside full ones, and are filled again in between.
        let first = g.below(TreeModelTests.keys)
        let isRemoval = g.chance(isGrowing ? 1 : 9, in: 20)
        for number in first..<(first + (isRemoval ? 1 + g.below(60) : 1 + g.below(4))) {
          let key = TreeModelTests.key(number)
          if isRemoval {
            guard model.removeValue(forKey: key) != nil else { continue }
            try tree.remove(key)
          } else if model[key] == nil {
            let value = (0..<g.index(100)).map { UInt8($0) }
            model[key] = value
            try tree.insert(key, value)
          }
          if g.chance(1, in: 2) { #expect(try tree.value(of: key).map { Array($0) } == model[key]) }
        }
        if tree.hasChanges { _ = try tree.commit(space) }
        levels = max(levels, tree.superblock.level)
      }
      try expectEqual(&tree, model)
      // As it stands on the volume.
      let (page, _) = try TreeStore.read(space, PageID(object: TreeStore.object, index: 0))
      var again = TreeStore(space, superblock: try TreeStore.superblock(page, "test"), cachePages: 16)
      try expectEqual(&again, model)
    }
    for key in model.keys { try tree.remove(key) }
    if tree.hasChanges { _ = try tree.commit(space) }
    #expect(tree.superblock.level == 0)
    #expect(tree.superblock.freeCount + 2 == tree.superblock.pageCount)
    #expect(levels >= 3)
  }

  private static let keys: UInt64 = 12_000
  /// Long keys with few different beginnings, so that separators are long and branches have few children.
  private static func key(_ number: UInt64) -> [UInt8] {
    var key = TreeKey.prefix(number / 4000, .entry, capacity: 300)
    key += [UInt8](repeating: UInt8(number / 2000), count: 180)
    TreeKey.append(number, to: &key)
    key += [UInt8](repeating: 7, count: Int(number % 60))
    return key
  }

  private func expectEqual(_ tree: inout TreeStore, _ model: [[UInt8]: [UInt8]]) throws {
    var found: [[UInt8]] = []
    try tree.scan(from: []) { key, value in
      found.append(Array(key))
      #expect(model[Array(key)] == Array(value))
      return true
    }
    #expect(found == model.keys.sorted { $0.lexicographicallyPrecedes($1) })
    for (key, value) in model { #expect(try tree.value(of: key).map { Array($0) } == value) }
  }
}
