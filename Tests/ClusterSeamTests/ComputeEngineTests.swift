import Borealis
import BorealisConformance
import Testing

/// SQLite against the suite, and an engine with each flaw that the suite must reject.
///
/// One after the other: each has storage nodes of its own, whose threads keep a small machine busy.
@Suite(.serialized) struct ComputeEngineConformanceTests {
  @Test(arguments: ComputeEngineConformance.checks)
  func sqliteConforms(check: ComputeEngineConformance.Check) async throws { try await check.run(SQLiteEngine()) }

  @Test("the broken engine is sound without its flaw", arguments: ComputeEngineConformance.checks)
  func soundWithoutFlaw(check: ComputeEngineConformance.Check) async throws { try await check.run(BrokenEngine(nil)) }

  @Test(arguments: EngineFlaw.allCases)
  func isRejected(flaw: EngineFlaw) async throws {
    let check = try #require(ComputeEngineConformance.checks.first { $0.name == flaw.check })
    let failure = await #expect(throws: ConformanceFailure.self) {
      try await check.run(BrokenEngine(flaw), patienceMilliseconds: flaw.patienceMilliseconds)
    }
    #expect(failure?.check == flaw.check)
  }

  @Test func theSuiteCoversTheContractAndEveryCheckRejectsSomething() {
    let names = ComputeEngineConformance.checks.map(\.name)
    for number in 1...7 { #expect(names.contains { $0.hasPrefix("\(number) ") }, "no check for contract \(number)") }
    #expect(Set(names) == Set(EngineFlaw.allCases.map(\.check)) && Set(names).count == names.count)
  }
}
