import BorealisConformance
import BorealisCore
import BorealisReplicationPolicy
import BorealisWire
import Testing

@Suite struct PlacementTests {
  private func nodes(_ perZone: [Int]) -> [NodePlacement] {
    var next: UInt32 = 0
    return perZone.enumerated().flatMap { zone, count in
      (0..<count).map { _ in
        defer { next += 1 }
        return NodePlacement(node: NodeID(next), zone: ZoneID(UInt8(zone)))
      }
    }
  }

  @Test func sixNodesGiveTwoPerZone() throws {
    let placed = try AuroraPolicy().place(group: ProtectionGroupID(0), over: nodes([2, 2, 2]))
    #expect(placed.map(\.node.value) == [0, 1, 2, 3, 4, 5])
    #expect(placed.map(\.zone.value) == [0, 0, 1, 1, 2, 2])
  }

  @Test func groupsTakeTurnsAndFullCopiesRotate() throws {
    let full = try (0..<12).map { group in
      try FullAndTailPolicy().place(group: ProtectionGroupID(UInt32(group)), over: nodes([2, 2, 2]))[0].node.value
    }
    #expect(full.count { $0 == 0 } == 6 && full.count { $0 == 1 } == 6)
    let three = try (0..<3).map { group in
      try AuroraPolicy().place(group: ProtectionGroupID(UInt32(group)), over: nodes([3, 3, 3]))[..<2].map(\.node.value)
    }
    #expect(three == [[0, 1], [2, 0], [1, 2]])
  }

  @Test func moreZonesThanNeededTakeTurns() throws {
    let zones = try (0..<3).map { group in
      try SingleCopyPolicy().place(group: ProtectionGroupID(UInt32(group)), over: nodes([1, 1, 1]))[0].zone.value
    }
    #expect(zones == [0, 1, 2])
  }

  @Test func tooFewNodesNamesZoneAndNumber() throws {
    let error = #expect(throws: ReplicationPolicyError.self) {
      try AuroraPolicy().place(group: ProtectionGroupID(0), over: nodes([2, 1, 2]))
    }
    #expect(error?.code == .tooFewNodes && error?.zone == ZoneID(1))
    #expect(error?.description.contains("zone b has 1 nodes, policy aurora needs 2") == true)
    let zones = #expect(throws: ReplicationPolicyError.self) {
      try AuroraPolicy().place(group: ProtectionGroupID(0), over: nodes([2, 2]))
    }
    #expect(zones?.description.contains("the topology has 2 zones, policy aurora needs 3") == true)
    let short = #expect(throws: ReplicationPolicyError.self) {
      try AuroraPolicy().place(group: ProtectionGroupID(0), over: nodes([2, 2, 1, 1]))
    }
    #expect(short?.zone == ZoneID(2))
  }

  @Test func aNodeNamedTwiceIsRefused() {
    var topology = nodes([2, 2, 2])
    topology.append(NodePlacement(node: NodeID(0), zone: ZoneID(2)))
    let error = #expect(throws: ReplicationPolicyError.self) {
      try AuroraPolicy().place(group: ProtectionGroupID(0), over: topology)
    }
    #expect(error?.code == .duplicateNode)
  }

  @Test func firstConfigurationCarriesGeometryAndProposer() throws {
    let c = try AuroraPolicy().firstConfiguration(
      group: ProtectionGroupID(0), over: nodes([2, 2, 2]), geometry: 3, proposedBy: VolumeEpoch(9))
    #expect(c.epoch == MembershipEpoch(1) && c.geometry == 3 && c.proposedBy == VolumeEpoch(9))
    #expect(c.rule == four("ABCDEF") && c.pending == nil)
  }
}

/// Every built-in policy and one of a user's own against the conformance suite, and broken ones that it must reject.
@Suite struct PolicyConformanceTests {
  @Test(arguments: ReplicationPolicyConformance.checks)
  func builtInPoliciesConform(check: ReplicationPolicyConformance.Check) throws {
    for policy in BuiltInPolicies.all { try check.run(policy) }
  }

  @Test(arguments: ReplicationPolicyConformance.checks)
  func aUsersPolicyConforms(check: ReplicationPolicyConformance.Check) throws {
    try check.run(QuorumPolicy(name: "five", slots: CopySlot.full(copiesPerZone: 1, zones: 5), write: 3, read: 3))
  }

  private func rejected(_ policy: any ReplicationPolicy) -> [String] {
    ReplicationPolicyConformance.checks.filter { check in
      do throws(ConformanceFailure) { try check.run(policy) } catch { return true }
      return false
    }.map(\.name)
  }

