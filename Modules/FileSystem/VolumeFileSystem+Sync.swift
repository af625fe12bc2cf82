public import BorealisCore
import BorealisRuntime
import BorealisVolume
import Synchronization

extension VolumeFileSystem {
  /// What a sync makes durable.
  public enum SyncKind: Sendable {
    /// Data, size, and everything else that was written: all but times that are only in memory (as `fdatasync`).
    case data
    /// Times too (as `fsync`).
    case all
  }

  /// Blocks until every change of the file, and everything before it, is durable.
  ///
  /// - Throws: `.volume` where the volume was taken over: whether the last changes are kept is unknown.
  public func sync(_ file: OpenFile, _ kind: SyncKind = .all) throws(FileSystemError) {
    let live = try file.check("sync", self)
    guard target != nil else { return }
    if kind == .all, live.state.withLock({ $0.arePending }) {
      try change("sync") { core throws(FileSystemError) in
        try live.order.withLock { _ throws(FileSystemError) in
          if core.live[live.inode] === live, try core.stageTimes(live) { try core.finish() }
        }
      }
    }
    try wait(live.state.withLock { $0.last }, "sync", live.inode)
  }
  /// Blocks until every change of an inode, such as the entries of a directory, is durable.
  public func sync(_ inode: InodeNumber) throws(FileSystemError) {
    guard target != nil else { return }
    let last = try change("sync") { core throws(FileSystemError) -> LSN in
      _ = try core.attributes(inode)
      try core.writeTimes(of: [inode])
      return core.live[inode].map { live in live.state.withLock { $0.last } } ?? core.lastForgotten
    }
    try wait(last, "sync", inode)
  }
  /// Blocks until everything that was done is durable, times included.
  public func syncAll() throws(FileSystemError) {
    guard target != nil else { return }
    let last = try change("syncAll") { core throws(FileSystemError) -> LSN in
      // In order of number, and not all at once: a mini-transaction has a limit.
      let inodes = core.live.keys.sorted()
      for first in stride(from: 0, to: inodes.count, by: FileSystemCore.quietMax) {
        try core.writeTimes(of: Array(inodes[first..<min(first + FileSystemCore.quietMax, inodes.count)]))
      }
      return core.lastCommit
    }
    try wait(max(last, LSN(lastDirect.load(ordering: .relaxed))), "syncAll", nil)
  }
  /// The LSN of the last change of an open file: what `sync` waits for.
  public func lastChange(of file: OpenFile) throws(FileSystemError) -> LSN {
    try file.check("lastChange", self).state.withLock { $0.last }
  }
  private func wait(_ lsn: LSN, _ operation: StaticString, _ inode: InodeNumber?) throws(FileSystemError) {
    guard let target, lsn > .zero else { return }
    do throws(VolumeError) { try target.waitUntilDurable(lsn) } catch {
      throw FileSystemError(error, operation: operation, inode: inode)
    }
  }

  // MARK: Numbers

  /// What `statistics` tells.
  public struct Statistics: Sendable, Hashable {
    /// Bytes of a page, the unit of everything.
    public var pageSize: Int
    /// Inode numbers that were given out, or reserved: an upper bound of files that were ever made.
    public var inodesReserved: UInt64
    /// Pages of metadata in use.
    public var treePages: UInt64
    /// Pages of metadata that were used and are free.
    public var freeTreePages: UInt64
    /// Levels of the tree.
    public var treeLevels: Int
    /// Pages of metadata in memory.
    public var cachedTreePages: Int
    /// Inodes in memory.
    public var inodesInMemory: Int
    /// Pages of metadata that were read from the volume.
    public var treePagesRead: UInt64
  }
  /// Numbers of the file system, as for `statfs`; costs no read.
  public var statistics: Statistics {
    core.withLock { core in
      let s = core.tree.superblock
      return Statistics(
        pageSize: pageSize, inodesReserved: s.inodesReserved - 1, treePages: s.pageCount - 1 - s.freeCount,
        freeTreePages: s.freeCount, treeLevels: s.level + 1, cachedTreePages: core.tree.cache.count,
        inodesInMemory: core.live.count, treePagesRead: core.tree.readCount)
    }
  }
}
