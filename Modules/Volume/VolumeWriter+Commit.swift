public import BorealisCore
import BorealisWire

extension VolumeWriter {
  /// Issues a mini-transaction: allocates contiguous LSNs, applies it to the cache, and sends its records.
  ///
  /// Atomic: readers and recovery see all of it or nothing. Not durable on return: `wait(for:)` tells.
  ///
  /// - Parameters:
  ///   - timestamp: wall clock in nanoseconds since 1970, kept in the consistency point.
  ///   - isAwaited: false: nobody waits for it now; it is sent with what comes after it, when somebody waits for anything, or
  ///     by a tick.
  /// - Returns: the LSN of its consistency point. Where nothing needed a record (only discards of pages never written),
  ///   the last LSN issued before.
  /// - Throws: `.wouldBlock`: nothing was applied, try again after `hasRoom`; `.tooLarge`; `.fenced`; `.closed`;
  ///   `.invalidArgument` for an empty one, another page size, or a page of object 0.
  public mutating func commit(
    _ mtr: borrowing MiniTransaction, isAwaited: Bool = true, timestamp: UInt64, now: Instant,
    into e: inout VolumeEffects
  ) throws(VolumeError) -> LSN {
    try checkUsable("commit")
    guard mtr.pageSize == configuration.pageSize, !mtr.isEmpty else {
      throw VolumeError(.invalidArgument, operation: "commit", detail: "empty, or another page size")
    }
    let bound = try plan(mtr)
    do throws(VolumeError) {
      try checkRoom(records: bound.records, bytes: bound.bytes)
    } catch {
      unplan()
      throw error
    }
    guard bound.records > 0 else { return lastRecord }
    emitCatalog(now: now, into: &e)
    let before = nextLSN
    emit(mtr, now: now, into: &e)
    if nextLSN == before, newEntries.isEmpty { emitMinimal(mtr, now: now, into: &e) }
    newEntries.removeAll(keepingCapacity: true)
    finishTransaction(isAwaited: isAwaited, timestamp: timestamp, now: now, into: &e)
    completeLanded(now: now, into: &e)
    counters.commits += 1
    considerGrowth(now: now, into: &e)
    return lastRecord
  }

  // MARK: Planning: nothing changes that cannot be taken back

  private mutating func plan(_ mtr: borrowing MiniTransaction) throws(VolumeError) -> (records: Int, bytes: Int) {
    planned.removeAll(keepingCapacity: true)
    newEntries.removeAll(keepingCapacity: true)
    var records = 0
    var bytes = 0
    for i in mtr.entries.indices {
      let entry = mtr.entries[i]
      guard entry.page.object != .catalog else {
        unplan()
        throw VolumeError(
          .invalidArgument, operation: "commit", page: entry.page, detail: "object 0 is the volume's own")
      }
      guard let number = catalog.entry(of: entry.page) else {
        if entry.isDiscard {
          planned.append(-1)
          continue
        }
        guard let number = catalog.plan(entry.page, groupCount: groups.count) else {
          unplan()
          growth.isNeeded = true
          if growth.isStalled {
            throw VolumeError(
              .unavailable, operation: "commit", isFull: true, detail: "the volume is full and cannot grow")
          }
          throw block("commit", detail: "no protection group has room yet")
        }
        planned.append(Int32(number))
        newEntries.append(number)
        records += 1
        bytes += RecordHeader.encodedSize + entry.payloadBound(wholePages, mtr.pageSize)
        continue
      }
      planned.append(Int32(number))
      if !entry.isDiscard, catalog.entries[number].state == .dying, !newEntries.contains(number) {
        newEntries.append(number)
      }
      records += 1
      bytes += RecordHeader.encodedSize + entry.payloadBound(wholePages, mtr.pageSize)
    }
    if !newEntries.isEmpty {
      let payload = wholePages ? mtr.pageSize : VolumeCatalog.entrySize + RecordPayload.rangeOverhead
      records += newEntries.count + 1
      bytes +=
        newEntries.count * (RecordHeader.encodedSize + payload) + RecordHeader.encodedSize
        + VolumeCatalog.superblockSize
    }
    return (records, bytes)
  }
  private mutating func unplan() {
    for number in newEntries.reversed() where catalog.entries[number].state == .planned { catalog.unplan(number) }
    newEntries.removeAll(keepingCapacity: true)
  }
  mutating func block(_ operation: StaticString, detail: String) -> VolumeError {
    isBlocked = true
    counters.commitsBlocked += 1
    return VolumeError(.wouldBlock, operation: operation, detail: detail)
  }
  /// I5, and the bound on what is in flight.
  mutating func checkRoom(records: Int, bytes: Int) throws(VolumeError) {
    guard UInt64(records) <= configuration.allocationLimit else {
      throw VolumeError(
        .tooLarge, operation: "commit", detail: "\(records) records, LAL \(configuration.allocationLimit)")
    }
    guard bytes <= max(configuration.bytesInFlightMax, configuration.transactionBytesMax) else {
      throw VolumeError(
        .tooLarge, operation: "commit",
        detail: "\(bytes) bytes, at most \(configuration.transactionBytesMax) in one mini-transaction")
    }
    let last = nextLSN.advanced(by: UInt64(records)).value - 1
    if configuration.plantedBug != .ignoreAllocationLimit, last > allocationBound.value {
      throw block("commit", detail: "LAL")
    }
    // A great one comes on top of what is in flight; then nothing is accepted until it is durable.
    let ahead = bytes > configuration.bytesInFlightMax ? 0 : bytes
    if bytesInFlight + ahead > configuration.bytesInFlightMax { throw block("commit", detail: "bytes in flight") }
  }
  /// The highest LSN that may be issued now.
  var allocationBound: LSN {
    LSN(max(vdl.value, firstLSN.value - 1)).advanced(by: configuration.allocationLimit)
  }

