public import BorealisCore
public import BorealisVolume
import Synchronization

/// A copy-on-write view: pages of a base, with changes of its own on top, in memory, thrown away in the end.
///
/// Bounded: a commit that would take it beyond `limit` fails (`VolumeError.isFull`) and changes nothing. The base should be still,
/// such as a `ReadPointSpace`; where it moves, so does everything that was not changed here. `ViewFollower` moves it on purpose.
public final class OverlaySpace: WritablePageSpace {
  /// What the overlay holds.
  public struct Statistics: Sendable, Hashable {
    /// Pages that were written here.
    public var pages = 0
    /// Bytes that they and the notes of discards take.
    public var bytes: UInt64 = 0
    /// Pages that were discarded here.
    public var discardedPages = 0
    /// Objects that were discarded here.
    public var discardedObjects = 0
    /// Mini-transactions applied.
    public var commits: UInt64 = 0
    /// Mini-transactions refused for want of room.
    public var refused: UInt64 = 0
    /// Pages dropped again.
    public var dropped: UInt64 = 0
    /// Pages copied here from a base before that was left.
    public var kept: UInt64 = 0
  }
  struct Page: Sendable {
    /// Nil: discarded.
    var bytes: [UInt8]?
    var lsn: LSN
  }
  /// The pages of one object that were changed here.
  struct Changed: Sendable {
    var pages: [UInt64: Page] = [:]
    /// Those of them that have bytes.
    var data = PageSet()
  }
  /// What is still to be seen of an object's pages in the base, once that has moved.
  struct Followed: Sendable {
    /// Pages below are.
    var end: UInt64
    /// And these: they were dropped here, since the base has the same.
    var dropped = PageSet()
  }
  struct State: Sendable {
    var base: any PageSpace
    var objects: [ObjectID: Changed] = [:]
    /// Objects whose pages in the base are not to be seen.
    var hidden: Set<ObjectID> = []
    /// Nil: all other objects are seen in the base.
    var followed: [ObjectID: Followed]?
    /// The lowest end that files were cut to, in pages, while all objects are seen.
    var cuts: [ObjectID: UInt64] = [:]
    var next: UInt64 = 1 << 63
    var statistics = Statistics()
  }
  /// Bytes counted for a discard besides pages: about what the tables take for it.
  private static let noteBytes: UInt64 = 64

  /// The most bytes that it may hold.
  public let limit: ByteCount
  /// Bytes of a page.
  public let pageSize: Int
  /// Whether the base is.
  public let isStill: Bool
  let state: Mutex<State>
  /// Commits one after the other.
  let turn = Mutex<Void>(())

  /// An empty overlay.
  public init(on base: any PageSpace, limit: ByteCount) {
    state = Mutex(State(base: base))
    self.limit = limit
    pageSize = base.pageSize
    isStill = base.isStill
  }

  /// What lies below.
  public var base: any PageSpace { state.withLock { $0.base } }
  /// What it holds now.
  public var statistics: Statistics { state.withLock { $0.statistics } }

  /// Reads a page: as it was changed here, else as it is in the base.
  ///
  /// The LSN of a page that was changed here has its highest bit set: it is none of the volume's.
  public func read(_ page: PageID, into buffer: UnsafeMutableRawBufferPointer) throws(VolumeError) -> LSN {
    let (own, base) = state.withLock { state -> (LSN?, any PageSpace) in
      if let found = state.objects[page.object]?.pages[page.index] {
        if let bytes = found.bytes { buffer.copyBytes(from: bytes) } else { zero(buffer) }
        return (found.lsn, state.base)
      }
      if state.sees(page) { return (nil, state.base) }
      zero(buffer)
      return (.zero, state.base)
    }
    if let own { return own }
    return try base.read(page, into: buffer)
  }
  private func zero(_ buffer: UnsafeMutableRawBufferPointer) {
    UnsafeMutableRawBufferPointer(rebasing: buffer[..<pageSize]).initializeMemory(as: UInt8.self, repeating: 0)
  }
  /// Pages in use in the base or written here, whichever come first.
  public func pagesInUse(of object: ObjectID, from index: UInt64) throws(VolumeError) -> Range<UInt64>? {
    let (own, base) = state.withLock { state -> (Range<UInt64>?, (any PageSpace)?) in
      let own = state.objects[object]?.data.run(from: index)
      let isSeen = !state.hidden.contains(object) && (state.followed == nil || state.followed?[object] != nil)
      return (own, isSeen ? state.base : nil)
    }
    let below = try base?.pagesInUse(of: object, from: index)
    guard let own else { return below }
    guard let below else { return own }
    return own.lowerBound < below.lowerBound ? own : below
  }

