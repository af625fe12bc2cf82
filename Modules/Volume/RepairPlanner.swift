public import BorealisCore
public import BorealisReplicationPolicy
public import BorealisWire

/// Decides which group changes its members next, and how: whom to repair first, when to give up a zone, when to take it back.
///
/// A pure function of what is known; the caller asks again every second or so and passes the answers to
/// `VolumeWriter.change`. Nothing here is needed for safety: a wrong decision costs copying, and can be taken back.
///
/// - Groups with the fewest healthy copies come first; of these, those whose writes are in danger.
/// - I18: a member that still works is replaced only while all others of its group are healthy and nothing else changes
///   there. Members that are down were not taken down by us: they are replaced as soon as there is somewhere to copy to.
/// - Hysteresis: a node counts as down after `downAfter` of silence, and as back only after `backAfter` without any.
/// - At most `concurrentRepairsMax` groups copy at a time; changes that copy nothing are not counted.
public struct RepairPlanner: Sendable {
  /// Times in nanoseconds, and limits.
  public struct Settings: Sendable, Hashable {
    /// A node that was not heard of for this long is down.
    public var downAfter: UInt64 = 10_000_000_000
    /// A zone none of whose nodes was heard of for this long is lost; longer than `downAfter`, because most such losses
    /// pass by themselves.
    public var zoneLostAfter: UInt64 = 60_000_000_000
    /// A node that has answered for this long is back.
    public var backAfter: UInt64 = 5_000_000_000
    /// A member that is this many LSNs behind PGCL is ailing.
    public var lagMax: UInt64 = 1_000_000
    /// Groups that may copy segments at a time.
    public var concurrentRepairsMax = 4
    /// A member that has been ailing (damaged, or too far behind) for this long without a break, while it was up, is given
    /// up: mostly it mends itself from its peers within seconds.
    public var ailingAfter: UInt64 = 60_000_000_000
    /// How often the nodes are asked how they are, and decisions are made; well below the other times.
    public var checkEvery: UInt64 = 1_000_000_000
    /// The defaults.
    public init() {}
  }
  /// What is known of a storage node.
  public struct NodeHealth: Sendable, Hashable {
    /// The node.
    public var node: NodeID
    /// Its zone.
    public var zone: ZoneID
    /// When it last answered anything.
    public var lastHeard: Instant
    /// Since when it has answered without a silence of `downAfter`.
    public var upSince: Instant
    /// Makes one.
    public init(node: NodeID, zone: ZoneID, lastHeard: Instant, upSince: Instant) {
      self.node = node
      self.zone = zone
      self.lastHeard = lastHeard
      self.upSince = upSince
    }
  }
  /// What is known of one copy.
  public struct MemberHealth: Sendable, Hashable {
    /// LSNs that its SCL is behind the group's PGCL; 0 where it is not.
    public var lag: UInt64
    /// Whether damage is known there that it has not repaired.
    public var isDamaged: Bool
    /// For how long it has been damaged or too far behind, in nanoseconds; nothing where it is neither.
    public var ailingFor: UInt64
    /// Makes one.
    public init(lag: UInt64 = 0, isDamaged: Bool = false, ailingFor: UInt64 = .max) {
      self.lag = lag
      self.isDamaged = isDamaged
      self.ailingFor = ailingFor
    }
  }
  /// What is known of one group.
  public struct GroupHealth: Sendable, Hashable {
    /// The configuration that its writer counts by.
    public var configuration: GroupConfiguration
    /// Whether a proposal is under way, so that nothing else may be proposed but to take it back.
    public var isProposing: Bool
    /// Whether the change under way was begun by repair: one that an operator asked for is not taken back merely because
    /// the members that it leaves are well.
    public var isRepair: Bool
    /// By member index.
    public var members: [MemberHealth]
    /// Makes one; members not given are healthy.
    public init(
      configuration: GroupConfiguration, isProposing: Bool = false, isRepair: Bool = true, members: [MemberHealth] = []
    ) {
      self.configuration = configuration
      self.isProposing = isProposing
      self.isRepair = isRepair
      let missing = max(0, configuration.members.count - members.count)
      self.members = members + [MemberHealth](repeating: MemberHealth(), count: missing)
    }
  }
  /// A change to ask the writer for.
  public struct Action: Sendable, Hashable {
    /// Of which group.
    public var group: ProtectionGroupID
    /// What to do.
    public var plan: MembershipPlan
    /// Why, for people.
    public var reason: String
    /// Copies of the group that are healthy now.
    public var healthyCopies: Int
  }

