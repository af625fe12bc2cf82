public import BorealisCore
public import BorealisReplicationPolicy
import BorealisWire

// Opening after a zone and one copy more were lost for good (P17 §2.1, "AZ+1"): a read quorum is left, no write quorum.
//
// Aurora's promise is that a read quorum is enough to make a write quorum anew. With the policy's rule for a lost zone that
// takes no new copy: of the four members outside the zone three are left, which write by 3/4. Repair goes on from there.
//
// It takes somebody's word, since silence proves nothing: two read quorums of three can be disjoint, and what looks lost from
// here may have gone on without us. With the word true, that the disks of these nodes are gone and never come back:
//
// - Every other node has answered: there is nobody left who could have been acknowledged, or hold a later configuration.
// - Those who answered are a read quorum of the rule in force: the end of the log is found by it, as always, and everything
//   up to it is on a write quorum of the new rule before anybody hears of that rule.
// - It opens only when a read quorum of the old rule holds the new configuration: later openers find it.
extension VolumeRecovery {
  /// What to go on without.
  public struct Rebuild: Sendable {
    /// Nodes whose disks are gone for good, all of some zone among them.
    public var lost: [NodeID]
    /// The volume's policy.
    public var policy: any ReplicationPolicy
    /// Makes one.
    public init(lost: [NodeID], policy: any ReplicationPolicy) {
      self.lost = lost
      self.policy = policy
    }
  }

  /// What the group becomes without the lost zone; nil where its rule can be met as it is, or nothing can be done.
  func successor(of id: Int) -> GroupConfiguration? {
    guard let rebuild, let configuration = groups[id].configuration, !configuration.isHandedOver else { return nil }
    let answered = groups[id].answered
    guard !configuration.rule.isWriteQuorum(answered), isSilenceExplained(id, rebuild) else { return nil }
    let members = configuration.rule.members
    for (index, member) in configuration.members.enumerated() where members.contains(MemberSet(member: index)) {
      let inZone = members.filter(configuration.members) { $0.zone == member.zone }
      guard inZone == inZone.filter(configuration.members, { rebuild.lost.contains($0.node) }),
        let next = try? rebuild.policy.givingUp(member.zone, in: configuration, by: epoch),
        next.rule.isWriteQuorum(next.set { node in groups[id].answers.contains { $0.node == node } })
      else { continue }
      return next
    }
    return nil
  }

  /// Whether everybody who is not said to be lost has answered.
  private func isSilenceExplained(_ id: Int, _ rebuild: Rebuild) -> Bool {
    guard let configuration = groups[id].configuration else { return false }
    return nodes.allSatisfy { node in
      if rebuild.lost.contains(node) { return true }
      let isMember = configuration.index(of: node) != nil
      return isMember ? groups[id].answers.contains { $0.node == node } : inventoried.contains(node)
    }
  }

  /// Puts it in force for this opening: from here on it is proposed.
  mutating func adoptSuccessor(of id: Int) {
    guard let successor = groups[id].successor else { return }
    groups[id].predecessor = groups[id].configuration
    groups[id].configuration = successor
    groups[id].successor = nil
  }
}
