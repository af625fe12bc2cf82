import BorealisCore
import BorealisStorageBackend
import BorealisWire

// Copies of pages, for a segment whose missing records are no longer in any peer's log (protocol §5.9).
//
// The source's baseline is its gcPoint: every record at or below is in its pages. While it is copied the source folds
// nothing above it, so that the copy finds the log from there on. Pages that were folded further before that are
// newer than the baseline; records that they hold already are skipped by LSN.

/// Pages of a baseline on their way into the page store.
struct IncomingBaseline: Sendable {
  var group: ProtectionGroupID
  var pages: [PageVersion]
  /// The range of pages that the message covers begins after this one; nil: with the first.
  var cursor: PageID?
  /// Pages of this segment, in that range, that the source does not have (any more).
  var drops: [PageID] = []
  /// Whether `drops` is known: only when no page of a fold is on its way to the page store any more.
  var hasDrops = false
  /// Where the copy goes on; nil at the end.
  var next: PageID?
  /// How many pages and drops are staged.
  var position = 0
  /// Whether anything was staged for the job to come.
  var hasStaged = false
  /// Whether all of it is durable.
  var isDone = false
}

extension StorageNode {
  // MARK: The segment that copies

  /// Begins a copy, unless one is under way.
  mutating func hydrate(_ i: Int, from source: NodeID, now: Instant, into out: inout [Outgoing]) {
    guard segments[i].hydration == nil, diskTrouble == nil else { return }
    guard let suited = canServe(source, i) ? source : nextSource(i, after: source) else { return }
    segments[i].hydration = Segment.Hydration(source: suited, baseline: .zero, cursor: nil, deadline: now)
    requestBaseline(i, now: now, into: &out)
  }

  /// Whether a member can give this segment what it needs: pages, if it keeps pages.
  private func canServe(_ node: NodeID, _ i: Int) -> Bool {
    guard node != id, let k = segments[i].configuration.index(of: node) else { return false }
    return segments[i].kind == .tail || segments[i].configuration.members[k].kind == .full
  }

  private func nextSource(_ i: Int, after node: NodeID) -> NodeID? {
    let members = segments[i].configuration.members
    let start = segments[i].configuration.index(of: node) ?? 0
    for step in 1...members.count {
      let candidate = members[(start + step) % members.count].node
      if canServe(candidate, i) { return candidate }
    }
    return nil
  }

  /// Whether a member that can serve it has given up records that are missing here.
  private func wantsBaseline(_ i: Int) -> Bool {
    segments[i].peers.contains { $0.gcPoint > segments[i].scl && canServe($0.node, i) }
  }

  mutating func tryAnotherSource(_ i: Int, now: Instant, into out: inout [Outgoing]) {
    let last = segments[i].hydration?.source ?? id
    segments[i].hydration = nil
    if incoming?.group == segments[i].group { incoming = nil }
    // Also before the first answer: whoever named the dead source will name it again. Where the copy is not wanted any
    // more, the first answer ends it.
    guard let source = nextSource(i, after: last) else { return }
    hydrate(i, from: source, now: now, into: &out)
  }

  /// Repeats a request that was lost; begins a copy again that a restart broke off.
  mutating func repeatHydration(_ i: Int, now: Instant, into out: inout [Outgoing]) {
    if incoming?.group == segments[i].group { continueHydration(now: now, into: &out) }
    guard let copy = segments[i].hydration else {
      if segments[i].isHydrating { tryAnotherSource(i, now: now, into: &out) }
      return
    }
    guard copy.deadline <= now else { return }
    segments[i].hydration?.attempts += 1
    if copy.attempts >= StorageNodeLimits.baselineAttempts {
      tryAnotherSource(i, now: now, into: &out)
    } else {
      requestBaseline(i, now: now, into: &out)
    }
  }

  private mutating func requestBaseline(_ i: Int, now: Instant, into out: inout [Outgoing]) {
    guard var copy = segments[i].hydration else { return }
    copy.deadline = now.advanced(byNanoseconds: configuration.requestTimeout)
    segments[i].hydration = copy
    let limit = segments[i].kind == .tail ? 0 : UInt32(StorageNodeLimits.baselineBytes)
    send(
      .pullBaseline(cursor: copy.cursor, baseline: copy.baseline, limit: limit), to: .node(copy.source),
      group: segments[i].group, into: &out)
  }

