public import BorealisCore
import BorealisWire

extension VolumeWriter {
  // Where the fields stand that are filled in when a batch is sent.
  static var membershipEpochOffset: Int { 40 }
  static var vdlOffset: Int { MessageHeader.encodedSize }
  static var minReadPointOffset: Int { MessageHeader.encodedSize + 8 }
  static var recordsOffset: Int { MessageHeader.encodedSize + 16 }
  /// Batches sent again to one member in one tick.
  static var resendBatchesMax: Int { 16 }

  func envelope(_ group: Int) -> MessageHeader {
    MessageHeader(
      volume: volume, sender: instance, volumeEpoch: epoch, group: ProtectionGroupID(UInt32(group)),
      membershipEpoch: group < groups.count ? groups[group].configuration.epoch : .zero)
  }
  mutating func openBatch(_ group: Int) {
    // Message kind 1: append.
    groups[group].open = Message.begin(kind: 1, envelope(group), capacity: groups[group].batchSizeHint)
    groups[group].open.append(LSN.zero)
    groups[group].open.append(LSN.zero)
    groups[group].openFirst = nextLSN
  }
  /// Sends what waits for the window, and the open batch when none of the group is under way and no client is waited for,
  /// or when it is full.
  mutating func sendIfDue(_ group: Int, now: Instant, into e: inout VolumeEffects) {
    if groups[group].queued > 0 { sendQueued(group, now: now, into: &e) }
    guard !groups[group].open.isEmpty else { return }
    if groups[group].open.count < configuration.batchBytesMax {
      if groups[group].isUnderWay(now: now, timeout: configuration.resendAfter) { return }
      if isHolding(now: now) {
        // Nobody waits for what is in it: the wait to come, or a tick, sends it.
        if !waiters.isEmpty { e.timer = e.timer ?? hold.takeTimer() }
        return
      }
    }
    sendBatch(group, now: now, into: &e)
  }
  private func isHolding(now: Instant) -> Bool {
    configuration.holdsForWoken && bytesInFlight < configuration.bytesInFlightMax / 2 && hold.isHolding(now: now)
  }
  /// Ends the open batch, and sends it where the window has room.
  mutating func sendBatch(_ group: Int, now: Instant, into e: inout VolumeEffects) {
    var bytes: [UInt8] = []
    swap(&bytes, &groups[group].open)
    precondition(unsealed?.group != group, "a batch is sent with a record that is not sealed")
    groups[group].batchSizeHint = min(configuration.batchBytesMax, max(1024, bytes.count + bytes.count / 4))
    groups[group].purge(vdl: vdl)
    groups[group].enqueue(
      SentBatch(
        bytes: bytes, first: groups[group].openFirst, last: groups[group].lastIssued,
        epoch: groups[group].configuration.epoch, sentAt: now))
    bytes = []
    sendQueued(group, now: now, into: &e)
  }
  /// Sends batches to all members, and their records to all readers, as far as the window goes: the same bytes to each.
  private mutating func sendQueued(_ group: Int, now: Instant, into e: inout VolumeEffects) {
    let (vdl, minReadPoint, epoch) = (vdl, minReadPoint, groups[group].configuration.epoch)
    while let next = groups[group].nextToSend(window: configuration.sendWindowBytes) {
      groups[group].restamp(next, epoch: epoch) { bytes in
        bytes.storeInteger(epoch.value, at: VolumeWriter.membershipEpochOffset)
        bytes.storeInteger(vdl.value, at: VolumeWriter.vdlOffset)
        bytes.storeInteger(minReadPoint.value, at: VolumeWriter.minReadPointOffset)
        Message.seal(&bytes)
      }
      groups[group].noteSent(now: now)
      noteTold(group, now: now)
      let bytes = groups[group].batches[next].bytes
      for i in groups[group].configuration.members.indices { send(bytes, to: i, of: group, into: &e) }
      counters.batches += 1
      stream(bytes, into: &e)
    }
  }
  private mutating func noteTold(_ group: Int, now: Instant) {
    groups[group].toldVDL = vdl
    groups[group].toldReadPoint = minReadPoint
    groups[group].lastToldAt = now
  }
  private mutating func send(_ bytes: [UInt8], to member: Int, of group: Int, into e: inout VolumeEffects) {
    e.sends.append(Outgoing(to: .node(groups[group].configuration.members[member].node), bytes: bytes))
    counters.messagesSent += 1
    counters.bytesSent += UInt64(bytes.count)
  }

  // MARK: Time

  /// Resends, heartbeats, deadlines, growth: to be called every 5 ms or so.
  public mutating func tick(now: Instant, into e: inout VolumeEffects) {
    guard !fenced else { return }
    for group in groups.indices {
      groups[group].purge(vdl: vdl)
      sendIfDue(group, now: now, into: &e)
      resend(group, now: now, into: &e)
      heartbeat(group, now: now, into: &e)
      tickMembership(group, now: now, into: &e)
    }
    tickReads(now: now, into: &e)
    tickReaders(now: now, into: &e)
    tickGrowth(now: now, into: &e)
    tickRepair(now: now, into: &e)
    updateMinReadPoint()
    finishStep(into: &e)
  }
  /// Sends members what they lack, when they have not acked for a while; less and less often while they stay silent.
  private mutating func resend(_ group: Int, now: Instant, into e: inout VolumeEffects) {
    guard !groups[group].batches.isEmpty else { return }
    for member in groups[group].members.indices
    where groups[group].isResendDue(member: member, now: now, after: configuration.resendAfter) {
      resend(group, to: member, now: now, into: &e)
    }
  }
  mutating func resend(_ group: Int, to member: Int, now: Instant, into e: inout VolumeEffects) {
    var sent = 0
    for i in 0..<groups[group].sentCount where groups[group].batches[i].last > groups[group].scls[member] {
      restamp(group, batch: i)
      send(groups[group].batches[i].bytes, to: member, of: group, into: &e)
      counters.batchesResent += 1
      sent += 1
      if sent == VolumeWriter.resendBatchesMax { break }
    }
    groups[group].noteResend(member: member, now: now)
  }
  /// Gives a kept batch the current membership epoch.
  private mutating func restamp(_ group: Int, batch: Int) {
    let current = groups[group].configuration.epoch
    guard groups[group].batches[batch].epoch != current else { return }
    groups[group].restamp(batch, epoch: current) { bytes in
      bytes.storeInteger(current.value, at: VolumeWriter.membershipEpochOffset)
      Message.seal(&bytes)
    }
  }
  /// Tells VDL and PGMRPL to the nodes of an idle group: at once when they have moved, now and then when they have not,
  /// for those who missed it.
  private mutating func heartbeat(_ group: Int, now: Instant, into e: inout VolumeEffects) {
    let quiet = now.nanoseconds(since: groups[group].lastToldAt)
    guard quiet >= configuration.heartbeatInterval else { return }
    let isNews = groups[group].toldVDL < vdl || groups[group].toldReadPoint < minReadPoint
    // While commits wait for a quorum, a member that comes back must hear of its writer soon: it acks to nobody else.
    let isWaiting = !groups[group].batches.isEmpty
    guard isNews || isWaiting || quiet >= configuration.heartbeatInterval * 8 else { return }
    let bytes = Message.advance(vdl: vdl, minReadPoint: minReadPoint).encoded(envelope(group))
    noteTold(group, now: now)
    for i in groups[group].configuration.members.indices { send(bytes, to: i, of: group, into: &e) }
  }
}
