import BorealisCore
import BorealisStorageBackend
import BorealisWire

// Volume epochs, `prepare`, `truncate` (protocol §5.6, the node's side).

extension StorageNode {
  /// Obeys a volume epoch newer than the promised one.
  ///
  /// In memory at once; whatever depends on it being durable waits for the journal (`barrier`).
  ///
  /// PGMRPL does not begin anew with the epoch, it even rises to VDL as known here. A VDL is on write quorums, so the VDL'
  /// that any later opening finds is not below it, and the next writer and its readers begin at VDL': none of them can
  /// ever want a page at a lower read point. Those who may have held one are of an older epoch, and refused here from now
  /// on. Without that a log that an old reader had kept full could not be folded until the opening has ended, and the
  /// opening cannot end while the log has no room for what it must catch up with.
  ///
  /// Where a segment does not know all that is void as of the epoch before, nothing rises: VDL is that of a writer whose
  /// list is missing here, and void records may lie below.
  mutating func raise(to epoch: VolumeEpoch) {
    guard epoch > volumeEpoch else { return }
    for i in segments.indices where isCurrent(volumeEpoch, segments[i]) {
      segments[i].raise(minReadPoint: settledVDL, of: volumeEpoch)
    }
    volumeEpoch = epoch
    journal(.volumeEpoch(epoch))
    for i in segments.indices {
      // So that a restart does not forget what may be folded.
      recordFacts(i)
      segments[i].writer = nil
      segments[i].owesAck = false
      segments[i].catchUps.removeAll()
    }
  }

  /// Promises the epoch durably, then says what this node holds of the group.
  mutating func receivePrepare(_ header: MessageHeader, into out: inout [Outgoing]) {
    guard index(of: header.group) != nil else {
      reject(header, .noSuchSegment, into: &out)
      return
    }
    sampledEpoch = max(sampledEpoch, header.volumeEpoch)
    answer(header, .prepared, into: &out)
  }

  /// What this node holds of the group as of now, said when the epoch is durable.
  ///
  /// nil where the log's index cannot be read: no answer is better than one that leaves out a record.
  mutating func preparedMessage(_ i: Int) -> Message? {
    let segment = segments[i]
    guard !segment.needsRebuild else { return nil }
    entries.removeAll(keepingCapacity: true)
    do throws(StorageBackendError) {
      try store.log.records(
        of: segment.group, after: knownVDL, through: .max, limit: StorageNodeLimits.linksMax, into: &entries)
    } catch {
      return nil
    }
    var links: [RecordLink] = []
    links.reserveCapacity(entries.count)
    for entry in entries where !truncation.isVoid(entry.lsn) { links.append(entry.link) }
    return .prepared(status(of: segment), truncation, retention, segment.configuration, links: links)
  }

  /// Replaces the truncation list, clips SCL, and answers when that is durable.
  ///
  /// `tail` is not needed: the last record kept at or below the VDL is found in the index, for every segment.
  mutating func receiveTruncate(
    _ header: MessageHeader, _ list: TruncationList, vdl: LSN, into out: inout [Outgoing]
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
      guard adopt(list) else { return }
      // Not a maximum: an attempt that was superseded may have told this node of a VDL that lies in a void range.
      knownVDL = vdl
      settledVDL = vdl
    }
    answer(header, .truncated, into: &out)
  }

  /// Adopts a newer truncation list: voids records, clips SCL of every segment to the last record that was kept.
  ///
  /// Returns false, and changes nothing, where the log's index cannot be read now.
  @discardableResult mutating func adopt(_ list: TruncationList) -> Bool {
    let old = truncation
    truncation = list
    var bases: [LSN?] = []
    // With the records of void ranges still to be seen: whether the chain has gone into a range shows by them.
    store.log.truncation = TruncationList()
    do throws(StorageBackendError) {
      for i in segments.indices { bases.append(try clipped(i)) }
    } catch {
      truncation = old
      store.log.truncation = old
      return false
    }
    store.log.truncation = list
    for i in segments.indices {
      if let base = bases[i] {
        segments[i].chain.reset(to: base)
        segments[i].acked = min(segments[i].acked, base)
      }
      segments[i].needsRebuild = true
      rebuildIfNeeded(i)
    }
    lowerVoidVDL()
    journal(.truncation(list))
    for i in segments.indices { journalFacts(i) }
    return true
  }

  /// A VDL that lies in a void range was that of an attempt to open that was superseded.
  mutating func lowerVoidVDL() {
    for range in truncation.ranges where range.contains(knownVDL) { knownVDL = range.after }
    for range in truncation.ranges where range.contains(settledVDL) { settledVDL = range.after }
  }

  /// Where SCL is to be taken back to, if the chain has gone into a void range; nil if it has not.
  mutating func clipped(_ i: Int) throws(StorageBackendError) -> LSN? {
    let segment = segments[i]
    for range in truncation.ranges where range.after < segment.scl && range.through > segment.gcPoint {
      let last = try store.log.last(of: segment.group, atOrBelow: min(range.through, segment.scl))
      guard range.contains(segment.scl) || range.contains(last?.lsn ?? .zero) else { continue }
      let kept = try store.log.last(of: segment.group, atOrBelow: range.after)
      return max(kept?.lsn ?? .zero, segment.gcPoint)
    }
    return nil
  }

  /// Follows the chain anew if that was asked for; tried again on ticks while the log's index cannot be read.
  mutating func rebuildIfNeeded(_ i: Int) {
    guard segments[i].needsRebuild else { return }
    do throws(StorageBackendError) {
      try rebuildChain(i)
      segments[i].needsRebuild = false
    } catch {
      counters.storageFailures += 1
    }
  }

  /// Follows the chain again from SCL over the records that are held.
  ///
  /// From the highest record down: where two records link to the same one, one of them is void under a list that this
  /// node has not heard of, and the higher one is the live one. (Acks may have counted it before a restart.)
  mutating func rebuildChain(_ i: Int) throws(StorageBackendError) {
    guard !segments[i].isHydrating else {
      segments[i].staged = segments[i].chain
      return
    }
    let base = segments[i].scl
    entries.removeAll(keepingCapacity: true)
    try store.log.records(of: segments[i].group, after: base, through: .max, limit: .max, into: &entries)
    segments[i].chain.reset(to: base)
    // (What is at or below SCL was counted when SCL was written down.)
    for entry in entries { segments[i].oldestEpoch = min(segments[i].oldestEpoch, entry.epoch) }
    for entry in entries.reversed() where !truncation.isVoid(entry.lsn) {
      segments[i].chain.insert(entry.lsn, previous: entry.previousInGroup)
    }
    segments[i].staged = segments[i].chain
  }
}
