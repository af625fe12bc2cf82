import BorealisCore
import BorealisVolume

extension VolumeFileSystem {
  // MARK: Looking

  /// What a name in a directory stands for; `.` and `..` are known.
  ///
  /// - Throws: `.notFound`, `.notDirectory`, `.nameTooLong`, `.invalidArgument`.
  public func lookup(_ name: FileName, in directory: InodeNumber) throws(FileSystemError) -> FileAttributes {
    try query("lookup") { core throws(FileSystemError) in
      let parent = try core.directory(directory)
      if name.bytes == [46] { return parent }
      if name.bytes == [46, 46] { return try core.attributes(parent.parent) }
      try name.check("lookup")
      guard let entry = try core.entry(directory, name) else { throw core.error(.notFound, directory, name) }
      return try core.attributes(entry.inode)
    }
  }
  /// The attributes of an inode.
  public func attributes(of inode: InodeNumber) throws(FileSystemError) -> FileAttributes {
    try query("attributes") { core throws(FileSystemError) in try core.attributes(inode) }
  }
  /// The entries of a directory after a cookie (0: from the beginning), in the order of their cookies.
  ///
  /// Entries that are there all the time are listed exactly once, whatever is made or removed in between.
  /// - Parameter limit: about how many; there are more where names share a cookie, since such are never parted.
  /// - Returns: the entries; none at the end of the directory.
  public func list(
    _ directory: InodeNumber, after cookie: UInt64 = 0, limit: Int = 1024
  ) throws(FileSystemError) -> [DirectoryEntry] {
    guard limit > 0, cookie < .max else { throw FileSystemError(.invalidArgument, operation: "list", inode: directory) }
    return try query("list") { core throws(FileSystemError) in
      _ = try core.directory(directory)
      let from = TreeKey.entry(directory, hash: cookie + 1, name: [])
      let prefix = from.prefix(TreeKey.prefixSize)
      var found: [DirectoryEntry] = []
      var failure: FileSystemError?
      try core.tree.scan(from: from) { (key, value) throws(FileSystemError) in
        guard key.starts(with: prefix), key.count > TreeKey.prefixSize + 8 else { return false }
        let hash = TreeKey.number(key, at: TreeKey.prefixSize)
        if found.count >= limit, hash != found.last?.cookie { return false }
        do throws(DecodeError) {
          let (inode, type) = try InodeRecord.decodeEntry(value)
          let name = FileName(bytes: Array(key.dropFirst(TreeKey.prefixSize + 8)))
          found.append(DirectoryEntry(name: name, inode: inode, type: type, cookie: hash))
        } catch {
          failure = FileSystemError(.corrupt, operation: "list", inode: directory, detail: "\(error)")
          return false
        }
        return true
      }
      if let failure { throw failure }
      return found
    }
  }
  /// The target of a symbolic link.
  ///
  /// - Throws: `.invalidArgument` where it is none.
  public func readLink(_ inode: InodeNumber) throws(FileSystemError) -> [UInt8] {
    let attributes = try attributes(of: inode)
    guard attributes.type == .symbolicLink else {
      throw FileSystemError(.invalidArgument, operation: "readLink", inode: inode, detail: "no symbolic link")
    }
    var target = [UInt8](repeating: 0, count: Int(attributes.size))
    let failure = target.withUnsafeMutableBytes { buffer -> FileSystemError? in
      do throws(FileSystemError) {
        try readPages(of: attributes.object, at: 0, into: buffer, inode: inode)
        return nil
      } catch { return error }
    }
    if let failure { throw failure }
    return target
  }

  // MARK: Making

  /// Whether a file may be there already.
  public enum Creation: Sendable {
    /// It must not be there.
    case exclusive
    /// If there is a file of that name, that one is given.
    case openExisting
  }
  /// Makes an empty file; one mini-transaction.
  ///
  /// - Throws: `.exists` (exclusive), `.isDirectory` (a directory has the name), `.notFound` (no such directory),
  ///   `.nameTooLong`, `.noSpace`.
  @discardableResult
  public func create(
    _ name: FileName, in directory: InodeNumber, _ creation: Creation = .exclusive, owner: FileOwner = .file
  ) throws(FileSystemError) -> InodeNumber {
    try change("create") { core throws(FileSystemError) in
      try core.make(name, in: directory, .file, owner, isExclusive: creation == .exclusive)
    }
  }
  /// Makes an empty directory; one mini-transaction.
  @discardableResult
  public func makeDirectory(
    _ name: FileName, in directory: InodeNumber, owner: FileOwner = .directory
  ) throws(FileSystemError) -> InodeNumber {
    try change("makeDirectory") { core throws(FileSystemError) in
      try core.make(name, in: directory, .directory, owner)
    }
  }
  /// Makes a symbolic link; one mini-transaction.
  ///
  /// - Parameter target: 1 to 4095 bytes, not looked at.
  @discardableResult
  public func makeSymbolicLink(
    _ name: FileName, in directory: InodeNumber, target: [UInt8], owner: FileOwner = FileOwner(mode: 0o777)
  ) throws(FileSystemError) -> InodeNumber {
    guard target.count <= VolumeFileSystem.linkTargetMax else {
      throw FileSystemError(.nameTooLong, operation: "makeSymbolicLink", path: name.description)
    }
    guard !target.isEmpty, !target.contains(0) else {
      throw FileSystemError(.invalidArgument, operation: "makeSymbolicLink", path: name.description, detail: "target")
    }
    return try change("makeSymbolicLink") { core throws(FileSystemError) in
      try core.make(name, in: directory, .symbolicLink, owner, target: target)
    }
  }
  /// Gives a file or symbolic link another name; one mini-transaction.
  ///
  /// - Throws: `.tooManyLinks` for a directory, `.notFound` for a file that has no name left, `.exists`.
  public func link(_ inode: InodeNumber, as name: FileName, in directory: InodeNumber) throws(FileSystemError) {
    try change("link") { core throws(FileSystemError) in
      try name.check("link")
      let parent = try core.directory(directory)
      var attributes = try core.attributes(inode)
      guard attributes.type != .directory, attributes.links < .max else { throw core.error(.tooManyLinks, inode) }
      guard attributes.links > 0 else { throw core.error(.notFound, inode) }
      guard try core.entry(directory, name) == nil else { throw core.error(.exists, directory, name) }
      attributes.links += 1
      attributes.changed = core.time
      try core.tree.insert(core.entryKey(directory, name), InodeRecord.encodeEntry(inode, attributes.type))
      try core.stage(attributes)
      try core.finish(touching: [parent])
    }
  }

