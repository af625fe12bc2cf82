import BorealisFileSystem
import BorealisRuntime
import CBorealisFUSE

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

// Names and attributes.
extension FUSEMount {
  func lookup(_ name: FileName, in directory: InodeNumber) throws(FileSystemError) -> Answer {
    do throws(FileSystemError) { return .entry(try files.lookup(name, in: directory)) } catch {
      // That a name is not there may be remembered too, where nobody else makes it.
      guard error.code == .notFound, caching.seconds > 0, removed.attributes(directory) == nil else { throw error }
      return .entry(nil)
    }
  }
  func attributes(_ inode: InodeNumber) throws(FileSystemError) -> Answer {
    do throws(FileSystemError) { return .attributes(try files.attributes(of: inode)) } catch {
      guard error.code == .notFound, let gone = removed.attributes(inode) else { throw error }
      return .attributes(gone)
    }
  }
  func setAttributes(
    _ inode: InodeNumber, _ numbers: borealis_stat, _ which: Int32
  ) throws(FileSystemError) -> Answer {
    func has(_ bit: Int32) -> Bool { which & bit != 0 }
    func time(_ t: timespec) -> Int64 { Int64(t.tv_sec) &* 1_000_000_000 &+ Int64(t.tv_nsec) }
    let now = Int64(clamping: SystemClock.wallClock)
    var change = AttributeChange()
    if has(FUSE_SET_ATTR_MODE) { change.mode = UInt16(numbers.st_mode & 0o7777) }
    if has(FUSE_SET_ATTR_UID) { change.uid = numbers.st_uid }
    if has(FUSE_SET_ATTR_GID) { change.gid = numbers.st_gid }
    if has(FUSE_SET_ATTR_SIZE) { change.size = UInt64(max(0, numbers.st_size)) }
    if has(FUSE_SET_ATTR_ATIME) { change.accessed = time(numbers.st_atim) }
    if has(FUSE_SET_ATTR_MTIME) { change.modified = time(numbers.st_mtim) }
    if has(FUSE_SET_ATTR_ATIME_NOW) { change.accessed = now }
    if has(FUSE_SET_ATTR_MTIME_NOW) { change.modified = now }
    do throws(FileSystemError) {
      try files.setAttributes(of: inode, change)
      return .attributes(try files.attributes(of: inode))
    } catch {
      // A directory that was removed, and that a process has open: it is changed as long as it is there for somebody.
      guard error.code == .notFound, let gone = removed.change(inode, { $0.apply(change) }) else { throw error }
      return .attributes(gone)
    }
  }

  // MARK: Making

  /// What is made in a directory with the set-group-ID bit gets its group.
  private func inherited(
    _ owner: FileOwner, from directory: InodeNumber, isDirectory: Bool
  ) throws(FileSystemError) -> FileOwner {
    let parent = try files.attributes(of: directory)
    guard parent.mode & 0o2000 != 0 else { return owner }
    var owner = owner
    owner.gid = parent.gid
    if isDirectory { owner.mode |= 0o2000 }
    return owner
  }
  func makeFile(_ name: FileName, in directory: InodeNumber, _ owner: FileOwner) throws(FileSystemError) -> Answer {
    let owner = try inherited(owner, from: directory, isDirectory: false)
    return .entry(try files.attributes(of: try files.create(name, in: directory, .exclusive, owner: owner)))
  }
  func makeDirectory(
    _ name: FileName, in directory: InodeNumber, _ owner: FileOwner
  ) throws(FileSystemError) -> Answer {
    let owner = try inherited(owner, from: directory, isDirectory: true)
    return .entry(try files.attributes(of: try files.makeDirectory(name, in: directory, owner: owner)))
  }
  func makeLink(
    _ name: FileName, in directory: InodeNumber, _ target: [UInt8], _ owner: FileOwner
  ) throws(FileSystemError) -> Answer {
    let owner = try inherited(owner, from: directory, isDirectory: false)
    let inode = try files.makeSymbolicLink(name, in: directory, target: target, owner: owner)
    return .entry(try files.attributes(of: inode))
  }
  func create(
    _ name: FileName, in directory: InodeNumber, _ owner: FileOwner, _ information: fuse_file_info
  ) throws(FileSystemError) -> Answer {
    let owner = try inherited(owner, from: directory, isDirectory: false)
    let creation: VolumeFileSystem.Creation = information.flags & O_EXCL != 0 ? .exclusive : .openExisting
    let file = try files.open(try files.create(name, in: directory, creation, owner: owner))
    let attributes = try files.attributes(of: file)
    return .created(attributes, try begin(file, attributes, information))
  }

  // MARK: Removing and moving

  func unlink(_ name: FileName, in directory: InodeNumber) throws(FileSystemError) -> Answer {
    try removing(try files.lookup(name, in: directory)) { () throws(FileSystemError) in
      try files.unlink(name, in: directory)
    }
    return .done
  }
  func removeDirectory(_ name: FileName, in directory: InodeNumber) throws(FileSystemError) -> Answer {
    let before = try files.lookup(name, in: directory)
    try files.removeDirectory(name, in: directory)
    if let held = removed.add(before) { try? files.close(held) }
    return .done
  }
  func rename(
    _ name: FileName, in directory: InodeNumber, to newName: FileName, in newDirectory: InodeNumber, _ flags: UInt32
  ) throws(FileSystemError) -> Answer {
    let mode: RenameMode
    switch flags {
    case 0: mode = .replace
    case FUSEMount.noReplaceFlag: mode = .noReplace
    case FUSEMount.exchangeFlag: mode = .exchange
    default: return .error(EINVAL)
    }
    // The kernel holds both directories meanwhile: what is found here is what is replaced.
    let before = mode == .replace ? try? files.lookup(newName, in: newDirectory) : nil
    let source = before == nil ? nil : try? files.lookup(name, in: directory)
    let replaced = before?.inode == source?.inode ? nil : before
    try removing(replaced) { () throws(FileSystemError) in
      try files.rename(name, in: directory, to: newName, in: newDirectory, mode)
    }
    return .done
  }
  /// Runs `body`, which takes the name of `before` away: where that is the last one, a file can still be opened by those who
  /// have looked it up, until the kernel forgets it.
  ///
  /// Otherwise they would get `ESTALE`; the kernel then looks again, once, and what it finds may be gone as well.
  private func removing(
    _ before: FileAttributes?, _ body: () throws(FileSystemError) -> Void
  ) throws(FileSystemError) {
    guard let before, before.links == 1 || before.type == .directory else { return try body() }
    let held = before.type == .file ? try? files.open(before.inode) : nil
    do throws(FileSystemError) { try body() } catch {
      if let held { try? files.close(held) }
      throw error
    }
    if let older = removed.add(before, held: held) { try? files.close(older) }
  }
  /// The kernel has forgotten an inode.
  func forget(_ inode: InodeNumber) {
    if let held = removed.forget(inode) { try? files.close(held) }
  }
  // Linux's RENAME_NOREPLACE and RENAME_EXCHANGE, which not every C library has.
  private static let noReplaceFlag: UInt32 = 1
  private static let exchangeFlag: UInt32 = 2
}

extension FileAttributes {
  fileprivate mutating func apply(_ change: AttributeChange) {
    mode = change.mode ?? mode
    uid = change.uid ?? uid
    gid = change.gid ?? gid
    modified = change.modified ?? modified
    accessed = change.accessed ?? accessed
  }
}
