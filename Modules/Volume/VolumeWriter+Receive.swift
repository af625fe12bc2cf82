public import BorealisCore
package import BorealisWire

extension VolumeWriter {
  /// Takes a message from a node or a reader; malformed ones and those of other volumes are counted and dropped.
  public mutating func receive(_ bytes: [UInt8], now: Instant, into e: inout VolumeEffects) {
    guard let (header, message) = try? Message.decode(bytes) else {
      counters.messagesDropped += 1
      return
    }
    receive(header, message, now: now, into: &e)
  }
  /// Takes a message that was decoded, and so checked, before.
  package mutating func receive(
    _ header: MessageHeader, _ message: Message, now: Instant, into e: inout VolumeEffects
  ) {
    guard header.volume == volume else {
      counters.messagesDropped += 1
      return
    }
    guard !fenced else { return }
    guard let node = header.sender.node else {
      receive(message, fromReader: header.sender, now: now, into: &e)
      finishStep(into: &e)
      return
    }
    repair?.nodes.heard(node, now: now)
    switch message {
    case .appendAck(let scl): acknowledge(scl, from: node, header, now: now, into: &e)
    case .reject(let request, let reason, let configuration):
      reject(request, reason, configuration, from: node, header, now: now, into: &e)
    case .pageImage(let request, let lsn, let image):
      let completion = reads.receiveImage(
        request: request, from: node, lsn: lsn, image: image, pageSize: self.configuration.pageSize, now: now)
      if let completion { complete(completion, now: now, into: &e) }
    case .pageRun(let request, let pages):
      let run = reads.receiveRun(request: request, pages: pages, pageSize: self.configuration.pageSize)
      if let run { complete(run, now: now, into: &e) }
    case .configured(let configuration): receiveConfigured(configuration, from: node, header, now: now, into: &e)
    case .status(let status):
      acknowledge(status.scl, from: node, header, now: now, into: &e)
      receiveStatus(status, from: node, header, now: now, into: &e)
    case .inventory(let held):
      if repair != nil { receiveInventory(held, from: node, into: &e) } else { counters.messagesDropped += 1 }
    default: counters.messagesDropped += 1
    }
    finishStep(into: &e)
  }

  // MARK: Acks

  private mutating func acknowledge(
    _ scl: LSN, from node: NodeID, _ header: MessageHeader, now: Instant, into e: inout VolumeEffects
  ) {
    let number = Int(header.group.value)
    guard number < groups.count, header.volumeEpoch == epoch,
      let member = groups[number].configuration.index(of: node),
      header.membershipEpoch >= groups[number].members[member].since
    else {
      counters.messagesDropped += 1
      return
    }
    counters.acks += 1
    if groups[number].acknowledge(member: member, scl: scl) {
      if groups[number].pgcl >= groups[number].lastSent {
        let taken = now.nanoseconds(since: groups[number].lastSentAt)
        counters.quorums += 1
        counters.quorumNanoseconds += taken
        hold.noteQuorum(nanoseconds: taken)
      }
      advance(now: now, into: &e)
    }
    sendIfDue(number, now: now, into: &e)
  }

  /// PGCL of some group has advanced: VCL and VDL follow, and all that waits for them.
  mutating func advance(now: Instant, into e: inout VolumeEffects) {
    var durable = vdl
    while coveredCount < outstanding.count {
      let record = outstanding[coveredCount]
      guard record.lsn <= groups[Int(record.group)].pgcl else { break }
      vcl = record.lsn
      if record.isConsistencyPoint || configuration.plantedBug == .vdlAtNonConsistencyPoint { durable = record.lsn }
      coveredCount += 1
    }
    if configuration.plantedBug == .wakeOnVCLNotVDL { wake(upTo: consistencyPointAfterVCL, into: &e) }
    guard durable > vdl else { return }
    vdl = durable
    e.vdl = durable
    while let record = outstanding.first, record.lsn <= durable {
      groups[Int(record.group)].tail.advance(to: record.lsn, points: readPoints)
      bytesInFlight -= record.size
      outstanding.popFirst()
      coveredCount -= 1
    }
    while let write = blindQueue.first, write.lsn <= durable {
      if blind[write.page] == write.lsn { blind[write.page] = nil }
      blindQueue.popFirst()
    }
    let woken = e.durable.count
    wake(upTo: durable, into: &e)
    if e.durable.count > woken { hold.noteWoken(e.durable.count - woken, now: now) }
    if isBlocked {
      isBlocked = false
      e.hasRoom = true
    }
    updateMinReadPoint()
    issueWaitingReads(now: now, into: &e)
  }
  private mutating func wake(upTo lsn: LSN, into e: inout VolumeEffects) {
    while let id = waiters.pop(upTo: lsn) {
      wakeCount += 1
      if configuration.plantedBug == .lostCommitWakeUp, wakeCount % 8 == 0 { continue }
      e.durable.append(id)
    }
  }
  /// Only for the planted bug: the end of the mini-transaction that VCL has begun to cover.
  private var consistencyPointAfterVCL: LSN {
    guard coveredCount > 0 else { return vdl }
    for i in (coveredCount - 1)..<outstanding.count where outstanding[i].isConsistencyPoint {
      return outstanding[i].lsn
    }
    return vdl
  }

