import Testing

@testable import BorealisCommandLine

/// What `borealis bench postgresql` reads of pgbench.
@Suite struct PGBenchTests {
  private static let summary = [
    "pgbench (15.20 (Debian 15.20-0+deb12u1))", "transaction type: <builtin: TPC-B (sort of)>", "scaling factor: 2",
    "number of clients: 8", "maximum number of tries: 1",
    "number of transactions actually processed: 2455", "number of failed transactions: 0 (0.000%)",
    "latency average = 16.304 ms", "initial connection time = 21.337 ms",
    "tps = 490.659817 (without initial connection time)",
  ]

  @Test func aSummaryIsRead() throws {
    let result = try PGBench.parse(Self.summary)
    #expect(result.tps == 490.659817)
    #expect(result.transactions == 2455)
    #expect(result.milliseconds == 16.304)
  }
  @Test func aFixedNumberOfTransactionsIsRead() throws {
    let lines = Self.summary.map { $0.replacing("processed: 2455", with: "processed: 4000/4000") }
    #expect(try PGBench.parse(lines).transactions == 4000)
  }
  @Test func failedTransactionsAndMissingFiguresAreErrors() {
    let failed = Self.summary.map { $0.replacing("failed transactions: 0", with: "failed transactions: 3") }
    #expect(throws: BenchError.self) { try PGBench.parse(failed) }
    #expect(throws: BenchError.self) { try PGBench.parse(["pgbench (15.20)"]) }
  }
}