  // MARK: Records of the catalog

  /// Entries of extents that this mini-transaction touches first, and the superblock that counts them.
  private mutating func emitCatalog(now: Instant, into e: inout VolumeEffects) {
    guard !newEntries.isEmpty else { return }
    for i in newEntries.indices {
      let number = newEntries[i]
      catalog.makeLive(number)
      emitEntry(number, now: now, into: &e)
    }
    emitSuperblock(now: now, into: &e)
  }
  mutating func emitEntry(_ number: Int, now: Instant, into e: inout VolumeEffects) {
    let page = catalog.page(ofEntry: number)
    if wholePages {
      let start = beginRecord(page, group: 0, kind: .image, previous: .zero, now: now, into: &e)
      let first = number - number % catalog.entriesPerPage
      for n in first..<(first + catalog.entriesPerPage) { catalog.encodeEntry(n, into: &groups[0].open) }
      trimPayload(from: start)
    } else {
      _ = beginRecord(page, group: 0, kind: .delta, previous: .zero, now: now, into: &e)
      groups[0].open.appendInteger(UInt32(catalog.offset(ofEntry: number)))
      groups[0].open.appendInteger(UInt32(VolumeCatalog.entrySize))
      catalog.encodeEntry(number, into: &groups[0].open)
    }
  }
  mutating func emitSuperblock(now: Instant, into e: inout VolumeEffects) {
    let page = PageID(object: .catalog, index: 0)
    let start = beginRecord(page, group: 0, kind: .image, previous: .zero, now: now, into: &e)
    catalog.encodeSuperblock(into: &groups[0].open)
    trimPayload(from: start)
  }
  private mutating func trimPayload(from start: Int) {
    while groups[0].open.count > start + RecordHeader.encodedSize, groups[0].open.last == 0 {
      groups[0].open.removeLast()
    }
  }

  // MARK: Records of pages

  private mutating func emit(_ mtr: borrowing MiniTransaction, now: Instant, into e: inout VolumeEffects) {
    for i in mtr.entries.indices where planned[i] >= 0 {
      let entry = mtr.entries[i]
      if entry.isDiscard {
        emitDiscard(entry.page, entry: Int(planned[i]), now: now, into: &e)
      } else {
        mtr.contents.withUnsafeBytes { raw in
          let bytes = UnsafeRawBufferPointer(rebasing: raw[entry.start..<(entry.start + Int(entry.count))])
          emitWrite(entry.page, at: Int(entry.offset), bytes, entry: Int(planned[i]), now: now, into: &e)
        }
      }
    }
  }
  /// Nothing had changed: the consistency point needs a record all the same, the smallest there is.
  private mutating func emitMinimal(_ mtr: borrowing MiniTransaction, now: Instant, into e: inout VolumeEffects) {
    for i in mtr.entries.indices where planned[i] >= 0 && !mtr.entries[i].isDiscard {
      let entry = mtr.entries[i]
      // A write that changed nothing was a write to a cached page; it may have left since: then it is blind.
      let frame = cache.find(entry.page)
      delta.set(offset: Int(entry.offset), count: 1)
      mtr.contents.withUnsafeBytes { raw in
        let bytes = UnsafeRawBufferPointer(rebasing: raw[entry.start..<(entry.start + 1)])
        emitDelta(entry.page, at: Int(entry.offset), bytes, entry: Int(planned[i]), frame: frame, now: now, into: &e)
      }
      return
    }
  }

