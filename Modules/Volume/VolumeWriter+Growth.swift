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
    guard let proposal = growth.proposal else { return }
    let subject = growth.phase == .recording ? groups[0].configuration : proposal
    var header = envelope(Int(subject.group.value))
    header.membershipEpoch = subject.epoch
    let bytes = Message.configure(subject).encoded(header)
    for member in subject.members where !growth.answered.contains(member.node) {
      e.sends.append(Outgoing(to: .node(member.node), bytes: bytes))
    }
  }
  mutating func tickGrowth(now: Instant, into e: inout VolumeEffects) {
    considerGrowth(now: now, into: &e)
    guard growth.phase != .idle, now.nanoseconds(since: growth.lastSent) >= configuration.resendAfter else { return }
    sendGrowth(now: now, into: &e)
  }
  /// A node has made a configuration durable (or has a superseding one, which it names).
  mutating func receiveConfigured(
    _ configured: GroupConfiguration, from node: NodeID, _ header: MessageHeader, now: Instant,
    into e: inout VolumeEffects
  ) {
    guard header.volumeEpoch == epoch, let proposal = growth.proposal else { return }
    switch growth.phase {
    case .idle: return
    case .configuring:
      guard configured.group == proposal.group, configured == proposal else { return }
      note(node)
      guard growth.isDecided(proposal) else { return }
      recordGeometry(now: now, into: &e)
    case .recording:
      guard configured.group.value == 0, configured.geometry > proposal.group.value else { return }
      note(node)
      guard growth.isDecided(groups[0].configuration) else { return }
      finishGrowth(proposal, now: now, into: &e)
    }
  }
  private mutating func note(_ node: NodeID) {
    if !growth.answered.contains(node) { growth.answered.append(node) }
  }
  private mutating func recordGeometry(now: Instant, into e: inout VolumeEffects) {
    var new = groups[0].configuration
    new.epoch = new.epoch.next
    new.proposedBy = epoch
    new.geometry = UInt32(groups.count + 1)
    growth.phase = .recording
    growth.answered.removeAll()
    // Members and rules stay: records may go out at the new epoch at once.
    adopt(new, now: now, into: &e)
    sendGrowth(now: now, into: &e)
  }
  private mutating func finishGrowth(_ proposal: GroupConfiguration, now: Instant, into e: inout VolumeEffects) {
    growth = Growth()
    groups.append(
      WriterGroup(
        OpenedGroup(configuration: proposal, tail: .zero, scls: []), now: now, plantedBug: configuration.plantedBug))
    e.events.append(.grown(proposal.group))
    tellReaders([groups[0].configuration, proposal], into: &e)
    if isBlocked {
      isBlocked = false
      e.hasRoom = true
    }
  }
}
