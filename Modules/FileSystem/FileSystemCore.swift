import BorealisCore
import BorealisVolume
import Synchronization

/// The state behind the file system's lock: the tree, the inodes in memory, the numbers to give out next.
///
/// Each operation changes the tree's working copy, `stage`s attributes, and ends in `finish`, one mini-transaction; where
/// it throws before, the caller rolls back.
struct FileSystemCore: Sendable {
  /// Directories that are kept in memory only because their times are not written.
  static let quietMax = 128

  var tree: TreeStore
  let target: (any WritablePageSpace)?
  let options: FileSystemOptions
  var live: [InodeNumber: LiveInode] = [:]
  /// Inodes in `live` that are not open, oldest first.
  var quiet: [InodeNumber] = []
  /// The last change of inodes that are not in memory any more.
  var lastForgotten = LSN.zero
  var lastCommit = LSN.zero
  private var nextInode: UInt64
  private var nextObject: UInt64
  private var staged: [FileAttributes] = []
  private var erased: [InodeNumber] = []
  /// Objects may be waiting to be given back.
  var hasDoomed = true

  init(_ tree: TreeStore, target: (any WritablePageSpace)?, options: FileSystemOptions) {
    self.tree = tree
    self.target = target
    self.options = options
    nextInode = tree.superblock.inodesReserved
    nextObject = tree.superblock.objectsReserved
  }

  func error(
    _ code: FileSystemError.Code, _ inode: InodeNumber? = nil, _ name: FileName? = nil, _ detail: String = ""
  ) -> FileSystemError {
    FileSystemError(code, operation: tree.operation, inode: inode, path: name?.description, detail: detail)
  }
  var time: Int64 { options.clock() }

  // MARK: Inodes

  mutating func attributes(_ inode: InodeNumber) throws(FileSystemError) -> FileAttributes {
    if let live = live[inode] { return live.attributes }
    guard let found = try stored(inode) else { throw error(.notFound, inode) }
    return found
  }
  private mutating func stored(_ inode: InodeNumber) throws(FileSystemError) -> FileAttributes? {
    guard let value = try tree.value(of: TreeKey.attributes(inode)) else { return nil }
    do throws(DecodeError) { return try InodeRecord.decode(value, inode) } catch {
      throw tree.damaged("inode \(inode): \(error)")
    }
  }
  mutating func directory(_ inode: InodeNumber) throws(FileSystemError) -> FileAttributes {
    let found = try attributes(inode)
    guard found.type == .directory else { throw error(.notDirectory, inode) }
    return found
  }
  /// The number of a new inode.
  mutating func newInode() -> InodeNumber {
    if nextInode >= tree.edited.inodesReserved { tree.edited.inodesReserved = nextInode + Superblock.reservation }
    nextInode += 1
    return InodeNumber(nextInode - 1)
  }
  mutating func newObject() -> UInt64 {
    if nextObject >= tree.edited.objectsReserved { tree.edited.objectsReserved = nextObject + Superblock.reservation }
    nextObject += 1
    return nextObject - 1
  }
  /// Writes attributes of an inode that exists.
  mutating func stage(_ attributes: FileAttributes) throws(FileSystemError) {
    try tree.update(TreeKey.attributes(attributes.inode), InodeRecord.encode(attributes))
    staged.append(attributes)
  }
  /// Writes attributes of a new inode.
  mutating func add(_ attributes: FileAttributes) throws(FileSystemError) {
    try tree.insert(TreeKey.attributes(attributes.inode), InodeRecord.encode(attributes))
  }
  /// Has the pages of an object given back later.
  mutating func doom(_ object: UInt64) throws(FileSystemError) {
    guard object != 0 else { return }
    try tree.insert(TreeKey.doomed(object), [])
    hasDoomed = true
  }
  /// Removes an inode that has no name and is not open.
  mutating func erase(_ attributes: FileAttributes) throws(FileSystemError) {
    try tree.remove(TreeKey.attributes(attributes.inode))
    try doom(attributes.object)
    erased.append(attributes.inode)
  }
  /// Takes a name away from an inode; where it was the last, the inode goes, or waits for its last close.
  mutating func unlinked(_ attributes: FileAttributes) throws(FileSystemError) {
    var attributes = attributes
    attributes.links -= 1
    attributes.changed = time
    guard attributes.links == 0 else { return try stage(attributes) }
    let isOpen = live[attributes.inode]?.state.withLock { $0.opens > 0 } ?? false
    if isOpen, attributes.type != .directory {
      try tree.insert(TreeKey.orphan(attributes.inode), [])
      try stage(attributes)
    } else {
      try erase(attributes)
    }
  }

  // MARK: Entries

