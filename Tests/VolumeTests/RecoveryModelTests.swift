import BorealisCore
import BorealisReplicationPolicy
import BorealisVolume
import BorealisWire
import Testing

/// Recovery and membership against the model: random loss, reordering, crashes, racing writers, interrupted recoveries.
struct RecoveryModelTests {
  struct Outcome {
    var violations: [String]
    var openings: Int
    var acked: Int
    var changes: Int
  }
  static func run(seed: UInt64, bug: PlantedBug? = nil, changesMembers: Bool) -> Outcome {
    let world = RecoveryWorld(
      seed: seed, groups: 1 + Int(seed % 3), plantedBug: bug, changesMembers: changesMembers)
    world.run(steps: 1200)
    world.checkIssued()
    if world.violations.isEmpty { world.healAndOpen() }
    let epochs = world.openings.last?.groups.map { Int($0.configuration.epoch.value) - 1 } ?? []
    return Outcome(
      violations: world.violations, openings: world.openings.count,
      acked: world.writers.map(\.acked.count).reduce(0, +),
      changes: epochs.reduce(0, +))
  }

  @Test("nothing acknowledged is lost, nothing void comes back, no LSN is given twice", arguments: [false, true])
  func holds(changesMembers: Bool) {
    var total = (openings: 0, acked: 0, changes: 0)
    for seed in UInt64(1)...100 {
      let outcome = Self.run(seed: seed, changesMembers: changesMembers)
      #expect(outcome.violations.isEmpty, "seed \(seed): \(outcome.violations.prefix(3))")
      if !outcome.violations.isEmpty { return }
      total.openings += outcome.openings
      total.acked += outcome.acked
      total.changes += outcome.changes
    }
    // The runs must have done something.
    #expect(total.openings > 300)
    #expect(total.acked > 600)
    #expect(!changesMembers || total.changes > 200)
    print("model: changes \(changesMembers): \(total)")
  }

  @Test(
    "planted bugs are found",
    arguments: [
      PlantedBug.sampleBeforeFencing, .skipRepairBeforeOpening, .reuseLSNAfterRecovery, .recoverWithTwoAnswers,
      .skipTruncation, .countUnhydratedMember,
    ])
  func finds(bug: PlantedBug) {
    for seed in UInt64(1)...600 {
      let outcome = Self.run(seed: seed, bug: bug, changesMembers: bug == .countUnhydratedMember)
      if let first = outcome.violations.first {
        print("model: \(bug) found at seed \(seed): \(first)")
        return
      }
    }
    Issue.record("\(bug) not found in 600 seeds")
  }
}
