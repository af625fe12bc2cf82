import BorealisCore
public import BorealisReplicationPolicy
import BorealisWire

/// The checks that every `ReplicationPolicy` has to pass; the numbers are those of the protocol's contract.
///
///     @Test(arguments: ReplicationPolicyConformance.checks)
///     func conforms(check: ReplicationPolicyConformance.Check) throws { try check.run(MyPolicy()) }
public enum ReplicationPolicyConformance {
  /// One named check.
  public struct Check: Sendable, CustomStringConvertible {
    /// The name, beginning with the number in the contract.
    public let name: String
    let body: @Sendable (any ReplicationPolicy) throws -> Void

    /// Runs the check.
    ///
    /// - Throws: the reason why `policy` does not pass.
    public func run(_ policy: any ReplicationPolicy) throws(ConformanceFailure) {
      do { try body(policy) } catch {
        throw ConformanceFailure(check: name, reason: "policy \(policy.name): \(error)")
      }
    }
    /// The name.
    public var description: String { name }
  }

  /// All checks.
  public static let checks: [Check] = [
    Check(name: "1 slots are well formed and stay the same", body: slotsAreWellFormed),
    Check(name: "2 a rule depends on its arguments only", body: ruleIsAFunction),
    Check(name: "2 a rule follows its members to other positions", body: ruleFollowsMembers),
    Check(name: "3 quorums meet, through every transition", body: quorumsMeet),
    Check(name: "3 quorums meet, by looking at every pair", body: everyPairMeets),
    Check(name: "4 all members are a quorum and none are not", body: extremes),
    Check(name: "4 configurations survive encoding", body: configurationsEncode),
    Check(name: "5 placement gives each slot a node in its zone", body: placementFollowsSlots),
    Check(name: "5 placement spreads groups", body: placementSpreads),
    Check(name: "5 placement names the zone that lacks nodes", body: placementRefuses),
  ]
}

private struct Violation: Error, CustomStringConvertible {
  let description: String
}

private func expect(_ condition: Bool, _ message: @autoclosure () -> String) throws {
  if !condition { throw Violation(description: message()) }
}

private func members(of policy: any ReplicationPolicy) -> [SegmentMember] {
  policy.slots.enumerated().map { index, slot in
    SegmentMember(
      node: NodeID(UInt32(index)), zone: ZoneID(UInt8(truncatingIfNeeded: slot.zone)), kind: slot.kind)
  }
}

/// A topology with `extra` nodes more than needed in each of the policy's zones.
private func topology(for policy: any ReplicationPolicy, extra: Int) -> [NodePlacement] {
  var next: UInt32 = 0
  return (0..<policy.zones).flatMap { zone in
    (0..<(policy.slots.count { $0.zone == zone } + extra)).map { _ in
      next += 1
      return NodePlacement(node: NodeID(next), zone: ZoneID(UInt8(zone)))
    }
  }
}

private func slotsAreWellFormed(_ policy: any ReplicationPolicy) throws {
  let slots = policy.slots
  try expect((1...14).contains(slots.count), "\(slots.count) slots")
  try expect(policy.copies == slots.count, "\(policy.copies) copies, \(slots.count) slots")
  try expect(policy.slots == slots, "slots changed")
  for zone in 0..<policy.zones { try expect(slots.contains { $0.zone == zone }, "no copy in zone \(zone)") }
  try expect(slots.allSatisfy { $0.zone >= 0 && $0.zone < policy.zones }, "a zone outside 0..<\(policy.zones)")
  try expect(!policy.name.isEmpty, "no name")
}

private func ruleIsAFunction(_ policy: any ReplicationPolicy) throws {
  let members = members(of: policy)
  let rule = policy.rule(members: members)
  for _ in 0..<3 { try expect(policy.rule(members: members) == rule, "two answers for the same members") }
  let renamed = members.map { SegmentMember(node: NodeID($0.node.value + 100), zone: $0.zone, kind: $0.kind) }
  try expect(policy.rule(members: renamed) == rule, "the rule depends on node numbers")
}

private func ruleFollowsMembers(_ policy: any ReplicationPolicy) throws {
  let members = members(of: policy)
  let plain = policy.rule(members: members)
  // The same members behind two others, which are not active.
  let shift = 2
  let extra = (0..<shift).map { SegmentMember(node: NodeID(200 + UInt32($0)), zone: ZoneID(0)) }
  let active = MemberSet(rawValue: MemberSet.first(members.count).rawValue << UInt16(shift))
  let moved = policy.rule(for: active, of: extra + members)
  try expect(moved.members.isSubset(of: active), "names \(moved.members) outside \(active)")
  for bits in 0..<(1 << members.count) {
    let set = MemberSet(rawValue: UInt16(truncatingIfNeeded: bits))
    let same = MemberSet(rawValue: set.rawValue << UInt16(shift))
    try expect(
      plain.isWriteQuorum(set) == moved.isWriteQuorum(same) && plain.isReadQuorum(set) == moved.isReadQuorum(same),
      "\(set) counts differently at other positions")
  }
}

private func quorumsMeet(_ policy: any ReplicationPolicy) throws { try policy.validate() }