  /// Times and limits.
  public var settings: Settings
  /// Copies, rules and placement.
  public var policy: any ReplicationPolicy

  /// Makes a planner.
  public init(policy: any ReplicationPolicy, settings: Settings = Settings()) {
    self.policy = policy
    self.settings = settings
  }

  /// The changes to make now, the most urgent first.
  ///
  /// Nodes that are not listed in `nodes` count as down.
  public func plan(groups: [GroupHealth], nodes: [NodeHealth], now: Instant) -> [Action] {
    let view = View(settings: settings, nodes: nodes.sorted { $0.node < $1.node }, now: now)
    var load = [Int](repeating: 0, count: view.nodes.count)
    var copying = 0
    var urgency: [(healthy: Int, canWrite: Bool, index: Int)] = []
    for (index, group) in groups.enumerated() {
      let healthy = view.healthyMembers(of: group)
      for member in group.configuration.members {
        if let at = view.index(of: member.node) { load[at] += 1 }
      }
      if group.configuration.isHydrating { copying += 1 }
      urgency.append((healthy.count, group.configuration.isWriteQuorum(view.upMembers(of: group)), index))
    }
    urgency.sort { a, b in
      if a.healthy != b.healthy { return a.healthy < b.healthy }
      if a.canWrite != b.canWrite { return !a.canWrite }
      return groups[a.index].configuration.group < groups[b.index].configuration.group
    }
    var actions: [Action] = []
    for entry in urgency {
      let group = groups[entry.index]
      guard let (plan, reason) = decide(group, view, load: load) else { continue }
      // Giving a zone up, and taking a change back, copies nothing; a change to a group that copies already adds nothing.
      let copies: Bool
      switch plan {
      case .replace, .returnZone: copies = !group.configuration.isHydrating
      case .loseZone, .commit, .revert: copies = false
      }
      if copies {
        guard copying < settings.concurrentRepairsMax else { continue }
        copying += 1
      }
      for node in plan.added {
        if let at = view.index(of: node) { load[at] += 1 }
      }
      actions.append(
        Action(
          group: group.configuration.group, plan: plan, reason: reason, healthyCopies: entry.healthy))
    }
    return actions
  }

  /// What one group needs.
  private func decide(_ group: GroupHealth, _ view: View, load: [Int]) -> (MembershipPlan, String)? {
    let configuration = group.configuration
    if configuration.isHandedOver { return nil }
    let up = view.upMembers(of: group)
    if let pending = configuration.pending {
      if let taken = takeBack(group, pending, up: up, view) { return (.revert, taken) }
    }
    if group.isProposing { return nil }
    // Nothing can be decided without a write quorum of the rule in force; and a proposal that waits for one would make
    // commits wait for the newcomer too, once the quorum is back.
    guard configuration.rule.isWriteQuorum(up) else { return nil }
    let target = configuration.targetMembers
    if target.count == policy.copies, let lost = lostZone(group, up: up, view) {
      // A zone that was about to return is gone again.
      if let pending = configuration.pending,
        pending.members.subtracting(configuration.rule.members) == zone(lost, of: configuration)
      {
        return (.revert, "zone \(lost) is lost again")
      }
      return (.loseZone(lost), "zone \(lost) is lost")
    }
    // A newcomer that has died is replaced like any other; and members that are down, one at a time.
    for (i, member) in configuration.members.enumerated()
    where target.contains(MemberSet(member: i)) && !up.contains(MemberSet(member: i)) {
      if let spare = view.spare(in: member.zone, for: configuration, load: load) {
        return (
          .replace(member.node, with: SegmentMember(node: spare, zone: member.zone, kind: member.kind)),
          "\(member.node) is down"
        )
      }
    }
    guard configuration.pending == nil else { return nil }
    if target.count < policy.copies { return returnZone(group, up: up, view, load: load) }
    // I18: a member that works is given up only by a group that is otherwise whole.
    let healthy = view.healthyMembers(of: group)
    let ailing = target.subtracting(healthy)
    guard ailing.count == 1,
      let i = configuration.members.indices.first(where: { ailing.contains(MemberSet(member: $0)) }),
      up.contains(MemberSet(member: i)), group.members[i].ailingFor >= settings.ailingAfter
    else { return nil }
    let member = configuration.members[i]
    guard let spare = view.spare(in: member.zone, for: configuration, load: load) else { return nil }
    return (
      .replace(member.node, with: SegmentMember(node: spare, zone: member.zone, kind: member.kind)),
      group.members[i].isDamaged ? "\(member.node) is damaged" : "\(member.node) is \(group.members[i].lag) LSNs behind"
    )
  }

