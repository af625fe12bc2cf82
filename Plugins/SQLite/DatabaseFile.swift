import BorealisCore
import BorealisFileSystem
import BorealisRuntime
import Synchronization

/// A database file as all connections of a writer share it: who may write, and what it was at each LSN in use.
final class DatabaseFile: Sendable {
  /// The file as one commit left it.
  struct Version: Sendable {
    var lsn: LSN
    var view: FileView
    /// Bytes 24...39 of the first page: what SQLite looks at to see whether others have written.
    var stamp: Stamp?
  }
  /// Sixteen bytes of the database header.
  struct Stamp: Sendable, Equatable {
    static let offset = 24
    static let count = 16
    var bytes: (UInt64, UInt64)
    static func == (a: Stamp, b: Stamp) -> Bool { a.bytes == b.bytes }
  }
  private struct Waiter: Sendable {
    let owner: UInt64
    let signal: ThreadSignal
  }
  private struct State: Sendable {
    /// The handle that may write; 0: nobody.
    var owner: UInt64 = 0
    var queue: [Waiter] = []
    /// Oldest first; never empty.
    var versions: [Version]
    var handles = 0
    /// A commit is being submitted: its LSN, which nobody knows yet, is above this.
    var committingAbove: LSN?
  }
  /// The file, held open.
  let file: OpenFile
  private let state: Mutex<State>
  private let turn = ThreadSignal()

  init(_ file: OpenFile, view: FileView, lsn: LSN) {
    self.file = file
    state = Mutex(State(versions: [Version(lsn: lsn, view: view, stamp: nil)]))
  }

  // MARK: Who writes

  /// Becomes the one writer, where there is none.
  func tryAcquire(_ handle: UInt64) -> Bool {
    state.withLock { state in
      guard state.owner == 0 else { return false }
      state.owner = handle
      return true
    }
  }
  /// Becomes the one writer, in the order of asking; false where the time was over before.
  func acquire(_ handle: UInt64, timeoutMilliseconds: UInt64) -> Bool {
    let signal: ThreadSignal? = state.withLock { state in
      if state.owner == 0 {
        state.owner = handle
        return nil
      }
      let waiter = Waiter(owner: handle, signal: ThreadSignal())
      state.queue.append(waiter)
      return waiter.signal
    }
    guard let signal else { return true }
    signal.wait(milliseconds: timeoutMilliseconds)
    return state.withLock { state in
      if state.owner == handle { return true }
      state.queue.removeAll { $0.owner == handle }
      return false
    }
  }
  /// Lets the next one write.
  func release(_ handle: UInt64) {
    let next: ThreadSignal? = state.withLock { state in
      guard state.owner == handle else { return nil }
      guard !state.queue.isEmpty else {
        state.owner = 0
        return nil
      }
      let next = state.queue.removeFirst()
      state.owner = next.owner
      return next.signal
    }
    next?.raise()
  }
  /// Whether somebody may write.
  var isReserved: Bool { state.withLock { $0.owner != 0 } }

  // MARK: Versions

  /// The file as the last commit left it.
  var head: Version { state.withLock { state in state.versions[state.versions.count - 1] } }
  /// The file as it was at a snapshot; before its first version it was empty.
  ///
  /// Waits for a commit that is being submitted and may belong to it.
  func version(at lsn: LSN) -> Version {
    while true {
      let found: Version? = state.withLock { state in
        if let floor = state.committingAbove, lsn > floor { return nil }
        for version in state.versions.reversed() where version.lsn <= lsn { return version }
        return Version(lsn: .zero, view: FileView(object: nil, size: 0), stamp: nil)
      }
      if let found { return found }
      turn.wait(milliseconds: 1)
    }
  }
  /// A commit is about to be submitted, and will have an LSN above `floor`; ends with `endCommit`.
  func beginCommit(above floor: LSN) { state.withLock { $0.committingAbove = floor } }
  /// The commit was entered, or has failed.
  func endCommit() {
    state.withLock { $0.committingAbove = nil }
    turn.raise()
  }
  /// Enters a commit; versions that no snapshot from `lowest` on can see are forgotten.
  func committed(_ version: Version, lowest: LSN) {
    state.withLock { state in
      state.versions.append(version)
      var first = 0
      while first + 1 < state.versions.count, state.versions[first + 1].lsn <= lowest { first += 1 }
      if first > 0 { state.versions.removeFirst(first) }
    }
  }

  // MARK: Users

  func opened() { state.withLock { $0.handles += 1 } }
  /// How many use it still.
  func closed() -> Int {
    state.withLock { state in
      state.handles -= 1
      return state.handles
    }
  }
}
