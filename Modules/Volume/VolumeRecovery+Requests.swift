import BorealisCore
import BorealisWire

// What is asked of whom, and what people are told meanwhile.
extension VolumeRecovery {
  /// Groups that a volume can have: 256 TiB in groups of 10 GiB, rounded up; bounds what a damaged inventory can claim.
  static var groupsMax: Int { 65_536 }

  /// Repeats what the present phase waits for.
  mutating func resend(into out: inout [Outgoing]) {
    for node in nodes where !inventoried.contains(node) { send(.inventoryRequest, to: node, into: &out) }
    if phase == .learning {
      // A group may become known through a node that did not hold it when it was asked first.
      for node in nodes where inventoried.contains(node) { send(.inventoryRequest, to: node, into: &out) }
    }
    for id in groups.indices { ask(id, into: &out) }
  }

  /// Asks the group's members for what the present phase needs and they have not given.
  mutating func ask(_ id: Int, into out: inout [Outgoing]) {
    guard let configuration = groups[id].configuration else { return }
    switch phase {
    case .learning, .preparing:
      askToPrepare(id, configuration, into: &out)
      giveMissingSegments(id, configuration, into: &out)
    case .repairing:
      askToPrepare(id, configuration, into: &out)
      giveMissingSegments(id, configuration, into: &out)
      bringFoundList(id, into: &out)
      askToCatchUp(id, configuration, into: &out)
    case .truncating:
      guard let chain, id < geometry else { return }
      let isProposed = id > 0 || isFirstProposed
      for member in configuration.members {
        if isProposed, mayBeConfigured(member.node, id, configuration), !groups[id].configured.contains(member.node) {
          send(.configure(configuration), to: member.node, group: id, into: &out)
        }
        if !groups[id].truncated.contains(member.node), plantedBug != .skipTruncation {
          send(.truncate(list, vdl: chain.vdl, tail: chain.tails[id]), to: member.node, group: id, into: &out)
        }
      }
      // Who answered and is no member (any more) may have missed that; no peer's word would do now.
      for answer in groups[id].answers where isProposed && configuration.index(of: answer.node) == nil {
        send(.configure(configuration), to: answer.node, group: id, into: &out)
      }
      askToCatchUp(id, configuration, into: &out)
    case .opened, .failed: return
    }
  }

  /// Gives members that say that they have no segment an empty one, which then counts for the read quorum, catches up, and
  /// counts for repair.
  ///
  /// They were down when the group was made, and never acknowledged anything of it: "nothing" is a true answer. A node
  /// that has lost its disk does not come back under its old number (`FaultModel.md`), and one that a later configuration
  /// has left out refuses this one and names that: so nobody who says so has forgotten anything.
  private func giveMissingSegments(_ id: Int, _ configuration: GroupConfiguration, into out: inout [Outgoing]) {
    let group = groups[id]
    guard id < geometry, !group.lacking.isEmpty else { return }
    for member in configuration.members
    where group.lacking.contains(member.node) && !group.answers.contains(where: { $0.node == member.node }) {
      send(.configure(configuration), to: member.node, group: id, into: &out)
    }
  }

  /// Tells members that have not heard of the list that this recovery honours.
  ///
  /// One that was away at an earlier opening may have followed its chain into a range that the list voids: what its peers
  /// send would never link to that. Gossip must not bring the list once a member is sampled, but the opener may: it has
  /// found the list, so its own will hold all of its ranges. VDL is left as the member knows it, out of void ranges.
  private func bringFoundList(_ id: Int, into out: inout [Outgoing]) {
    guard id < geometry, let chain else { return }
    for answer in groups[id].answers where answer.truncation.epoch < found.epoch {
      var vdl = answer.status.knownVDL
      for range in found.ranges where range.contains(vdl) { vdl = range.after }
      send(.truncate(found, vdl: vdl, tail: chain.tails[id]), to: answer.node, group: id, into: &out)
    }
  }

  /// Whether the configuration is to be sent to this member before truncation ends.
  ///
  /// A member of the rule in force that has not answered is left alone: it will be configured by the writer.
  private func mayBeConfigured(_ node: NodeID, _ id: Int, _ configuration: GroupConfiguration) -> Bool {
    let group = groups[id]
    guard let index = configuration.index(of: node) else { return false }
    if group.answers.contains(where: { $0.node == node }) { return true }
    return !configuration.openingMembers.contains(MemberSet(member: index))
  }

