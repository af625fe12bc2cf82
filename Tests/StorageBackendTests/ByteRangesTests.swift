import BorealisCore
import BorealisStorageBackend
import Testing

@Suite struct ByteRangesTests {
  /// Against a set of single numbers.
  @Test(arguments: UInt64(1)...20)
  func agreesWithASet(seed: UInt64) {
    var generator = DeterministicGenerator(seed: seed)
    var ranges = ByteRanges()
    var model = Set<UInt64>()
    for step in 0..<200 {
      let low = generator.below(60)
      let range = low..<low + generator.below(20)
      if generator.chance(1, in: 2) {
        ranges.insert(range)
        model.formUnion(range)
      } else {
        ranges.remove(range)
        model.subtract(range)
      }
      #expect(Set(ranges.ranges.flatMap { Array($0) }) == model, "seed \(seed), step \(step)")
      let isApart = zip(ranges.ranges, ranges.ranges.dropFirst()).allSatisfy { $0.upperBound < $1.lowerBound }
      #expect(isApart && ranges.ranges.allSatisfy { !$0.isEmpty }, "seed \(seed), step \(step)")
      #expect(ranges.contains(low) == model.contains(low))
      if !range.isEmpty {
        #expect(ranges.covers(range) == model.isSuperset(of: range), "seed \(seed), step \(step)")
        #expect(ranges.intersects(range) == !model.isDisjoint(with: range), "seed \(seed), step \(step)")
      }
    }
  }
}
