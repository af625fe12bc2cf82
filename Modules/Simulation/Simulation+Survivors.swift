import BorealisCore
import BorealisReplicationPolicy
import BorealisVolume
import BorealisWire

// The liveness phase may begin with the fewest nodes that suffice: healing all at once hides openings that wait for a node
// they could do without.
//
// What is claimed: with a write quorum of the members of each group up (and not lost), an opening ends and commits go on.
// Not claimed: that membership changes go on, that the volume grows (new groups need members of their own), or that a
// page store can be made where every full copy that has its pages is down.
extension Simulation {
  /// Nodes, by place, that are enough: none of them can be spared.
  ///
  /// A random one of the smallest sets. Of every group, and of the two that may be made next, they hold a write quorum of
  /// each configuration that an opener could find in force, and, where there are tail members, all but one of the full
  /// members, lost ones counted: a tail member keeps records until *two* full ones have them in pages.
  func drawSurvivors() -> [Int] {
    var kept = nodes.indices.filter { !nodes[$0].isLost }
    var needed = recentConfigurations
    let groups = needed.map(\.group.value).max().map { $0 + 1 } ?? 0
    for next in groups..<(groups + 2) {
      let placed = try? options.policy.firstConfiguration(
        group: ProtectionGroupID(next), over: topology, proposedBy: VolumeEpoch(1))
      if let placed { needed.append(placed) }
    }
    // What not even all together can give is not asked for.
    needed = needed.filter { suffices(kept, for: $0) }
    var order = kept
    for k in order.indices.reversed() { order.swapAt(k, faultChance.index(k + 1)) }
    for candidate in order {
      let rest = kept.filter { $0 != candidate }
      if needed.allSatisfy({ suffices(rest, for: $0) }) { kept = rest }
    }
    return kept
  }

  private func suffices(_ kept: [Int], for configuration: GroupConfiguration) -> Bool {
    var set = MemberSet()
    var (fullAway, fullLost) = (0, 0)
    for (k, member) in configuration.members.enumerated() {
      if kept.contains(Int(member.node.value) - 1) {
        set.insert(MemberSet(member: k))
      } else if member.kind == .full {
        fullAway += 1
        if fleet[member.node].isLost { fullLost += 1 }
      }
    }
    let hasTails = configuration.members.contains { $0.kind == .tail }
    return configuration.isWriteQuorum(set) && (!hasTails || fullAway <= max(1, fullLost))
  }

  /// Takes all other nodes down, and mostly the instances too, so that the volume must be opened by the survivors alone.
  func keepOnlySurvivors() {
    let kept = drawSurvivors()
    liveness.isMinimal = true
    story.note(now, "only \(kept.map { nodes[$0].id.description }.joined(separator: " ")) survive")
    digest.event(now.nanoseconds, 160, UInt64(kept.count))
    for i in nodes.indices where !kept.contains(i) && !nodes[i].isLost {
      nodes[i].isKeptDown = true
      crashNode(i, powerLoss: faultChance.chance(1, in: 2), restartAfter: nil)
    }
    guard faultChance.chance(7, in: 8) else { return }
    for writer in writers { end(writer) }
  }

  /// The survivors have opened the volume and committed: the others come back.
  func bringBackOthers() {
    liveness.isMinimal = false
    liveness.deadline = now.advanced(byNanoseconds: options.livenessTime)
    metadata.isAvailable = true
    story.note(now, "the other nodes come back")
    for i in nodes.indices where nodes[i].isKeptDown {
      nodes[i].isKeptDown = false
      queue.push(.nodeStart(i), at: now.advanced(byMilliseconds: 1))
    }
  }
}
