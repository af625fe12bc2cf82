import BorealisFileSystem
import Synchronization

/// What was asked of a mount, counted by all its threads.
final class MountCounters: Sendable {
  private let reads = Atomic<UInt64>(0)
  private let bytesRead = Atomic<UInt64>(0)
  private let writes = Atomic<UInt64>(0)
  private let bytesWritten = Atomic<UInt64>(0)
  private let syncs = Atomic<UInt64>(0)
  private let syncNanoseconds = Atomic<UInt64>(0)
  private let others = Atomic<UInt64>(0)
  private let failures = Atomic<UInt64>(0)

  func read(_ bytes: Int) {
    reads.wrappingAdd(1, ordering: .relaxed)
    bytesRead.wrappingAdd(UInt64(bytes), ordering: .relaxed)
  }
  func wrote(_ bytes: Int) {
    writes.wrappingAdd(1, ordering: .relaxed)
    bytesWritten.wrappingAdd(UInt64(bytes), ordering: .relaxed)
  }
  func synced(_ nanoseconds: UInt64) {
    syncs.wrappingAdd(1, ordering: .relaxed)
    syncNanoseconds.wrappingAdd(nanoseconds, ordering: .relaxed)
  }
  func other() { others.wrappingAdd(1, ordering: .relaxed) }
  func failed() { failures.wrappingAdd(1, ordering: .relaxed) }

  var statistics: MountStatistics {
    var now = MountStatistics()
    now.reads = reads.load(ordering: .relaxed)
    now.bytesRead = bytesRead.load(ordering: .relaxed)
    now.writes = writes.load(ordering: .relaxed)
    now.bytesWritten = bytesWritten.load(ordering: .relaxed)
    now.syncs = syncs.load(ordering: .relaxed)
    now.syncNanoseconds = syncNanoseconds.load(ordering: .relaxed)
    now.others = others.load(ordering: .relaxed)
    now.failures = failures.load(ordering: .relaxed)
    return now
  }
}

/// Inodes that are gone, and that the kernel still has: the working directory of a process, or a file that somebody is about
/// to open by a name that was just taken away.
///
/// It asks for their attributes, opens files among them, and says when it has forgotten them; so there are never more than it
/// has. Files are held open here, so that they can be opened until then.
final class RemovedInodes: Sendable {
  private struct Gone: Sendable {
    var attributes: FileAttributes
    var held: OpenFile?
  }
  private let gone = Mutex<[InodeNumber: Gone]>([:])
  private let count = Atomic<Int>(0)

  /// Gives back the file that was held for the same inode before.
  func add(_ attributes: FileAttributes, held: OpenFile? = nil) -> OpenFile? {
    var attributes = attributes
    attributes.links = 0
    return gone.withLock { gone in
      let before = gone.updateValue(Gone(attributes: attributes, held: held), forKey: attributes.inode)
      count.store(gone.count, ordering: .relaxed)
      return before?.held
    }
  }
  func attributes(_ inode: InodeNumber) -> FileAttributes? {
    count.load(ordering: .relaxed) == 0 ? nil : gone.withLock { $0[inode]?.attributes }
  }
  /// Changes what is told of one; nil where it is not gone.
  func change(_ inode: InodeNumber, _ body: (inout FileAttributes) -> Void) -> FileAttributes? {
    gone.withLock { gone in
      guard var attributes = gone[inode]?.attributes else { return nil }
      body(&attributes)
      gone[inode]?.attributes = attributes
      return attributes
    }
  }
  /// Gives back what was held for it.
  func forget(_ inode: InodeNumber) -> OpenFile? {
    // The kernel forgets each inode that it has looked up some time; few of them are gone.
    guard count.load(ordering: .relaxed) > 0 else { return nil }
    return gone.withLock { gone in
      defer { count.store(gone.count, ordering: .relaxed) }
      return gone.removeValue(forKey: inode)?.held
    }
  }
  /// Forgets all, and gives back what was held.
  func forgetAll() -> [OpenFile] {
    gone.withLock { gone in
      defer {
        gone = [:]
        count.store(0, ordering: .relaxed)
      }
      return gone.values.compactMap(\.held)
    }
  }
}