  mutating func emitDiscard(_ page: PageID, entry: Int, now: Instant, into e: inout VolumeEffects) {
    if catalog.isUntouched(page, entry: entry) { return }
    let group = Int(catalog.entries[entry].group)
    let frame = cache.find(page)
    let previous = frame.map { cache.lsn($0) } ?? .zero
    let start = beginRecord(page, group: group, kind: .discard, previous: previous, now: now, into: &e)
    if let frame {
      cache.bytes(frame).initializeMemory(as: UInt8.self, repeating: 0)
      cache.setLSN(frame, lastRecord)
    } else {
      noteBlind(page, group: group, kind: .discard, start: start)
    }
  }

  private mutating func emitWrite(
    _ page: PageID, at offset: Int, _ bytes: UnsafeRawBufferPointer, entry: Int, now: Instant,
    into e: inout VolumeEffects
  ) {
    let isWhole = bytes.count == configuration.pageSize
    var frame = cache.find(page)
    if frame == nil, catalog.isUntouched(page, entry: entry), !pending.contains(page) {
      // Never written: its bytes are known without asking.
      frame = insertIntoCache(page, lsn: .zero)
      if let frame { cache.bytes(frame).initializeMemory(as: UInt8.self, repeating: 0) }
    }
    guard let frame else {
      if isWhole {
        emitImage(page, bytes, entry: entry, frame: nil, now: now, into: &e)
      } else {
        delta.set(offset: offset, count: bytes.count)
        emitDelta(page, at: offset, bytes, entry: entry, frame: nil, now: now, into: &e)
      }
      return
    }
    guard let old = cache.bytes(frame).baseAddress, let new = bytes.baseAddress else { return }
    if wholePages {
      (old + offset).copyMemory(from: new, byteCount: bytes.count)
      emitImage(page, UnsafeRawBufferPointer(cache.bytes(frame)), entry: entry, frame: frame, now: now, into: &e)
      return
    }
    delta.compare(old: old + offset, new: new, count: bytes.count, at: offset)
    if delta.spans.isEmpty {
      counters.identicalWrites += 1
      return
    }
    if isWhole, delta.payloadSize >= DeltaEncoder.trimmedCount(bytes) {
      emitImage(page, bytes, entry: entry, frame: frame, now: now, into: &e)
    } else {
      emitDelta(page, at: offset, bytes, entry: entry, frame: frame, now: now, into: &e)
    }
  }

  /// A record with the ranges that `delta` found; `bytes` stand at `offset` of the page.
  private mutating func emitDelta(
    _ page: PageID, at offset: Int, _ bytes: UnsafeRawBufferPointer, entry: Int, frame: Int?, now: Instant,
    into e: inout VolumeEffects
  ) {
    let group = Int(catalog.entries[entry].group)
    let previous = frame.map { cache.lsn($0) } ?? .zero
    let start = beginRecord(page, group: group, kind: .delta, previous: previous, now: now, into: &e)
    for i in delta.spans.indices {
      let span = delta.spans[i]
      let from = Int(span.offset) - offset
      RecordPayload.appendRange(
        offset: Int(span.offset), bytes: UnsafeRawBufferPointer(rebasing: bytes[from..<(from + Int(span.count))]),
        to: &groups[group].open)
    }
    catalog.touch(page, entry: entry)
    if let frame {
      let target = UnsafeMutableRawBufferPointer(rebasing: cache.bytes(frame)[offset..<(offset + bytes.count)])
      target.copyMemory(from: bytes)
      cache.setLSN(frame, lastRecord)
    } else {
      noteBlind(page, group: group, kind: .delta, start: start)
    }
  }

