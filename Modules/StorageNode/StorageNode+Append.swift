import BorealisCore
import BorealisStorageBackend
import BorealisWire

// The foreground: take records in, make them durable, ack with SCL (protocol §5.3).

/// Records on their way into the log, of one message and one group.
struct PendingBatch: Sendable, Equatable {
  var ticket: UInt64
  var group: ProtectionGroupID
  /// The volume epoch under which they were accepted: outrun before they are durable, they are dropped.
  ///
  /// nil for records from peers, which were accepted there.
  var epoch: VolumeEpoch?
  var bytes: Int
}

extension StorageNode {
  /// What became of a batch.
  enum Staging: Sendable, Equatable {
    case staged
    /// Nothing in it was new.
    case nothingNew
    /// Some of it did not fit in the log.
    case full
  }

  mutating func receiveAppend(
    _ header: MessageHeader, vdl: LSN, minReadPoint: LSN, _ batch: RecordBatch, into out: inout [Outgoing]
  ) {
    guard let i = hear(header, vdl: vdl, minReadPoint: minReadPoint, into: &out) else { return }
    if let trouble = diskTrouble {
      reject(header, trouble.isFull ? .diskFull : .diskFailed, into: &out)
      return
    }
    guard hasRoom(for: batch.range.count) else {
      reject(header, .busy, into: &out)
      return
    }
    switch stage(i, batch, epoch: header.volumeEpoch) {
    case .staged: if configuration.plantedBug == .ackBeforeFlush { sendAck(i, segments[i].staged.scl, into: &out) }
    case .nothingNew:
      // A repeat: its records are durable, or under way and acked when they are.
      ack(i, into: &out)
    case .full: reject(header, .busy, into: &out)
    }
  }

  mutating func receiveAdvance(
    _ header: MessageHeader, vdl: LSN, minReadPoint: LSN, into out: inout [Outgoing]
  ) {
    guard let i = hear(header, vdl: vdl, minReadPoint: minReadPoint, into: &out) else { return }
    ack(i, into: &out)
  }

  /// What append and advance have in common: the segment, the membership epoch, VDL and PGMRPL.
  private mutating func hear(
    _ header: MessageHeader, vdl: LSN, minReadPoint: LSN, into out: inout [Outgoing]
  ) -> Int? {
    guard let i = index(of: header.group) else {
      reject(header, .noSuchSegment, into: &out)
      return nil
    }
    // A higher membership epoch than ours is obeyed: the writer has it from a write quorum, gossip will bring it here.
    guard header.membershipEpoch >= segments[i].configuration.epoch else {
      reject(header, .staleMembershipEpoch, configuration: segments[i].configuration, into: &out)
      return nil
    }
    if header.volumeEpoch >= segments[i].writerEpoch {
      segments[i].writer = header.sender
      segments[i].writerEpoch = header.volumeEpoch
    }
    if isCurrent(header.volumeEpoch, segments[i]) {
      learn(vdl: vdl)
      segments[i].raise(minReadPoint: minReadPoint, of: header.volumeEpoch)
    }
    return i
  }

  /// Whether this node knows everything that is void as of a volume epoch.
  ///
  /// Until it does, VDL and read points of that epoch say nothing about the records here: some of them may be void
  /// without this node knowing it.
  ///
  /// Records of the epoch itself, and pages, are never void: without older records in the log no list is needed.
  func isCurrent(_ epoch: VolumeEpoch, _ segment: Segment) -> Bool {
    truncation.epoch >= epoch || segment.oldestEpoch >= epoch
  }

  /// Remembers a VDL that was heard of.
  ///
  /// It only rises.
  mutating func learn(vdl: LSN) {
    guard !truncation.isVoid(vdl) else { return }
    knownVDL = max(knownVDL, vdl)
    settledVDL = max(settledVDL, vdl)
  }

  /// Whether so many bytes more may wait for the disk.
  func hasRoom(for bytes: Int) -> Bool { stagedBytes + bytes <= configuration.stagedLimit }

  /// Puts the new records of a batch on their way into the log: checked once, here; what is held already or void is
  /// left out.
  mutating func stage(_ i: Int, _ batch: RecordBatch, epoch: VolumeEpoch?) -> Staging {
    let group = segments[i].group
    let voids = epoch == nil && configuration.plantedBug == .gossipResurrectsVoid
    var at = batch.range.lowerBound
    var run = at  // the first byte of the records that are to be staged and have not been
    var count = 0
    var result = Staging.nothingNew
    while at < batch.range.upperBound {
      let record: RecordHeader
      do throws(DecodeError) {
        record = try batch.bytes.withUnsafeBytesTyped { raw throws(DecodeError) in
          try RecordHeader.decode(UnsafeRawBufferPointer(rebasing: raw[..<batch.range.upperBound]), at: at)
        }
      } catch {
        counters.messagesMalformed += 1
        break
      }
      guard record.group == group else {
        counters.messagesMalformed += 1
        break
      }
      let end = at + record.encodedSize
      if isWanted(record, i, allowingVoid: voids) {
        count += 1
        if !segments[i].isHydrating { segments[i].staged.insert(record.lsn, previous: record.previousInGroup) }
      } else {
        if count > 0 {
          guard put(batch.bytes, run..<at, count, group, epoch) else { return stagingFailed(i) }
          result = .staged
        }
        run = end
        count = 0
      }
      at = end
    }
    if count > 0 {
      guard put(batch.bytes, run..<at, count, group, epoch) else { return stagingFailed(i) }
      result = .staged
    }
    return result
  }

