public import BorealisCore
public import BorealisReplicationPolicy
import BorealisWire

extension VolumeWriter {
  /// Begins, changes, takes back or ends a change of a group's members: replace one, lose a zone, return to full.
  ///
  /// Goes on by itself: the new members hydrate, then the new rule comes into force. Reads and commits go on. Repair does
  /// not take it back, but brings a group that was told to go on without a zone that is up back to all its copies.
  ///
  /// - Throws: `.conflict` while another change must end first; `.invalidArgument` where the policy refuses;
  ///   `.notFound`, `.fenced`, `.closed`.
  public mutating func change(
    _ group: ProtectionGroupID, to plan: MembershipPlan, now: Instant, into e: inout VolumeEffects
  ) throws(VolumeError) {
    try begin(group, plan, now: now, into: &e)
    groups[Int(group.value)].isRepair = false
  }
  /// `change`, whoever asks for it.
  mutating func begin(
    _ group: ProtectionGroupID, _ plan: MembershipPlan, now: Instant, into e: inout VolumeEffects
  ) throws(VolumeError) {
    try checkUsable("change")
    let number = Int(group.value)
    guard number < groups.count else { throw VolumeError(.notFound, operation: "change", group: group) }
    // Recovery has put everything up to the tail on a write quorum, whether or not all have said so to this writer.
    let pgcl = max(groups[number].pgcl, groups[number].tail.current)
    try groups[number].membership.propose(
      plan, policy: configuration.policy, pgcl: pgcl, envelope: envelope(number), now: now, into: &e.sends)
    adoptCounted(number, now: now, into: &e)
    finishStep(into: &e)
  }
  /// Where a change of the group's members stands; nil where there is no such group.
  public func membershipPhase(of group: ProtectionGroupID) -> MembershipPhase? {
    Int(group.value) < groups.count ? groups[Int(group.value)].membership.phase : nil
  }
  /// Whether a change of the group's members is under way; nil where there is no such group.
  public func isChanging(_ group: ProtectionGroupID) -> Bool? {
    Int(group.value) < groups.count ? groups[Int(group.value)].membership.phase != .stable : nil
  }

  /// A node has made a configuration durable (or has a superseding one, which it names).
  mutating func receiveConfigured(
    _ configured: GroupConfiguration, from node: NodeID, _ header: MessageHeader, now: Instant,
    into e: inout VolumeEffects
  ) {
    guard header.volumeEpoch == epoch else { return }
    let number = Int(configured.group.value)
    guard number < groups.count else {
      receiveGrowth(configured, from: node, now: now, into: &e)
      return
    }
    let before = groups[number].membership.decided
    let isNews = groups[number].membership.configured(
      configured, by: node, envelope: envelope(number), now: now, into: &e.sends)
    guard isNews else { return }
    let decided = groups[number].membership.decided
    if decided != before { e.events.append(.configured(decided)) }
    adoptCounted(number, now: now, into: &e)
    if number == 0 { considerEndOfGrowth(now: now, into: &e) }
  }
  /// A member says where it stands: news for a change that waits for hydration.
  mutating func receiveStatus(
    _ status: SegmentStatus, from node: NodeID, _ header: MessageHeader, now: Instant, into e: inout VolumeEffects
  ) {
    let number = Int(header.group.value)
    guard number < groups.count, header.volumeEpoch == epoch else { return }
    if let member = groups[number].configuration.index(of: node),
      header.membershipEpoch >= groups[number].members[member].since
    {
      groups[number].members[member].isDamaged = status.isDamaged
    }
    let isNews = groups[number].membership.heard(
      status, from: node, at: header.membershipEpoch, envelope: envelope(number), now: now, into: &e.sends)
    if isNews { adoptCounted(number, now: now, into: &e) }
  }
  mutating func tickMembership(_ number: Int, now: Instant, into e: inout VolumeEffects) {
    groups[number].membership.tick(envelope: envelope(number), now: now, into: &e.sends)
    adoptCounted(number, now: now, into: &e)
  }
  /// Counts acks by what the group's machine says from now on, sends members what they lack, and tells the readers.
  mutating func adoptCounted(_ number: Int, now: Instant, into e: inout VolumeEffects) {
    let counted = groups[number].membership.counted
    guard counted != groups[number].configuration else { return }
    let hasAdvanced = groups[number].adopt(counted)
    tellReaders([counted], into: &e)
    for member in groups[number].members.indices
    where groups[number].scls[member] < groups[number].lastSent {
      resend(number, to: member, now: now, into: &e)
    }
    if hasAdvanced { advance(now: now, into: &e) }
  }
}
