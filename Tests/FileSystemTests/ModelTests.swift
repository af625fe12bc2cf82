import Borealis
import Testing

@Suite("File system against a plain model")
struct ModelTests {
  static let seeds = environment("BOREALIS_FS_SEEDS", default: 24)
  static let first = environment("BOREALIS_FS_FIRST_SEED", default: 1)

  @Test("random operations, then every kind of prefix", arguments: first..<(first + seeds))
  func randomOperations(seed: UInt64) throws {
    var run = try ModelRun(seed: seed)
    for _ in 0..<500 { try run.step() }
    let last = try #require(run.memory).lastLSN.value
    #expect(try run.files.dump() == run.model.dump())
    #expect(try run.files.check().problems == [])
    // The first ones, the last one, all in the middle of a cut, and some at random.
    var lsns: Set<UInt64> = [1, 2, 3, last]
    for (lsn, expected) in run.expected {
      if case .cutting = expected { lsns.insert(lsn) }
    }
    var g = DeterministicGenerator(seed: seed)
    for _ in 0..<60 { lsns.insert(1 + g.below(last)) }
    try run.verify(Array(lsns))
  }
}
