import BorealisCore
import BorealisReplicationPolicy

/// Proves that the checkers see: plants each bug, one at a time, and runs seeds until a checker finds it.
public enum PlantedBugCampaign {
  /// What came of one bug.
  package struct Finding: Sendable {
    /// The bug.
    package var bug: PlantedBug
    /// The seeds that were needed; nil when it was not found.
    package var seeds: Int?
    /// The first report with a violation.
    package var report: SimulationReport?
    /// The invariants that should find it.
    package var expected: [Invariant]
    /// The first violation.
    package var violation: Violation? { report?.violations.first }
    /// Whether it was found by one of those that should.
    package var isAsExpected: Bool {
      guard let violation else { return false }
      return expected.contains(violation.invariant)
    }
  }

  /// The invariants that a bug breaks, the most direct first.
  package static func expected(_ bug: PlantedBug) -> [Invariant] {
    switch bug {
    case .ackBeforeFlush: [.i2, .i1]
    case .countReceiptNotSCL: [.i1, .i2]
    // The forgotten promise is made again by the writer's own next message, and PGMRPL rises as if readers were fenced.
    case .forgetEpochOnRestart: [.i2, .i6, .i10]
    case .forgetTruncationOnRestart: [.i2, .i4]
    case .gossipResurrectsVoid: [.i4, .i9]
    // A writer that was fenced is let in again with its reads too, at read points that the new one has let go.
    case .acceptStaleEpoch: [.i6, .i10]
    // Where the catalog's pages are hit (the oracle knows none of them) a reader takes pages for absent.
    case .collectIgnoringReadPoint: [.i10, .i9, .i8]
    case .serveIncompleteRead: [.i9]
    case .coalesceAboveMinReadPoint: [.i9, .i10, .machine]
    case .tornTailAccepted: [.i3, .i2, .i9, .machine]
    case .quorumThreeOfSix: [.i1]
    case .lostCommitWakeUp: [.liveness]
    case .evictDirtyPage: [.i11]
    case .wakeOnVCLNotVDL: [.i1]
    case .ignoreAllocationLimit: [.i5]
    case .vdlAtNonConsistencyPoint: [.i2]
    case .readerAppliesAboveVDL: [.i8]
    case .partialMiniTransactionVisible: [.i8]
    case .dropPendingMissRecords: [.i8]
    // What was sampled may have gone by the time that it is repaired: then the survivors cannot reach it.
    case .sampleBeforeFencing: [.i1, .i6, .liveness]
    case .skipRepairBeforeOpening: [.i1]
    case .reuseLSNAfterRecovery: [.i16, .i3]
    case .recoverWithTwoAnswers: [.i6, .i1]
    // A VDL that rests on a member without the records is announced without a write quorum; the writer's own check of
    // PGCL sees it too.
    case .countUnhydratedMember: [.i7, .i1, .machine]
    // Segments refuse reads of an epoch whose list they lack, so mostly nothing wrong is shown: nothing goes on.
    case .skipTruncation: [.i4, .i9, .i3, .i2, .liveness]
    }
  }

  /// Options for hunting a bug: what the seed draws, with the trouble that the bug needs, and the default policy.
  package static func options(_ bug: PlantedBug, seed: UInt64) -> SimulationOptions {
    var options = SimulationOptions(seed: seed)
    options.plantedBug = bug
    switch bug {
    case .quorumThreeOfSix: options.policy = AuroraPolicy()
    case .ackBeforeFlush, .forgetEpochOnRestart, .tornTailAccepted:
      options.faults.formUnion([.nodeCrash, .zoneOutage, .writerCrash])
    case .forgetTruncationOnRestart, .gossipResurrectsVoid, .skipTruncation, .reuseLSNAfterRecovery,
      .sampleBeforeFencing, .skipRepairBeforeOpening, .acceptStaleEpoch:
      if options.policy.copies == 1 { options.policy = AuroraPolicy() }
      options.faults.formUnion([.writerCrash, .twoWriters, .nodeCrash, .partition, .loss, .delay])
    case .recoverWithTwoAnswers:
      // The two that answer first must both be behind: disks and messages of very different speed.
      options.policy = AuroraPolicy()
      options.nodesPerZone = 2
      options.faults = [.writerCrash, .twoWriters, .slowDisk, .loss, .delay, .partition]
      options.faultInterval = 40_000_000
      options.network.slowPerMille = 100
      options.network.lossPerMille = 100
    case .countUnhydratedMember:
      if options.policy.copies == 1 { options.policy = AuroraPolicy() }
      options.spares = max(1, options.spares)
      options.faults.formUnion([.membership, .loss, .partition, .slowDisk])
    case .readerAppliesAboveVDL, .partialMiniTransactionVisible, .dropPendingMissRecords:
      options.readers = max(2, options.readers)
    default: break
    }
    return options
  }

  /// Hunts one bug over the seeds from `first` on, at most `seedsMax` of them.
  package static func hunt(_ bug: PlantedBug, from first: UInt64 = 1, seedsMax: Int) -> Finding {
    var finding = Finding(bug: bug, expected: expected(bug))
    for i in 0..<seedsMax {
      let report = Simulation.run(options(bug, seed: first + UInt64(i)))
      if !report.passed {
        finding.seeds = i + 1
        finding.report = report
        break
      }
    }
    return finding
  }

  /// Hunts every bug and writes the table for `Documentation/PlantedBugs.md`.
  ///
  /// - Parameter onFinding: is told one line for each bug as soon as it is known.
  public static func table(seedsMax: Int, onFinding: (String) -> Void = { _ in }) -> (text: String, found: Int) {
    var rows: [String] = []
    var found = 0
    for bug in PlantedBug.allCases {
      let finding = hunt(bug, seedsMax: seedsMax)
      if finding.seeds != nil { found += 1 }
      let seeds = finding.seeds.map(String.init) ?? "not found in \(seedsMax)"
      let who = finding.violation.map(\.invariant.rawValue) ?? "-"
      let expected = finding.expected.map(\.rawValue).joined(separator: ", ")
      let what = finding.violation.map { cell($0.text) } ?? ""
      rows.append("| `\(bug.rawValue)` | \(expected) | \(who) | \(seeds) | \(what) |")
      onFinding("\(bug.rawValue): \(who), seeds \(seeds)")
    }
    let head = """
      # Planted bugs

      Generated by `borealis sim --planted-bugs`; do not edit. Each bug of the protocol is switched on alone, and seeds are run
      from 1 on until a checker finds it. "Expected" are the checkers that should see it; what each number means stands in
      `Modules/Simulation/Invariant.swift`. \(found) of \(PlantedBug.allCases.count) were found.

      | Bug | Expected | Found by | Seeds needed | What was seen |
      | --- | --- | --- | --- | --- |

      """
    return (head + rows.joined(separator: "\n") + "\n", found)
  }

  private static func cell(_ text: String) -> String {
    String(text.map { $0 == "|" ? "/" : $0 }.prefix(160))
  }
}
