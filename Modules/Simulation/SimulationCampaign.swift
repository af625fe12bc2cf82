import BorealisCore

/// Many runs, one seed after the other.
public enum SimulationCampaign {
  /// What came of them.
  public struct Summary: Sendable {
    /// Runs made.
    public var runs = 0
    /// Reports of the runs that failed.
    public var failures: [SimulationReport] = []
    /// Sums over all runs.
    public var counts = SimulationReport.Counts()
    /// Virtual time of all runs, in nanoseconds.
    public var virtualNanoseconds: UInt64 = 0
    /// Hash over the digests of all runs, in order.
    public var digest: UInt64 = 0

    /// Makes an empty summary.
    public init() {}

    /// Adds a run.
    public mutating func add(_ report: SimulationReport) {
      runs += 1
      if !report.passed { failures.append(report) }
      virtualNanoseconds += report.virtualNanoseconds
      digest = (digest ^ report.digest) &* 0x9E37_79B9_7F4A_7C15
      let c = report.counts
      counts.transactions += c.transactions
      counts.acknowledged += c.acknowledged
      counts.reads += c.reads
      counts.readsFailed += c.readsFailed
      counts.snapshots += c.snapshots
      counts.nodeCrashes += c.nodeCrashes
      counts.writerCrashes += c.writerCrashes
      counts.recoveriesBegun += c.recoveriesBegun
      counts.recoveries += c.recoveries
      counts.membershipChanges += c.membershipChanges
      counts.faults += c.faults
      counts.messages += c.messages
      counts.messagesLost += c.messagesLost
      counts.events += c.events
      counts.groups += c.groups
    }
    /// One line for people.
    public var description: String {
      "\(runs) runs, \(failures.count) failed; \(counts.transactions) commits (\(counts.acknowledged) acknowledged),"
        + (counts.snapshots > 0 ? " \(counts.snapshots) snapshots judged," : "")
        + " \(counts.reads) reads compared, \(counts.faults) faults, \(counts.nodeCrashes) node crashes,"
        + " \(counts.recoveries) recoveries of \(counts.recoveriesBegun) begun, \(counts.membershipChanges) membership"
        + " changes, \(counts.messages) messages (\(counts.messagesLost) lost), \(counts.events) events,"
        + " \(virtualNanoseconds / 1_000_000_000) s of virtual time, digest \(hexadecimal(digest, digits: 16))"
    }
  }

  /// Runs the seeds, each with what it draws, as `adjust` changes it; ends early when `onReport` says false.
  public static func run(
    seeds: some Sequence<UInt64>, adjust: (inout SimulationOptions) -> Void = { _ in },
    onReport: (SimulationReport) -> Bool = { _ in true }
  ) -> Summary {
    var summary = Summary()
    for seed in seeds {
      var options = SimulationOptions(seed: seed)
      adjust(&options)
      let report = Simulation.run(options)
      summary.add(report)
      if !onReport(report) { break }
    }
    return summary
  }
}
