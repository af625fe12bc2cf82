public import BorealisComputeEngine

/// The checks that every `ComputeEngine` has to pass; the numbers are those of the protocol's contract.
///
///     @Test(arguments: ComputeEngineConformance.checks)
///     func conforms(check: ComputeEngineConformance.Check) async throws { try await check.run(MyEngine()) }
///
/// Each check runs on storage nodes in memory of its own. The SQL is what SQLite and PostgreSQL both take.
public enum ComputeEngineConformance {
  /// One named check.
  public struct Check: Sendable, CustomStringConvertible {
    /// The name, beginning with the number in the contract.
    public let name: String
    let body: @Sendable (EngineTrial) async throws -> Void

    /// Runs the check; what it has started is ended afterwards.
    ///
    /// - Parameters:
    ///   - engine: the engine to check.
    ///   - patienceMilliseconds: how long anything may take before it counts as never; what works takes a fraction of it.
    /// - Throws: what was promised and not found.
    public func run(
      _ engine: any ComputeEngine, patienceMilliseconds: UInt64 = 20_000
    ) async throws(ConformanceFailure) {
      do {
        let trial = try EngineTrial(engine, patience: patienceMilliseconds)
        do { try await body(trial) } catch {
          await trial.end()
          throw error
        }
        await trial.end()
      } catch { throw ConformanceFailure(check: name, reason: "engine \(engine.name): \(error)") }
    }
    /// The name.
    public var description: String { name }
  }

  /// All checks.
  public static let checks: [Check] = commits + roles + lives
}
