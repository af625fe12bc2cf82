import BorealisConformance
import Testing

/// A suite that cannot fail proves nothing: every check has to reject a backend that breaks its promise.
@Suite struct StorageBackendRejectionTests {
  @Test(arguments: Flaw.allCases)
  func isRejected(flaw: Flaw) throws {
    let check = try #require(StorageBackendConformance.checks.first { $0.name == flaw.check })
    let failure = #expect(throws: ConformanceFailure.self) { _ = try check.run { BrokenPlace(flaw) } }
    // By the check's own finding, and not because the broken place could not be set up.
    #expect(failure?.check == flaw.check)
    #expect(failure?.reason.contains("no place") == false)
  }

  @Test func everyCheckRejectsSomething() {
    let rejected = Set(Flaw.allCases.map(\.check))
    for check in StorageBackendConformance.checks {
      #expect(rejected.contains(check.name), "no flaw is known that '\(check)' sees")
    }
  }
}
