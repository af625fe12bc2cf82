import BorealisCore
import BorealisWire

// The steps of §5.6, and what each answer does to them.
extension VolumeRecovery {
  // MARK: Answers

  /// A configuration was seen.
  mutating func learn(_ configuration: GroupConfiguration, into out: inout [Outgoing]) {
    let id = Int(configuration.group.value)
    guard phase != .failed, id < VolumeRecovery.groupsMax else { return }
    guard configuration.proposedBy <= epoch else { return fail(by: configuration.proposedBy) }
    // Another one that turns up now is not decided: a decided one would have been seen on a read quorum, all of which had
    // promised. Ours has the higher ballot, and replaces it.
    guard phase != .truncating else { return }
    while groups.count <= id { groups.append(RecoveryGroup()) }
    if let known = groups[id].configuration, !configuration.supersedes(known) { return }
    groups[id].configuration = configuration
    for member in configuration.members where !nodes.contains(member.node) {
      nodes.append(member.node)
      send(.inventoryRequest, to: member.node, into: &out)
    }
    if id == 0 { geometry = min(Int(configuration.geometry), VolumeRecovery.groupsMax) }
    while groups.count < geometry { groups.append(RecoveryGroup()) }
    if phase == .repairing || phase == .preparing && !isEveryGroupKnown { startOver() }
    recount()
    ask(id, into: &out)
  }

  /// A node has promised the epoch (unless a bug is planted) and says what it holds.
  mutating func prepared(
    _ answer: RecoveryAnswer, group: ProtectionGroupID, by promised: VolumeEpoch, into out: inout [Outgoing]
  ) {
    let id = Int(group.value)
    guard phase == .learning || phase == .preparing || phase == .repairing, id < groups.count else { return }
    if plantedBug == .sampleBeforeFencing {
      if promised == epoch, !groups[id].fencedAfterSampling.contains(answer.node) {
        groups[id].fencedAfterSampling.append(answer.node)
      }
      if isFencingSampled { return refresh(id) }
    } else if promised != epoch {
      return  // R1: an answer to an earlier opener, still on its way.
    }
    if let known = groups[id].answers.firstIndex(where: { $0.node == answer.node }) {
      // Once promised, a segment only gains records. What it says later differs for this opener only if it has adopted
      // a truncation list meanwhile.
      guard answer.truncation.epoch > groups[id].answers[known].truncation.epoch else { return }
      groups[id].answers[known] = answer
      groups[id].completeness[known] = answer.status.scl
    } else {
      groups[id].answers.append(answer)
      groups[id].completeness.append(answer.status.scl)
    }
    // R2: a late answer may bring a truncation list that must be honoured, or more of the log.
    if phase == .repairing, plantedBug != .recoverWithTwoAnswers { startOver() } else { refresh(id) }
  }

  /// A segment's status came.
  mutating func heard(
    _ status: SegmentStatus, from node: NodeID, header: MessageHeader, into out: inout [Outgoing]
  ) {
    let id = Int(header.group.value)
    guard header.volumeEpoch == epoch, id < groups.count,
      let known = groups[id].answers.firstIndex(where: { $0.node == node })
    else { return }
    if status.truncationEpoch == epoch {
      // It holds our list, so its SCL is exact; the first `truncated` sets what counts, later ones only add.
      guard groups[id].truncated.contains(node) else { return }
      groups[id].completeness[known] = max(groups[id].completeness[known], status.scl)
    } else if status.truncationEpoch > groups[id].answers[known].truncation.epoch {
      send(.prepare, to: node, group: id, into: &out)
    } else {
      let before = groups[id].completeness[known]
      groups[id].completeness[known] = max(before, clip(status.scl, under: found))
      if groups[id].completeness[known] > before { ticksStalled = 0 }
    }
    refresh(id)
  }

  /// A node holds our list durably.
  mutating func truncated(_ status: SegmentStatus, by node: NodeID, header: MessageHeader) {
    let id = Int(header.group.value)
    guard phase == .truncating, header.volumeEpoch == epoch, status.truncationEpoch == epoch, id < geometry else {
      return
    }
    guard !groups[id].truncated.contains(node), let configuration = groups[id].configuration else { return }
    groups[id].truncated.append(node)
    if let known = groups[id].answers.firstIndex(where: { $0.node == node }) {
      groups[id].completeness[known] = status.scl
    } else {
      // It answers only now; what it held before does not matter any more.
      groups[id].answers.append(
        RecoveryAnswer(
          node: node, status: status, truncation: list, retention: Retention(), configuration: configuration, links: [])
      )
      groups[id].completeness.append(status.scl)
    }
    refresh(id)
  }

