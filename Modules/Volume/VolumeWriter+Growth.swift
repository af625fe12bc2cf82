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
    /// The new group is there; group 0 must learn of it.
    case configured
    /// Group 0 is learning that there is one group more.
    case recording
  }
  var phase = Phase.idle
  /// A commit found no room.
  var isNeeded = false
  /// The new group.
  var proposal: GroupConfiguration?
  /// Nodes that have made the new group's configuration durable.
  var answered: [NodeID] = []
  var lastSent = Instant.zero
  /// Told once that it cannot go on.
  var isStalled = false

  /// Whether the new group's configuration is on a write quorum of its members.
  var isDecided: Bool {
    guard let proposal else { return false }
    var set = MemberSet()
    for node in answered {
      if let member = proposal.index(of: node) { set.insert(MemberSet(member: member)) }
    }
    return proposal.isWriteQuorum(set)
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
  /// Sends the new group's configuration to the members that have not answered.
  private mutating func sendGrowth(now: Instant, into e: inout VolumeEffects) {
    growth.lastSent = now
    guard let proposal = growth.proposal else { return }
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
    switch growth.phase {
    case .idle: return
    case .configuring: sendGrowth(now: now, into: &e)
    case .configured: recordGeometry(now: now, into: &e)
    // Group 0's own machine sends and repeats what is proposed.
    case .recording: return
    }
  }
  /// A node of the group to come has its configuration.
  mutating func receiveGrowth(
    _ configured: GroupConfiguration, from node: NodeID, now: Instant, into e: inout VolumeEffects
  ) {
    guard let proposal = growth.proposal, growth.phase == .configuring, configured == proposal else { return }
    if !growth.answered.contains(node) { growth.answered.append(node) }
    guard growth.isDecided else { return }
    growth.phase = .configured
    recordGeometry(now: now, into: &e)
  }
  /// Group 0 is told, unless a change of its members is being decided: then a later tick tries again.
  private mutating func recordGeometry(now: Instant, into e: inout VolumeEffects) {
    growth.lastSent = now
    let proposed: Void? = try? groups[0].membership.propose(
      geometry: UInt32(groups.count + 1), envelope: envelope(0), now: now, into: &e.sends)
    guard proposed != nil else { return }
    growth.phase = .recording
    adoptCounted(0, now: now, into: &e)
  }
  /// Something was decided for group 0: perhaps that there is one group more.
  mutating func considerEndOfGrowth(now: Instant, into e: inout VolumeEffects) {
    guard growth.phase == .recording, let proposal = growth.proposal,
      groups[0].membership.decided.geometry > proposal.group.value
    else { return }
    finishGrowth(proposal, now: now, into: &e)
  }
  private mutating func finishGrowth(_ proposal: GroupConfiguration, now: Instant, into e: inout VolumeEffects) {
    growth = Growth()
    // Nothing in a new group is void, so its members need not hold the truncation list to count as hydrated.
    groups.append(
      WriterGroup(
        OpenedGroup(configuration: proposal, tail: .zero, scls: []), epoch: epoch, truncationEpoch: .zero,
        now: now, plantedBug: configuration.plantedBug))
    e.events.append(.grown(proposal.group))
    tellReaders([groups[0].configuration, proposal], into: &e)
    if isBlocked {
      isBlocked = false
      e.hasRoom = true
    }
  }
}