  /// A record with the whole page, which is then in the cache where there is room.
  private mutating func emitImage(
    _ page: PageID, _ bytes: UnsafeRawBufferPointer, entry: Int, frame: Int?, now: Instant, into e: inout VolumeEffects
  ) {
    let group = Int(catalog.entries[entry].group)
    let previous = frame.map { cache.lsn($0) } ?? .zero
    let start = beginRecord(page, group: group, kind: .image, previous: previous, now: now, into: &e)
    let trimmed = DeltaEncoder.trimmedCount(bytes)
    groups[group].open.append(contentsOf: UnsafeRawBufferPointer(rebasing: bytes[..<trimmed]))
    catalog.touch(page, entry: entry)
    guard let frame = frame ?? insertIntoCache(page, lsn: lastRecord) else {
      noteBlind(page, group: group, kind: .image, start: start)
      return
    }
    let target = cache.bytes(frame)
    if target.baseAddress != bytes.baseAddress.map({ UnsafeMutableRawPointer(mutating: $0) }) {
      target.copyMemory(from: bytes)
    }
    cache.setLSN(frame, lastRecord)
    blind[page] = nil
    // Who waited for the page from storage can have it, but only as it is after the whole mini-transaction.
    if let waiting = pending.take(page) { landed.append(waiting) }
  }
  mutating func insertIntoCache(_ page: PageID, lsn: LSN) -> Int? {
    cache.insert(page, lsn: lsn, vdl: vdl, plantedBug: configuration.plantedBug)
  }

  /// The page was changed without being in the cache: it is read from storage only once VDL has come so far, and an
  /// image on its way must get the change.
  private mutating func noteBlind(_ page: PageID, group: Int, kind: RecordKind, start: Int) {
    counters.blindWrites += 1
    if pending.contains(page) {
      let payload = Array(groups[group].open[(start + RecordHeader.encodedSize)...])
      payload.withUnsafeBytes { pending.queue(page, lsn: lastRecord, kind: kind, payload: $0) }
    }
    blind[page] = lastRecord
    blindQueue.append(BlindWrite(lsn: lastRecord, page: page))
  }

  // MARK: Chains and seals

  /// Gives the next LSN to a record of `group` and begins it in the group's open batch; returns where it begins.
  mutating func beginRecord(
    _ page: PageID, group: Int, kind: RecordKind, previous: LSN, now: Instant, into e: inout VolumeEffects
  ) -> Int {
    seal()
    if groups[group].open.count >= configuration.batchBytesMax { sendBatch(group, now: now, into: &e) }
    if groups[group].open.isEmpty { openBatch(group) }
    let lsn = nextLSN
    let header = RecordHeader(
      lsn: lsn, previousInVolume: lastRecord, previousInGroup: groups[group].lastIssued, previousOfPage: previous,
      page: page, group: ProtectionGroupID(UInt32(group)), epoch: epoch, kind: kind, isConsistencyPoint: false,
      payloadSize: 0)
    let start = header.beginEncoding(into: &groups[group].open)
    groups[group].lastIssued = lsn
    lastRecord = lsn
    nextLSN = lsn.advanced(by: 1)
    unsealed = Unsealed(group: group, start: start, lsn: lsn)
    if !touched.contains(group) { touched.append(group) }
    return start
  }
  /// Ends the record begun last, where there is one.
  private mutating func seal() {
    guard let record = unsealed else { return }
    unsealed = nil
    RecordHeader.seal(at: record.start, in: &groups[record.group].open)
    append(record, isConsistencyPoint: false)
  }
  private mutating func append(_ record: Unsealed, isConsistencyPoint: Bool) {
    let size = groups[record.group].open.count - record.start
    bytesInFlight += size
    counters.records += 1
    counters.recordBytes += UInt64(size)
    outstanding.append(
      Outstanding(
        lsn: record.lsn, group: UInt32(record.group), sizeAndFlag: UInt32(size) | (isConsistencyPoint ? 1 << 31 : 0)))
  }
  /// Makes the record begun last the consistency point, and sends what may be sent.
  mutating func finishTransaction(
    isAwaited: Bool = true, timestamp: UInt64, now: Instant, into e: inout VolumeEffects
  ) {
    if let record = unsealed {
      unsealed = nil
      RecordHeader.sealAsConsistencyPoint(at: record.start, timestamp: timestamp, in: &groups[record.group].open)
      append(record, isConsistencyPoint: true)
    }
    if isAwaited {
      for i in touched.indices { sendIfDue(touched[i], now: now, into: &e) }
    } else {
      hasUnsent = true
    }
    touched.removeAll(keepingCapacity: true)
  }
}

extension MiniTransaction.Entry {
  /// The most bytes that the payload of its record can have.
  fileprivate func payloadBound(_ wholePages: Bool, _ pageSize: Int) -> Int {
    if isDiscard { return 0 }
    return wholePages ? pageSize : Int(count) + RecordPayload.rangeOverhead
  }
}