  /// Whether a transition has lost its reason: the members it leaves are back, or those it brings are gone.
  private func takeBack(_ group: GroupHealth, _ pending: QuorumRule, up: MemberSet, _ view: View) -> String? {
    let configuration = group.configuration
    let leaving = configuration.rule.members.subtracting(pending.members)
    let coming = pending.members.subtracting(configuration.rule.members)
    func all(_ set: MemberSet, _ holds: (Int) -> Bool) -> Bool {
      configuration.members.indices.allSatisfy { !set.contains(MemberSet(member: $0)) || holds($0) }
    }
    let areLeavingBack =
      !leaving.isEmpty
      && all(leaving) { i in
        view.isBack(configuration.members[i].node) && !group.members[i].isDamaged
          && group.members[i].lag <= settings.lagMax
      }
    let isStillCopying = coming.isEmpty || !all(coming) { i in group.members[i].lag == 0 }
    if areLeavingBack, isStillCopying, group.isRepair { return "the members to be given up are back" }
    // Without the coming members writes would stall as soon as one more is missing; where the old rule can go on alone, it does.
    if !pending.isWriteQuorum(up), configuration.rule.isWriteQuorum(up) { return "the new members do not answer" }
    return nil
  }

  /// The members in a zone, of those that the group will have.
  private func zone(_ zone: ZoneID, of configuration: GroupConfiguration) -> MemberSet {
    configuration.targetMembers.filter(configuration.members) { $0.zone == zone }
  }

  private func lostZone(_ group: GroupHealth, up: MemberSet, _ view: View) -> ZoneID? {
    let configuration = group.configuration
    for (i, member) in configuration.members.enumerated()
    where configuration.targetMembers.contains(MemberSet(member: i)) && view.isLost(member.zone) {
      let survivors = configuration.targetMembers.subtracting(zone(member.zone, of: configuration))
      // The change itself needs a write quorum of the rule in force, all of it from the survivors.
      guard configuration.rule.isWriteQuorum(survivors.intersection(up)),
        policy.zoneLostRule(for: survivors, of: configuration.members) != nil
      else { continue }
      return member.zone
    }
    return nil
  }

  /// Brings a group back to all copies once nodes of the lost zone are back: those that placement would choose, if they
  /// are among them, because they are likely to hold an old copy.
  ///
  /// Commits need copies of the full rule from then on: where one more is missing they wait for the first new copy. So a
  /// member that may come back by itself is waited for, as long as a zone is.
  private func returnZone(
    _ group: GroupHealth, up: MemberSet, _ view: View, load: [Int]
  ) -> (MembershipPlan, String)? {
    let configuration = group.configuration
    let mayComeBack = configuration.members.indices.contains { i in
      !up.contains(MemberSet(member: i)) && !view.isLongGone(configuration.members[i].node)
    }
    guard !mayComeBack else { return nil }
    let present = configuration.targetMembers.filter(configuration.members) { _ in true }
    let presentZones = configuration.members.indices.filter { present.contains(MemberSet(member: $0)) }.map {
      configuration.members[$0].zone
    }
    var kinds = policy.kinds
    for (i, member) in configuration.members.enumerated() where present.contains(MemberSet(member: i)) {
      if let at = kinds.firstIndex(of: member.kind) { kinds.remove(at: at) }
    }
    let topology = view.nodes.map { NodePlacement(node: $0.node, zone: $0.zone) }
    let placed = (try? policy.place(group: configuration.group, over: topology)) ?? []
    let preferred = placed.map(\.node)
    var candidates = view.nodes.indices.filter { i in
      view.isBack(view.nodes[i].node) && !presentZones.contains(view.nodes[i].zone)
        && !configuration.members.contains { $0.node == view.nodes[i].node }
    }
    candidates.sort { a, b in
      let (x, y) = (preferred.contains(view.nodes[a].node), preferred.contains(view.nodes[b].node))
      if x != y { return x }
      return load[a] == load[b] ? view.nodes[a].node < view.nodes[b].node : load[a] < load[b]
    }
    guard candidates.count >= kinds.count, let first = candidates.first else { return nil }
    // The missing copies belong to one zone.
    let zone = view.nodes[first].zone
    let chosen = candidates.filter { view.nodes[$0].zone == zone }.prefix(kinds.count)
    guard chosen.count == kinds.count, !kinds.isEmpty else { return nil }
    // Each the kind that placement gives it: pages may be there still.
    var members: [SegmentMember] = []
    for i in chosen {
      let node = view.nodes[i].node
      let usual = placed.first { $0.node == node }.flatMap { kinds.firstIndex(of: $0.kind) }
      members.append(SegmentMember(node: node, zone: zone, kind: kinds.remove(at: usual ?? 0)))
    }
    return (.returnZone(members), "zone \(zone) is back")
  }
}

