import BorealisCore
import BorealisStorageNode
import BorealisVolume
import BorealisWire

/// How far the liveness phase has come.
struct LivenessProgress {
  /// What is waited for, in this order.
  enum Stage: Int {
    case opening, repairing, committing, waiting, agreeing, probing, reading, done
  }
  var stage = Stage.opening
  /// Whether only the fewest nodes that suffice are up, as yet.
  var isMinimal = false
  var deadline = Instant.max
  var stageSince = Instant.zero
  /// Pages that the last commits have yet to write.
  var pagesLeft: [Int] = []
  var tried = 0
  var acknowledgedBefore = 0
  /// Pages to be read on every full segment.
  var probes: [(group: ProtectionGroupID, node: NodeID, page: Int)] = []
  var probeIndex = 0
  var probeSentAt = Instant.zero
  var probePoint = LSN.zero
  var isProbeAnswered = false
  /// Pages to be read through instances.
  var readsLeft = 0
  var readsStarted = false
  /// Why the stage is not over, for the story.
  var waitingFor = ""
}

extension Instant {
  fileprivate static var max: Instant { Instant(nanoseconds: .max) }
}

// The liveness phase: everything is healed, and then everything must come to an end.
extension Simulation {
  /// Who asks nodes for pages directly.
  static let probe = PeerID.instance(0x7FFF_FFFF)

  /// Runs every 20 ms: ends the safety phase when enough was done, then drives the stages of the liveness phase.
  func lookAtProgress() {
    switch phase {
    case .safety:
      if counts.transactions >= options.transactions || now.nanoseconds >= options.safetyTime {
        beginLiveness()
      } else {
        repair()
      }
    case .liveness:
      advanceStages()
      if now > liveness.deadline {
        verdicts.report(.liveness, "stage \(liveness.stage) is not over: \(liveness.waitingFor)")
      }
    case .ended: return
    }
    if phase != .ended { queue.push(.liveness, at: now.advanced(byMilliseconds: phase == .safety ? 20 : 10)) }
  }

  /// Heals everything; half of the time the fewest nodes that suffice have to open the volume and commit first.
  private func beginLiveness() {
    phase = .liveness
    story.note(now, "all faults are healed")
    liveness.deadline = now.advanced(byNanoseconds: options.livenessTime)
    liveness.stageSince = now
    network.quality = .good
    network.mendAll()
    metadata.isAvailable = true
    for i in nodes.indices where !nodes[i].isLost {
      nodes[i].slowness = 1
      nodes[i].disk.setFull(false)
      nodes[i].isHeldDown = false
      maintenance.ended(nodes[i].id)
      if !nodes[i].isUp { queue.push(.nodeStart(i), at: now.advanced(byMilliseconds: 1)) }
    }
    // (The creator of the volume is spared.)
    if metadata.isCreated, faultChance.chance(1, in: 2) { keepOnlySurvivors() }
    superviseSoon()
  }

  private func enter(_ stage: LivenessProgress.Stage) {
    story.note(now, "liveness: \(stage)")
    liveness.stage = stage
    liveness.stageSince = now
    liveness.waitingFor = ""
  }

  private func advanceStages() {
    switch liveness.stage {
    case .opening:
      if isOpened() {
        if liveness.isMinimal { beginCommitting() } else { enter(.repairing) }
      }
    case .repairing:
      if isRepaired() { beginCommitting() }
    case .committing: if commitLast() { enter(.waiting) }
    case .waiting:
      if isDurable() {
        controlPlane.tried(
          liveness.tried, completed: counts.acknowledged - liveness.acknowledgedBefore, &verdicts)
        if liveness.isMinimal {
          bringBackOthers()
          return enter(.opening)
        }
        if options.readers > 0 { superviseReaders() }
        enter(.agreeing)
      }
    case .agreeing:
      if copiesAgree() {
        beginProbes()
        enter(.probing)
      }
    case .probing: if probesDone() { enter(.reading) }
    case .reading: if readsDone() { enter(.done) }
    case .done:
      for node in nodes {
        guard let process = node.process else { continue }
        verdicts.report(machine: node.id.description, process.machine.checkInvariants())
      }
      phase = .ended
    }
  }

