import BorealisConformance
import BorealisCore
import BorealisFileStorageBackend
import BorealisStorageBackend
import Testing

/// Every backend against every check.
///
/// What a place cannot do is expected by name, so that nothing is skipped silently.
@Suite struct StorageBackendConformanceTests {
  @Test(arguments: StorageBackendConformance.checks)
  func inMemory(check: StorageBackendConformance.Check) throws {
    let outcome = try check.run { MemoryPlace() }
    let missing = check.needs.first { $0 != .fillUp }
    #expect(outcome == (missing.map { .impossible($0) } ?? .passed))
  }

  @Test(arguments: StorageBackendConformance.checks)
  func file(check: StorageBackendConformance.Check) throws {
    let fills = check.needs.contains(.fillUp)
    let outcome = try check.run { try FilePlace(onOwnFileSystem: fills) }
    if check.needs.contains(.losePower) {
      // No test can take power from the machine: the faulty backend around the file does (below).
      #expect(outcome == .impossible(.losePower))
    } else if fills && !TemporaryDirectory.canMount {
      // May not mount: the full disk is then the process's file size limit, in FileStorageBackendTests.
      #expect(outcome == .impossible(.fillUp))
      print("no right to mount: '\(check)' ran against the file size limit only")
    } else {
      #expect(outcome == .passed)
    }
  }

  @Test(arguments: StorageBackendConformance.checks)
  func faultyInMemory(check: StorageBackendConformance.Check) throws {
    #expect(try check.run { faultyMemoryPlace() } == .passed)
  }

  @Test(arguments: StorageBackendConformance.checks)
  func faultyFile(check: StorageBackendConformance.Check) throws {
    let directory = try TemporaryDirectory()
    let outcome = try check.run {
      FaultyPlace(reopensBase: true, forgets: false) { () throws(StorageBackendError) in
        try FileStorageBackend(directory: directory.path)
      }
    }
    #expect(outcome == .passed)
  }

  @Test func theSuiteCoversTheContract() {
    let names = StorageBackendConformance.checks.map(\.name)
    for number in 1...9 { #expect(names.contains { $0.hasPrefix("\(number) ") }, "no check for contract \(number)") }
    #expect(Set(names).count == names.count)
    // Together the four places above do everything that any check needs.
    #expect(Set(faultyMemoryPlace().abilities) == Set(StorageBackendConformance.Ability.allCases))
  }
}
