public import BorealisCore
import BorealisWire

// As for the writer (VolumeWriter+ReadAhead): pending pages, at the applied VDL; the stream's records are queued for them.
extension VolumeReader {
  /// True once when somebody who reads one page after the other wants more: then `readAhead` is to be called, on another
  /// thread than theirs.
  public mutating func takeReadAheadWish() -> Bool { ahead.takeWish() }

  /// Asks storage for the next pages that are wanted ahead; whether there may be more.
  public mutating func readAhead(now: Instant, into e: inout VolumeEffects) -> Bool {
    guard phase == .attached, reads.runs.count < SegmentReads.runsMax else {
      ahead.postpone()
      return false
    }
    guard let pages = ahead.next() else { return false }
    askForRun(pages, isFirstPending: false, now: now, into: &e)
    return true
  }

  /// The group to ask for a page; nil where the page does not exist.
  func group(forRead page: PageID) -> ProtectionGroupID? {
    catalog.group(of: page).flatMap { Int($0.value) < groups.count ? $0 : nil }
  }
  private func canBeAsked(_ page: PageID) -> Bool { !cache.contains(page) && !pending.contains(page) }

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
    guard index < pages.upperBound.index, let group = group(forRead: first) else { return }
    var count = 0
    while index < pages.upperBound.index {
      let page = PageID(object: object, index: index)
      if index > first.index || !isFirstPending {
        guard canBeAsked(page), self.group(forRead: page) == group else { break }
        pending.beginAhead(page, group: ProtectionGroupID(0), askedAt: appliedVDL, now: now)
      }
      count += 1
      index += 1
    }
    if index < pages.upperBound.index { ahead.giveBack(object, from: index) }
    counters.pagesAhead += UInt64(isFirstPending ? count - 1 : count)
    readPoints.open(appliedVDL)
    let required = groups[Int(group.value)].tail.required(at: appliedVDL, points: readPoints)
    let isAsked = reads.beginRun(
      first, count: count, group: group, at: appliedVDL, requiredSCL: required, now: now, groups: groups,
      into: &e.sends)
    if !isAsked {
      complete(
        SegmentReads.CompletedRun(first: first, count: count, readPoint: appliedVDL, pages: nil), now: now, into: &e)
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
      guard pending.hasCallers(page), let group = group(forRead: page) else {
        // Without a group, which a discard may have ended, it has no bytes.
        let waiting = pending.take(page)
        for id in waiting?.ids ?? [] { finish(id, lsn: .zero, padded([]), into: &e) }
        continue
      }
      pending.askAgain(page, at: appliedVDL)
      beginRead(page, group: group, at: appliedVDL, purpose: .head, now: now, into: &e)
    }
  }
  private mutating func land(
    _ page: PageID, lsn: LSN, _ image: UnsafeRawBufferPointer, at readPoint: LSN, into e: inout VolumeEffects
  ) {
    guard pending.isAwaited(page, at: readPoint), let waiting = pending.take(page) else { return }
    // A page that does not exist is not worth a place.
    if lsn == .zero, waiting.ids.isEmpty { return }
    guard let frame = cache.insert(page, lsn: lsn, vdl: appliedVDL, plantedBug: nil) else {
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
    for id in waiting.ids { finish(id, lsn: last, Array(target), into: &e) }
  }
}