  // MARK: Removing

  /// Removes a name of a file or symbolic link; one mini-transaction.
  ///
  /// With its last name a file goes, or, while it is open, with its last close (or the next mount). Its pages are given
  /// back afterwards.
  public func unlink(_ name: FileName, in directory: InodeNumber) throws(FileSystemError) {
    try change("unlink") { core throws(FileSystemError) in
      try name.check("unlink")
      let parent = try core.directory(directory)
      guard let entry = try core.entry(directory, name) else { throw core.error(.notFound, directory, name) }
      guard entry.type != .directory else { throw core.error(.isDirectory, directory, name) }
      try core.tree.remove(core.entryKey(directory, name))
      try core.unlinked(try core.attributes(entry.inode))
      try core.finish(touching: [parent])
    }
  }
  /// Removes an empty directory; one mini-transaction.
  ///
  /// - Throws: `.notEmpty`, `.notDirectory`, `.notFound`.
  public func removeDirectory(_ name: FileName, in directory: InodeNumber) throws(FileSystemError) {
    try change("removeDirectory") { core throws(FileSystemError) in
      try name.check("removeDirectory")
      let parent = try core.directory(directory)
      guard let entry = try core.entry(directory, name) else { throw core.error(.notFound, directory, name) }
      guard entry.type == .directory else { throw core.error(.notDirectory, directory, name) }
      guard try core.isEmpty(entry.inode) else { throw core.error(.notEmpty, directory, name) }
      try core.tree.remove(core.entryKey(directory, name))
      try core.unlinked(try core.attributes(entry.inode))
      try core.finish(touching: [parent])
    }
  }
}

extension FileSystemCore {
  /// Makes an inode and its name.
  mutating func make(
    _ name: FileName, in directory: InodeNumber, _ type: FileType, _ owner: FileOwner, isExclusive: Bool = true,
    target: [UInt8] = []
  ) throws(FileSystemError) -> InodeNumber {
    try name.check(tree.operation)
    guard owner.mode <= 0o7777 else { throw error(.invalidArgument, directory, name, "mode") }
    let parent = try self.directory(directory)
    if let found = try entry(directory, name) {
      guard !isExclusive else { throw error(.exists, directory, name) }
      guard found.type != .directory else { throw error(.isDirectory, directory, name) }
      return found.inode
    }
    let inode = newInode()
    let now = time
    var attributes = FileAttributes(
      inode: inode, type: type, mode: owner.mode, links: 1, uid: owner.uid, gid: owner.gid,
      size: UInt64(target.count), modified: now, changed: now, accessed: now, created: now,
      parent: type == .directory ? directory : InodeNumber(0), object: 0)
    if !target.isEmpty {
      attributes.object = newObject()
      target.withUnsafeBytes { tree.transaction.write($0, to: attributes.object, at: 0) }
    }
    try tree.insert(entryKey(directory, name), InodeRecord.encodeEntry(inode, type))
    try add(attributes)
    try finish(touching: [parent])
    return inode
  }
}

extension MiniTransaction {
  /// Adds writes of `bytes` at byte `offset` of an object, page by page.
  mutating func write(_ bytes: UnsafeRawBufferPointer, to object: UInt64, at offset: UInt64) {
    var done = 0
    while done < bytes.count {
      let at = offset + UInt64(done)
      let inPage = Int(at % UInt64(pageSize))
      let count = min(pageSize - inPage, bytes.count - done)
      write(
        PageID(object: ObjectID(object), index: at / UInt64(pageSize)), at: inPage,
        UnsafeRawBufferPointer(rebasing: bytes[done..<(done + count)]))
      done += count
    }
  }
}
