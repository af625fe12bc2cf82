import BorealisCore
import BorealisWire

// Volume epochs, `prepare`, `truncate`, `catchUp` (protocol §5.6, the node's side).

extension StorageNode {
  /// Obeys a volume epoch newer than the promised one. In memory at once; whatever depends on it being durable waits
  /// for the journal (`barrier`).
  mutating func raise(to epoch: VolumeEpoch) {
    guard epoch > volumeEpoch else { return }
    volumeEpoch = epoch
    journal(.volumeEpoch(epoch))
    for i in segments.indices {
      // PGMRPL is monotone within an epoch only: the next writer counts its own readers.
      segments[i].minReadPoint = .zero
      // An ack to a fenced writer could complete a write quorum that recovery has not sampled (I6).
      segments[i].writer = nil
      segments[i].owesAck = false
      segments[i].catchUps.removeAll()
    }
  }

  /// Promises the epoch durably, then says what this node holds of the group.
  mutating func receivePrepare(_ header: MessageHeader, into out: inout [Outgoing]) {
    raise(to: header.volumeEpoch)
    guard index(of: header.group) != nil else {
      reject(header, .noSuchSegment, into: &out)
      return
    }
    sampledEpoch = max(sampledEpoch, header.volumeEpoch)
    answer(header, .prepared, into: &out)
  }

  /// `prepared`, as of now: sent when the epoch is durable.
  func preparedMessage(_ segment: Segment) -> Message {
    var links: [RecordLink] = []
    store.forEachLink(of: segment.group, after: knownVDL) { link in
      if !truncation.isVoid(link.lsn) && links.count < StorageNodeLimits.linksMax { links.append(link) }
    }
    return .prepared(status(of: segment), truncation, retention, segment.configuration, links: links)
  }

  /// Replaces the truncation list, clips SCL, and answers when that is durable.
  mutating func receiveTruncate(
    _ header: MessageHeader, _ list: TruncationList, vdl: LSN, tail: LSN, into out: inout [Outgoing]
  ) {
    guard index(of: header.group) != nil else {
      reject(header, .noSuchSegment, into: &out)
      return
    }
    guard list.epoch >= truncation.epoch else {
      reject(header, .staleVolumeEpoch, into: &out)
      return
    }
    if list.epoch > truncation.epoch {
      adopt(list)
      // Not a maximum: an attempt that was superseded may have told this node of a VDL that lies in a void range.
      knownVDL = vdl
    }
    answer(header, .truncated, into: &out)
  }

  /// Adopts a newer truncation list: voids records, clips SCL of every segment to the last record that was kept.
  mutating func adopt(_ list: TruncationList) {
    truncation = list
    journal(.truncation(list))
    if list.isVoid(knownVDL) {
      for range in list.ranges where range.contains(knownVDL) { knownVDL = range.after }
    }
    for i in segments.indices { clip(i) }
    store.void(list)
    for i in segments.indices { rebuildChain(i) }
  }

  /// Takes SCL back below the first void range that the chain has gone into.
  private mutating func clip(_ i: Int) {
    let segment = segments[i]
    for range in truncation.ranges where range.after < segment.scl {
      // A chain passes over a range when the segment followed the live branch: nothing void is linked then.
      let entered = store.lastLSN(of: segment.group, atOrBelow: min(range.through, segment.scl))
      guard let entered, entered > range.after else { continue }
      let kept = store.lastLSN(of: segment.group, atOrBelow: range.after) ?? .zero
      segments[i].chain.reset(to: max(kept, segment.gcPoint))
      return
    }
  }

  /// Follows the chain again from SCL over the records that are held.
  mutating func rebuildChain(_ i: Int) {
    let base = segments[i].scl
    var chain = SegmentChain(base: base)
    store.forEachLink(of: segments[i].group, after: base) { link in
      if !truncation.isVoid(link.lsn) { chain.insert(link.lsn, previous: link.previousInGroup) }
    }
    if segments[i].isHydrating { return }
    segments[i].chain = chain
  }
}