  @Test func brokenPoliciesAreRejectedByTheCheckForTheirPromise() {
    let six = CopySlot.full(copiesPerZone: 2, zones: 3)
    #expect(
      rejected(QuorumPolicy(name: "gap", slots: [CopySlot(zone: 1)], write: 1, read: 1)).first?.hasPrefix("1 slots")
        == true)
    #expect(
      rejected(QuorumPolicy(name: "weak", slots: six, write: 4, read: 2)).contains(
        "3 quorums meet, by looking at every pair"))
    #expect(
      rejected(QuorumPolicy(name: "weak", slots: six, write: 4, read: 2)).contains(
        "3 quorums meet, through every transition"))
    #expect(
      rejected(QuorumPolicy(name: "none", slots: six, write: 7, read: 3)).contains(
        "4 all members are a quorum and none are not"))
    #expect(rejected(OnNodeNumbers()).contains("2 a rule depends on its arguments only"))
    #expect(rejected(OnPositions()).contains("2 a rule follows its members to other positions"))
    #expect(rejected(AlwaysFirst()) == ["5 placement spreads groups"])
    #expect(rejected(OneNode()).contains("5 placement gives each slot a node in its zone"))
    #expect(rejected(Wraps()).contains("5 placement names the zone that lacks nodes"))
    #expect(rejected(TooManyClauses()).contains("4 configurations survive encoding"))
  }
}

private struct OnNodeNumbers: ReplicationPolicy {
  let name = "numbers"
  let slots = CopySlot.full(copiesPerZone: 2, zones: 3)
  func rule(for active: MemberSet, of members: [SegmentMember]) -> QuorumRule {
    let writes = members[0].node.value >= 100 ? 5 : 4
    return QuorumRule(write: [[Threshold(writes, of: active)]], read: [[Threshold(3, of: active)]])
  }
}

private struct OnPositions: ReplicationPolicy {
  let name = "positions"
  let slots = CopySlot.full(copiesPerZone: 2, zones: 3)
  func rule(for active: MemberSet, of members: [SegmentMember]) -> QuorumRule { four("ABCDEF") }
}

private struct AlwaysFirst: ReplicationPolicy {
  let name = "first"
  let slots = CopySlot.full(copiesPerZone: 2, zones: 3)
  func rule(for active: MemberSet, of members: [SegmentMember]) -> QuorumRule {
    AuroraPolicy().rule(for: active, of: members)
  }
  func place(group: ProtectionGroupID, over nodes: [NodePlacement]) throws(ReplicationPolicyError) -> [SegmentMember] {
    try placeRoundRobin(group: ProtectionGroupID(0), over: nodes)
  }
}

private struct OneNode: ReplicationPolicy {
  let name = "one node"
  let slots = CopySlot.full(copiesPerZone: 2, zones: 1)
  func rule(for active: MemberSet, of members: [SegmentMember]) -> QuorumRule {
    QuorumRule(write: [[Threshold(2, of: active)]], read: [[Threshold(1, of: active)]])
  }
  func place(group: ProtectionGroupID, over nodes: [NodePlacement]) throws(ReplicationPolicyError) -> [SegmentMember] {
    let one = nodes[Int(group.value) % nodes.count]
    return slots.map { _ in SegmentMember(node: one.node, zone: one.zone) }
  }
}

/// Puts two copies on one node rather than say that a zone is short.
private struct Wraps: ReplicationPolicy {
  let name = "wraps"
  let slots = CopySlot.full(copiesPerZone: 2, zones: 1)
  func rule(for active: MemberSet, of members: [SegmentMember]) -> QuorumRule {
    QuorumRule(write: [[Threshold(2, of: active)]], read: [[Threshold(1, of: active)]])
  }
  func place(group: ProtectionGroupID, over nodes: [NodePlacement]) throws(ReplicationPolicyError) -> [SegmentMember] {
    let sorted = nodes.sorted { $0.node < $1.node }
    return slots.indices.map { i in
      let chosen = sorted[(Int(group.value) + i) % sorted.count]
      return SegmentMember(node: chosen.node, zone: chosen.zone)
    }
  }
}

private struct TooManyClauses: ReplicationPolicy {
  let name = "clauses"
  let slots = CopySlot.full(copiesPerZone: 1, zones: 1)
  func rule(for active: MemberSet, of members: [SegmentMember]) -> QuorumRule {
    let one = Threshold(1, of: active)
    return QuorumRule(write: Array(repeating: [one], count: 256), read: [[one]])
  }
}
