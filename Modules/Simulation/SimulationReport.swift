import BorealisCore

/// What came of a run.
public struct SimulationReport: Sendable, CustomStringConvertible {
  /// How often things happened.
  public struct Counts: Sendable, Hashable {
    /// Mini-transactions that a writer took.
    public var transactions = 0
    /// Mini-transactions whose waiter was told that they are durable.
    public var acknowledged = 0
    /// Page reads that were compared with the oracle.
    public var reads = 0
    /// Snapshots of a whole database that were judged.
    public var snapshots = 0
    /// Page reads that ended with an error that may be retried.
    public var readsFailed = 0
    /// Crashes of nodes.
    public var nodeCrashes = 0
    /// Crashes of writers.
    public var writerCrashes = 0
    /// Recoveries that were begun.
    public var recoveriesBegun = 0
    /// Recoveries that were completed.
    public var recoveries = 0
    /// Changes of membership that were begun.
    public var membershipChanges = 0
    /// Faults of any kind that began.
    public var faults = 0
    /// Messages sent.
    public var messages: UInt64 = 0
    /// Messages lost.
    public var messagesLost: UInt64 = 0
    /// Events of the simulation.
    public var events = 0
    /// Protection groups at the end.
    public var groups = 0
  }
  /// The seed.
  public var seed: UInt64
  /// What was drawn from it, or set.
  public var options: SimulationOptions
  /// Hash of everything that happened: equal for equal runs, in any process on any machine.
  public var digest: UInt64 = 0
  /// How often things happened.
  public var counts = Counts()
  /// Virtual time at the end, in nanoseconds.
  public var virtualNanoseconds: UInt64 = 0
  /// What should not have been; empty when all is well.
  public var violations: [Violation] = []
  /// The last notable events; all of them in a verbose run.
  public var story: [String] = []

  /// Whether nothing was violated.
  public var passed: Bool { violations.isEmpty }
  /// One line for people.
  public var description: String {
    let outcome = violations.first.map { "FAILED \($0)" } ?? "passed"
    return "seed \(seed): \(outcome); digest \(hexadecimal(digest, digits: 16)), \(counts.transactions) commits,"
      + " \(counts.acknowledged) acknowledged, \(counts.reads) reads, \(counts.nodeCrashes) node crashes, \(counts.recoveries)"
      + " recoveries, \(counts.membershipChanges) membership changes, \(counts.events) events,"
      + " \(virtualNanoseconds / 1_000_000) ms"
  }
  /// Everything a person needs to look into a failure.
  public var explanation: String {
    var lines = [description, options.summary]
    lines += violations.map { "  \($0)\n    (\($0.invariant): \($0.invariant.statement))" }
    lines += story.map { "  \($0)" }
    return lines.joined(separator: "\n")
  }
}
