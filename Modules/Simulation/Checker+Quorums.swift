import BorealisCore
import BorealisWire

/// I7: write and read quorums of adjacent configurations meet, and a new member counts only once hydrated.
struct QuorumChecker {
  private var known: [GroupConfiguration] = []
  /// Configurations that anybody proposed, in the order in which they were first seen.
  var configurations: [GroupConfiguration] { known }
  /// One more than the highest group that was seen.
  private(set) var groups = 0

  /// Somebody proposes or holds a configuration; `tail` is the last record of its group that any writer announced as
  /// durable.
  mutating func seen(
    _ configuration: GroupConfiguration, tail: LSN, fleet: FleetTruth, _ verdicts: inout Verdicts
  ) {
    // Nearly always the same few again and again.
    for other in known.reversed() where other == configuration { return }
    let group = known.filter { $0.group == configuration.group }
    check(configuration, configuration, &verdicts)
    for other in group {
      if other.epoch == configuration.epoch, other.proposedBy == configuration.proposedBy,
        other.geometry == configuration.geometry
      {
        verdicts.report(
          .i7,
          "two configurations of \(other.group) at membership epoch \(other.epoch), both by epoch \(other.proposedBy)")
      }
    }
    // Of several proposals for one epoch the one with the highest ballot stands.
    let before = group.filter { $0.epoch.next == configuration.epoch && $0.proposedBy <= configuration.proposedBy }
    if let old = before.max(by: { $1.supersedes($0) }) {
      check(old, configuration, &verdicts)
      checkHydration(from: old, to: configuration, tail: tail, fleet: fleet, &verdicts)
    }
    known.append(configuration)
    groups = max(groups, Int(configuration.group.value) + 1)
  }

  /// Every write quorum of `a` must meet every write and read quorum of `a` and of `b`.
  private func check(_ a: GroupConfiguration, _ b: GroupConfiguration, _ verdicts: inout Verdicts) {
    let nodes = (a.members + b.members).map(\.node).sorted()
    var union: [NodeID] = []
    for node in nodes where union.last != node { union.append(node) }
    guard union.count <= 16 else { return }
    func map(_ set: Int, _ c: GroupConfiguration) -> MemberSet {
      var result = MemberSet()
      for (i, node) in union.enumerated() where set >> i & 1 == 1 {
        if let member = c.index(of: node) { result.insert(MemberSet(member: member)) }
      }
      return result
    }
    let all = 1 << union.count
    for set in 0..<all {
      guard a.isWriteQuorum(map(set, a)) else { continue }
      let rest = map(all - 1 - set, b)
      if b.isReadQuorum(rest) || b.isWriteQuorum(rest) {
        verdicts.report(
          .i7,
          "\(a.group): write quorum \(map(set, a)) of membership epoch \(a.epoch) (\(a.rule)) misses quorum \(rest) of"
            + " epoch \(b.epoch) (\(b.rule))")
        return
      }
    }
  }

  /// When the pending rule comes into force (normally by a handover), a write quorum of it must hold all that was ever
  /// announced as durable, in segments that are there now.
  private func checkHydration(
    from old: GroupConfiguration, to new: GroupConfiguration, tail: LSN, fleet: FleetTruth, _ verdicts: inout Verdicts
  ) {
    guard let pending = old.pending, old.hydrationTarget < .max,
      new.pending == nil ? new.rule != old.rule || new.members != old.members : new.hydrationTarget == .max
    else { return }
    // Backing out keeps exactly the members of the old rule; committing those of the pending one.
    func named(_ rule: QuorumRule, _ c: GroupConfiguration) -> [NodeID] {
      let set = rule.write.joined().reduce(into: MemberSet()) { $0.formUnion($1.members) }
      return c.members.indices.filter { set.contains(MemberSet(member: $0)) }.map { c.members[$0].node }.sorted()
    }
    guard named(new.rule, new) == named(pending, old), named(new.rule, new) != named(old.rule, old) else { return }
    let holders = fleet.holders(new, of: max(tail, old.hydrationTarget))
    verdicts.require(
      new.rule.isWriteQuorum(holders), .i7,
      "\(new.group) at membership epoch \(new.epoch): of \(new.rule) only \(holders) hold \(tail), which was announced as"
        + " durable, and the hydration target \(old.hydrationTarget)")
  }
}
