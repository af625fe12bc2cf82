public import BorealisCore
import BorealisWire

// Pages are asked for before anybody wants them, in runs: each is registered as pending like any other page on its way, so
// that changes made meanwhile are applied to it; it becomes visible at VDL or as of those.
extension VolumeWriter {
  /// True once when a reader who reads one page after the other wants more: then `readAhead` is to be called, on another
  /// thread than the reader's.
  public mutating func takeReadAheadWish() -> Bool { ahead.takeWish() }

  /// Asks storage for the next pages that are wanted ahead; whether there may be more.
  public mutating func readAhead(now: Instant, into e: inout VolumeEffects) -> Bool {
    guard isOpen, !fenced, reads.runs.count < SegmentReads.runsMax else {
      ahead.postpone()
      return false
    }
    guard let pages = ahead.next() else { return false }
    askForRun(pages, isFirstPending: false, now: now, into: &e)
    return true
  }

  private func canBeAsked(_ page: PageID) -> Bool {
    !cache.contains(page) && !pending.contains(page) && !isKnownZero(page) && blind[page] ?? .zero <= vdl
  }
  /// Asks for those pages at the front of a range that storage must be asked for; gives the rest back.
  ///
  /// - Parameter isFirstPending: the caller has registered the first one, because somebody waits for it.
  mutating func askForRun(
    _ pages: Range<PageID>, isFirstPending: Bool, now: Instant, into e: inout VolumeEffects
  ) {
    let object = pages.lowerBound.object
    var index = pages.lowerBound.index
    while !isFirstPending, index < pages.upperBound.index, !canBeAsked(PageID(object: object, index: index)) {
      index += 1
    }
    let first = PageID(object: object, index: index)
    guard index < pages.upperBound.index, let group = catalog.group(of: first) else { return }
    var count = 0
    while index < pages.upperBound.index {
      let page = PageID(object: object, index: index)
      if index > first.index || !isFirstPending {
        guard canBeAsked(page), catalog.group(of: page) == group else { break }
        pending.beginAhead(page, group: group, askedAt: vdl, now: now)
      }
      count += 1
      index += 1
    }
    if index < pages.upperBound.index { ahead.giveBack(object, from: index) }
    counters.pagesAhead += UInt64(isFirstPending ? count - 1 : count)
    readPoints.open(vdl)
    let required = groups[Int(group.value)].tail.required(at: vdl, points: readPoints)
    let isAsked = reads.beginRun(
      first, count: count, group: group, at: vdl, requiredSCL: required, now: now, groups: groups, into: &e.sends)
    if !isAsked {
      complete(
        SegmentReads.CompletedRun(first: first, count: count, readPoint: vdl, pages: nil), now: now, into: &e)
    }
  }

  /// A run has ended: its pages enter the cache; those that did not come are asked for singly where somebody waits.
  mutating func complete(_ run: SegmentReads.CompletedRun, now: Instant, into e: inout VolumeEffects) {
    readPoints.close(run.readPoint)
    run.pages?.forEach { number, lsn, image in
      land(run.page(number), lsn: lsn, image, at: run.readPoint, into: &e)
    }
    for number in (run.pages?.count ?? 0)..<run.count {
      let page = run.page(number)
      guard pending.isAwaited(page, at: run.readPoint) else { continue }
      guard pending.hasCallers(page), let group = catalog.group(of: page) else {
        // Without a group, which a discard may have ended, it has no bytes.
        let waiting = pending.take(page)
        for id in waiting?.ids ?? [] { finish(id, lsn: .zero, padded([]), into: &e) }
        continue
      }
      pending.askAgain(page, at: vdl)
      beginRead(page, group: group, at: vdl, purpose: .head, now: now, into: &e)
    }
    updateMinReadPoint()
  }
  private mutating func land(
    _ page: PageID, lsn: LSN, _ image: UnsafeRawBufferPointer, at readPoint: LSN, into e: inout VolumeEffects
  ) {
    guard pending.isAwaited(page, at: readPoint), let waiting = pending.take(page) else { return }
    // A page that does not exist is not worth a place.
    if lsn == .zero, waiting.ids.isEmpty { return }
    guard let frame = insertIntoCache(page, lsn: lsn) else {
      if waiting.ids.isEmpty { return }
      var bytes = padded(Array(image))
      let last = bytes.withUnsafeMutableBytes {
        PendingPages.merge(lsn: lsn, readPoint: readPoint, changes: waiting.changes, into: $0)
      }
      for id in waiting.ids { finish(id, lsn: last, bytes, into: &e) }
      return
    }
    let target = cache.bytes(frame)
    target.copyMemory(from: image)
    UnsafeMutableRawBufferPointer(rebasing: target[image.count...]).initializeMemory(as: UInt8.self, repeating: 0)
    let last = PendingPages.merge(lsn: lsn, readPoint: readPoint, changes: waiting.changes, into: target)
    cache.setLSN(frame, last)
    blind[page] = nil
    for id in waiting.ids { finish(id, lsn: last, Array(target), into: &e) }
  }
}
