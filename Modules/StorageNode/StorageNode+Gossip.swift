import BorealisCore
import BorealisStorageBackend
import BorealisWire

// Peers tell each other where they stand, and fetch what they lack (protocol §5.9).

extension StorageNode {
  /// Sends this segment's status to the next peer of its configuration.
  mutating func gossip(_ i: Int, into out: inout [Outgoing]) {
    let count = segments[i].peers.count
    for _ in 0..<count {
      let cursor = segments[i].gossipCursor
      segments[i].gossipCursor = (cursor + 1) % count
      let peer = segments[i].peers[cursor].node
      if peer == id { continue }
      counters.gossipSent += 1
      send(gossipMessage(segments[i]), to: .node(peer), group: segments[i].group, into: &out)
      return
    }
  }

  private func gossipMessage(_ segment: Segment) -> Message {
    .gossip(status(of: segment), truncation, configuration: segment.configuration, retention: retention)
  }

  mutating func receiveGossip(
    _ header: MessageHeader, _ peer: SegmentStatus, _ list: TruncationList, configuration: GroupConfiguration,
    retention peerRetention: Retention, now: Instant, into out: inout [Outgoing]
  ) {
    guard let source = header.sender.node, source != id, configuration.group == header.group else { return }
    // A list older than the epoch at which recovery has sampled this node may belong to an attempt that recovery has
    // not seen and will supersede: it must not void what recovery was told of.
    if list.epoch > truncation.epoch, list.epoch >= sampledEpoch { adopt(list) }
    adopt(configuration)
    adopt(peerRetention)
    guard let i = index(of: header.group) else { return }
    segments[i].heard(from: source, peer)
    if peer.truncationEpoch == truncation.epoch {
      learn(vdl: peer.knownVDL)
      if header.volumeEpoch == volumeEpoch, isCurrent(volumeEpoch, segments[i]) {
        segments[i].raise(minReadPoint: peer.minReadPoint, of: volumeEpoch)
      }
    }
    let isPeerBehind =
      peer.truncationEpoch < truncation.epoch || header.volumeEpoch < volumeEpoch
      || segments[i].configuration.supersedes(configuration) || retention.supersedes(peerRetention)
      || (peer.scl < segments[i].scl && peer.truncationEpoch == truncation.epoch)
    if isPeerBehind {
      send(gossipMessage(segments[i]), to: header.sender, group: header.group, into: &out)
    }
    // SCLs can be compared only between segments that agree on what is void.
    if peer.truncationEpoch == truncation.epoch, peer.scl > segments[i].scl {
      let stalled = now.nanoseconds(since: segments[i].advancedAt) >= self.configuration.pullDelay
      if peer.gcPoint > segments[i].scl {
        hydrate(i, from: source, now: now, into: &out)
      } else if stalled {
        pull(i, from: source, through: peer.scl, now: now, into: &out)
      }
    }
  }

  /// Asks a peer for the records above SCL, unless a request is under way.
  mutating func pull(_ i: Int, from source: NodeID, through: LSN, now: Instant, into out: inout [Outgoing]) {
    guard !segments[i].isHydrating, through > segments[i].scl, diskTrouble == nil else { return }
    if let under = segments[i].pull, under.deadline > now { return }
    segments[i].pull = Segment.Pull(
      source: source, through: through, deadline: now.advanced(byNanoseconds: configuration.requestTimeout))
    send(
      .pull(after: segments[i].scl, through: through, limit: UInt32(StorageNodeLimits.pullBytes)), to: .node(source),
      group: segments[i].group, into: &out)
  }

  /// Sends records of `(after, through]` that are linked and durable here.
  mutating func receivePull(
    _ header: MessageHeader, after: LSN, through: LSN, limit: UInt32, into out: inout [Outgoing]
  ) {
    guard let i = index(of: header.group) else {
      reject(header, .noSuchSegment, into: &out)
      return
    }
    guard after >= segments[i].gcPoint else {
      reject(header, .belowGCPoint, into: &out)
      return
    }
    let hides = configuration.plantedBug != .gossipResurrectsVoid
    entries.removeAll(keepingCapacity: true)
    do throws(StorageBackendError) {
      try store.log.records(
        of: header.group, after: after, through: min(through, segments[i].scl), limit: StorageNodeLimits.pullRecords,
        into: &entries)
    } catch {
      return reject(header, .diskFailed, into: &out)
    }
    if hides { entries.removeAll { truncation.isVoid($0.lsn) } }
    guard let first = entries.first else { return }
    if first.previousInGroup > after, hides {
      // Everything before it was folded and retired, and a crash came before gcPoint was written down.
      segments[i].gcPoint = max(segments[i].gcPoint, first.previousInGroup)
      return reject(header, .belowGCPoint, into: &out)
    }
    var linked = 1
    while linked < entries.count, entries[linked].previousInGroup == entries[linked - 1].lsn || !hides { linked += 1 }
    var bytes = Message.begin(
      kind: Message.recordsKind, envelope(header.group), capacity: min(Int(limit), linked * Int(first.length)))
    bytes.append(knownVDL)
    let empty = bytes.count
    do throws(StoreReadError) {
      let count = try store.log.read(
        entries[..<linked], limit: min(Int(limit), StorageNodeLimits.pullBytes), into: &bytes)
      // It stopped before the limit: at a damaged record.
      if count < linked, bytes.count - empty < min(Int(limit), StorageNodeLimits.pullBytes) {
        verify(entries[count])
      }
    } catch {
      if case .damaged = error { foundDamage(record: first) }
      return reject(header, .damaged, into: &out)
    }
    counters.bytesToPeers += UInt64(bytes.count - empty)
    Message.seal(&bytes)
    out.append(Outgoing(to: header.sender, bytes: bytes))
  }

