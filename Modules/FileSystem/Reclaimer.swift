import BorealisCore
import BorealisRuntime
import BorealisVolume
import Synchronization

/// Gives back the objects of deleted files, on a thread of its own where it was started.
final class Reclaimer: Sendable {
  /// Objects taken from the list at once.
  static let batch = 64

  let signal = ThreadSignal()
  let isStopped = Atomic<Bool>(false)
  /// One at a time.
  let turn = Mutex<Void>(())
  private let thread = Mutex<WorkerThread?>(nil)

  func start(_ files: VolumeFileSystem) {
    let body: @Sendable () -> Void = { [weak files, signal] in Reclaimer.run(signal) { files } }
    thread.withLock { $0 = WorkerThread(body) }
    wake()
  }
  func wake() { signal.raise() }
  /// Does not wait for a batch under way: that ends by itself.
  func stop() {
    isStopped.store(true, ordering: .releasing)
    signal.raise()
  }

  private static func run(_ signal: ThreadSignal, _ files: () -> VolumeFileSystem?) {
    while true {
      signal.wait()
      guard let files = files(), !files.reclaimer.isStopped.load(ordering: .acquiring) else { return }
      // A volume that fails now is tried again at the next deletion, or at the next mount.
      try? files.reclaim()
    }
  }
}

extension VolumeFileSystem {
  /// Gives back the pages of all files deleted so far; for `FileSystemOptions.Reclaiming.byHand`, or to wait for it.
  ///
  /// Each object in its own mini-transactions; a crash in between leaves the rest to the next mount.
  public func reclaim() throws(FileSystemError) {
    guard let target else { throw FileSystemError(.readOnly, operation: "reclaim") }
    try reclaimer.turn.withLock { _ throws(FileSystemError) in
      while !reclaimer.isStopped.load(ordering: .acquiring) {
        let doomed = try core.withLock { core throws(FileSystemError) -> [UInt64] in
          core.tree.operation = "reclaim"
          return try core.doomed(most: Reclaimer.batch)
        }
        if doomed.isEmpty { return }
        do throws(VolumeError) {
          for object in doomed { _ = try target.discard(ObjectID(object)) }
        } catch { throw FileSystemError(error, operation: "reclaim") }
        // Not by `change`, which would wake the reclaimer for its own work.
        try core.withLock { core throws(FileSystemError) in
          core.tree.operation = "reclaim"
          do throws(FileSystemError) {
            for object in doomed { try core.tree.remove(TreeKey.doomed(object)) }
            try core.finish()
          } catch {
            core.rollback()
            throw error
          }
        }
      }
    }
  }
  /// Deletes what had no name left when the file system was last used.
  func deleteOrphans() throws(FileSystemError) {
    while true {
      let count = try change("mount") { core throws(FileSystemError) in
        let orphans = try core.numbers(of: .orphan, most: Reclaimer.batch)
        for number in orphans {
          let inode = InodeNumber(number)
          let attributes = try core.attributes(inode)
          guard attributes.links == 0 else { throw core.tree.damaged("inode \(inode) has a name, and is an orphan") }
          try core.tree.remove(TreeKey.orphan(inode))
          try core.erase(attributes)
        }
        if !orphans.isEmpty { try core.finish() }
        return orphans.count
      }
      if count == 0 { return }
    }
  }
}

extension FileSystemCore {
  /// Objects to be given back; notes where there are none.
  mutating func doomed(most: Int) throws(FileSystemError) -> [UInt64] {
    let found = hasDoomed ? try numbers(of: .doomed, most: most) : []
    if found.isEmpty { hasDoomed = false }
    return found
  }
  /// The numbers in items of this kind under inode 0.
  mutating func numbers(of kind: TreeKey.Kind, most: Int) throws(FileSystemError) -> [UInt64] {
    let prefix = TreeKey.prefix(0, kind, capacity: TreeKey.prefixSize)
    var found: [UInt64] = []
    try tree.scan(from: prefix) { key, _ in
      guard key.starts(with: prefix), key.count == TreeKey.prefixSize + 8, found.count < most else { return false }
      found.append(TreeKey.number(key, at: TreeKey.prefixSize))
      return true
    }
    return found
  }
}
