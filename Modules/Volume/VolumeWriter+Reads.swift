public import BorealisCore
import BorealisWire

extension VolumeWriter {
  /// The newest version of a page out of memory, copied into `buffer`; nil when storage must be asked (`read`).
  ///
  /// `buffer` must hold a whole page. The version may be above VDL: the writer sees its own changes at once.
  public mutating func readCached(_ page: PageID, into buffer: UnsafeMutableRawBufferPointer) -> LSN? {
    guard isOpen, buffer.count >= configuration.pageSize else { return nil }
    ahead.note(page)
    if let frame = cache.find(page) {
      buffer.copyMemory(from: UnsafeRawBufferPointer(cache.bytes(frame)))
      counters.cacheHits += 1
      return cache.lsn(frame)
    }
    guard isKnownZero(page) else { return nil }
    UnsafeMutableRawBufferPointer(rebasing: buffer[..<configuration.pageSize])
      .initializeMemory(as: UInt8.self, repeating: 0)
    return .zero
  }
  /// Whether a page is certainly all zero because it was never written.
  func isKnownZero(_ page: PageID) -> Bool {
    guard page.object != .catalog else { return false }
    guard let entry = catalog.entry(of: page) else { return true }
    return catalog.isUntouched(page, entry: entry)
  }

  /// The first pages of `object` from `index` on that may hold data, for the head and every read point in use.
  public func pagesInUse(of object: ObjectID, from index: UInt64) -> Range<UInt64>? {
    catalog.pagesInUse(of: object, from: index)
  }

  /// Reads a page at the head (`readPoint` nil) or at a read point; ends in `VolumeEffects.reads`, maybe at once.
  ///
  /// Errors: `.unavailable` after the time limit, `.readPointTooOld`, `.damaged`, `.invalidArgument` for a read point
  /// above VDL, `.fenced`, `.closed`. Pages that were never written read as zeros with LSN 0.
  public mutating func read(
    _ page: PageID, at readPoint: LSN?, id: ReadID, now: Instant, into e: inout VolumeEffects
  ) {
    do throws(VolumeError) {
      try checkUsable("read")
      if let readPoint { try check(readPoint, page: page) }
    } catch {
      e.reads.append(CompletedRead(id: id, result: .failure(error)))
      return
    }
    // LSN 0 is a page that storage said is absent: since when is not known.
    if let frame = cache.find(page),
      readPoint.map({ cache.lsn(frame) > .zero && cache.lsn(frame) <= $0 }) ?? true
    {
      counters.cacheHits += 1
      finish(id, lsn: cache.lsn(frame), Array(cache.bytes(frame)), into: &e)
      return
    }
    guard let group = catalog.group(of: page), !isKnownZero(page) else {
      finish(id, lsn: .zero, [UInt8](repeating: 0, count: configuration.pageSize), into: &e)
      return
    }
    counters.cacheMisses += 1
    if let readPoint {
      beginRead(page, group: group, at: readPoint, purpose: .point(id), now: now, into: &e)
      return
    }
    if pending.join(page, id: id) {
      // Who has caught up with what was asked for ahead asks for more.
      _ = readAhead(now: now, into: &e)
      return
    }
    let needed = blind[page] ?? .zero
    pending.begin(page, group: group, needed: needed, askedAt: needed <= vdl ? vdl : nil, id: id, now: now)
    guard needed <= vdl else { return }
    if let pages = ahead.follows(page) {
      askForRun(pages, isFirstPending: true, now: now, into: &e)
    } else {
      beginRead(page, group: group, at: vdl, purpose: .head, now: now, into: &e)
    }
  }
  private func check(_ readPoint: LSN, page: PageID) throws(VolumeError) {
    if readPoint > vdl {
      throw VolumeError(.invalidArgument, operation: "read", lsn: readPoint, page: page, detail: "above VDL \(vdl)")
    }
    if readPoint < minReadPoint { throw VolumeError(.readPointTooOld, operation: "read", lsn: readPoint, page: page) }
  }
  func finish(_ id: ReadID, lsn: LSN, _ bytes: [UInt8], into e: inout VolumeEffects) {
    e.reads.append(CompletedRead(id: id, result: .success(PageImage(lsn: lsn, bytes: bytes))))
  }

  /// Asks storage, and holds the read point back until the read has ended.
  mutating func beginRead(
    _ page: PageID, group: ProtectionGroupID, at readPoint: LSN, purpose: SegmentReads.Purpose, now: Instant,
    into e: inout VolumeEffects
  ) {
    readPoints.open(readPoint)
    let required = groups[Int(group.value)].tail.required(at: readPoint, points: readPoints)
    reads.begin(
      page, group: group, at: readPoint, requiredSCL: required, purpose: purpose, now: now, groups: groups,
      into: &e.sends)
  }
  /// Pages whose last change VDL has reached.
  mutating func issueWaitingReads(now: Instant, into e: inout VolumeEffects) {
    var cursor = 0
    while let waiting = pending.nextReady(vdl: vdl, askingAt: vdl, from: &cursor) {
      beginRead(waiting.page, group: waiting.group, at: vdl, purpose: .head, now: now, into: &e)
    }
  }
  mutating func tickReads(now: Instant, into e: inout VolumeEffects) {
    var completions: [SegmentReads.Completion] = []
    reads.tick(now: now, groups: groups, into: &e.sends, completions: &completions)
    for completion in completions { complete(completion, now: now, into: &e) }
    while let run = reads.takeExpiredRun(now: now) { complete(run, now: now, into: &e) }
    let patience = min(now.nanoseconds, configuration.readTimeout)
    while let waiting = pending.takeExpired(begunBefore: Instant(nanoseconds: now.nanoseconds - patience)) {
      let error = VolumeError(
        .unavailable, operation: "read", page: waiting.page, detail: "its last change is not durable")
      for id in waiting.ids { e.reads.append(CompletedRead(id: id, result: .failure(error))) }
    }
  }

