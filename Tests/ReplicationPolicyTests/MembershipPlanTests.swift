import BorealisCore
import BorealisReplicationPolicy
import BorealisWire
import Testing

@Suite struct MembershipPlanTests {
  private let policy = AuroraPolicy()
  private func member(_ node: UInt32, zone: UInt8) -> SegmentMember {
    SegmentMember(node: NodeID(node), zone: ZoneID(zone))
  }
  private func code(_ body: () throws(ReplicationPolicyError) -> GroupConfiguration) -> ReplicationPolicyError.Code? {
    do throws(ReplicationPolicyError) { _ = try body() } catch { return error.code }
    return nil
  }

  @Test func replacementBeginsCommitsAndReverts() throws {
    let first = configuration(of: policy)
    let begun = try policy.replacing(
      NodeID(5), with: member(6, zone: 2), in: first, target: LSN(77), by: VolumeEpoch(4))
    #expect(begun.epoch == MembershipEpoch(2) && begun.proposedBy == VolumeEpoch(4))
    #expect(begun.rule == four("ABCDEF") && begun.pending == four("ABCDEG"))
    #expect(begun.hydrationTarget == LSN(77))
    #expect(begun.isReadQuorum(MemberSet("DEF")) && !begun.isReadQuorum(MemberSet("DEG")))
    #expect(begun.supersedes(first))

    let done = try begun.committing(by: VolumeEpoch(5))
    #expect(done.epoch == MembershipEpoch(3) && done.proposedBy == VolumeEpoch(5))
    #expect(done.members.map(\.node.value) == [0, 1, 2, 3, 4, 6])
    #expect(done.rule == four("ABCDEF") && done.pending == nil && done.hydrationTarget == .zero)

    let back = try begun.reverting(by: VolumeEpoch(5))
    #expect(back.epoch == MembershipEpoch(3))
    #expect(back.members == first.members && back.rule == first.rule && back.pending == nil)
  }

  @Test func committedRuleFollowsWhenAMemberInTheMiddleGoes() throws {
    let begun = try policy.replacing(
      NodeID(2), with: member(6, zone: 1), in: configuration(of: policy), target: .zero, by: VolumeEpoch(1))
    #expect(begun.pending == four("ABDEFG"))
    let done = try begun.committing(by: VolumeEpoch(1))
    #expect(done.members.map(\.node.value) == [0, 1, 3, 4, 5, 6])
    #expect(done.rule == four("ABCDEF"))
  }

  @Test func aFailedNewcomerIsReplacedInFlight() throws {
    let first = configuration(of: policy)
    let one = try policy.replacing(NodeID(5), with: member(6, zone: 2), in: first, target: LSN(5), by: VolumeEpoch(1))
    let two = try policy.replacing(NodeID(6), with: member(7, zone: 2), in: one, target: LSN(9), by: VolumeEpoch(1))
    #expect(two.members.map(\.node.value) == [0, 1, 2, 3, 4, 5, 7])
    #expect(two.rule == four("ABCDEF") && two.pending == four("ABCDEG") && two.hydrationTarget == LSN(9))
    // The old one comes back instead.
    let back = try policy.replacing(NodeID(7), with: member(5, zone: 2), in: two, target: LSN(9), by: VolumeEpoch(1))
    #expect(back.members == first.members && back.pending == first.rule)
  }

  @Test func zoneIsLostAndReturns() throws {
    let first = configuration(of: policy)
    let losing = try policy.losingZone(ZoneID(1), in: first, target: LSN(3), by: VolumeEpoch(1))
    #expect(losing.rule == four("ABCDEF"))
    #expect(losing.pending?.description == "W (3/ABEF) R (2/ABEF)")
    // Those that are left carry both rules.
    #expect(losing.isWriteQuorum(MemberSet("ABEF")))
    let lost = try losing.committing(by: VolumeEpoch(1))
    #expect(lost.members.map(\.node.value) == [0, 1, 4, 5])
    #expect(lost.rule.description == "W (3/ABCD) R (2/ABCD)")
    // A repair while the zone is away.
    let repaired = try policy.replacing(
      NodeID(0), with: member(9, zone: 0), in: lost, target: LSN(4), by: VolumeEpoch(1)
    ).committing(by: VolumeEpoch(1))
    #expect(repaired.rule.description == "W (3/ABCD) R (2/ABCD)")
    let returning = try policy.returningZone(
      [member(2, zone: 1), member(3, zone: 1)], in: repaired, target: LSN(8), by: VolumeEpoch(2))
    #expect(returning.pending == four("ABCDEF"))
    let full = try returning.committing(by: VolumeEpoch(2))
    #expect(full.members.map(\.node.value) == [1, 4, 5, 9, 2, 3])
    #expect(full.rule == four("ABCDEF") && full.epoch == MembershipEpoch(7))
  }

  @Test func zoneIsLostDuringAReplacementInIt() throws {
    let one = try policy.replacing(
      NodeID(5), with: member(6, zone: 2), in: configuration(of: policy), target: LSN(5), by: VolumeEpoch(1))
    let losing = try policy.losingZone(ZoneID(2), in: one, target: LSN(6), by: VolumeEpoch(1))
    #expect(losing.members.map(\.node.value) == [0, 1, 2, 3, 4, 5])
    #expect(losing.pending?.description == "W (3/ABCD) R (2/ABCD)")
  }

