import BorealisCore
import BorealisReplicationPolicy
import BorealisWire

/// Growing by one protection group: the new group is configured on a write quorum of its members, then group 0 with
/// one more group in its geometry, and only then may a record be issued to it.
struct Growth: Sendable {
  enum Phase: Sendable, Equatable {
    case idle
    /// The new group's configuration is on its way to its members.
    case configuring
    /// The new group is decided; group 0 has another change under way.
    case waiting
    /// Group 0 is learning that there is one group more.
    case recording
  }
  var phase = Phase.idle
  /// A commit found no room.
  var isNeeded = false
  /// The new group.
  var proposal: GroupConfiguration?
  /// Nodes that have made durable what this phase is about.
  var answered: [NodeID] = []
  var lastSent = Instant.zero
  /// Told once that it cannot go on.
  var isStalled = false

  func isDecided(_ configuration: GroupConfiguration) -> Bool {
    var set = MemberSet()
    for node in answered {
      if let member = configuration.index(of: node) { set.insert(MemberSet(member: member)) }
    }
    return configuration.isWriteQuorum(set)
  }
}

extension VolumeWriter {
  /// Begins to grow where little room is left, ahead of need.
  mutating func considerGrowth(now: Instant, into e: inout VolumeEffects) {
    guard growth.phase == .idle, !fenced, loader.phase == .done, !growth.isStalled,
      growth.isNeeded || catalog.needsGrowth(groupCount: groups.count)
    else { return }
    let group = ProtectionGroupID(UInt32(groups.count))
    guard !configuration.topology.isEmpty else {
      stall(group, reason: "no nodes to place it on", into: &e)
      return
    }
    do throws(ReplicationPolicyError) {
      growth.proposal = try configuration.policy.firstConfiguration(
        group: group, over: configuration.topology, proposedBy: epoch)
    } catch {
      stall(group, reason: error.description, into: &e)
      return
    }
    growth.phase = .configuring
    growth.answered.removeAll()
    sendGrowth(now: now, into: &e)
  }
  private mutating func stall(_ group: ProtectionGroupID, reason: String, into e: inout VolumeEffects) {
    growth.isStalled = true
    e.events.append(.growthStalled(group, reason: reason))
  }
  /// Sends what this phase is about to the members that have not answered.
  private mutating func sendGrowth(now: Instant, into e: inout VolumeEffects) {
    growth.lastSent = now
    // Group 0's own messages are its membership's business.
    guard let proposal = growth.proposal, growth.phase == .configuring else { return }
    var header = envelope(Int(proposal.group.value))
    header.membershipEpoch = proposal.epoch
    let bytes = Message.configure(proposal).encoded(header)
    for member in proposal.members where !growth.answered.contains(member.node) {
      e.sends.append(Outgoing(to: .node(member.node), bytes: bytes))
    }
  }
  mutating func tickGrowth(now: Instant, into e: inout VolumeEffects) {
    considerGrowth(now: now, into: &e)
    guard growth.phase != .idle, now.nanoseconds(since: growth.lastSent) >= configuration.resendAfter else { return }
    if growth.phase == .waiting { recordGeometry(now: now, into: &e) }
    sendGrowth(now: now, into: &e)
  }
  /// A member of the new group has made its configuration durable.
  mutating func receiveGrowth(
    _ configured: GroupConfiguration, from node: NodeID, now: Instant, into e: inout VolumeEffects
  ) {
    guard growth.phase == .configuring, let proposal = growth.proposal, configured == proposal else { return }
    note(node)
    if growth.isDecided(proposal) { recordGeometry(now: now, into: &e) }
  }
  /// Group 0 has decided a configuration: perhaps the one that names the new group.
  mutating func checkGrowth(now: Instant, into e: inout VolumeEffects) {
    guard growth.phase == .recording, let proposal = growth.proposal else { return }
    guard groups[0].membership.decided.geometry > proposal.group.value else { return }
    finishGrowth(proposal, now: now, into: &e)
  }
  private mutating func note(_ node: NodeID) {
    if !growth.answered.contains(node) { growth.answered.append(node) }
  }
  private mutating func recordGeometry(now: Instant, into e: inout VolumeEffects) {
    do throws(VolumeError) {
      try groups[0].membership.propose(
        geometry: UInt32(groups.count + 1), envelope: envelope(0), now: now, into: &e.sends)
      growth.phase = .recording
      // Members and rules stay: records may go out at the new epoch at once.
      adoptCounted(0, now: now, into: &e)
    } catch {
      growth.phase = .waiting
    }
  }
  private mutating func finishGrowth(_ proposal: GroupConfiguration, now: Instant, into e: inout VolumeEffects) {
    growth = Growth()
    groups.append(
      WriterGroup(
        OpenedGroup(configuration: proposal, tail: .zero, scls: []), epoch: epoch, truncationEpoch: .zero, now: now,
        plantedBug: configuration.plantedBug))
    e.events.append(.grown(proposal.group))
    tellReaders([groups[0].configuration, proposal], into: &e)
    if isBlocked {
      isBlocked = false
      e.hasRoom = true
    }
  }
}
