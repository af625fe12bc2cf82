import BorealisCore
import BorealisReplicationPolicy
import BorealisWire

// Dumb counterparts of the clever algorithms: sets of letters and loops over all pairs.

/// All subsets of the first `count` members.
func allSets(_ count: Int) -> [MemberSet] {
  (0..<(1 << count)).map { MemberSet(rawValue: UInt16(truncatingIfNeeded: $0)) }
}

/// The quorums from which nobody can be left out, by trying every smaller set.
func minimalByPairs(_ count: Int, _ isQuorum: (MemberSet) -> Bool) -> [MemberSet] {
  let quorums = allSets(count).filter(isQuorum)
  return quorums.filter { set in !quorums.contains { $0 != set && $0.isSubset(of: set) } }
}

/// Every pair of one minimal quorum each that has no member in common.
func missingPairs(
  _ count: Int, _ a: (MemberSet) -> Bool, _ b: (MemberSet) -> Bool
) -> [(MemberSet, MemberSet)] {
  let others = minimalByPairs(count, b)
  return minimalByPairs(count, a).flatMap { x in others.filter { $0.isDisjoint(with: x) }.map { (x, $0) } }
}

extension MemberSet {
  /// `"ABC"`.
  init(_ letters: String) {
    self.init()
    for byte in letters.utf8 { insert(MemberSet(member: Int(byte - UInt8(ascii: "A")))) }
  }
}

/// Six members A...F in zones a, a, b, b, c, c with the kinds of `policy`.
func letters(of policy: any ReplicationPolicy) -> [SegmentMember] {
  policy.slots.enumerated().map { index, slot in
    SegmentMember(node: NodeID(UInt32(index)), zone: ZoneID(UInt8(slot.zone)), kind: slot.kind)
  }
}

/// The first configuration over `letters(of:)`.
func configuration(of policy: any ReplicationPolicy) -> GroupConfiguration {
  let members = letters(of: policy)
  return GroupConfiguration(
    group: ProtectionGroupID(0), epoch: MembershipEpoch(1), proposedBy: VolumeEpoch(1), members: members,
    rule: policy.rule(members: members))
}

/// Four of / three of the six letters named.
func four(_ letters: String) -> QuorumRule {
  QuorumRule(write: [[Threshold(4, of: MemberSet(letters))]], read: [[Threshold(3, of: MemberSet(letters))]])
}