  private func beginCommitting() {
    liveness.pagesLeft = Array(0..<pagesInUse())
    liveness.tried = 0
    liveness.acknowledgedBefore = counts.acknowledged
    // I15: from here on nobody needs the metadata service.
    metadata.isAvailable = false
    enter(.committing)
  }

  private func isOpened() -> Bool {
    for node in nodes where !node.isLost && !node.isUp && !node.isKeptDown {
      liveness.waitingFor = "\(node.id) is not up"
      return false
    }
    guard let newest = newestWriter else {
      liveness.waitingFor = writers.map { w in
        "\(w.peer) epoch \(w.epoch) "
          + (w.recovery?.machine.progress ?? (w.writer != nil ? "has not read its catalog" : "has no epoch or creates"))
      }.joined(separator: "; ")
      if writers.isEmpty { superviseSoon() }
      return false
    }
    // Older writers learn that they are fenced.
    for writer in writers where writer !== newest {
      liveness.waitingFor = "\(writer.peer) (epoch \(writer.epoch)) does not learn that epoch \(newest.epoch) is open"
      return false
    }
    return true
  }

  private func isRepaired() -> Bool {
    guard let writer = newestWriter else { return false }
    repair()
    for group in configurations(of: writer) {
      if group.pending != nil {
        liveness.waitingFor = "the transition of \(group.group) at membership epoch \(group.epoch) does not end"
        return false
      }
      for member in group.members where fleet[member.node].isLost {
        let hasSpare = nodes.contains { !$0.isLost && group.index(of: $0.id) == nil }
        guard hasSpare else { continue }
        liveness.waitingFor = "\(member.node) of \(group.group) is lost and not replaced"
        return false
      }
    }
    return true
  }

  /// Writes every page once more, so that every group has a new tail.
  private func commitLast() -> Bool {
    guard let writer = newestWriter else { return false }
    var budget = 4
    while budget > 0, !liveness.pagesLeft.isEmpty {
      budget -= 1
      // (A database grows from its beginning.)
      let pages = database == nil ? liveness.pagesLeft.suffix(4) : liveness.pagesLeft.prefix(4)
      let isTaken =
        database == nil
        ? commit(pages.map { drawWrite($0, bytes: 16) }, on: writer) : commitDatabase(Array(pages), on: writer)
      guard isTaken else {
        liveness.waitingFor = "\(writer.peer) takes no commit: next LSN \(writer.nextLSN), VDL \(writer.vdl)"
        return false
      }
      liveness.tried += 1
      if database == nil {
        liveness.pagesLeft.removeLast(pages.count)
      } else {
        liveness.pagesLeft.removeFirst(pages.count)
      }
    }
    return liveness.pagesLeft.isEmpty
  }

  private func isDurable() -> Bool {
    guard let writer = newestWriter else {
      verdicts.report(.liveness, "the writer is gone although nothing is wrong")
      return false
    }
    if let waiter = writer.waiters.first {
      liveness.waitingFor = "\(writer.waiters.count) waiters, the first for \(waiter.lsn); VDL \(writer.vdl)"
      return false
    }
    return true
  }

  /// All members of each group at the same SCL, the tail of the group.
  private func copiesAgree() -> Bool {
    guard let writer = newestWriter else { return false }
    for group in configurations(of: writer) {
      let tail = ledger.tail(group.group, at: writer.vdl)
      for member in group.members where !fleet[member.node].isLost {
        let node = nodes[Int(member.node.value) - 1]
        let status = node.process?.machine.status(of: group.group)
        guard status?.scl == tail else {
          liveness.waitingFor =
            "\(node.id) \(group.group) is at SCL \(status?.scl.description ?? "none"), its tail is \(tail); gc point"
            + " \(status?.gcPoint.description ?? "none")"
          return false
        }
      }
    }
    for reader in readers where reader.process.machine.appliedVDL != writer.vdl {
      liveness.waitingFor = "reader \(reader.peer) is at \(reader.applied), VDL is \(writer.vdl)"
      return false
    }
    return readers.count >= options.readers
  }

