/// What `rename` does about a name that is taken.
public enum RenameMode: Sendable, Hashable {
  /// A file takes the place of a file, a directory that of an empty directory.
  case replace
  /// The name must be free.
  case noReplace
  /// Both names must be there, and change places.
  case exchange
}

extension VolumeFileSystem {
  /// Moves a name to another directory, another name, or both; one mini-transaction.
  ///
  /// Where both names stand for the same file, nothing happens.
  /// - Throws: `.notFound`, `.exists` (`noReplace`), `.notEmpty`, `.isDirectory`, `.notDirectory`,
  ///   `.invalidArgument` (a directory into itself), `.nameTooLong`.
  public func rename(
    _ name: FileName, in directory: InodeNumber, to newName: FileName, in newDirectory: InodeNumber,
    _ mode: RenameMode = .replace
  ) throws(FileSystemError) {
    try change("rename") { core throws(FileSystemError) in
      try name.check("rename")
      try newName.check("rename")
      let parent = try core.directory(directory)
      let newParent = try core.directory(newDirectory)
      guard let source = try core.entry(directory, name) else { throw core.error(.notFound, directory, name) }
      let found = try core.entry(newDirectory, newName)
      if source.type == .directory, try core.isInside(newDirectory, source.inode) {
        throw core.error(.invalidArgument, source.inode, newName, "a directory cannot be moved into itself")
      }
      let keys = (core.entryKey(directory, name), core.entryKey(newDirectory, newName))
      if let found {
        guard mode != .noReplace else { throw core.error(.exists, newDirectory, newName) }
        guard found.inode != source.inode else { return }
        if mode == .exchange {
          if found.type == .directory, try core.isInside(directory, found.inode) {
            throw core.error(.invalidArgument, found.inode, name, "a directory cannot be moved into itself")
          }
          try core.tree.update(keys.0, InodeRecord.encodeEntry(found.inode, found.type))
          try core.tree.update(keys.1, InodeRecord.encodeEntry(source.inode, source.type))
          try core.moved(found, to: directory)
        } else {
          try core.replace(found, by: source, in: newDirectory, newName)
          try core.tree.remove(keys.0)
          try core.tree.update(keys.1, InodeRecord.encodeEntry(source.inode, source.type))
        }
      } else {
        guard mode != .exchange else { throw core.error(.notFound, newDirectory, newName) }
        try core.tree.remove(keys.0)
        try core.tree.insert(keys.1, InodeRecord.encodeEntry(source.inode, source.type))
      }
      try core.moved(source, to: newDirectory)
      try core.finish(touching: directory == newDirectory ? [parent] : [parent, newParent])
    }
  }
}

extension FileSystemCore {
  /// Removes what has the name that another takes.
  fileprivate mutating func replace(
    _ found: (inode: InodeNumber, type: FileType), by source: (inode: InodeNumber, type: FileType),
    in directory: InodeNumber, _ name: FileName
  ) throws(FileSystemError) {
    if found.type == .directory {
      guard source.type == .directory else { throw error(.isDirectory, directory, name) }
      guard try isEmpty(found.inode) else { throw error(.notEmpty, directory, name) }
    } else {
      guard source.type != .directory else { throw error(.notDirectory, directory, name) }
    }
    try unlinked(try attributes(found.inode))
  }
  /// Notes a new name, and the new directory, at what was moved.
  fileprivate mutating func moved(
    _ entry: (inode: InodeNumber, type: FileType), to directory: InodeNumber
  ) throws(FileSystemError) {
    var attributes = try attributes(entry.inode)
    attributes.changed = time
    if entry.type == .directory { attributes.parent = directory }
    try stage(attributes)
  }
}