  /// A node holds a configuration durably.
  mutating func configured(_ configuration: GroupConfiguration, by node: NodeID) {
    let id = Int(configuration.group.value)
    guard id < groups.count, let mine = groups[id].configuration, configuration.isSameProposal(as: mine) else { return }
    if !groups[id].configured.contains(node) { groups[id].configured.append(node) }
    groups[id].lacking.removeAll { $0 == node }
    refresh(id)
  }

  mutating func lacksSegment(_ node: NodeID, group: ProtectionGroupID) {
    let id = Int(group.value)
    guard id < groups.count, !groups[id].lacking.contains(node) else { return }
    groups[id].lacking.append(node)
  }

  // MARK: Phases

  /// Goes on as far as the answers allow.
  mutating func advance(into out: inout [Outgoing]) {
    if phase == .learning, isEveryGroupKnown { enter(.preparing) }
    if phase == .preparing, isEveryGroupReady, isGraceOver {
      if plantedBug == .sampleBeforeFencing, !isFencingSampled {
        isFencingSampled = true
        recount()
        for id in 0..<geometry { ask(id, into: &out) }
        return
      }
      findEnd()
      guard chain != nil else { return }
      for id in 0..<geometry { groups[id].successor = successor(of: id) }
      enter(.repairing)
      for id in 0..<geometry { ask(id, into: &out) }
    }
    if phase == .repairing, isEveryGroupReady {
      settleList()
      for id in 0..<geometry { propose(in: id) }
      enter(.truncating)
      isFirstProposed = isEveryOtherGroupReady  // there is no other
      for id in 0..<geometry { ask(id, into: &out) }
    }
    if phase == .truncating, !isFirstProposed, isEveryOtherGroupReady {
      isFirstProposed = true
      ask(0, into: &out)
    }
    if phase == .truncating, isEveryGroupReady { open() }
  }

  private mutating func enter(_ next: Phase) {
    phase = next
    ticksStalled = 0
    recount()
  }

  /// More is known than when VDL' was found: find it again.
  private mutating func startOver() {
    chain = nil
    for id in groups.indices { groups[id].successor = nil }
    enter(isEveryGroupKnown ? .preparing : .learning)
  }

  /// Whether of every group that group 0 speaks of a configuration is known that may be the decided one (R8).
  private var isEveryGroupKnown: Bool {
    for id in 0..<geometry where !isKnown(id) { return false }
    return geometry > 0
  }
  /// Whether the group's configuration that is known may be the decided one (R8).
  func isKnown(_ id: Int) -> Bool {
    guard let first = groups[0].configuration, let configuration = groups[id].configuration else { return false }
    return configuration.proposedBy >= first.proposedBy
  }
  /// Whether all groups but group 0 meet the phase's condition.
  private var isEveryOtherGroupReady: Bool { readyCount - (groups[0].isReady ? 1 : 0) == geometry - 1 }

  /// Forgets the answers and asks for them again (R6): promises stand, and what was held then is held now.
  mutating func sampleAgain(into out: inout [Outgoing]) {
    for id in groups.indices {
      groups[id].answers.removeAll()
      groups[id].completeness.removeAll()
    }
    ticksReady = 0
    startOver()
    for id in 0..<geometry { ask(id, into: &out) }
  }

  /// Whether no more answers are worth waiting for: all members have answered, or a few ticks have passed.
  private var isGraceOver: Bool {
    if ticksReady >= VolumeRecovery.graceTicks || plantedBug == .recoverWithTwoAnswers { return true }
    for group in groups.prefix(geometry) {
      guard let configuration = group.configuration else { return false }
      if group.answered.count < configuration.members.count { return false }
    }
    return true
  }

  /// Whether the group meets the phase's condition.
  private func isReady(_ id: Int) -> Bool {
    let group = groups[id]
    guard let configuration = group.configuration else { return false }
    switch phase {
    case .learning, .opened, .failed: return true
    case .preparing:
      if plantedBug == .sampleBeforeFencing, isFencingSampled { return group.isReadQuorum(group.fencedAfterSampling) }
      if plantedBug == .recoverWithTwoAnswers { return group.sample.count >= 2 }
      return configuration.isOpeningQuorum(group.answered)
    case .repairing:
      guard let chain else { return false }
      if plantedBug == .skipRepairBeforeOpening { return true }
      return group.isRepaired(completeTo: chain.tails[id])
    case .truncating:
      guard let chain else { return false }
      if !group.isPredecessorTold { return false }
      if !isWritten(group.members { group.configured.contains($0) }, configuration) { return false }
      if plantedBug == .skipTruncation { return true }
      guard isWritten(group.members { group.truncated.contains($0) }, configuration) else { return false }
      // Once more: a segment that adopted some other list between its answer and ours may have dropped records.
      if plantedBug == .skipRepairBeforeOpening { return true }
      return isWritten(group.members(completeTo: chain.tails[id]), configuration)
    }
  }