extension MembershipPlan {
  /// The nodes that get a new copy.
  fileprivate var added: [NodeID] {
    switch self {
    case .replace(_, let member): [member.node]
    case .returnZone(let members): members.map(\.node)
    case .loseZone, .commit, .revert: []
    }
  }
}

/// The nodes as of now.
private struct View {
  let settings: RepairPlanner.Settings
  /// Ascending.
  let nodes: [RepairPlanner.NodeHealth]
  let now: Instant

  func index(of node: NodeID) -> Int? {
    var (low, high) = (0, nodes.count)
    while low < high {
      let middle = (low + high) / 2
      if nodes[middle].node < node { low = middle + 1 } else { high = middle }
    }
    return low < nodes.count && nodes[low].node == node ? low : nil
  }
  func isUp(_ node: NodeID) -> Bool {
    guard let at = index(of: node) else { return false }
    return now.nanoseconds(since: nodes[at].lastHeard) < settings.downAfter
  }
  func isBack(_ node: NodeID) -> Bool {
    guard isUp(node), let at = index(of: node) else { return false }
    return now.nanoseconds(since: nodes[at].upSince) >= settings.backAfter
  }
  /// Whether it has been silent for as long as a zone that is given up.
  func isLongGone(_ node: NodeID) -> Bool {
    guard let at = index(of: node) else { return true }
    return now.nanoseconds(since: nodes[at].lastHeard) >= settings.zoneLostAfter
  }
  /// Whether no node of the zone was heard of for long, while most of the others were.
  func isLost(_ zone: ZoneID) -> Bool {
    let inside = nodes.filter { $0.zone == zone }
    let outside = nodes.filter { $0.zone != zone }
    return inside.allSatisfy { now.nanoseconds(since: $0.lastHeard) >= settings.zoneLostAfter } && !inside.isEmpty
      && outside.count { isUp($0.node) } * 2 > outside.count
  }
  func upMembers(of group: RepairPlanner.GroupHealth) -> MemberSet {
    MemberSet.first(group.configuration.members.count).filter(group.configuration.members) { isUp($0.node) }
  }
  /// Members of what the group will be that are up, whole and not far behind.
  func healthyMembers(of group: RepairPlanner.GroupHealth) -> MemberSet {
    var set = MemberSet()
    for (i, member) in group.configuration.members.enumerated()
    where isUp(member.node) && !group.members[i].isDamaged && group.members[i].lag <= settings.lagMax {
      set.insert(MemberSet(member: i))
    }
    return set.intersection(group.configuration.targetMembers)
  }
  /// The least loaded node of the zone that is steadily up and no member.
  func spare(in zone: ZoneID, for configuration: GroupConfiguration, load: [Int]) -> NodeID? {
    var best: Int?
    for i in nodes.indices where nodes[i].zone == zone && isBack(nodes[i].node) {
      if configuration.index(of: nodes[i].node) != nil { continue }
      if best.map({ load[i] < load[$0] }) ?? true { best = i }
    }
    return best.map { nodes[$0].node }
  }
}