private func everyPairMeets(_ policy: any ReplicationPolicy) throws {
  let members = members(of: policy)
  let rule = policy.rule(members: members)
  let sets = (0..<(1 << members.count)).map { MemberSet(rawValue: UInt16(truncatingIfNeeded: $0)) }
  let writes = sets.filter(rule.isWriteQuorum)
  let reads = sets.filter(rule.isReadQuorum)
  for write in writes {
    for read in reads { try expect(!write.isDisjoint(with: read), "reads \(read) miss writes \(write)") }
    for other in writes { try expect(!write.isDisjoint(with: other), "writes \(other) miss writes \(write)") }
  }
}

private func extremes(_ policy: any ReplicationPolicy) throws {
  let rule = policy.rule(members: members(of: policy))
  let all = MemberSet.first(policy.copies)
  try expect(rule.isWriteQuorum(all), "all members are no write quorum")
  try expect(rule.isReadQuorum(all), "all members are no read quorum")
  try expect(!rule.isWriteQuorum([]), "no member at all is a write quorum")
  try expect(!rule.isReadQuorum([]), "no member at all is a read quorum")
}

private func configurationsEncode(_ policy: any ReplicationPolicy) throws {
  let first = try policy.firstConfiguration(
    group: ProtectionGroupID(3), over: topology(for: policy, extra: 1), geometry: 0, proposedBy: VolumeEpoch(7))
  let old = first.members[0]
  let new = SegmentMember(node: NodeID(999), zone: old.zone, kind: old.kind)
  let begun = try policy.replacing(old.node, with: new, in: first, target: LSN(42), by: VolumeEpoch(8))
  let done = try begun.committing(by: VolumeEpoch(8))
  for configuration in [first, begun, done, try begun.reverting(by: VolumeEpoch(8))] {
    let bytes = configuration.encoded()
    let decoded = try bytes.withUnsafeBytes { try GroupConfiguration.decode($0) }
    try expect(decoded == configuration, "\(configuration) decodes to \(decoded)")
  }
  try expect(begun.epoch == first.epoch.next && done.epoch == begun.epoch.next, "an epoch was not raised by one")
  try expect(done.members.count == first.members.count && done.index(of: old.node) == nil, "the old member stayed")
}

private func placementFollowsSlots(_ policy: any ReplicationPolicy) throws {
  for extra in 0...3 {
    let nodes = topology(for: policy, extra: extra)
    for group in 0..<20 {
      let placed = try policy.place(group: ProtectionGroupID(UInt32(group)), over: nodes)
      let again = try policy.place(group: ProtectionGroupID(UInt32(group)), over: nodes.reversed())
      try expect(placed == again, "group \(group) is placed differently the second time")
      try expect(placed.map(\.kind) == policy.kinds, "kinds \(placed.map(\.kind))")
      var zones: [ZoneID?] = Array(repeating: nil, count: policy.zones)
      for (i, member) in placed.enumerated() {
        try expect(!placed[..<i].contains { $0.node == member.node }, "group \(group) has \(member.node) twice")
        let known = nodes.contains { $0.node == member.node && $0.zone == member.zone }
        try expect(known, "\(member.node) is not in zone \(member.zone)")
        let index = policy.slots[i].zone
        try expect(zones[index] == nil || zones[index] == member.zone, "zone index \(index) is split")
        zones[index] = member.zone
      }
      let distinct = Set(zones.compactMap { $0 }).count
      try expect(distinct == policy.zones, "\(distinct) zones for \(policy.zones)")
    }
  }
}

private func placementSpreads(_ policy: any ReplicationPolicy) throws {
  let nodes = topology(for: policy, extra: 2)
  var load = [UInt32: Int]()
  for group in 0..<240 {
    for member in try policy.place(group: ProtectionGroupID(UInt32(group)), over: nodes) {
      load[member.node.value, default: 0] += 1
    }
  }
  for zone in 0..<policy.zones {
    let loads = nodes.filter { Int($0.zone.value) == zone }.map { load[$0.node.value] ?? 0 }
    let (least, most) = (loads.min() ?? 0, loads.max() ?? 0)
    try expect(least > 0 && most <= 2 * least, "zone \(zone): nodes hold between \(least) and \(most) of 240 groups")
  }
}

private func placementRefuses(_ policy: any ReplicationPolicy) throws {
  let nodes = topology(for: policy, extra: 0)
  for zone in 0..<policy.zones {
    let id = ZoneID(UInt8(zone))
    guard let drop = nodes.firstIndex(where: { $0.zone == id }) else { continue }
    var fewer = nodes
    fewer.remove(at: drop)
    do {
      let placed = try policy.place(group: ProtectionGroupID(0), over: fewer)
      throw Violation(description: "placed \(placed) though zone \(id) lacks a node")
    } catch let error as ReplicationPolicyError {
      try expect(error.code == .tooFewNodes, "\(error.code) for a lack of nodes")
      // Where the zone's only node is gone, so is the zone.
      let stands = fewer.contains { $0.zone == id }
      try expect(error.zone == id || !stands, "named \(String(describing: error.zone)), not \(id)")
    }
  }
}
