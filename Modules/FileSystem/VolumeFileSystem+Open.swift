import BorealisCore
import BorealisVolume
import Synchronization

extension VolumeFileSystem {
  /// Opens an inode: it stays, even without a name, until it is closed as often as it was opened.
  ///
  /// Costs no write. - Throws: `.notFound`.
  public func open(_ inode: InodeNumber) throws(FileSystemError) -> OpenFile {
    let live = try query("open") { core throws(FileSystemError) in
      // Attributes of a space that moves are not kept: they are looked up at each call.
      guard core.tree.isStill else { return LiveInode(try core.attributes(inode), pageSize: self.pageSize) }
      return try core.retain(inode)
    }
    return OpenFile(live, of: self)
  }
  /// Closes a file; the last close writes times that are only in memory, and deletes a file that has no name left.
  ///
  /// - Throws: `.badHandle` where it is closed already; what the writes threw: the file is closed all the same.
  public func close(_ file: OpenFile) throws(FileSystemError) {
    guard file.fileSystem === self, file.markClosed() else {
      throw FileSystemError(.badHandle, operation: "close", inode: file.inode)
    }
    try release(file.live)
  }
  func release(_ live: LiveInode) throws(FileSystemError) {
    guard target != nil else {
      return core.withLock { core in
        if core.live[live.inode] === live, live.state.withLock({ $0.closed() }) == 0 { core.forget(live.inode) }
      }
    }
    try change("close") { core throws(FileSystemError) in try core.release(live) }
  }
  /// Attributes of an open file, as its handle sees them.
  public func attributes(of file: OpenFile) throws(FileSystemError) -> FileAttributes {
    let live = try file.check("attributes", self)
    return space.isStill ? live.attributes : try attributes(of: live.inode)
  }
  /// Runs `body` with an inode held open.
  func withOpen<T>(
    _ inode: InodeNumber, _ body: (OpenFile) throws(FileSystemError) -> T
  ) throws(FileSystemError) -> T {
    let file = try open(inode)
    let result: T
    do throws(FileSystemError) { result = try body(file) } catch {
      try? close(file)
      throw error
    }
    try close(file)
    return result
  }
}

extension LiveInode.State {
  /// One opener less; how many are left.
  mutating func closed() -> Int {
    precondition(opens > 0, "closed more often than opened")
    opens -= 1
    return opens
  }
}

extension FileSystemCore {
  mutating func retain(_ inode: InodeNumber) throws(FileSystemError) -> LiveInode {
    let live = ensureLive(try attributes(inode))
    if let at = quiet.firstIndex(of: inode) { quiet.remove(at: at) }
    live.state.withLock { $0.opens += 1 }
    return live
  }
  mutating func release(_ live: LiveInode) throws(FileSystemError) {
    guard live.state.withLock({ $0.closed() }) == 0, self.live[live.inode] === live else { return }
    let attributes = live.attributes
    let isDirectory = attributes.type == .directory
    // Whatever fails below, nobody uses the inode any more.
    if isDirectory, live.state.withLock({ $0.arePending }) {
      quiet.append(live.inode)
      return
    }
    defer { forget(live.inode) }
    if attributes.links == 0, !isDirectory {
      try tree.remove(TreeKey.orphan(live.inode))
      try erase(attributes)
      try finish()
    } else if try stageTimes(live) {
      try finish()
    }
  }
}
