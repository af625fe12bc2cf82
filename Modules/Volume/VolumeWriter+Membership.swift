public import BorealisCore
public import BorealisReplicationPolicy
import BorealisWire

extension VolumeWriter {
  /// Begins, changes or takes back a change of a group's members; it then goes on by itself.
  ///
  /// `VolumeEffects.events` tells each configuration that was decided. The change is over when `phase(of:)` is `.stable`.
  /// - Throws: `.conflict` while another change of the group must end first, `.invalidArgument` where the policy refuses,
  ///   `.notFound`, `.fenced`.
  public mutating func change(
    _ group: ProtectionGroupID, to plan: MembershipPlan, now: Instant, into e: inout VolumeEffects
  ) throws(VolumeError) {
    if fenced { throw VolumeError(.fenced, operation: "change", group: group) }
    let number = Int(group.value)
    guard number < groups.count else { throw VolumeError(.notFound, operation: "change", group: group) }
    // Recovery has put everything up to the tail on a write quorum, whether or not all have said so to this writer.
    let complete = max(groups[number].pgcl, groups[number].tail.current)
    try groups[number].membership.propose(
      plan, policy: configuration.policy, pgcl: complete, envelope: envelope(number), now: now, into: &e.sends)
    adoptCounted(number, now: now, into: &e)
    finishStep(into: &e)
  }
  /// Where a change of the group stands; nil where there is no such group.
  public func membershipPhase(of group: ProtectionGroupID) -> MembershipPhase? {
    guard Int(group.value) < groups.count else { return nil }
    return groups[Int(group.value)].membership.phase
  }

  /// A node has made a configuration durable, or names the superseding one that it has.
  mutating func receiveConfigured(
    _ configured: GroupConfiguration, from node: NodeID, _ header: MessageHeader, now: Instant,
    into e: inout VolumeEffects
  ) {
    guard header.volumeEpoch == epoch, configured.group == header.group else { return }
    let number = Int(configured.group.value)
    guard number < groups.count else { return receiveGrowth(configured, from: node, now: now, into: &e) }
    let before = groups[number].membership.decided
    let isNews = groups[number].membership.configured(
      configured, by: node, envelope: envelope(number), now: now, into: &e.sends)
    guard isNews else { return }
    adoptCounted(number, now: now, into: &e)
    let after = groups[number].membership.decided
    if after != before { e.events.append(.configured(after)) }
    if number == 0 { checkGrowth(now: now, into: &e) }
    // Members that adopted it before it was counted have refused what was sent meanwhile.
    for member in groups[number].members.indices where groups[number].scls[member] < groups[number].lastSent {
      resend(number, to: member, now: now, into: &e)
    }
  }
  /// A node says where a segment stands: asked for while new members hydrate.
  mutating func receiveStatus(
    _ status: SegmentStatus, from node: NodeID, _ header: MessageHeader, now: Instant, into e: inout VolumeEffects
  ) {
    let number = Int(header.group.value)
    guard number < groups.count, header.volumeEpoch == epoch else { return }
    let isNews = groups[number].membership.heard(
      status, from: node, at: header.membershipEpoch, envelope: envelope(number), now: now, into: &e.sends)
    if isNews { adoptCounted(number, now: now, into: &e) }
  }
  /// A node named a configuration above the one in use.
  mutating func saw(_ offered: GroupConfiguration, now: Instant, into e: inout VolumeEffects) {
    let number = Int(offered.group.value)
    let isNews = groups[number].membership.saw(offered, envelope: envelope(number), now: now, into: &e.sends)
    if isNews { adoptCounted(number, now: now, into: &e) }
  }
  mutating func tickMembership(_ number: Int, now: Instant, into e: inout VolumeEffects) {
    guard groups[number].membership.phase != .stable else { return }
    groups[number].membership.tick(envelope: envelope(number), now: now, into: &e.sends)
    adoptCounted(number, now: now, into: &e)
  }
  /// Counts, and speaks, by what the membership says.
  mutating func adoptCounted(_ number: Int, now: Instant, into e: inout VolumeEffects) {
    let counted = groups[number].membership.counted
    if counted != groups[number].configuration { adopt(counted, now: now, into: &e) }
  }
}
