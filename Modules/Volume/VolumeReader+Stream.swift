public import BorealisCore
package import BorealisWire

extension VolumeReader {
  /// Takes a message from the writer or a node; malformed ones and those of other volumes are counted and dropped.
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
    guard header.volume == volume, phase != .idle, phase != .fenced else {
      counters.messagesDropped += 1
      return
    }
    if let node = header.sender.node {
      receive(message, from: node, header, now: now, into: &e)
    } else if header.sender == writer {
      receive(message, fromWriter: header, now: now, into: &e)
    } else {
      counters.messagesDropped += 1
    }
  }

  private mutating func receive(
    _ message: Message, from node: NodeID, _ header: MessageHeader, now: Instant, into e: inout VolumeEffects
  ) {
    var completion: SegmentReads.Completion?
    switch message {
    case .pageImage(let request, let lsn, let image):
      completion = reads.receiveImage(
        request: request, from: node, lsn: lsn, image: image, pageSize: configuration.pageSize, now: now)
    case .pageRun(let request, let pages):
      let run = reads.receiveRun(request: request, pages: pages, pageSize: configuration.pageSize)
      if let run { complete(run, now: now, into: &e) }
    case .reject(let request, let reason, let offered):
      if reason == .staleVolumeEpoch {
        if header.volumeEpoch > epoch, epoch > .zero { becomeFenced(by: header.volumeEpoch, into: &e) }
        return
      }
      if let offered { adopt([offered], now: now, into: &e) }
      completion = reads.receiveReject(
        request: request, from: node, reason: reason, now: now, groups: groups, into: &e.sends)
      if let run = reads.receiveRejectedRun(request: request) { complete(run, now: now, into: &e) }
    default: counters.messagesDropped += 1
    }
    if let completion { complete(completion, now: now, into: &e) }
  }

  private mutating func receive(
    _ message: Message, fromWriter header: MessageHeader, now: Instant, into e: inout VolumeEffects
  ) {
    // A word of an earlier opening of the volume.
    guard header.volumeEpoch >= epoch else { return }
    switch message {
    case .attached(let vdl, _, let tails, let configurations):
      guard phase == .attaching else { return }
      attached(at: vdl, tails: tails, configurations: configurations, epoch: header.volumeEpoch, now: now, into: &e)
    case .stream(let vdl, let batch):
      guard phase == .attaching || header.volumeEpoch == epoch else { return }
      stream(vdl, batch, epoch: header.volumeEpoch, now: now, into: &e)
    case .vdlAdvanced(let vdl):
      guard phase != .attaching, header.volumeEpoch == epoch else { return }
      knownVDL = max(knownVDL, vdl)
      apply(now: now, into: &e)
    case .detached:
      if phase != .attaching { lose("the writer has no registration", now: now, into: &e) }
    case .configurations(let configurations):
      if phase != .attaching { adopt(configurations, now: now, into: &e) }
    default: counters.messagesDropped += 1
    }
  }
  private mutating func becomeFenced(by other: VolumeEpoch, into e: inout VolumeEffects) {
    phase = .fenced
    e.isFenced = true
    e.events.append(.fenced(by: other))
    for point in reads.takeRuns() { readPoints.close(point) }
    for completion in reads.failAll(.fenced) {
      if case .point(let id) = completion.purpose, case .failure(let error) = completion.result {
        e.reads.append(CompletedRead(id: id, result: .failure(error)))
      }
    }
    failPending(.fenced, into: &e)
  }
  private mutating func failPending(_ code: VolumeError.Code, into e: inout VolumeEffects) {
    for waiting in pending.takeAll() {
      let error = VolumeError(code, operation: "read", page: waiting.page)
      for id in waiting.ids { e.reads.append(CompletedRead(id: id, result: .failure(error))) }
    }
  }

  // MARK: Attaching

  mutating func sendAttach(now: Instant, into e: inout VolumeEffects) {
    attachSentAt = now
    send(.attach, into: &e)
  }
  private func send(_ message: Message, into e: inout VolumeEffects) {
    let header = MessageHeader(volume: volume, sender: instance, volumeEpoch: epoch)
    e.sends.append(Outgoing(to: writer, bytes: message.encoded(header)))
  }
  /// The stream cannot be followed any more: begin again with an empty cache, while reads of the head wait.
  mutating func lose(_ reason: String, now: Instant, into e: inout VolumeEffects) {
    guard phase == .loading || phase == .attached else { return }
    phase = .attaching
    lastAppliedIsConsistencyPoint = true
    scannedCount = 0
    applicableCount = 0
    counters.streamsLost += 1
    e.events.append(.lostStream(reason: reason))
    cache.removeAll()
    buffer.stop()
    loader.cancel()
    for point in reads.takeRuns() { readPoints.close(point) }
    for completion in reads.failAll(.unavailable, keepingPoints: true) { readPoints.close(completion.readPoint) }
    pending.resetAll()
    sendAttach(now: now, into: &e)
  }
  private mutating func attached(
    at vdl: LSN, tails: [GroupTail], configurations: [GroupConfiguration], epoch: VolumeEpoch, now: Instant,
    into e: inout VolumeEffects
  ) {
    var new: [ReaderGroup] = []
    for c in configurations {
      guard Int(c.group.value) == new.count else { return }
      let tail = tails.first { $0.group == c.group }?.lsn ?? .zero
      guard tail <= vdl else { return }
      new.append(ReaderGroup(configuration: c, tail: TailHistory(tail)))
    }
    guard !new.isEmpty, vdl >= appliedVDL || epoch > self.epoch else { return }
    self.epoch = epoch
    reads.setEpoch(epoch)
    groups = new
    appliedVDL = vdl
    knownVDL = vdl
    lastAppliedIsConsistencyPoint = true
    scannedCount = 0
    applicableCount = 0
    holeSince = nil
    reportedAt = now
    do throws(DecodeError) {
      try buffer.start(after: vdl, epoch: epoch)
    } catch {
      buffer.stop()
      return
    }
    catalog = VolumeCatalog(pageSize: configuration.pageSize, extentPages: 1, groupPages: 1)
    phase = .loading
    counters.attaches += 1
    loader.start(at: vdl)
    beginRead(
      PageID(object: .catalog, index: 0), group: ProtectionGroupID(0), at: vdl, purpose: .catalog, now: now, into: &e)
  }
  mutating func completeCatalog(
    _ completion: SegmentReads.Completion, now: Instant, into e: inout VolumeEffects
  ) {
    guard phase == .loading, completion.readPoint == loader.readPoint else { return }
    guard case .success(let (lsn, image)) = completion.result else {
      lose("the catalog cannot be read", now: now, into: &e)
      return
    }
    loader.receive(completion.page, lsn: lsn, image: image, into: &catalog)
    // A volume whose first mini-transaction is not durable yet: the stream will bring the catalog.
    if loader.phase == .absent { loader.finish() }
    if loader.phase == .failed {
      lose("the catalog is damaged", now: now, into: &e)
      return
    }
    while let page = loader.next() {
      beginRead(page, group: ProtectionGroupID(0), at: loader.readPoint, purpose: .catalog, now: now, into: &e)
    }
    guard loader.phase == .done else { return }
    phase = .attached
    e.events.append(.attached(vdl: appliedVDL))
    e.vdl = appliedVDL
    apply(now: now, into: &e)
    issueWaitingReads(now: now, into: &e)
  }
  private mutating func adopt(_ configurations: [GroupConfiguration], now: Instant, into e: inout VolumeEffects) {
    for c in configurations {
      let number = Int(c.group.value)
      if number < groups.count {
        if c.supersedes(groups[number].configuration) { groups[number].configuration = c }
      } else if number == groups.count {
        // A group is announced before its first record.
        groups.append(ReaderGroup(configuration: c, tail: TailHistory(.zero)))
      }
    }
  }

  // MARK: Applying

  private mutating func stream(
    _ vdl: LSN, _ batch: RecordBatch, epoch: VolumeEpoch, now: Instant, into e: inout VolumeEffects
  ) {
    do throws(DecodeError) {
      try buffer.add(batch, epoch: epoch)
    } catch {
      counters.messagesDropped += 1
      lose("a malformed record: \(error)", now: now, into: &e)
      return
    }
    guard buffer.bytes <= configuration.streamBytesMax else {
      if phase == .attaching { buffer.stop() }
      lose("too much to keep", now: now, into: &e)
      return
    }
    guard phase != .attaching else { return }
    knownVDL = max(knownVDL, vdl)
    apply(now: now, into: &e)
  }
  /// Applies whole mini-transactions up to the known VDL.
  private mutating func apply(now: Instant, into e: inout VolumeEffects) {
    guard phase == .attached else { return }
    let bound = configuration.plantedBug == .readerAppliesAboveVDL ? LSN.max : knownVDL
    while scannedCount < buffer.readyCount {
      let record = buffer.readyRecord(scannedCount)
      guard record.lsn <= bound else { break }
      scannedCount += 1
      if record.isConsistencyPoint || configuration.plantedBug == .partialMiniTransactionVisible {
        applicableCount = scannedCount
      }
    }
    if applicableCount > 0 {
      guard applyReady(now: now, into: &e) else { return }
      holeSince = nil
      e.vdl = appliedVDL
      catalog.purge(upTo: lowestReadPoint)
    }
    if appliedVDL >= knownVDL {
      holeSince = nil
    } else if holeSince == nil {
      holeSince = now
    }
  }
  private mutating func applyReady(now: Instant, into e: inout VolumeEffects) -> Bool {
    var failure: String?
    while applicableCount > 0, failure == nil {
      guard let first = buffer.first() else { preconditionFailure("a ready record is missing") }
      first.bytes.withUnsafeBytes { raw in
        do throws(DecodeError) {
          let header = try RecordHeader.decode(raw, at: first.offset, verifying: false)
          let start = first.offset + RecordHeader.encodedSize
          failure = apply(header, UnsafeRawBufferPointer(rebasing: raw[start..<(start + header.payloadSize)]))
        } catch {
          failure = "a malformed record: \(error)"
        }
      }
      buffer.removeFirst()
      applicableCount -= 1
      scannedCount -= 1
    }
    guard let failure else { return true }
    lose(failure, now: now, into: &e)
    return false
  }
  /// Applies one record; what is wrong with it, nil when nothing.
  private mutating func apply(_ header: RecordHeader, _ payload: UnsafeRawBufferPointer) -> String? {
    let number = Int(header.group.value)
    guard number < groups.count else { return "a record of \(header.group), which was not announced" }
    do throws(DecodeError) {
      if header.page.object == .catalog {
        try catalog.apply(header, payload: payload)
      } else if let frame = cache.find(header.page) {
        try RecordPayload.apply(kind: header.kind, payload: payload, to: cache.bytes(frame))
        cache.setLSN(frame, header.lsn)
        counters.recordsApplied += 1
      } else if pending.contains(header.page) {
        try RecordPayload.validate(kind: header.kind, payload: payload, pageSize: configuration.pageSize)
        if configuration.plantedBug != .dropPendingMissRecords {
          pending.queue(header.page, lsn: header.lsn, kind: header.kind, payload: payload)
        }
        counters.recordsQueued += 1
      } else {
        counters.recordsDiscarded += 1
      }
    } catch {
      return "a malformed record: \(error)"
    }
    groups[number].tail.advance(to: header.lsn, points: readPoints)
    appliedVDL = header.lsn
    lastAppliedIsConsistencyPoint = header.isConsistencyPoint
    if header.isConsistencyPoint { counters.lastTimestamp = header.timestamp }
    return nil
  }

  // MARK: Time

  /// Reports, deadlines, attaching again: to be called every 5 ms or so.
  public mutating func tick(now: Instant, into e: inout VolumeEffects) {
    switch phase {
    case .idle, .fenced: return
    case .attaching:
      if now.nanoseconds(since: attachSentAt) >= configuration.attachRetryAfter { sendAttach(now: now, into: &e) }
      let patience = min(now.nanoseconds, configuration.readTimeout)
      while let waiting = pending.takeExpired(begunBefore: Instant(nanoseconds: now.nanoseconds - patience)) {
        let error = VolumeError(.unavailable, operation: "read", page: waiting.page, detail: "no stream to follow")
        for id in waiting.ids { e.reads.append(CompletedRead(id: id, result: .failure(error))) }
      }
    case .loading, .attached:
      if let holeSince, now.nanoseconds(since: holeSince) >= configuration.holeTimeout {
        lose("a hole in the stream", now: now, into: &e)
      } else if now.nanoseconds(since: reportedAt) >= configuration.reportInterval {
        reportedAt = now
        send(.readPoint(lowest: lowestReadPoint, applied: appliedVDL), into: &e)
      }
    }
    var completions: [SegmentReads.Completion] = []
    reads.tick(now: now, groups: groups, into: &e.sends, completions: &completions)
    for completion in completions { complete(completion, now: now, into: &e) }
    while let run = reads.takeExpiredRun(now: now) { complete(run, now: now, into: &e) }
  }
}
