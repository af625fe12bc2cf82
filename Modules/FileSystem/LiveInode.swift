import BorealisCore
import BorealisVolume
import Synchronization

/// An inode in memory: all that are open, and directories whose times are not written yet.
///
/// Locks, in this order: the file system's, `order`, `state`. Size and object change only under the first two; times and
/// `last` under `order` alone. `state` is held for an instant, so that reads of data wait for nobody.
final class LiveInode: Sendable {
  struct State: Sendable {
    var attributes: FileAttributes
    var opens = 0
    /// Times are newer than on the volume.
    var arePending = false
    /// The last change of data or attributes.
    var last = LSN.zero
    /// Odd while pages that readers may be reading are taken away; counts up.
    var cuts: UInt64 = 0
  }
  let inode: InodeNumber
  /// Held by whoever changes the file; its mini-transaction is used again and again.
  let order: Mutex<MiniTransaction>
  let state: Mutex<State>

  init(_ attributes: FileAttributes, pageSize: Int) {
    inode = attributes.inode
    order = Mutex(MiniTransaction(pageSize: pageSize))
    state = Mutex(State(attributes: attributes))
  }
  var attributes: FileAttributes { state.withLock { $0.attributes } }

  /// Takes over attributes that were written at `lsn`.
  func applied(_ written: FileAttributes, at lsn: LSN) {
    state.withLock { state in
      let now = state.attributes
      state.attributes = written
      state.last = max(state.last, lsn)
      state.arePending = now.modified > written.modified || now.changed > written.changed
      state.attributes.modified = max(now.modified, written.modified)
      state.attributes.changed = max(now.changed, written.changed)
    }
  }
  /// Notes a change of the data whose times are written later.
  func touched(_ time: Int64, at lsn: LSN) {
    state.withLock { state in
      state.attributes.modified = time
      state.attributes.changed = time
      state.arePending = true
      state.last = max(state.last, lsn)
    }
  }
  /// Surrounds a change that takes pages away.
  func cut<T>(_ body: () throws(FileSystemError) -> T) throws(FileSystemError) -> T {
    state.withLock { $0.cuts += 1 }
    defer { state.withLock { $0.cuts += 1 } }
    return try body()
  }
}

/// A file, directory or symbolic link held open: its data stays as long, even when its last name goes.
///
/// Closed by `VolumeFileSystem.close`, or with the object.
public final class OpenFile: Sendable {
  /// The inode that is open.
  public let inode: InodeNumber
  let live: LiveInode
  let fileSystem: VolumeFileSystem
  private let isClosed = Atomic<Bool>(false)

  init(_ live: LiveInode, of fileSystem: VolumeFileSystem) {
    inode = live.inode
    self.live = live
    self.fileSystem = fileSystem
  }
  deinit {
    // Nobody is there to hear of an error; times that could not be written are lost, an orphan goes at the next mount.
    if markClosed() { try? fileSystem.release(live) }
  }
  /// True for the first caller.
  func markClosed() -> Bool { !isClosed.exchange(true, ordering: .acquiringAndReleasing) }
  /// The inode, where this is still open and of that file system.
  func check(_ operation: StaticString, _ fileSystem: VolumeFileSystem) throws(FileSystemError) -> LiveInode {
    guard !isClosed.load(ordering: .acquiring), fileSystem === self.fileSystem else {
      throw FileSystemError(.badHandle, operation: operation, inode: inode)
    }
    return live
  }
}