  /// Applies a mini-transaction to the overlay.
  ///
  /// - Throws: `.tooLarge` with `isFull` where it does not fit; what reading the base threw.
  public func commit(_ transaction: borrowing MiniTransaction) throws(VolumeError) -> LSN {
    guard transaction.pageSize == pageSize, !transaction.isEmpty else {
      throw VolumeError(.invalidArgument, operation: "commit", detail: "empty, or another page size")
    }
    return try turn.withLock { _ throws(VolumeError) in
      var changed: [PageID: [UInt8]?] = [:]
      try transaction.forEach { (page, offset, bytes) throws(VolumeError) in
        guard let bytes else {
          changed[page] = .some(nil)
          return
        }
        var image: [UInt8]
        switch changed[page] {
        case .some(.some(let known)): image = known
        case .some(.none): image = [UInt8](repeating: 0, count: pageSize)
        case .none:
          image = bytes.count == pageSize ? [UInt8](repeating: 0, count: pageSize) : try TreeStore.read(self, page).0
        }
        image.withUnsafeMutableBytes {
          UnsafeMutableRawBufferPointer(rebasing: $0[offset..<(offset + bytes.count)]).copyMemory(from: bytes)
        }
        changed[page] = .some(image)
      }
      return try state.withLock { state throws(VolumeError) in try apply(changed, to: &state) }
    }
  }
  private func apply(_ changed: [PageID: [UInt8]?], to state: inout State) throws(VolumeError) -> LSN {
    var after = state.statistics
    for (page, bytes) in changed {
      if let old = state.objects[page.object]?.pages[page.index] { uncount(old, &after) }
      count(bytes, &after)
    }
    guard after.bytes <= limit.value || after.bytes <= state.statistics.bytes else {
      state.statistics.refused += 1
      throw VolumeError(.tooLarge, operation: "commit", isFull: true, detail: "the overlay may hold \(limit)")
    }
    let lsn = LSN(state.next)
    state.next += 1
    for (page, bytes) in changed { state.put(Page(bytes: bytes, lsn: lsn), at: page) }
    after.commits += 1
    state.statistics = after
    return lsn
  }
  func count(_ bytes: [UInt8]?, _ statistics: inout Statistics) {
    statistics.bytes += OverlaySpace.noteBytes
    if bytes == nil {
      statistics.discardedPages += 1
    } else {
      statistics.pages += 1
      statistics.bytes += UInt64(pageSize)
    }
  }
  private func uncount(_ old: Page, _ statistics: inout Statistics) {
    statistics.bytes -= OverlaySpace.noteBytes
    if old.bytes == nil {
      statistics.discardedPages -= 1
    } else {
      statistics.pages -= 1
      statistics.bytes -= UInt64(pageSize)
    }
  }

  /// Hides an object of the base, and forgets its pages here.
  public func discard(_ object: ObjectID) throws(VolumeError) -> LSN? {
    turn.withLock { _ in
      state.withLock { state in
        if let gone = state.objects.removeValue(forKey: object) {
          for page in gone.pages.values { uncount(page, &state.statistics) }
        }
        // Where objects that are seen are named, it is enough that this one is not.
        if state.followed != nil {
          state.followed?[object] = nil
        } else if state.hidden.insert(object).inserted {
          state.statistics.discardedObjects += 1
          state.statistics.bytes += OverlaySpace.noteBytes
        }
        state.cuts[object] = nil
        state.next += 1
        return LSN(state.next - 1)
      }
    }
  }
  func remove(_ page: PageID, from state: inout State) {
    guard let old = state.objects[page.object]?.pages.removeValue(forKey: page.index) else { return }
    uncount(old, &state.statistics)
    state.objects[page.object]?.data.remove(page.index)
    if state.objects[page.object]?.pages.isEmpty == true { state.objects[page.object] = nil }
  }
  /// Forgets what was done to a page here, so that it is the base's again; whether there was anything.
  ///
  /// For a caller that knows that the base's page will do, such as a cache of pages that it can make again.
  @discardableResult
  public func drop(_ page: PageID) -> Bool { drop(page, ifStillAt: nil) }
  /// Forgets everything that was done here.
  public func dropAll() {
    turn.withLock { _ in
      state.withLock { state in
        state.statistics.dropped += state.objects.values.reduce(0) { $0 + UInt64($1.pages.count) }
        state.objects = [:]
        state.hidden = []
        state.cuts = [:]
        let old = state.statistics
        state.statistics = Statistics(commits: old.commits, refused: old.refused, dropped: old.dropped, kept: old.kept)
      }
    }
  }

  /// Returns at once: nothing here is ever durable.
  public func waitUntilDurable(_ lsn: LSN) throws(VolumeError) {}
}

extension OverlaySpace.State {
  /// Whether a page that was not changed here is to be seen in the base.
  func sees(_ page: PageID) -> Bool {
    guard let followed else { return !hidden.contains(page.object) }
    guard let found = followed[page.object] else { return false }
    return page.index < found.end || found.dropped.contains(page.index)
  }
  mutating func put(_ new: OverlaySpace.Page, at page: PageID) {
    if new.bytes == nil {
      objects[page.object]?.data.remove(page.index)
    } else {
      objects[page.object, default: OverlaySpace.Changed()].data.insert(page.index)
    }
    objects[page.object, default: OverlaySpace.Changed()].pages[page.index] = new
  }
}