  /// Takes records from a peer into the log.
  ///
  /// They carry no promise of epoch: each was accepted under its own.
  mutating func receiveRecords(
    _ header: MessageHeader, vdl: LSN, _ batch: RecordBatch, now: Instant, into out: inout [Outgoing]
  ) {
    guard let i = index(of: header.group), diskTrouble == nil else { return }
    if header.volumeEpoch == volumeEpoch, isCurrent(volumeEpoch, segments[i]) { learn(vdl: vdl) }
    guard hasRoom(for: batch.range.count) else { return }
    _ = stage(i, batch, epoch: nil)
  }

  mutating func receiveReject(
    _ header: MessageHeader, _ reason: RejectReason, configuration: GroupConfiguration?, now: Instant,
    into out: inout [Outgoing]
  ) {
    guard let i = index(of: header.group), let source = header.sender.node else { return }
    switch reason {
    case .belowGCPoint:
      refusedRepair(header.group)
      guard segments[i].pull?.source == source else { return }
      segments[i].pull = nil
      hydrate(i, from: source, now: now, into: &out)
    case .noSuchSegment, .tailSegment, .notComplete, .damaged, .readPointTooOld:
      if segments[i].pull?.source == source { segments[i].pull = nil }
      if segments[i].hydration?.source == source { tryAnotherSource(i, now: now, into: &out) }
    case .staleMembershipEpoch:
      if let configuration { adopt(configuration) }
    case .staleVolumeEpoch, .busy, .diskFull, .diskFailed: break
    }
  }

  /// Asks again for what did not come, and goes on with what was held up.
  mutating func repeatRequests(_ i: Int, now: Instant, into out: inout [Outgoing]) {
    rebuildIfNeeded(i)
    if !segments[i].holds.isEmpty { segments[i].holds.removeAll { $0.deadline <= now } }
    if let under = segments[i].pull, under.deadline <= now {
      segments[i].pull = nil
      // An opener that still wants it names another source; one that has opened meanwhile asks no more, and a source that
      // is gone must not keep gossip from what others have. (Found by seed 18486.)
      segments[i].catchUps.removeAll { $0.source == under.source }
    }
    if segments[i].pull == nil, let waiter = segments[i].catchUps.first {
      pull(i, from: waiter.source, through: waiter.target, now: now, into: &out)
    }
    repeatHydration(i, now: now, into: &out)
  }

  /// Somebody (the opener of the volume) wants SCL at `target` now.
  mutating func receiveCatchUp(
    _ header: MessageHeader, target: LSN, source: NodeID, now: Instant, into out: inout [Outgoing]
  ) {
    guard let i = index(of: header.group) else {
      reject(header, .noSuchSegment, into: &out)
      return
    }
    if segments[i].scl >= target, !segments[i].isHydrating {
      answer(header, .status, into: &out)
      return
    }
    guard source != id else { return }
    segments[i].catchUps.removeAll { $0.request.sender == header.sender }
    if segments[i].catchUps.count >= StorageNodeLimits.catchUpsMax { segments[i].catchUps.removeFirst() }
    segments[i].catchUps.append(Segment.CatchUp(target: target, source: source, request: header))
    pull(i, from: source, through: target, now: now, into: &out)
  }

  /// After an advance of SCL: answers who waits for it, and asks for the rest.
  mutating func advanced(_ i: Int, now: Instant, into out: inout [Outgoing]) {
    let scl = segments[i].scl
    // Flushes that leave SCL where it is, because records before theirs are missing, are no advance.
    if segments[i].advancedTo != scl {
      segments[i].advancedTo = scl
      segments[i].advancedAt = now
    }
    var done: [MessageHeader] = []
    segments[i].catchUps.removeAll { waiter in
      if waiter.target <= scl { done.append(waiter.request) }
      return waiter.target <= scl
    }
    if let pull = segments[i].pull {
      segments[i].pull = nil
      if pull.through > scl { self.pull(i, from: pull.source, through: pull.through, now: now, into: &out) }
    }
    for request in done { answer(request, .status, into: &out) }
  }
}