  /// A read of a segment has ended.
  mutating func complete(_ completion: SegmentReads.Completion, now: Instant, into e: inout VolumeEffects) {
    readPoints.close(completion.readPoint)
    switch completion.purpose {
    case .catalog: completeCatalog(completion, now: now, into: &e)
    case .point(let id):
      switch completion.result {
      case .failure(let error): e.reads.append(CompletedRead(id: id, result: .failure(error)))
      case .success(let (lsn, image)): finish(id, lsn: lsn, padded(image), into: &e)
      }
    case .head: completeHead(completion, now: now, into: &e)
    }
    updateMinReadPoint()
  }
  func padded(_ image: [UInt8]) -> [UInt8] {
    image + [UInt8](repeating: 0, count: configuration.pageSize - image.count)
  }
  private mutating func completeHead(
    _ completion: SegmentReads.Completion, now: Instant, into e: inout VolumeEffects
  ) {
    let page = completion.page
    // A whole new version may have come in between: then there is nothing to do, and what is waited for now is another
    // image.
    guard pending.isAwaited(page, at: completion.readPoint) else { return }
    if case .failure(let error) = completion.result, error.code == .readPointTooOld, !fenced {
      // VDL has moved on since: the head is read anew.
      guard let group = catalog.group(of: page) else {
        // The page was given back meanwhile: it reads as zeros now.
        for id in pending.take(page)?.ids ?? [] { read(page, at: nil, id: id, now: now, into: &e) }
        return
      }
      pending.askAgain(page, at: vdl)
      beginRead(page, group: group, at: vdl, purpose: .head, now: now, into: &e)
      return
    }
    guard let waiting = pending.take(page) else { return }
    switch completion.result {
    case .failure(let error):
      for id in waiting.ids { e.reads.append(CompletedRead(id: id, result: .failure(error))) }
    case .success(let (lsn, image)):
      var bytes = padded(image)
      let last = bytes.withUnsafeMutableBytes {
        PendingPages.merge(lsn: lsn, readPoint: completion.readPoint, changes: waiting.changes, into: $0)
      }
      if let frame = insertIntoCache(page, lsn: last) {
        bytes.withUnsafeBytes { cache.bytes(frame).copyMemory(from: $0) }
        blind[page] = nil
      }
      for id in waiting.ids { finish(id, lsn: last, bytes, into: &e) }
    }
  }
  /// Ends the reads of pages that a mini-transaction has brought into the cache.
  mutating func completeLanded(now: Instant, into e: inout VolumeEffects) {
    guard !landed.isEmpty else { return }
    let waiting = landed
    landed.removeAll()
    for page in waiting {
      for id in page.ids { read(page.page, at: nil, id: id, now: now, into: &e) }
    }
  }
  /// Ends all reads with an error.
  mutating func failReads(_ code: VolumeError.Code, into e: inout VolumeEffects) {
    _ = reads.takeRuns()  // All read points end below.
    for completion in reads.failAll(code) {
      if case .point(let id) = completion.purpose, case .failure(let error) = completion.result {
        e.reads.append(CompletedRead(id: id, result: .failure(error)))
      }
    }
    for waiting in pending.takeAll() {
      for id in waiting.ids {
        e.reads.append(
          CompletedRead(id: id, result: .failure(VolumeError(code, operation: "read", page: waiting.page))))
      }
    }
    readPoints.removeAll()
  }

  // MARK: Catalog

  /// Writes the catalog of a new volume: its first mini-transaction.
  mutating func createCatalog(now: Instant, into e: inout VolumeEffects) {
    loader.finish()
    emitSuperblock(now: now, into: &e)
    finishTransaction(timestamp: 0, now: now, into: &e)
  }
  private mutating func completeCatalog(
    _ completion: SegmentReads.Completion, now: Instant, into e: inout VolumeEffects
  ) {
    guard case .success(let (lsn, image)) = completion.result else {
      // Opening goes on until it succeeds: at the VDL of the opening nothing is collected before it is open.
      if !fenced {
        beginRead(
          completion.page, group: ProtectionGroupID(0), at: completion.readPoint, purpose: .catalog, now: now, into: &e)
      }
      return
    }
    loader.receive(completion.page, lsn: lsn, image: image, into: &catalog)
    // The first writer died before its catalog was durable.
    if loader.phase == .absent { createCatalog(now: now, into: &e) }
    while let page = loader.next() {
      beginRead(page, group: ProtectionGroupID(0), at: loader.readPoint, purpose: .catalog, now: now, into: &e)
    }
    if loader.phase == .done { considerGrowth(now: now, into: &e) }
  }
}
