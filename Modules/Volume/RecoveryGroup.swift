import BorealisCore
import BorealisReplicationPolicy
import BorealisWire

/// What a recovery knows of one group.
struct RecoveryGroup: Sendable {
  /// The highest configuration known; nil until any is.
  var configuration: GroupConfiguration?
  /// What the group is to become without lost copies: its rule is what repair must meet; unknown to anybody else
  /// until everything is on a write quorum of it.
  var successor: GroupConfiguration?
  /// What was in force before `successor` was proposed.
  var predecessor: GroupConfiguration?
  /// Answers of nodes that have promised the epoch, members or not, in order of arrival.
  var answers: [RecoveryAnswer] = []
  /// Highest completeness known of each node that answered, as `answers`.
  var completeness: [LSN] = []
  /// Nodes that hold the list of this epoch.
  var truncated: [NodeID] = []
  /// Nodes that hold exactly `configuration`.
  var configured: [NodeID] = []
  /// Nodes that say that they have no segment of the group.
  var lacking: [NodeID] = []
  /// With the bug `sampleBeforeFencing`: nodes that promised after they were sampled.
  var fencedAfterSampling: [NodeID] = []
  /// Whether the group meets the present phase's condition.
  var isReady = false
  /// Turns through the possible sources of repair.
  var sourceTurn = 0

  /// Members whose node satisfies `predicate`.
  func members(where predicate: (NodeID) -> Bool) -> MemberSet {
    configuration?.set(where: predicate) ?? []
  }
  /// Members that have answered.
  var answered: MemberSet { members { node in answers.contains { $0.node == node } } }
  /// Members known to hold every record of the group at or below `lsn`.
  func members(completeTo lsn: LSN) -> MemberSet {
    members { node in
      for i in answers.indices where answers[i].node == node { return completeness[i] >= lsn }
      return false
    }
  }
  /// Whether the records at or below `lsn` are on a write quorum of the rule that the volume is to be opened with.
  func isRepaired(completeTo lsn: LSN) -> Bool {
    guard let target = successor ?? configuration else { return false }
    return target.rule.isWriteQuorum(
      target.set { node in
        for i in answers.indices where answers[i].node == node { return completeness[i] >= lsn }
        return false
      })
  }
  /// Whether enough nodes hold the configuration for nobody to open by the one before it any more.
  ///
  /// Every write quorum of that one, which an opener needs in the end, then has a member that tells of this one.
  var isPredecessorTold: Bool {
    guard let predecessor else { return true }
    return predecessor.isOpeningQuorum(predecessor.set { configured.contains($0) })
  }
  /// The answers that count: of members of the rule in force.
  ///
  /// A member of the coming rule alone may be half hydrated.
  var sample: [RecoveryAnswer] {
    guard let configuration else { return [] }
    let voters = configuration.openingMembers
    return answers.filter { answer in
      configuration.index(of: answer.node).map { voters.contains(MemberSet(member: $0)) } ?? false
    }
  }
  /// Whether the nodes form a read quorum.
  func isReadQuorum(_ nodes: [NodeID]) -> Bool {
    configuration?.isOpeningQuorum(members { nodes.contains($0) }) ?? false
  }
}

extension GroupConfiguration {
  /// Members whose node satisfies `predicate`.
  func set(where predicate: (NodeID) -> Bool) -> MemberSet {
    var set = MemberSet()
    for (i, member) in members.enumerated() where predicate(member.node) { set.insert(MemberSet(member: i)) }
    return set
  }
  /// Marks, as `hydrationTarget`, a transition whose new rule is already in force: `pending` is the rule being left.
  ///
  /// It is written until the next epoch drops it, and never comes into force. See `GroupMembership`.
  static var handedOver: LSN { .max }
  /// Whether this is a transition whose coming rule is not in force yet.
  var isHydrating: Bool { pending != nil && hydrationTarget != GroupConfiguration.handedOver }
  /// Whether this is a transition that only has to be settled.
  var isHandedOver: Bool { pending != nil && hydrationTarget == GroupConfiguration.handedOver }
  /// Whether an opener may conclude from these members' answers.
  ///
  /// A read quorum of the rule in force; after a handover one of both rules, because the handover may not be decided, and
  /// what was decided in its stead is on write quorums of the rule being left.
  func isOpeningQuorum(_ set: MemberSet) -> Bool {
    guard rule.isReadQuorum(set) else { return false }
    return isHandedOver ? pending?.isReadQuorum(set) ?? true : true
  }
  /// The members whose answers an opener counts.
  var openingMembers: MemberSet { isHandedOver ? rule.members.union(pending?.members ?? []) : rule.members }
  /// Whether `other` is the same proposal.
  func isSameProposal(as other: GroupConfiguration) -> Bool {
    epoch == other.epoch && proposedBy == other.proposedBy && group == other.group
  }
}
