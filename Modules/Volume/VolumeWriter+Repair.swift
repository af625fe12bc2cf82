import BorealisCore
import BorealisReplicationPolicy
import BorealisWire

/// Drives repair: asks the nodes how they are, asks the planner what to do, and begins it, about once a second.
///
/// Members of groups are heard of anyway, by their acks to records and heartbeats. What is asked besides, once a check:
/// each member node for the status of one of its groups in turn (is it damaged?), and of each group that it said was
/// damaged; a node in no group for its inventory, so that a spare is known to be up, and so that one that was left out
/// while it was away hears of it.
struct VolumeRepair: Sendable {
  /// How long a group is left alone after it refused a change.
  static let refusalChecks: UInt64 = 10
  /// Groups with damage that are asked for in one check.
  static let damagedAsked = 64

  let planner: RepairPlanner
  var nodes: NodeHealthTracker
  var nextCheck: Instant
  /// The next group to ask each node for, by place of the node.
  var cursors: [UInt32]
  /// Groups that refused a change, and until when they are left alone.
  var postponed: [(group: ProtectionGroupID, until: Instant)] = []

  init(_ settings: RepairPlanner.Settings, policy: any ReplicationPolicy, topology: [NodePlacement], now: Instant) {
    planner = RepairPlanner(policy: policy, settings: settings)
    nodes = NodeHealthTracker(topology, downAfter: settings.downAfter, now: now)
    nextCheck = now
    cursors = [UInt32](repeating: 0, count: nodes.count)
  }

  /// Whether it is time to look; then the next time is set.
  mutating func isCheckDue(now: Instant) -> Bool {
    nodes.tick(now: now)
    guard now >= nextCheck else { return false }
    nextCheck = now.advanced(byNanoseconds: max(1, planner.settings.checkEvery))
    postponed.removeAll { $0.until <= now }
    return true
  }
}

extension VolumeWriter {
  /// Looks after the groups, when it is time to.
  mutating func tickRepair(now: Instant, into e: inout VolumeEffects) {
    guard repair?.isCheckDue(now: now) == true else { return }
    askNodes(into: &e)
    guard isOpen, let actions = repairActions(now: now) else { return }
    for action in actions { perform(action, now: now, into: &e) }
  }

  private mutating func perform(_ action: RepairPlanner.Action, now: Instant, into e: inout VolumeEffects) {
    let number = Int(action.group.value)
    // A change that an operator began stays one.
    let isRepair = groups[number].configuration.pending == nil || groups[number].isRepair
    do throws(VolumeError) {
      try begin(action.group, action.plan, now: now, into: &e)
      groups[number].isRepair = isRepair
      counters.repairs += 1
      e.events.append(.repair(action))
    } catch {
      let pause = VolumeRepair.refusalChecks * (repair?.planner.settings.checkEvery ?? 0)
      repair?.postponed.append((action.group, now.advanced(byNanoseconds: pause)))
      e.events.append(.repairRefused(action, reason: "\(error)"))
    }
  }

  /// What is to be done now; nil with repair off.
  private mutating func repairActions(now: Instant) -> [RepairPlanner.Action]? {
    guard let repair else { return nil }
    var known: [RepairPlanner.GroupHealth] = []
    known.reserveCapacity(groups.count)
    for i in groups.indices {
      groups[i].noteAiling(lagMax: repair.planner.settings.lagMax, now: now) { repair.nodes.isUp($0, now: now) }
      var health = groups[i].health(now: now)
      if repair.postponed.contains(where: { $0.group == health.configuration.group }) { health.isProposing = true }
      known.append(health)
    }
    return repair.planner.plan(groups: known, nodes: repair.nodes.health(now: now), now: now)
  }

  // MARK: Asking

  /// Sends each node one question, and more only for what is known to be damaged.
  private mutating func askNodes(into e: inout VolumeEffects) {
    guard var cursors = repair?.cursors, let nodes = repair?.nodes else { return }
    /// The next group to ask for, and the first one where the round is over; by place of the node.
    var next = [Int?](repeating: nil, count: nodes.count)
    var first = [Int?](repeating: nil, count: nodes.count)
    var damaged: [(group: Int, node: NodeID)] = []
    for i in groups.indices {
      for (k, member) in groups[i].configuration.members.enumerated() {
        guard let at = nodes.index(of: member.node) else { continue }
        if first[at] == nil { first[at] = i }
        if next[at] == nil, i >= Int(cursors[at]) { next[at] = i }
        if groups[i].members[k].isDamaged, damaged.count < VolumeRepair.damagedAsked {
          damaged.append((i, member.node))
        }
      }
    }
    for at in 0..<nodes.count {
      guard let group = next[at] ?? first[at] else {
        ask(.inventoryRequest, of: 0, nodes.node(at: at), into: &e)
        continue
      }
      cursors[at] = UInt32(group + 1)
      ask(.statusRequest, of: group, nodes.node(at: at), into: &e)
      damaged.removeAll { $0.group == group && $0.node == nodes.node(at: at) }
    }
    for (group, node) in damaged { ask(.statusRequest, of: group, node, into: &e) }
    repair?.cursors = cursors
  }
  private mutating func ask(_ message: Message, of group: Int, _ node: NodeID, into e: inout VolumeEffects) {
    let bytes = message.encoded(envelope(group))
    e.sends.append(Outgoing(to: .node(node), bytes: bytes))
    counters.messagesSent += 1
    counters.bytesSent += UInt64(bytes.count)
  }

  // MARK: Answers

  /// What a node in no group holds: of what it was left out of while it was away, it is told so, and drops it.
  mutating func receiveInventory(_ held: [GroupConfiguration], from node: NodeID, into e: inout VolumeEffects) {
    for old in held {
      let number = Int(old.group.value)
      guard number < groups.count, groups[number].configuration.supersedes(old),
        groups[number].configuration.index(of: node) == nil
      else { continue }
      sendConfiguration(number, to: node, into: &e)
    }
  }
}

extension WriterGroup {
  /// Remembers since when members are ailing; one that is down has time to mend itself when it is back.
  mutating func noteAiling(lagMax: UInt64, now: Instant, isUp: (NodeID) -> Bool) {
    if membership.phase == .stable { isRepair = false }
    for i in members.indices {
      let isAiling = members[i].isDamaged || lag(of: i) > lagMax
      if !isAiling || !isUp(configuration.members[i].node) {
        members[i].ailingSince = nil
      } else if members[i].ailingSince == nil {
        members[i].ailingSince = now
      }
    }
  }
  /// What the planner wants to know.
  func health(now: Instant) -> RepairPlanner.GroupHealth {
    // A proposal that ends the transition is as good as decided: nothing is to be taken back any more.
    let ending = membership.proposed.flatMap { $0.pending == nil ? $0 : nil }
    if let ending { return RepairPlanner.GroupHealth(configuration: ending, isProposing: true) }
    return RepairPlanner.GroupHealth(
      configuration: configuration, isProposing: membership.phase == .proposing, isRepair: isRepair,
      members: members.indices.map { i in
        RepairPlanner.MemberHealth(
          lag: lag(of: i), isDamaged: members[i].isDamaged,
          ailingFor: members[i].ailingSince.map { now.nanoseconds(since: $0) } ?? 0)
      })
  }
  private func lag(of member: Int) -> UInt64 {
    scls[member] < pgcl ? pgcl.value - scls[member].value : 0
  }
}
