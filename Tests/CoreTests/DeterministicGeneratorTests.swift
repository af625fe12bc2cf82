import BorealisCore
import Testing

@Suite struct DeterministicGeneratorTests {
  /// Worked out apart from this code, from the published algorithms (splitmix64 into xoshiro256**).
  @Test func goldenValues() {
    let golden: [(seed: UInt64, values: [UInt64])] = [
      (0, [0x99EC_5F36_CB75_F2B4, 0xBF6E_1F78_4956_452A, 0x1A5F_849D_4933_E6E0, 0x6AA5_94F1_262D_2D2C]),
      (42, [0x1578_0B2E_0C2E_C716, 0x6104_D986_6D11_3A7E, 0xAE17_5332_39E4_99A1, 0xECB8_AD47_03B3_60A1]),
    ]
    for (seed, values) in golden {
      var g = DeterministicGenerator(seed: seed)
      #expect((0..<4).map { _ in g.next() } == values)
    }
  }

  @Test func theSameSeedGivesTheSameNumbersAndAnotherDoesNot() {
    var (a, b, c) = (DeterministicGenerator(seed: 7), DeterministicGenerator(seed: 7), DeterministicGenerator(seed: 8))
    let (x, y, z) = ((0..<50).map { _ in a.next() }, (0..<50).map { _ in b.next() }, (0..<50).map { _ in c.next() })
    #expect(x == y && x != z)
    #expect(a == b && a != c)
  }

  @Test func forksAreIndependentOfLaterUse() {
    var a = DeterministicGenerator(seed: 7)
    var b = a
    var fork = a.fork()
    var same = b.fork()
    _ = (0..<10).map { _ in a.next() }
    #expect((0..<10).map { _ in fork.next() } == (0..<10).map { _ in same.next() })
  }

  @Test func rangesAreKeptAndFilled() {
    var g = DeterministicGenerator(seed: 11)
    var seen = Set<UInt64>()
    for _ in 0..<2000 {
      let value = g.within(10...17)
      #expect((10...17).contains(value))
      seen.insert(value)
      #expect(g.below(1) == 0)
      #expect((0..<3).contains(g.index(3)))
    }
    #expect(seen.count == 8)
    #expect(g.within(5...5) == 5)
    // The whole width must not overflow.
    #expect((0..<20).map { _ in g.within(0...UInt64.max) }.contains { $0 > 1 << 60 })
    #expect((0..<100).allSatisfy { _ in !g.chance(0, in: 5) && g.chance(5, in: 5) })
    let hits = (0..<10_000).count { _ in g.chance(1, in: 4) }
    #expect((2200...2800).contains(hits))
  }
}