  mutating func receiveBaseline(
    _ header: MessageHeader, baseline: LSN, pages: [PageVersion], next: PageID?, now: Instant,
    into out: inout [Outgoing]
  ) {
    guard let i = index(of: header.group), var copy = segments[i].hydration, incoming == nil,
      header.sender == .node(copy.source)
    else { return }
    if !segments[i].isHydrating, baseline <= segments[i].scl {
      // Gossip was faster; or the source has nothing either, and another one is asked. (Found by seed 90309: two new members
      // asked each other for ever, and a third that was lost.)
      return wantsBaseline(i) ? tryAnotherSource(i, now: now, into: &out) : (segments[i].hydration = nil)
    }
    // Asked for as a tail segment, which it no longer is: the pages are asked for when this request is repeated.
    if next == .unlisted, segments[i].kind == .full { return }
    // Below our own gcPoint: its pages say nothing of the records between, which are gone here.
    if baseline < segments[i].gcPoint { return tryAnotherSource(i, now: now, into: &out) }
    if baseline != copy.baseline {
      // The first answer, or the source began anew: so do we.
      copy.baseline = baseline
      copy.cursor = nil
    }
    if let cursor = copy.cursor, let first = pages.first, first.page <= cursor { return }  // a repeat
    if let cursor = copy.cursor, let next, next <= cursor { return }
    copy.attempts = 0
    copy.deadline = .init(nanoseconds: .max)
    segments[i].hydration = copy
    segments[i].pull = nil
    if !segments[i].isHydrating {
      segments[i].isHydrating = true
      forgetFetches(of: header.group)
      segments[i].chain.reset(to: segments[i].scl)
      segments[i].staged = segments[i].chain
      // Durable before the first page is: facts go before pages.
      journalFacts(i)
    }
    if segments[i].kind == .tail { return finishHydration(i, now: now, into: &out) }
    incoming = IncomingBaseline(group: header.group, pages: pages, cursor: copy.cursor, next: next)
  }

  /// Pages here, in the range that a message covers, that the source did not list: discarded since.
  private mutating func absentees(
    _ i: Int, _ pages: [PageVersion], after cursor: PageID?, through last: PageID?
  ) -> [PageID] {
    let group = segments[i].group
    guard store.pages.pageCount(of: group) > 0 else { return [] }
    var result: [PageID] = []
    var listed: [PageID] = []
    var from = cursor
    var k = 0
    while true {
      listed.removeAll(keepingCapacity: true)
      store.pages.pages(of: group, after: from, limit: StorageNodeLimits.baselinePages, into: &listed)
      for page in listed {
        if let last, page > last { return result }
        while k < pages.count, pages[k].page < page { k += 1 }
        if k == pages.count || pages[k].page != page { result.append(page) }
      }
      guard let end = listed.last else { return result }
      from = end
    }
  }

  /// Stages what there is room for of the pages that came from a peer.
  mutating func stageIncoming() {
    guard var batch = incoming, !batch.isDone, let i = index(of: batch.group), let copy = segments[i].hydration else {
      return
    }
    // Out of `self`, so that the pages are not copied when `position` changes.
    incoming = nil
    defer { incoming = batch }
    let pins = retention.pins
    let pageSize = page.count
    if !batch.hasDrops {
      // Pages that a fold staged before the copy began would come back after they have been dropped: let them land.
      guard !store.pages.hasStaged, store.pages.flight == nil else { return }
      batch.drops = absentees(i, batch.pages, after: batch.cursor, through: batch.next)
      batch.hasDrops = true
    }
    while batch.position < batch.pages.count {
      let version = batch.pages[batch.position]
      let isStaged =
        isHeld(batch.group, version)
        || withPadded(version.image, pageSize) {
          store.stagePage(batch.group, version.page, lsn: version.lsn, image: $0, pins: pins)
        }
      guard isStaged else { return }
      batch.hasStaged = true
      batch.position += 1
    }
    while batch.position < batch.pages.count + batch.drops.count {
      let page = batch.drops[batch.position - batch.pages.count]
      let isStaged =
        pins.isEmpty
        ? store.stageDrop(batch.group, page)
        : store.stagePage(batch.group, page, lsn: copy.baseline, image: nil, pins: pins)
      guard isStaged else { return }
      batch.hasStaged = true
      batch.position += 1
    }
    // Where all of it was held already nothing was staged, and no job will come to say that it is done.
    if !batch.hasStaged || (!store.pages.hasStaged && store.pages.flight == nil) { batch.isDone = true }
  }

  /// Whether the page here is as new as the one that came, or an older version that is wanted for a pin is here.
  private func isHeld(_ group: ProtectionGroupID, _ version: PageVersion) -> Bool {
    (store.pages.version(group, version.page) ?? .zero) >= version.lsn
  }

  /// A job with pages has ended.
  mutating func incomingEnded(succeeded: Bool) {
    guard var batch = incoming else { return }
    if !succeeded {
      batch.position = 0
      batch.hasStaged = false
    } else if batch.hasStaged, batch.hasDrops, batch.position == batch.pages.count + batch.drops.count {
      counters.baselinePagesInstalled += UInt64(batch.pages.count)
      batch.isDone = true
    }
    incoming = batch
  }

  /// Goes on with the copy when what came is durable.
  mutating func continueHydration(now: Instant, into out: inout [Outgoing]) {
    guard let batch = incoming, batch.isDone else { return }
    incoming = nil
    guard let i = index(of: batch.group), segments[i].hydration != nil else { return }
    guard let next = batch.next else { return finishHydration(i, now: now, into: &out) }
    segments[i].hydration?.cursor = next
    requestBaseline(i, now: now, into: &out)
  }

