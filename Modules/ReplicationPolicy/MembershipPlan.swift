public import BorealisCore
public import BorealisWire

/// A change of a group's members, as asked for by an operator or by repair.
public enum MembershipPlan: Sendable, Hashable {
  /// Begins to put `with` in the place of a member.
  case replace(NodeID, with: SegmentMember)
  /// Begins to go on without a zone.
  case loseZone(ZoneID)
  /// Begins to go back to all copies, these added.
  case returnZone([SegmentMember])
  /// Ends the transition: the pending rule takes over.
  case commit
  /// Ends the transition: the old rule stays.
  case revert
}

// A transition keeps `rule` and sets `pending`: writes need both, recovery reads by `rule` alone. Whatever `pending` was
// before, data is therefore always on a write quorum of `rule`, and `pending` may be replaced by another one at any time:
// that is how a second failure, or the loss of a zone, is handled in the middle of a transition. Protocol §5.8.
extension ReplicationPolicy {
  /// The configuration that `plan` leads to, one membership epoch later.
  ///
  /// - Parameters:
  ///   - target: PGCL at the moment from which the writer counts acknowledgements by both rules; records at or below it
  ///     may be on a write quorum of the old rule only, and must be hydrated before the commit.
  ///   - epoch: the volume epoch of the proposing writer.
  public func configuration(
    after plan: MembershipPlan, from current: GroupConfiguration, target: LSN, by epoch: VolumeEpoch
  ) throws(ReplicationPolicyError) -> GroupConfiguration {
    switch plan {
    case .replace(let old, let new): try replacing(old, with: new, in: current, target: target, by: epoch)
    case .loseZone(let zone): try losingZone(zone, in: current, target: target, by: epoch)
    case .returnZone(let members): try returningZone(members, in: current, target: target, by: epoch)
    case .commit: try current.committing(by: epoch)
    case .revert: try current.reverting(by: epoch)
    }
  }

  /// Begins to replace the member on node `old` by `new`; or, in a transition, replaces it in what is to come.
  ///
  /// - Throws: `.notMember`, `.alreadyMember`, `.tooManyMembers`, `.unsupported`, or what the check of the new rule says.
  public func replacing(
    _ old: NodeID, with new: SegmentMember, in current: GroupConfiguration, target: LSN, by epoch: VolumeEpoch
  ) throws(ReplicationPolicyError) -> GroupConfiguration {
    guard let index = current.index(of: old), current.targetMembers.contains(MemberSet(member: index)) else {
      throw ReplicationPolicyError(.notMember, detail: "\(old) in \(current.group)")
    }
    var next = current
    let added = try next.add(new)
    let active = current.targetMembers.subtracting(MemberSet(member: index)).union(added)
    return try begin(next, active: active, target: target, by: epoch, step: "replacing \(old) by \(new.node)")
  }

  /// Begins to go on without the members in `zone`, by the policy's rule for a lost zone.
  ///
  /// - Throws: `.notMember` where the group has no member there, `.unsupported` where the policy has no such rule.
  public func losingZone(
    _ zone: ZoneID, in current: GroupConfiguration, target: LSN, by epoch: VolumeEpoch
  ) throws(ReplicationPolicyError) -> GroupConfiguration {
    let lost = current.targetMembers.filter(current.members) { $0.zone == zone }
    guard !lost.isEmpty else {
      throw ReplicationPolicyError(.notMember, zone: zone, detail: "no member in zone \(zone)")
    }
    return try begin(
      current, active: current.targetMembers.subtracting(lost), target: target, by: epoch, step: "zone \(zone) lost")
  }

  /// Begins to go back to all copies by adding `members` (new ones, or those that were lost).
  ///
  /// - Throws: `.alreadyMember`, `.unsupported` unless that makes as many copies as the policy has.
  public func returningZone(
    _ members: [SegmentMember], in current: GroupConfiguration, target: LSN, by epoch: VolumeEpoch
  ) throws(ReplicationPolicyError) -> GroupConfiguration {
    var next = current
    var active = current.targetMembers
    for member in members { active.formUnion(try next.add(member)) }
    guard active.count == copies, !members.isEmpty else {
      throw ReplicationPolicyError(
        .unsupported, detail: "\(active.count) members after the return, policy \(name) has \(copies) copies")
    }
    return try begin(next, active: active, target: target, by: epoch, step: "zone returned")
  }

