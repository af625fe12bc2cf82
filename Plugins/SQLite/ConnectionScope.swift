import BorealisCore
import BorealisVolume

/// What a connection means to do, told before a statement runs.
public enum SQLiteIntent: Int32, Sendable {
  /// Not told, as by any program that knows nothing of volumes: reads at VDL, waits for VDL at COMMIT.
  case undeclared = 0
  /// Reads only: at VDL.
  case read = 1
  /// Will write: reads the head under the file's write lock, and COMMIT does not wait.
  ///
  /// Whoever says so must not give anything out, neither that the commit is done nor what was read, before
  /// `SQLiteVFS.waitUntilDurable` has returned for what the file control `owed` says.
  case write = 2
}

/// What belongs to one connection, over all the files that it has attached.
///
/// SQLite calls on behalf of one connection from one thread at a time: no lock is needed.
final class ConnectionScope: @unchecked Sendable {
  // @unchecked: SQLite holds the connection's mutex whenever it calls, and nobody else has the object.

  var intent = SQLiteIntent.undeclared
  /// How long a declared writer waits for the write lock.
  var lockTimeoutMilliseconds: UInt64 = 5000
  /// What must be durable before results are given out.
  var owed = LSN.zero
  /// Why the last call failed.
  var lastError: (any Error)?
  private(set) var handles: [DatabaseHandle] = []
  private(set) var snapshot: Snapshot?
  private var sharers = 0
  private let registry: SnapshotRegistry
  private let origin: PageOrigin
  /// The last snapshot of all, for a reader: the same one is used again while nothing new has come.
  private let shared: SharedSnapshot?

  init(_ origin: PageOrigin, _ registry: SnapshotRegistry, _ shared: SharedSnapshot?) {
    self.origin = origin
    self.registry = registry
    self.shared = shared
  }
  func add(_ handle: DatabaseHandle) { handles.append(handle) }
  func remove(_ handle: DatabaseHandle) { handles.removeAll { $0 === handle } }

  /// The moment that this connection sees: all its files at the same one, from the first lock to the last unlock.
  func enter() -> Snapshot {
    sharers += 1
    if let snapshot { return snapshot }
    let new = shared.map { $0.current(origin) } ?? registry.open(origin)
    snapshot = new
    return new
  }
  func leave() {
    sharers -= 1
    guard sharers == 0, let last = snapshot else { return }
    snapshot = nil
    if shared == nil { registry.close(last) }
  }

  // MARK: Commits of several files

  /// Whether a file that takes part in the commit under way is yet to come.
  var isCommitIncomplete: Bool { handles.contains { $0.isPrepared && !$0.isFinal } }
  /// The commit under way cannot be completed: SQLite believes it done in the files that came first.
  func abandonCommit() {
    for handle in handles where handle.isFinal { handle.abandon() }
  }
}
