import BorealisCore
import BorealisWire

/// Pages on their way from storage to the cache, with the changes that arrive meanwhile.
///
/// The image comes as of some read point; changes above it must be applied after it lands, or a stale page would enter
/// the cache (protocol §5.10, the miss race). So a page is registered here before it is asked for.
struct PendingPages: Sendable {
  struct Change: Sendable {
    var lsn: LSN
    var kind: RecordKind
    var payload: [UInt8]
  }
  struct Page: Sendable {
    var page: PageID
    var group: ProtectionGroupID
    /// Storage is asked once VDL has reached this: the last change that may be missing from the cache.
    var needed: LSN
    /// The read point at which storage has been asked.
    ///
    /// An answer for another one is of an earlier life of the entry, whose changes are lost: it must not be used.
    var askedAt: LSN?
    /// When the first caller came.
    var begun: Instant
    var ids: [ReadID] = []
    var changes: [Change] = []
    var isUsed = true
  }
  private var pages: [Page] = []
  private var free: [Int] = []
  private var places: [PageID: Int] = [:]
  /// Pages that wait for VDL.
  private(set) var waitingCount = 0

  var isEmpty: Bool { places.isEmpty }
  var count: Int { places.count }
  func contains(_ page: PageID) -> Bool { !places.isEmpty && places[page] != nil }

  /// Registers a page; `askedAt` tells whether storage is being asked already, and at which read point.
  mutating func begin(_ page: PageID, group: ProtectionGroupID, needed: LSN, askedAt: LSN?, id: ReadID?, now: Instant) {
    precondition(places[page] == nil)
    let ids = id.map { [$0] } ?? []
    let entry = Page(page: page, group: group, needed: needed, askedAt: askedAt, begun: now, ids: ids)
    if askedAt == nil { waitingCount += 1 }
    if let at = free.popLast() {
      pages[at] = entry
      places[page] = at
    } else {
      places[page] = pages.count
      pages.append(entry)
    }
  }
  /// Registers a page that nobody waits for yet, which storage is being asked for.
  mutating func beginAhead(_ page: PageID, group: ProtectionGroupID, askedAt: LSN, now: Instant) {
    begin(page, group: group, needed: .zero, askedAt: askedAt, id: nil, now: now)
  }
  /// Whether somebody waits for a page under way.
  func hasCallers(_ page: PageID) -> Bool { places[page].map { !pages[$0].ids.isEmpty } ?? false }
  /// Adds a caller to a page under way; false where there is none.
  mutating func join(_ page: PageID, id: ReadID) -> Bool {
    guard let at = places[page] else { return false }
    pages[at].ids.append(id)
    return true
  }
  /// Queues a change of a page under way.
  mutating func queue(_ page: PageID, lsn: LSN, kind: RecordKind, payload: UnsafeRawBufferPointer) {
    guard let at = places[page] else { return }
    // What came before a whole new page does not matter any more.
    if kind != .delta { pages[at].changes.removeAll(keepingCapacity: true) }
    pages[at].changes.append(Change(lsn: lsn, kind: kind, payload: Array(payload)))
  }
  /// Takes a page out, when its image has landed or is not wanted any more.
  mutating func take(_ page: PageID) -> Page? {
    guard let at = places.removeValue(forKey: page) else { return nil }
    let entry = pages[at]
    if entry.askedAt == nil { waitingCount -= 1 }
    pages[at].ids = []
    pages[at].changes = []
    pages[at].isUsed = false
    free.append(at)
    return entry
  }
  /// Whether an answer for this read point is the one that the page waits for.
  func isAwaited(_ page: PageID, at readPoint: LSN) -> Bool {
    guard let at = places[page] else { return false }
    return pages[at].askedAt == readPoint
  }
  /// Storage is asked again, at another read point.
  mutating func askAgain(_ page: PageID, at readPoint: LSN) {
    guard let at = places[page], pages[at].askedAt != nil else { return }
    pages[at].askedAt = readPoint
  }
  /// The next page that waited for this VDL; marks it as asked for at `readPoint`.
  mutating func nextReady(vdl: LSN, askingAt readPoint: LSN, from cursor: inout Int) -> Page? {
    guard waitingCount > 0 else { return nil }
    while cursor < pages.count {
      let at = cursor
      cursor += 1
      guard pages[at].isUsed, pages[at].askedAt == nil, pages[at].needed <= vdl else { continue }
      pages[at].askedAt = readPoint
      waitingCount -= 1
      return pages[at]
    }
    return nil
  }
  /// Makes every page wait again: what was asked is not wanted any more, and queued changes are moot.
  mutating func resetAll() {
    waitingCount = 0
    for at in pages.indices where pages[at].isUsed {
      pages[at].askedAt = nil
      pages[at].needed = .zero
      pages[at].changes.removeAll()
      waitingCount += 1
    }
  }
  /// Takes out a page that has waited for VDL (or for a stream to follow) since before `deadline`.
  mutating func takeExpired(begunBefore deadline: Instant) -> Page? {
    guard waitingCount > 0 else { return nil }
    for entry in pages where entry.isUsed && entry.askedAt == nil && entry.begun < deadline { return take(entry.page) }
    return nil
  }
  /// Takes everything out, in the order of the slots.
  mutating func takeAll() -> [Page] {
    let all = pages.filter(\.isUsed)
    pages.removeAll()
    free.removeAll()
    places.removeAll()
    waitingCount = 0
    return all
  }
  /// The image with the changes above its read point applied, and the LSN of the last one.
  static func merge(
    lsn: LSN, readPoint: LSN, changes: [Change], into page: UnsafeMutableRawBufferPointer
  ) -> LSN {
    var last = lsn
    for change in changes where change.lsn > readPoint {
      // Changes were made or checked by this instance: a malformed one cannot be here.
      let applied: Void? = change.payload.withUnsafeBytes {
        try? RecordPayload.apply(kind: change.kind, payload: $0, to: page)
      }
      precondition(applied != nil, "a queued change of a page is malformed")
      last = change.lsn
    }
    return last
  }
}