  private mutating func finishHydration(_ i: Int, now: Instant, into out: inout [Outgoing]) {
    guard let copy = segments[i].hydration else { return }
    segments[i].hydration = nil
    segments[i].isHydrating = false
    segments[i].gcPoint = copy.baseline
    // (Above the baseline already where a tail segment has become a full one: its log goes on from there.)
    segments[i].chain.reset(to: max(copy.baseline, segments[i].scl))
    segments[i].staged = segments[i].chain
    segments[i].needsRebuild = true
    store.pages.endListing()
    counters.baselinesFinished += 1
    rebuildIfNeeded(i)
    journalFacts(i)
    advanced(i, now: now, into: &out)
    ack(i, into: &out)
    if let peer = segments[i].peers.first(where: { $0.node == copy.source }), peer.scl > segments[i].scl {
      pull(i, from: copy.source, through: peer.scl, now: now, into: &out)
    }
  }

  // MARK: The source

  mutating func receivePullBaseline(
    _ header: MessageHeader, cursor: PageID?, baseline: LSN, limit: UInt32, now: Instant, into out: inout [Outgoing]
  ) {
    guard let i = index(of: header.group) else { return reject(header, .noSuchSegment, into: &out) }
    guard limit == 0 || segments[i].kind == .full else { return reject(header, .tailSegment, into: &out) }
    guard !segments[i].isHydrating else { return reject(header, .notComplete, into: &out) }
    guard hold(i, for: header.sender, now: now) else { return reject(header, .busy, into: &out) }
    let point = segments[i].gcPoint
    if limit == 0 {
      return send(
        .baseline(baseline: point, pages: [], next: .unlisted), to: header.sender, group: header.group, into: &out)
    }
    let from = baseline == point ? cursor : nil
    var listed: [PageID] = []
    store.pages.pages(of: header.group, after: from, limit: StorageNodeLimits.baselinePages, into: &listed)
    var pages: [PageVersion] = []
    var bytes = 0
    var next = listed.count < StorageNodeLimits.baselinePages ? nil : listed.last
    let most = min(Int(limit), StorageNodeLimits.baselineBytes)
    for (k, id) in listed.enumerated() {
      guard versions(i, id, into: &pages, bytes: &bytes) else { return reject(header, .damaged, into: &out) }
      if bytes >= most, k + 1 < listed.count {
        next = id
        break
      }
    }
    if next == nil { store.pages.endListing() }
    counters.baselinePagesSent += UInt64(pages.count)
    send(.baseline(baseline: point, pages: pages, next: next), to: header.sender, group: header.group, into: &out)
  }

  /// Promises a peer to keep the log above gcPoint for a while.
  private mutating func hold(_ i: Int, for peer: PeerID, now: Instant) -> Bool {
    segments[i].holds.removeAll { $0.peer == peer || $0.deadline <= now }
    guard segments[i].holds.count < StorageNodeLimits.holdsMax else { return false }
    segments[i].holds.append(
      Segment.Hold(
        peer: peer, baseline: segments[i].gcPoint,
        deadline: now.advanced(byNanoseconds: configuration.baselineHold)))
    return true
  }

  /// Appends all versions of a page, oldest first; false where one is damaged.
  private mutating func versions(
    _ i: Int, _ id: PageID, into pages: inout [PageVersion], bytes: inout Int
  ) -> Bool {
    let group = segments[i].group
    var found: [PageVersion] = []
    var bound = LSN.max
    while let lsn = store.pages.version(group, id, atOrBelow: bound) {
      var isAbsent = false
      do throws(StoreReadError) {
        let stored = try page.withUnsafeMutableBytesTyped { raw throws(StoreReadError) in
          try store.pages.read(group, id, atOrBelow: bound, into: raw)
        }
        isAbsent = stored?.isAbsent ?? true
      } catch {
        if case .damaged = error { foundDamage(page: id, lsn: lsn, group: group) }
        return false
      }
      let used = isAbsent ? 0 : page.withUnsafeBytes { significantBytes($0) }
      found.append(PageVersion(page: id, lsn: lsn, image: Array(page[..<used])))
      bytes += used + 28
      guard lsn > .zero else { break }
      bound = LSN(lsn.value - 1)
    }
    pages.append(contentsOf: found.reversed())
    return true
  }
}

/// Lends an image with its trailing zeros put back.
func withPadded<R>(_ image: [UInt8], _ pageSize: Int, _ body: (UnsafeRawBufferPointer) -> R) -> R {
  let used = min(image.count, pageSize)
  return withUnsafeTemporaryAllocation(byteCount: pageSize, alignment: 16) { raw in
    raw.initializeMemory(as: UInt8.self, repeating: 0)
    image.withUnsafeBytes { raw.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[..<used])) }
    return body(UnsafeRawBufferPointer(raw))
  }
}