  func entryKey(_ directory: InodeNumber, _ name: FileName) -> [UInt8] {
    TreeKey.entry(directory, hash: hash(name), name: name.bytes)
  }
  /// 16...2^63-1, so that cookies below 16 are free and the number fits a signed one.
  func hash(_ name: FileName) -> UInt64 { max(options.nameHash(name.bytes) >> 1, 16) }

  mutating func entry(
    _ directory: InodeNumber, _ name: FileName
  ) throws(FileSystemError) -> (inode: InodeNumber, type: FileType)? {
    guard let value = try tree.value(of: entryKey(directory, name)) else { return nil }
    return try decodeEntry(value)
  }
  func decodeEntry(_ value: ArraySlice<UInt8>) throws(FileSystemError) -> (inode: InodeNumber, type: FileType) {
    do throws(DecodeError) { return try InodeRecord.decodeEntry(value) } catch {
      throw tree.damaged("directory entry: \(error)")
    }
  }
  mutating func isEmpty(_ directory: InodeNumber) throws(FileSystemError) -> Bool {
    let prefix = TreeKey.prefix(directory.value, .entry, capacity: TreeKey.prefixSize)
    var found = false
    try tree.scan(from: prefix) { key, _ in
      found = key.starts(with: prefix)
      return false
    }
    return !found
  }
  /// Whether `directory` is `ancestor` or below it.
  mutating func isInside(_ directory: InodeNumber, _ ancestor: InodeNumber) throws(FileSystemError) -> Bool {
    var at = directory
    var steps: UInt64 = 0
    while true {
      if at == ancestor { return true }
      if at == .root { return false }
      at = try self.directory(at).parent
      steps += 1
      guard steps < tree.edited.inodesReserved else { throw tree.damaged("directories in a circle at \(directory)") }
    }
  }

  // MARK: Ending an operation

  mutating func rollback() {
    tree.rollback()
    staged.removeAll(keepingCapacity: true)
    erased.removeAll(keepingCapacity: true)
  }
  /// Commits what the operation has changed, and notes it at the inodes and directories concerned.
  @discardableResult
  mutating func finish(touching directories: [FileAttributes] = []) throws(FileSystemError) -> LSN {
    guard let target else {
      rollback()
      throw error(.readOnly)
    }
    let lsn: LSN
    do throws(FileSystemError) { lsn = try tree.commit(target) } catch {
      rollback()
      throw error
    }
    lastCommit = max(lastCommit, lsn)
    for attributes in staged {
      if let live = live[attributes.inode] {
        noteCut(live.attributes, attributes)
        live.applied(attributes, at: lsn)
      } else {
        lastForgotten = max(lastForgotten, lsn)
      }
    }
    staged.removeAll(keepingCapacity: true)
    for inode in erased { forget(inode) }
    erased.removeAll(keepingCapacity: true)
    let now = directories.isEmpty ? 0 : time
    for directory in directories { ensureLive(directory).touched(now, at: lsn) }
    return lsn
  }

  /// Tells the space of a file that became smaller; only open ones do.
  private func noteCut(_ old: FileAttributes, _ new: FileAttributes) {
    guard old.object != 0, new.object != old.object || new.size < old.size else { return }
    let page = UInt64(tree.pageSize)
    target?.cut(ObjectID(old.object), to: new.object == old.object ? (new.size + page - 1) / page : 0)
  }

  // MARK: Inodes in memory

  /// The inode in memory; where it is not open, it stays until its times are written.
  mutating func ensureLive(_ attributes: FileAttributes) -> LiveInode {
    if let found = live[attributes.inode] { return found }
    let new = LiveInode(attributes, pageSize: tree.pageSize)
    live[attributes.inode] = new
    quiet.append(attributes.inode)
    return new
  }
  /// Takes an inode out of memory.
  mutating func forget(_ inode: InodeNumber) {
    guard let gone = live.removeValue(forKey: inode) else { return }
    lastForgotten = max(lastForgotten, gone.state.withLock { $0.last })
    if let at = quiet.firstIndex(of: inode) { quiet.remove(at: at) }
  }
  /// Stages the times of an inode, where they are newer in memory; whether they were.
  mutating func stageTimes(_ live: LiveInode) throws(FileSystemError) -> Bool {
    guard let attributes = live.state.withLock({ $0.arePending ? $0.attributes : nil }) else { return false }
    try stage(attributes)
    return true
  }
  /// Writes the times of inodes that are not open, and forgets these, where there are too many.
  mutating func trimQuiet() throws(FileSystemError) {
    guard quiet.count > FileSystemCore.quietMax else { return }
    try writeTimes(of: quiet)
    for inode in quiet { forget(inode) }
  }
  /// One mini-transaction with the times of these inodes.
  mutating func writeTimes(of inodes: [InodeNumber]) throws(FileSystemError) {
    var isNeeded = false
    for inode in inodes {
      if let live = live[inode], try stageTimes(live) { isNeeded = true }
    }
    if isNeeded { try finish() }
  }
}