  // MARK: Refusals

  private mutating func reject(
    _ request: UInt64, _ reason: RejectReason, _ offered: GroupConfiguration?, from node: NodeID,
    _ header: MessageHeader, now: Instant, into e: inout VolumeEffects
  ) {
    counters.rejects += 1
    let number = Int(header.group.value)
    switch reason {
    case .staleVolumeEpoch:
      // A late refusal from before this opening says nothing.
      if header.volumeEpoch > epoch { becomeFenced(by: header.volumeEpoch, into: &e) }
      return
    case .staleMembershipEpoch:
      if let offered, number < groups.count, offered.group == groups[number].configuration.group {
        settle(number, offered: offered, from: node, now: now, into: &e)
      }
    case .noSuchSegment:
      // A member that missed its configuration.
      if number < groups.count, groups[number].configuration.index(of: node) != nil, header.volumeEpoch <= epoch {
        sendConfiguration(number, to: node, into: &e)
      }
    case .diskFull, .diskFailed: e.events.append(.nodeTrouble(node, reason))
    case .busy, .readPointTooOld, .notComplete, .tailSegment, .damaged, .belowGCPoint: break
    }
    let completion = reads.receiveReject(
      request: request, from: node, reason: reason, now: now, groups: groups, into: &e.sends)
    if let completion { complete(completion, now: now, into: &e) }
    if let run = reads.receiveRejectedRun(request: request) { complete(run, now: now, into: &e) }
  }
  /// A node has another configuration than the message that it refused.
  private mutating func settle(
    _ number: Int, offered: GroupConfiguration, from node: NodeID, now: Instant, into e: inout VolumeEffects
  ) {
    guard groups[number].configuration.supersedes(offered) else { return }
    guard let member = groups[number].configuration.index(of: node) else {
      sendConfiguration(number, to: node, into: &e)
      return
    }
    // Each refused batch ends here: one answer for all of them, or answers would breed refusals.
    let pause = now.nanoseconds(since: groups[number].members[member].lastResent)
    guard pause >= configuration.resendAfter / 8 else { return }
    sendConfiguration(number, to: node, into: &e)
    resend(number, to: member, now: now, into: &e)
  }
  mutating func sendConfiguration(_ number: Int, to node: NodeID, into e: inout VolumeEffects) {
    let bytes = Message.configure(groups[number].configuration).encoded(envelope(number))
    e.sends.append(Outgoing(to: .node(node), bytes: bytes))
    counters.messagesSent += 1
    counters.bytesSent += UInt64(bytes.count)
  }
  /// Another writer has the volume: whoever waits is told that the outcome is unknown.
  mutating func becomeFenced(by other: VolumeEpoch, into e: inout VolumeEffects) {
    guard !fenced else { return }
    fenced = true
    e.isFenced = true
    e.events.append(.fenced(by: other))
    while let id = waiters.pop(upTo: .max) { e.failedWaiters.append(id) }
    failReads(.fenced, into: &e)
    for reader in readers { e.sends.append(Outgoing(to: reader.peer, bytes: Message.detached.encoded(envelope(0)))) }
    readers.removeAll()
  }

  /// At the end of each step: readers learn of VDL once, and only where no batch has told them.
  mutating func finishStep(into e: inout VolumeEffects) {
    guard streamedVDL < vdl else { return }
    streamedVDL = vdl
    guard !readers.isEmpty else { return }
    let bytes = Message.vdlAdvanced(vdl: vdl).encoded(envelope(0))
    for reader in readers { e.sends.append(Outgoing(to: reader.peer, bytes: bytes)) }
  }
}