  @Test func plansAreTheSameAsTheirHelpers() throws {
    let first = configuration(of: policy)
    let one = VolumeEpoch(1)
    let new = member(6, zone: 2)
    let begun = try policy.configuration(after: .replace(NodeID(5), with: new), from: first, target: LSN(1), by: one)
    #expect(begun == (try policy.replacing(NodeID(5), with: new, in: first, target: LSN(1), by: one)))
    #expect(
      try policy.configuration(after: .commit, from: begun, target: .zero, by: one) == begun.committing(by: one))
    #expect(
      try policy.configuration(after: .revert, from: begun, target: .zero, by: one) == begun.reverting(by: one))
    let losing = try policy.configuration(after: .loseZone(ZoneID(0)), from: first, target: LSN(1), by: one)
    let gone = Array(first.members[..<2])
    let lost = try losing.committing(by: one)
    #expect(
      try policy.configuration(after: .returnZone(gone), from: lost, target: LSN(1), by: one).targetMembers.count == 6)
  }

  @Test func whatCannotBeIsRefused() throws {
    let first = configuration(of: policy)
    let one = VolumeEpoch(1)
    let new = member(6, zone: 2)
    #expect(
      code { () throws(ReplicationPolicyError) in
        try policy.replacing(NodeID(8), with: new, in: first, target: .zero, by: one)
      } == .notMember)
    #expect(
      code { () throws(ReplicationPolicyError) in
        try policy.replacing(NodeID(5), with: member(4, zone: 2), in: first, target: .zero, by: one)
      } == .alreadyMember)
    #expect(
      code { () throws(ReplicationPolicyError) in
        try policy.replacing(NodeID(5), with: member(5, zone: 2), in: first, target: .zero, by: one)
      } == .alreadyMember)
    #expect(code { () throws(ReplicationPolicyError) in try first.committing(by: one) } == .noTransition)
    #expect(code { () throws(ReplicationPolicyError) in try first.reverting(by: one) } == .noTransition)
    #expect(
      code { () throws(ReplicationPolicyError) in
        try policy.losingZone(ZoneID(7), in: first, target: .zero, by: one)
      } == .notMember)
    #expect(
      code { () throws(ReplicationPolicyError) in
        try MajorityPolicy().losingZone(ZoneID(0), in: configuration(of: .majority), target: .zero, by: one)
      } == .unsupported)
    #expect(
      code { () throws(ReplicationPolicyError) in
        try policy.returningZone([new], in: first, target: .zero, by: one)
      } == .unsupported)
    // Two zones lost leave no rule.
    let lost = try policy.losingZone(ZoneID(0), in: first, target: .zero, by: one).committing(by: one)
    #expect(
      code { () throws(ReplicationPolicyError) in
        try policy.losingZone(ZoneID(1), in: lost, target: .zero, by: one)
      } == .unsupported)
    var last = first
    last.epoch = MembershipEpoch(.max)
    #expect(
      code { () throws(ReplicationPolicyError) in
        try policy.replacing(NodeID(5), with: new, in: last, target: .zero, by: one)
      } == .epochExhausted)
  }

  /// Random walks through plans keep acknowledged data within reach.
  ///
  /// Recovery by the rule in force always meets what the last writer could acknowledge, and hydrated data is met after the commit. Data is modelled as a set of nodes, not of bits.
  @Test func randomWalksKeepDataReachable() throws {
    let seed: UInt64 = 2_026
    var g = DeterministicGenerator(seed: seed)
    var commits = 0
    for round in 0..<150 {
      let policy: any ReplicationPolicy = g.chance(1, in: 2) ? AuroraPolicy() : FullAndTailPolicy()
      var c = configuration(of: policy)
      var fresh: UInt32 = 100
      for step in 0..<12 {
        let before = c
        let target = LSN(UInt64(step))
        let plan: MembershipPlan
        switch g.index(6) {
        case 0, 1:
          let bits = (0..<c.members.count).filter { c.targetMembers.contains(MemberSet(member: $0)) }
          let old = c.members[bits[g.index(bits.count)]]
          fresh += 1
          plan = .replace(old.node, with: SegmentMember(node: NodeID(fresh), zone: old.zone, kind: old.kind))
        case 2: plan = .loseZone(ZoneID(UInt8(g.index(3))))
        case 3:
          let there = c.targetMembers.filter(c.members) { _ in true }
          let zones = (0..<3).filter { z in there.filter(c.members) { Int($0.zone.value) == z }.isEmpty }
          guard let zone = zones.first else { continue }
          plan = .returnZone(
            policy.slots.filter { $0.zone == zone }.map { slot in
              fresh += 1
              return SegmentMember(node: NodeID(fresh), zone: ZoneID(UInt8(zone)), kind: slot.kind)
            })
        case 4: plan = .commit
        default: plan = .revert
        }
        do {
          c = try policy.configuration(after: plan, from: c, target: target, by: VolumeEpoch(1))
        } catch {
          #expect(c == before)
          continue
        }
        let label = "seed \(seed) round \(round) step \(step): \(plan)"
        #expect(c.epoch == before.epoch.next, "\(label)")
        if case .commit = plan { commits += 1 }
        // What was acknowledged before, as nodes; at a commit, hydration has brought it to the pending rule.
        for set in allSets(before.members.count) where before.isWriteQuorum(set) {
          let nodes = before.members.indices.filter { set.contains(MemberSet(member: $0)) }.map {
            before.members[$0].node
          }
          var holders = MemberSet()
          for node in nodes { if let i = c.index(of: node) { holders.insert(MemberSet(member: i)) } }
          #expect(!c.isReadQuorum(MemberSet.first(c.members.count).subtracting(holders)), "\(label) \(set)")
        }
        #expect(try c.encoded().withUnsafeBytes { try GroupConfiguration.decode($0) } == c, "\(label)")
      }
    }
    #expect(commits > 50, "seed \(seed): \(commits) commits prove little")
  }
}