  private mutating func stagingFailed(_ i: Int) -> Staging {
    segments[i].staged = segments[i].chain
    return .full
  }

  private mutating func put(
    _ bytes: [UInt8], _ range: Range<Int>, _ count: Int, _ group: ProtectionGroupID, _ epoch: VolumeEpoch?
  ) -> Bool {
    guard
      let ticket = store.stage(bytes, range: range, count: count, purpose: epoch == nil ? .repair : .append)
    else { return false }
    staged.append(PendingBatch(ticket: ticket, group: group, epoch: epoch, bytes: range.count))
    stagedBytes += range.count
    appendedBytes += range.count
    if epoch == nil { counters.recordsPulled += UInt64(count) } else { counters.recordsAppended += UInt64(count) }
    return true
  }

  /// Whether a record is to be written: not void, not held, not under way.
  private mutating func isWanted(_ record: RecordHeader, _ i: Int, allowingVoid: Bool) -> Bool {
    if truncation.isVoid(record.lsn), !allowingVoid {
      counters.recordsVoid += 1
      return false
    }
    // Linked to the last record that is durable or under way: new for certain. The common case.
    if record.previousInGroup == segments[i].staged.scl, !segments[i].isHydrating { return true }
    if !damages.isEmpty, isDamaged(record: record.lsn, group: record.group) { return true }
    if record.lsn <= segments[i].staged.scl || record.lsn <= segments[i].gcPoint {
      counters.recordsRepeated += 1
      return false
    }
    let isHeld = (try? store.log.contains(record.group, record.lsn)) ?? false
    if isHeld { counters.recordsRepeated += 1 }
    return !isHeld
  }

  /// A flush has ended: indexes what it made durable, follows the chains, acks.
  mutating func endFlush(succeeded: Bool, now: Instant, into out: inout [Outgoing]) {
    let block = store.endFlush(succeeded: succeeded)
    touched.removeAll(keepingCapacity: true)
    var next = 0  // in `staged`
    var at = -1  // in `segments`
    var isRefused = false
    if succeeded {
      counters.flushes += 1
      let voids = configuration.plantedBug == .gossipResurrectsVoid
      var cursor = block.start
      while let found = block.next(&cursor) {
        while next < staged.count, staged[next].ticket < found.ticket { next += 1 }
        if at < 0 || segments[at].group != found.header.group {
          at = index(of: found.header.group) ?? -1
          if at >= 0, !touched.contains(at) { touched.append(at) }
        }
        guard at >= 0 else { continue }  // the segment was dropped meanwhile
        if next < staged.count, let epoch = staged[next].epoch, epoch < volumeEpoch,
          configuration.plantedBug != .acceptStaleEpoch
        {
          // The promise of a newer epoch was made, and the segment sampled, while this was being written (I6).
          counters.recordsFenced += 1
          isRefused = true
          continue
        }
        if truncation.isVoid(found.header.lsn), !voids {
          counters.recordsVoid += 1
          isRefused = true
          continue
        }
        store.log.insert(found.header, position: found.position)
        segments[at].oldestEpoch = min(segments[at].oldestEpoch, found.header.epoch)
        counters.bytesFlushed += UInt64(found.header.encodedSize)
        if !damages.isEmpty { repaired(record: found.header.lsn, group: found.header.group) }
        if !segments[at].isHydrating {
          segments[at].chain.insert(found.header.lsn, previous: found.header.previousInGroup)
        }
      }
    }
    let completed = block.completedTicket
    store.log.recycle(block)
    var done = 0
    while done < staged.count, staged[done].ticket <= completed {
      stagedBytes -= staged[done].bytes
      done += 1
    }
    staged.removeFirst(done)
    // What was dropped must be taken again when it is repeated: nothing may be thought to be under way that is not.
    if !succeeded || isRefused {
      for i in segments.indices { segments[i].staged = segments[i].chain }
    } else if staged.isEmpty {
      for i in touched where segments[i].staged != segments[i].chain { segments[i].staged = segments[i].chain }
    }
    for i in touched {
      advanced(i, now: now, into: &out)
      ack(i, into: &out)
    }
  }

  /// Tells the writer SCL: now, or when the facts that it rests on are durable.
  mutating func ack(_ i: Int, into out: inout [Outgoing]) {
    guard isJournalDurable else {
      segments[i].owesAck = true
      return
    }
    let highest = configuration.plantedBug == .countReceiptNotSCL
    sendAck(i, highest ? segments[i].chain.highest : segments[i].scl, into: &out)
  }

  private mutating func sendAck(_ i: Int, _ scl: LSN, into out: inout [Outgoing]) {
    segments[i].owesAck = false
    // Only the writer of the promised epoch: an ack to an older one could complete a quorum behind recovery's back.
    guard let writer = segments[i].writer,
      segments[i].writerEpoch == volumeEpoch || configuration.plantedBug == .acceptStaleEpoch
    else { return }
    counters.acks += 1
    segments[i].acked = max(segments[i].acked, min(scl, segments[i].scl))
    send(.appendAck(scl: scl), to: writer, group: segments[i].group, into: &out)
  }

  /// Sends the acks that waited for the journal.
  mutating func sendOwedAcks(into out: inout [Outgoing]) {
    guard isJournalDurable else { return }
    for i in segments.indices where segments[i].owesAck { ack(i, into: &out) }
  }
}
