public import BorealisCore
public import BorealisVolume
import Synchronization

/// A copy-on-write view: pages of a base, with changes of its own on top, in memory, thrown away in the end.
///
/// Bounded: a commit that would take it beyond `limit` fails (`VolumeError.isFull`) and changes nothing. The base should be still,
/// such as a `ReadPointSpace`; where it moves, so does everything that was not changed here.
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
  }
  private struct Page: Sendable {
    /// Nil: discarded.
    var bytes: [UInt8]?
    var lsn: LSN
  }
  private struct State: Sendable {
    var pages: [PageID: Page] = [:]
    /// Objects whose pages in the base are not to be seen.
    var hidden: Set<ObjectID> = []
    var next: UInt64 = 1 << 63
    var statistics = Statistics()
  }
  /// Bytes counted for a discard besides pages: about what the tables take for it.
  private static let noteBytes: UInt64 = 64

  /// What lies below.
  public let base: any PageSpace
  /// The most bytes that it may hold.
  public let limit: ByteCount
  /// Bytes of a page.
  public let pageSize: Int
  /// Whether the base is.
  public let isStill: Bool
  private let state = Mutex(State())
  /// Commits one after the other.
  private let turn = Mutex<Void>(())

  /// An empty overlay.
  public init(on base: any PageSpace, limit: ByteCount) {
    self.base = base
    self.limit = limit
    pageSize = base.pageSize
    isStill = base.isStill
  }

  /// What it holds now.
  public var statistics: Statistics { state.withLock { $0.statistics } }

  /// Reads a page: as it was changed here, else as it is in the base.
  ///
  /// The LSN of a page that was changed here has its highest bit set: it is none of the volume's.
  public func read(_ page: PageID, into buffer: UnsafeMutableRawBufferPointer) throws(VolumeError) -> LSN {
    let own = state.withLock { state -> LSN? in
      if let found = state.pages[page] {
        if let bytes = found.bytes { buffer.copyBytes(from: bytes) } else { zero(buffer) }
        return found.lsn
      }
      guard state.hidden.contains(page.object) else { return nil }
      zero(buffer)
      return .zero
    }
    if let own { return own }
    return try base.read(page, into: buffer)
  }
  private func zero(_ buffer: UnsafeMutableRawBufferPointer) {
    UnsafeMutableRawBufferPointer(rebasing: buffer[..<pageSize]).initializeMemory(as: UInt8.self, repeating: 0)
  }
  /// Pages in use in the base or written here, whichever come first.
  public func pagesInUse(of object: ObjectID, from index: UInt64) throws(VolumeError) -> Range<UInt64>? {
    let (own, isHidden) = state.withLock { state in
      let first = state.pages.keys.lazy.filter { $0.object == object && $0.index >= index }.map(\.index).min()
      return (first, state.hidden.contains(object))
    }
    let below = isHidden ? nil : try base.pagesInUse(of: object, from: index)
    guard let own else { return below }
    guard let below else { return own..<(own + 1) }
    return own < below.lowerBound ? own..<(own + 1) : below
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
      forget(page, state, &after)
      count(bytes, &after)
    }
    guard after.bytes <= limit.value || after.bytes <= state.statistics.bytes else {
      state.statistics.refused += 1
      throw VolumeError(.tooLarge, operation: "commit", isFull: true, detail: "the overlay may hold \(limit)")
    }
    let lsn = LSN(state.next)
    state.next += 1
    for (page, bytes) in changed { state.pages[page] = Page(bytes: bytes, lsn: lsn) }
    after.commits += 1
    state.statistics = after
    return lsn
  }
  private func count(_ bytes: [UInt8]?, _ statistics: inout Statistics) {
    statistics.bytes += OverlaySpace.noteBytes
    if bytes == nil {
      statistics.discardedPages += 1
    } else {
      statistics.pages += 1
      statistics.bytes += UInt64(pageSize)
    }
  }
  private func forget(_ page: PageID, _ state: State, _ statistics: inout Statistics) {
    guard let old = state.pages[page] else { return }
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
        for page in state.pages.keys.filter({ $0.object == object }) { remove(page, from: &state) }
        if state.hidden.insert(object).inserted {
          state.statistics.discardedObjects += 1
          state.statistics.bytes += OverlaySpace.noteBytes
        }
        state.next += 1
        return LSN(state.next - 1)
      }
    }
  }
  private func remove(_ page: PageID, from state: inout State) {
    forget(page, state, &state.statistics)
    state.pages[page] = nil
  }
  /// Forgets what was done to a page here, so that it is the base's again; whether there was anything.
  ///
  /// For a caller that knows that the base's page will do, such as a cache of pages that it can make again.
  @discardableResult
  public func drop(_ page: PageID) -> Bool {
    turn.withLock { _ in
      state.withLock { state in
        guard state.pages[page] != nil else { return false }
        remove(page, from: &state)
        state.statistics.dropped += 1
        return true
      }
    }
  }
  /// Forgets everything that was done here.
  public func dropAll() {
    turn.withLock { _ in
      state.withLock { state in
        state.statistics.dropped += UInt64(state.pages.count)
        state.pages = [:]
        state.hidden = []
        let kept = state.statistics
        state.statistics = Statistics(commits: kept.commits, refused: kept.refused, dropped: kept.dropped)
      }
    }
  }

  /// Returns at once: nothing here is ever durable.
  public func waitUntilDurable(_ lsn: LSN) throws(VolumeError) {}
}
