public import BorealisCore
public import BorealisVolume
import Synchronization

/// Pages in memory, for tests of engines: it keeps every mini-transaction, so that any prefix can be looked at.
///
/// Each mini-transaction has one LSN, counted from 1.
public final class InMemoryPageSpace: WritablePageSpace {
  fileprivate struct Step: Sendable {
    var page: PageID
    var offset: Int
    /// Nil: a discard.
    var bytes: [UInt8]?
  }
  fileprivate struct State: Sendable {
    var pages: [PageID: (bytes: [UInt8], lsn: LSN)] = [:]
    var history: [[Step]] = []
    var failure: VolumeError?
  }
  /// Pages of an object that `discard` gives back in one mini-transaction, as a volume's extents.
  private static let extentPages = 32

  /// Bytes of a page.
  public let pageSize: Int
  fileprivate let state = Mutex(State())

  /// No pages yet.
  public init(pageSize: Int = 8192) { self.pageSize = pageSize }

  /// The LSN of the last mini-transaction.
  public var lastLSN: LSN { state.withLock { LSN(UInt64($0.history.count)) } }
  /// Objects that have pages, with how many.
  public var objects: [ObjectID: Int] {
    state.withLock { state in state.pages.keys.reduce(into: [:]) { $0[$1.object, default: 0] += 1 } }
  }
  /// Makes the next commits fail (nil: no longer).
  public func failCommits(_ error: VolumeError?) { state.withLock { $0.failure = error } }

  /// A space with the mini-transactions up to `lsn`, on its own from there on.
  public func prefix(upTo lsn: LSN) -> InMemoryPageSpace {
    let history = state.withLock { Array($0.history.prefix(Int(clamping: lsn.value))) }
    let copy = InMemoryPageSpace(pageSize: pageSize)
    copy.state.withLock { state in
      for steps in history { InMemoryPageSpace.apply(steps, pageSize, to: &state) }
    }
    return copy
  }
  /// Applies the mini-transactions of `other` up to `lsn` that this space has not.
  ///
  /// This space must hold a prefix of them and nothing else.
  public func advance(along other: InMemoryPageSpace, to lsn: LSN) {
    let mine = lastLSN
    guard lsn > mine else { return }
    let steps = other.state.withLock { Array($0.history[Int(mine.value)..<Int(lsn.value)]) }
    state.withLock { state in for step in steps { InMemoryPageSpace.apply(step, pageSize, to: &state) } }
  }

  /// Reads a page.
  public func read(_ page: PageID, into buffer: UnsafeMutableRawBufferPointer) throws(VolumeError) -> LSN {
    state.withLock { state in
      guard let found = state.pages[page] else {
        UnsafeMutableRawBufferPointer(rebasing: buffer[..<pageSize]).initializeMemory(as: UInt8.self, repeating: 0)
        return .zero
      }
      buffer.copyBytes(from: found.bytes)
      return found.lsn
    }
  }
  /// The next page that was written and not discarded, and those right behind it.
  public func pagesInUse(of object: ObjectID, from index: UInt64) throws(VolumeError) -> Range<UInt64>? {
    state.withLock { state in
      var first: UInt64?
      for page in state.pages.keys where page.object == object && page.index >= index {
        first = min(first ?? .max, page.index)
      }
      guard let first else { return nil }
      var end = first
      while state.pages[PageID(object: object, index: end)] != nil { end += 1 }
      return first..<end
    }
  }
  /// Applies a mini-transaction.
  public func commit(_ transaction: borrowing MiniTransaction) throws(VolumeError) -> LSN {
    var steps: [Step] = []
    transaction.forEach { page, offset, bytes in
      steps.append(Step(page: page, offset: offset, bytes: bytes.map { Array($0) }))
    }
    guard transaction.pageSize == pageSize, !steps.isEmpty else {
      throw VolumeError(.invalidArgument, operation: "commit", detail: "empty, or another page size")
    }
    return try commit(steps)
  }
  private func commit(_ steps: [Step]) throws(VolumeError) -> LSN {
    try state.withLock { state throws(VolumeError) in
      if let failure = state.failure { throw failure }
      InMemoryPageSpace.apply(steps, pageSize, to: &state)
      return LSN(UInt64(state.history.count))
    }
  }
  private static func apply(_ steps: [Step], _ pageSize: Int, to state: inout State) {
    state.history.append(steps)
    let lsn = LSN(UInt64(state.history.count))
    for step in steps {
      guard let bytes = step.bytes else {
        state.pages[step.page] = nil
        continue
      }
      var page = state.pages[step.page]?.bytes ?? [UInt8](repeating: 0, count: pageSize)
      page.replaceSubrange(step.offset..<(step.offset + bytes.count), with: bytes)
      state.pages[step.page] = (page, lsn)
    }
  }
  /// Gives back all pages of an object, some at a time.
  public func discard(_ object: ObjectID) throws(VolumeError) -> LSN? {
    var last: LSN?
    while true {
      let some = state.withLock { state in
        Array(state.pages.keys.filter { $0.object == object }.sorted().prefix(InMemoryPageSpace.extentPages))
      }
      guard !some.isEmpty else { return last }
      last = try commit(some.map { Step(page: $0, offset: 0, bytes: nil) })
    }
  }
  /// Nothing to wait for.
  public func waitUntilDurable(_ lsn: LSN) throws(VolumeError) {}
}

extension InMemoryPageSpace {
  /// The pages that each mini-transaction after `lsn` wrote or discarded, one for each record.
  public func changes(after lsn: LSN) -> [[PageID]] {
    state.withLock { state in state.history.dropFirst(Int(clamping: lsn.value)).map { $0.map(\.page) } }
  }
}