  private func askToPrepare(_ id: Int, _ configuration: GroupConfiguration, into out: inout [Outgoing]) {
    let group = groups[id]
    for member in configuration.members {
      if plantedBug == .sampleBeforeFencing {
        if isFencingSampled {
          if !group.fencedAfterSampling.contains(member.node) { send(.prepare, to: member.node, group: id, into: &out) }
        } else if !group.answers.contains(where: { $0.node == member.node }) {
          send(.prepare, to: member.node, group: id, epoch: highestEpochSeen, into: &out)
        }
      } else if !group.answers.contains(where: { $0.node == member.node }) {
        send(.prepare, to: member.node, group: id, into: &out)
      }
    }
  }

  /// Step 6: members behind the tail pull from one that has it; another one each time.
  private mutating func askToCatchUp(_ id: Int, _ configuration: GroupConfiguration, into out: inout [Outgoing]) {
    guard let chain, id < geometry, plantedBug != .skipRepairBeforeOpening else { return }
    let tail = chain.tails[id]
    let complete = groups[id].members(completeTo: tail)
    let sources = configuration.members.indices.filter { complete.contains(MemberSet(member: $0)) }
    guard !sources.isEmpty, complete.count < configuration.members.count else { return }
    groups[id].sourceTurn += 1
    var turn = groups[id].sourceTurn
    for (index, member) in configuration.members.enumerated() where !complete.contains(MemberSet(member: index)) {
      // Only those that have promised: others may still hold a list that takes records away again.
      guard groups[id].answers.contains(where: { $0.node == member.node }) else { continue }
      let source = configuration.members[sources[turn % sources.count]].node
      turn += 1
      send(.catchUp(target: tail, source: source), to: member.node, group: id, into: &out)
    }
  }

  /// What it is waiting for, for people: which group, which nodes.
  public var progress: String {
    switch phase {
    case .opened: return "open"
    case .failed: return failure?.description ?? "failed"
    case .learning:
      let missing = nodes.filter { !inventoried.contains($0) }
      guard geometry > 0 else {
        return "learning: pg0 is not known yet; \(VolumeRecovery.list(missing)) not answered"
      }
      let unknown = unknownGroups
      return "learning: no decided configuration of \(unknown.map { "pg\($0)" }.joined(separator: ", ")) known; "
        + "\(VolumeRecovery.list(missing)) not answered"
    case .preparing:
      guard let id = groups.prefix(geometry).firstIndex(where: { !$0.isReady }) else {
        return obstacle.map { "preparing: pg\($0.group): \($0.reason)" } ?? "preparing: read quorums complete"
      }
      return describe(id, "preparing", needs: "a read quorum", missing: groups[id].answered)
    case .repairing:
      guard let id = groups.prefix(geometry).firstIndex(where: { !$0.isReady }), let chain else { return "repairing" }
      return describe(
        id, "repairing", needs: "a write quorum complete up to \(chain.tails[id])",
        missing: groups[id].members(completeTo: chain.tails[id]))
    case .truncating:
      guard let id = groups.prefix(geometry).firstIndex(where: { !$0.isReady }) else { return "truncating" }
      return describe(
        id, "truncating", needs: "a write quorum with the truncation list and the configuration",
        missing: groups[id].members { groups[id].truncated.contains($0) })
    }
  }

  private var unknownGroups: [Int] {
    var unknown: [Int] = []
    for id in 0..<geometry where !isKnown(id) { unknown.append(id) }
    return unknown
  }

  private func describe(_ id: Int, _ phase: String, needs: String, missing present: MemberSet) -> String {
    guard let configuration = groups[id].configuration else { return "\(phase): pg\(id) is not known" }
    let missing = configuration.members.enumerated().filter { !present.contains(MemberSet(member: $0.offset)) }
    let lost = missing.filter { groups[id].lacking.contains($0.element.node) }.map(\.element.node)
    return "\(phase): pg\(id) needs \(needs) (\(configuration.rule)); has \(present), not "
      + VolumeRecovery.list(missing.map(\.element.node))
      + (lost.isEmpty ? "" : "; without a segment: \(VolumeRecovery.list(lost))")
  }

  private static func list(_ nodes: [NodeID]) -> String {
    nodes.isEmpty ? "nobody has" : nodes.map(\.description).joined(separator: ", ")
  }
}
