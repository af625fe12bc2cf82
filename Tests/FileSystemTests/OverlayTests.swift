import Borealis
import BorealisCore
import BorealisVolume
import Testing

@testable import BorealisFileSystem

@Suite("File system: overlays")
struct OverlayTests {
  @Test(arguments: [1, 2, 3] as [UInt64])
  func aSetOfPagesIsASet(seed: UInt64) {
    var random = DeterministicGenerator(seed: seed)
    var set = PageSet()
    var model: Set<UInt64> = []
    for _ in 0..<4000 {
      let scale: UInt64 = [70, 5000, 20_000, 1 << 31][Int(random.below(4))]
      let page = random.below(scale)
      switch random.below(10) {
      case 0..<6:
        set.insert(page)
        model.insert(page)
      case 6..<9:
        let gone = model.isEmpty ? page : model.min() ?? page
        set.remove(gone)
        model.remove(gone)
      default:
        if random.below(40) == 0 {
          set.removeAll(from: page)
          model = model.filter { $0 < page }
        }
      }
      #expect(set.count == model.count)
      #expect(set.contains(page) == model.contains(page))
      #expect(set.next(from: page) == model.filter { $0 >= page }.min())
    }
    let sorted = model.sorted()
    var at: UInt64 = 0
    var found: [UInt64] = []
    while let run = set.run(from: at) {
      #expect(run.allSatisfy { model.contains($0) } && !model.contains(run.upperBound))
      found += Array(run)
      at = run.upperBound
    }
    #expect(found == sorted)
  }

  /// What the pages in use of an overlay cost must not depend on how many it has.
  @Test func pagesInUseAreFoundWithoutLookingAtAll() throws {
    let base = InMemoryPageSpace()
    let overlay = OverlaySpace(on: base, limit: .gibibytes(4))
    let (object, other) = (ObjectID(7), ObjectID(8))
    let pages: UInt64 = 20_000
    func write(_ page: PageID) throws {
      var transaction = MiniTransaction(pageSize: base.pageSize)
      transaction.write(page, at: 0, [1])
      _ = try overlay.commit(transaction)
    }
    // Every second page: as many ranges as pages.
    for index in 0..<pages { try write(PageID(object: object, index: 2 * index)) }
    try write(PageID(object: other, index: 5))
    #expect(overlay.statistics.pages == Int(pages) + 1)
    var at: UInt64 = 0
    var count: UInt64 = 0
    // Looking at all pages each time, this would be 400 million steps.
    let clock = ContinuousClock()
    let took = try clock.measure {
      while let range = try overlay.pagesInUse(of: object, from: at) {
        #expect(range == 2 * count..<2 * count + 1)
        count += 1
        at = range.upperBound
      }
    }
    #expect(count == pages)
    print("\(count) ranges of an overlay found in \(took)")
    #expect(try overlay.pagesInUse(of: other, from: 0) == 5..<6)
    #expect(try overlay.pagesInUse(of: other, from: 6) == nil)
    // Discards are no pages in use, and dropping an object leaves nothing behind.
    var discard = MiniTransaction(pageSize: base.pageSize)
    discard.discard(PageID(object: object, index: 0))
    _ = try overlay.commit(discard)
    #expect(try overlay.pagesInUse(of: object, from: 0) == 2..<3)
    _ = try overlay.discard(object)
    #expect(try overlay.pagesInUse(of: object, from: 0) == nil)
    #expect(overlay.statistics.pages == 1)
    _ = try overlay.discard(other)
    #expect(overlay.statistics.pages == 0)
    #expect(overlay.statistics.bytes == 128, "two notes that objects were discarded")
  }
}