  /// The configuration in which an opener goes on without a zone of whose old rule only a read quorum is left.
  ///
  /// Not a transition: the old rule's write quorum cannot be had any more. It is for an opener alone, who was told that
  /// the copies are gone for good: `VolumeRecovery+Rebuild`.
  /// - Throws: `.notMember` where the group has no member there, `.unsupported` where the policy has no rule for it.
  public func givingUp(
    _ zone: ZoneID, in current: GroupConfiguration, by epoch: VolumeEpoch
  ) throws(ReplicationPolicyError) -> GroupConfiguration {
    let members = current.rule.members
    let lost = members.filter(current.members) { $0.zone == zone }
    guard !lost.isEmpty else {
      throw ReplicationPolicyError(.notMember, zone: zone, detail: "no member in zone \(zone)")
    }
    let kept = members.subtracting(lost)
    guard zoneLostRule(for: kept, of: current.members) != nil else {
      throw ReplicationPolicyError(
        .unsupported, step: "zone \(zone) given up", detail: "policy \(name) has no rule for \(kept.count) copies")
    }
    var next = try current.following(by: epoch)
    next.pending = nil
    next.hydrationTarget = .zero
    next.keepOnly(kept)
    guard let rule = zoneLostRule(for: .first(next.members.count), of: next.members) else {
      throw ReplicationPolicyError(.unsupported, step: "zone \(zone) given up")
    }
    next.rule = rule
    return next
  }

  /// The rule over `active`: the full one where all copies are there, else the one for a lost zone.
  func ruleInForce(for active: MemberSet, of members: [SegmentMember]) -> QuorumRule? {
    active.count == copies ? rule(for: active, of: members) : zoneLostRule(for: active, of: members)
  }

  private func begin(
    _ current: GroupConfiguration, active: MemberSet, target: LSN, by epoch: VolumeEpoch, step: String
  ) throws(ReplicationPolicyError) -> GroupConfiguration {
    let kept = current.rule.members.union(active)
    var next = try current.following(by: epoch)
    next.keepOnly(kept)
    guard let pending = ruleInForce(for: active.compacted(keeping: kept), of: next.members) else {
      throw ReplicationPolicyError(
        .unsupported, step: step, detail: "policy \(name) has no rule for \(active.count) of \(copies) copies")
    }
    next.pending = pending
    next.hydrationTarget = current.pending == nil ? target : max(target, current.hydrationTarget)
    try checkTransition(next, expecting: active.compacted(keeping: kept), step: step)
    return next
  }
}

extension GroupConfiguration {
  /// The members of the rule in force.
  public var activeMembers: MemberSet { rule.members }
  /// The members that the group will have when the transition is over; outside one, those it has.
  public var targetMembers: MemberSet { (pending ?? rule).members }

  /// Ends the transition with the pending rule in force, one membership epoch later; members it does not name go.
  ///
  /// The caller has made sure of hydration: a write quorum of the pending rule holds everything up to `hydrationTarget`.
  /// This is the one step of P18 §4.1; the writer takes it by way of a handover, in which both rules still hold, so that
  /// an opener that finds the step half made can tell on whom to complete it.
  /// - Throws: `.noTransition`, `.epochExhausted`.
  public func committing(by epoch: VolumeEpoch) throws(ReplicationPolicyError) -> GroupConfiguration {
    guard let pending else { throw ReplicationPolicyError(.noTransition, detail: "commit of \(group)") }
    var next = try following(by: epoch)
    next.rule = pending
    next.pending = nil
    next.hydrationTarget = .zero
    next.keepOnly(pending.members)
    return next
  }

  /// Ends the transition with the old rule in force, one membership epoch later; safe at any time.
  ///
  /// - Throws: `.noTransition`, `.epochExhausted`.
  public func reverting(by epoch: VolumeEpoch) throws(ReplicationPolicyError) -> GroupConfiguration {
    guard pending != nil else { throw ReplicationPolicyError(.noTransition, detail: "revert of \(group)") }
    var next = try following(by: epoch)
    next.pending = nil
    next.hydrationTarget = .zero
    next.keepOnly(rule.members)
    return next
  }

  /// A copy at the next membership epoch.
  func following(by proposer: VolumeEpoch) throws(ReplicationPolicyError) -> GroupConfiguration {
    guard epoch.value < .max else { throw ReplicationPolicyError(.epochExhausted) }
    var next = self
    next.epoch = epoch.next
    next.proposedBy = proposer
    return next
  }

  /// Adds a member, or finds it where it is still there from before; refused where it belongs to what is to come.
  mutating func add(_ member: SegmentMember) throws(ReplicationPolicyError) -> MemberSet {
    if let index = index(of: member.node) {
      let bit = MemberSet(member: index)
      guard members[index] == member, !targetMembers.contains(bit) else {
        throw ReplicationPolicyError(.alreadyMember, detail: "\(member.node) in \(group)")
      }
      return bit
    }
    guard members.count < Self.membersMax else { throw ReplicationPolicyError(.tooManyMembers) }
    members.append(member)
    return MemberSet(member: members.count - 1)
  }

  /// Drops all other members and moves the rules' bits along.
  mutating func keepOnly(_ kept: MemberSet) {
    members = members.indices.filter { kept.contains(MemberSet(member: $0)) }.map { members[$0] }
    rule = rule.compacted(keeping: kept)
    pending = pending.map { $0.compacted(keeping: kept) }
  }
}
