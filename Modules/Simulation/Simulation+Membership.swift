import BorealisCore
import BorealisReplicationPolicy
import BorealisVolume
import BorealisWire

// Changes of membership: without need (a fault class), and repair of what is lost.
extension Simulation {
  /// What a writer holds to be the configurations.
  func configurations(of writer: SimulatedWriter) -> [GroupConfiguration] {
    writer.writer?.machine.configurations ?? []
  }
  /// The newest configuration of each group that anybody proposed.
  var latestConfigurations: [GroupConfiguration] {
    var result: [GroupConfiguration] = []
    for c in quorums.configurations {
      if let i = result.firstIndex(where: { $0.group == c.group }) {
        if c.supersedes(result[i]) { result[i] = c }
      } else {
        result.append(c)
      }
    }
    return result
  }
  /// Every configuration that may still be in force: of the highest two membership epochs of each group.
  var recentConfigurations: [GroupConfiguration] {
    let latest = latestConfigurations
    return quorums.configurations.filter { c in
      latest.contains { $0.group == c.group && c.epoch.value + 1 >= $0.epoch.value }
    }
  }

  /// Asks a writer for a change; false when it refuses.
  func change(_ group: ProtectionGroupID, _ plan: MembershipPlan, by writer: SimulatedWriter) -> Bool {
    guard let process = writer.writer else { return false }
    writer.effects.removeAll()
    var failure: VolumeError?
    do throws(VolumeError) {
      try process.machine.change(group, to: plan, now: now, into: &writer.effects)
    } catch { failure = error }
    if let failure {
      story.detail(now, "\(writer.peer) refuses \(plan) of \(group): \(failure)")
    } else {
      counts.membershipChanges += 1
      digest.event(now.nanoseconds, 150, writer.peer.value, UInt64(group.value))
      story.note(now, "\(writer.peer) begins: \(group) \(describe(plan))")
    }
    settleWriter(writer, process)
    return failure == nil
  }

  private func describe(_ plan: MembershipPlan) -> String {
    switch plan {
    case .replace(let old, let new): "replace \(old) by \(new.node)"
    case .loseZone(let zone): "go on without zone \(zone)"
    case .returnZone(let members): "take back " + members.map(\.node.description).joined(separator: " ")
    case .commit: "commit"
    case .revert: "revert"
    }
  }

  /// A change that nobody needs.
  func changeMembership() -> Bool {
    // A single copy cannot be moved safely while it may be cut off: see the fault model.
    guard let writer = newestWriter, options.policy.copies >= 3 else { return false }
    let groups = configurations(of: writer)
    guard !groups.isEmpty else { return false }
    let group = groups[faultChance.index(groups.count)]
    if group.pending != nil { return faultChance.chance(1, in: 3) && change(group.group, .revert, by: writer) }
    if group.members.count == options.policy.copies, faultChance.chance(1, in: 4) {
      return change(group.group, .loseZone(zones[faultChance.index(zones.count)]), by: writer)
    }
    guard group.members.count == options.policy.copies else { return returnZone(group, by: writer) }
    let old = group.members[faultChance.index(group.members.count)]
    return replace(old, in: group, by: writer)
  }

  private func replace(_ old: SegmentMember, in group: GroupConfiguration, by writer: SimulatedWriter) -> Bool {
    let free = nodes.filter { !$0.isLost && group.index(of: $0.id) == nil }
    guard let spare = free.first(where: { $0.zone == old.zone }) ?? free.first else { return false }
    return change(
      group.group, .replace(old.node, with: SegmentMember(node: spare.id, zone: spare.zone, kind: old.kind)), by: writer
    )
  }

  private func returnZone(_ group: GroupConfiguration, by writer: SimulatedWriter) -> Bool {
    var added: [SegmentMember] = []
    for (index, zone) in zones.enumerated() where !group.members.contains(where: { $0.zone == zone }) {
      let slots = options.policy.slots.filter { $0.zone == index }
      var free = nodes.filter { !$0.isLost && $0.zone == zone }
      for slot in slots {
        guard !free.isEmpty else { return false }
        // Any of them: also one that was a member of the other kind before.
        let i = faultChance.index(free.count)
        added.append(SegmentMember(node: free.remove(at: i).id, zone: zone, kind: slot.kind))
      }
    }
    return !added.isEmpty && change(group.group, .returnZone(added), by: writer)
  }

  /// Replaces members that are lost for ever, and takes zones back that are there again.
  func repair() {
    guard let writer = newestWriter else { return }
    for group in configurations(of: writer) {
      // In a transition, only what is to come can still be changed: that must not name a lost member.
      let target = group.pending ?? group.rule
      let named = target.write.joined().reduce(into: MemberSet()) { $0.formUnion($1.members) }
      let lost = group.members.indices.first {
        named.contains(MemberSet(member: $0)) && fleet[group.members[$0].node].isLost
      }
      if let lost {
        _ = replace(group.members[lost], in: group, by: writer)
      } else if group.pending == nil, group.members.count < options.policy.copies {
        _ = returnZone(group, by: writer)
      }
    }
  }
}