  // MARK: every page of every full segment

  private func beginProbes() {
    guard let writer = newestWriter else { return }
    liveness.probePoint = writer.vdl
    liveness.probes = []
    liveness.probeIndex = 0
    liveness.isProbeAnswered = true
    for page in 0..<oracle.pageCount {
      guard let group = ledger.group(of: oracle.page(page)),
        let configuration = configurations(of: writer).first(where: { $0.group == group })
      else { continue }
      for member in configuration.members where member.kind == .full && !fleet[member.node].isLost {
        liveness.probes.append((group, member.node, page))
      }
    }
  }

  private func probesDone() -> Bool {
    guard liveness.probeIndex < liveness.probes.count else { return true }
    let probe = liveness.probes[liveness.probeIndex]
    liveness.waitingFor = "\(probe.node) does not serve page \(oracle.page(probe.page)) at \(liveness.probePoint)"
    // Answers drive the probes; here only what was refused is asked again.
    if now.nanoseconds(since: liveness.probeSentAt) >= 20_000_000 { sendProbes() }
    return false
  }

  /// Asks for all pages that are not answered yet, a few at a time.
  private func sendProbes() {
    guard let writer = newestWriter else { return }
    liveness.probeSentAt = now
    for i in liveness.probeIndex..<min(liveness.probeIndex + 24, liveness.probes.count) {
      let probe = liveness.probes[i]
      guard let c = configurations(of: writer).first(where: { $0.group == probe.group }) else { continue }
      let header = MessageHeader(
        volume: volume, sender: Self.probe, volumeEpoch: writer.epoch, group: probe.group, membershipEpoch: c.epoch)
      let message = Message.readPage(
        request: UInt64(i), page: oracle.page(probe.page), readPoint: liveness.probePoint,
        requiredSCL: ledger.tail(probe.group, at: liveness.probePoint))
      send(message.encoded(header), from: Self.probe, to: .node(probe.node))
    }
  }

  /// A node answers a probe; the checkers have looked at the page when it was sent.
  func probeAnswered(_ bytes: [UInt8], from: PeerID) {
    guard let node = from.node, Envelope(bytes).kind == MessageKind.pageImage else { return }
    let id = Int(Envelope.lsn(bytes, at: 0).value)
    guard id < liveness.probes.count, liveness.probes[id].node == node else { return }
    counts.reads += 1
    // Answers come in any order; a probe that is overtaken is simply asked again.
    if id == liveness.probeIndex { liveness.probeIndex += 1 } else { answered.insert(id) }
    while answered.remove(liveness.probeIndex) != nil { liveness.probeIndex += 1 }
    if liveness.probeIndex % 24 == 0 || answered.isEmpty, liveness.probeIndex < liveness.probes.count,
      now.nanoseconds(since: liveness.probeSentAt) >= 2_000_000
    {
      sendProbes()
    }
  }

  // MARK: every page through every instance

  private func readsDone() -> Bool {
    guard let writer = newestWriter else { return false }
    if !liveness.readsStarted {
      liveness.readsStarted = true
      for page in 0..<oracle.pageCount {
        beginRead(writer, page, at: nil)
        for reader in readers { beginRead(reader, page, at: nil) }
      }
      beginLastSnapshots(on: writer)
    }
    let left = writer.reads.count + readers.reduce(0) { $0 + $1.reads.count } + databaseTasksLeft()
    liveness.waitingFor = "\(left) page reads of writer and readers do not end"
    return left == 0
  }
}
