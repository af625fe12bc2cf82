public import BorealisCore
public import BorealisWire

/// What a writer sends to each copy for a change.
public enum ReplicationPayload: String, Sendable, Hashable {
  /// Redo log records: the changed bytes of a page. Source: P17 §3.2.
  case logRecords
  /// The whole of each changed page: the mirrored baseline that the papers compare with.
  case pageImages
}

/// One copy that a policy asks for: in which of its zones, and whether it keeps pages.
public struct CopySlot: Sendable, Hashable {
  /// Which zone, counted from 0; placement maps it to a `ZoneID` of the topology.
  public var zone: Int
  /// Whether the copy keeps pages.
  public var kind: SegmentKind
  /// Makes a slot.
  public init(zone: Int, kind: SegmentKind = .full) {
    self.zone = zone
    self.kind = kind
  }
  /// `copiesPerZone` full copies in each of `zones` zones.
  public static func full(copiesPerZone: Int, zones: Int) -> [CopySlot] {
    (0..<zones).flatMap { zone in (0..<copiesPerZone).map { _ in CopySlot(zone: zone) } }
  }
}

/// A storage node and the zone it stands in: the topology is an array of these.
public struct NodePlacement: Sendable, Hashable {
  /// The node.
  public var node: NodeID
  /// Its zone.
  public var zone: ZoneID
  /// Makes one.
  public init(node: NodeID, zone: ZoneID) {
    self.node = node
    self.zone = zone
  }
}

/// How many copies a protection group has, where they stand, which sets of them form quorums, and what they are sent.
///
/// Contract (the conformance suite cites these numbers):
/// 1. `slots` has 1...14 entries whose zones are 0..<`zones`, none left out, and does not change.
/// 2. `rule` and `zoneLostRule` are functions of their arguments only, and name no member outside the set given.
/// 3. Of every membership that a transition can lead to, every read quorum meets every write quorum, and every two
///    write quorums meet. `validate()` checks this by enumeration, through every transition.
/// 4. The whole membership is a write quorum and a read quorum of its rule.
/// 5. `place` is deterministic, gives each slot a node of its own in one zone per zone index, and spreads groups.
///
/// Implementing: give `name`, `slots` and `rule`; everything else has a default. Call `validate()` in a test.
public protocol ReplicationPolicy: Sendable {
  /// A short name for people and command lines: `aurora`.
  var name: String { get }
  /// The copies of each group.
  var slots: [CopySlot] { get }
  /// Number of copies of each group; by default, of slots.
  var copies: Int { get }
  /// Number of zones; by default, one more than the highest in `slots`.
  var zones: Int { get }
  /// What each copy is sent; log records by default.
  var payload: ReplicationPayload { get }
  /// The quorum rule of a group whose members are those of `members` that `active` names.
  ///
  /// `members` may hold others too, old and new ones during a transition; bits of the rule are indexes into it.
  func rule(for active: MemberSet, of members: [SegmentMember]) -> QuorumRule
  /// The rule to use for as long as a zone is lost, over the `survivors`; nil (the default) where the policy has none.
  func zoneLostRule(for survivors: MemberSet, of members: [SegmentMember]) -> QuorumRule?
  /// Chooses a node for every slot of `group`; round robin over the nodes of each zone by default.
  func place(
    group: ProtectionGroupID, over nodes: [NodePlacement]
  ) throws(ReplicationPolicyError) -> [SegmentMember]
}

extension ReplicationPolicy {
  /// The number of slots.
  public var copies: Int { slots.count }
  /// One more than the highest zone index of a slot.
  public var zones: Int { (slots.map(\.zone).max() ?? -1) + 1 }
  /// Log records.
  public var payload: ReplicationPayload { .logRecords }
  /// None.
  public func zoneLostRule(for survivors: MemberSet, of members: [SegmentMember]) -> QuorumRule? { nil }
  /// The rule of a group that has exactly these members.
  public func rule(members: [SegmentMember]) -> QuorumRule { rule(for: .first(members.count), of: members) }
  /// Which segment kinds the slots have, in slot order.
  public var kinds: [SegmentKind] { slots.map(\.kind) }
}

extension MemberSet {
  /// Those of the set that `isIncluded` accepts.
  public func filter(_ members: [SegmentMember], _ isIncluded: (SegmentMember) -> Bool) -> MemberSet {
    var result = MemberSet()
    for i in members.indices where contains(MemberSet(member: i)) && isIncluded(members[i]) {
      result.insert(MemberSet(member: i))
    }
    return result
  }
}