  /// A write quorum of both rules of a transition; after some patience, of the rule in force alone.
  ///
  /// The latter is all that a later recovery needs, since it reads by the rule in force. (Not so once the new rule has
  /// been handed over to: openers that have not heard of it read by the rule being left.)
  private func isWritten(_ set: MemberSet, _ configuration: GroupConfiguration) -> Bool {
    if configuration.isWriteQuorum(set) { return true }
    return configuration.isHydrating && ticksTruncating >= VolumeRecovery.patienceTicks
      && configuration.rule.isWriteQuorum(set)
  }

  /// Looks at one group's condition again.
  mutating func refresh(_ id: Int) {
    guard id < geometry else { return }
    let ready = isReady(id)
    if ready != groups[id].isReady {
      groups[id].isReady = ready
      readyCount += ready ? 1 : -1
    }
  }

  /// Looks at every group's condition again.
  mutating func recount() {
    readyCount = 0
    for id in groups.indices {
      groups[id].isReady = id < geometry && isReady(id)
      if groups[id].isReady { readyCount += 1 }
    }
  }

  // MARK: Steps 3 to 8

  /// Steps 3 to 5.
  private mutating func findEnd() {
    found = TruncationList()
    for group in groups.prefix(geometry) {
      for answer in group.answers where answer.truncation.epoch > found.epoch { found = answer.truncation }
    }
    let known = groups
    do throws(RecoveredChain.Obstacle) {
      chain = try RecoveredChain(samples: known.prefix(geometry).map(\.sample), list: found) { id, nodes in
        known[id].isReadQuorum(nodes)
      }
      obstacle = nil
    } catch {
      chain = nil
      obstacle = error
      return
    }
    for id in 0..<geometry {
      for i in groups[id].answers.indices {
        groups[id].completeness[i] = max(
          clip(groups[id].completeness[i], under: found), groups[id].answers[i].completeness(under: found))
      }
    }
  }

  /// From here on VDL' stands.
  private mutating func settleList() {
    guard let chain else { return }
    list = found.extended(above: chain.vdl, allocationLimit: allocationLimit, epoch: epoch)
    if plantedBug == .reuseLSNAfterRecovery { list.ranges = found.ranges }
  }

  /// Puts the group's configuration, or what it becomes without lost copies, under this epoch's ballot (R4).
  ///
  /// What lies at or below the tail may be on the rule in force alone, if the transition was not known to the writers
  /// between its first proposal and now: so its hydration target rises to the tail.
  private mutating func propose(in id: Int) {
    adoptSuccessor(of: id)
    guard var configuration = groups[id].configuration else { return }
    configuration.proposedBy = epoch
    if configuration.isHydrating, let chain { configuration.hydrationTarget = chain.tails[id] }
    groups[id].configuration = configuration
    groups[id].configured.removeAll()
  }

  /// Step 8.
  private mutating func open() {
    guard let chain else { return }
    var opened: [OpenedGroup] = []
    var retention = Retention()
    for (id, group) in groups.prefix(geometry).enumerated() {
      guard let configuration = group.configuration else { return }
      var scls = [LSN](repeating: .zero, count: configuration.members.count)
      for (i, answer) in group.answers.enumerated() {
        if answer.retention.supersedes(retention) { retention = answer.retention }
        guard let index = configuration.index(of: answer.node) else { continue }
        scls[index] = min(group.completeness[i], chain.tails[id])
      }
      opened.append(OpenedGroup(configuration: configuration, tail: chain.tails[id], scls: scls))
    }
    var next = (list.ranges.last?.through ?? chain.vdl).advanced(by: 1)
    if plantedBug == .reuseLSNAfterRecovery { next = chain.vdl.advanced(by: 1) }
    outcome = OpenedVolume(
      volume: volume, epoch: epoch, vdl: chain.vdl, nextLSN: next, lastRecord: chain.vdl, groups: opened,
      truncation: list, retention: retention, isNew: chain.vdl == .zero)
    phase = .opened
  }
}
