extension VolumeFileSystem {
  /// Symbolic links followed in one path.
  private static let linksMax = 40

  /// What a path stands for, from the root; symbolic links are followed, except (if asked) the last one.
  ///
  /// Not one step: what is renamed meanwhile may be found or not.
  /// - Throws: `.notFound`, `.notDirectory`, `.linkLoop`.
  public func attributes(
    at path: String, followingLastLink: Bool = true
  ) throws(FileSystemError) -> FileAttributes {
    var at = try attributes(of: .root)
    var rest = VolumeFileSystem.parts(path[...])
    var links = 0
    while let name = rest.popLast() {
      let found: FileAttributes
      do throws(FileSystemError) { found = try lookup(FileName(bytes: name), in: at.inode) } catch {
        throw FileSystemError(error.code, operation: "lookup", inode: error.inode, path: path, detail: error.detail)
      }
      guard found.type == .symbolicLink, followingLastLink || !rest.isEmpty else {
        at = found
        continue
      }
      links += 1
      guard links <= VolumeFileSystem.linksMax else {
        throw FileSystemError(.linkLoop, operation: "lookup", path: path)
      }
      let target = try readLink(found.inode)
      if target.first == 47 { at = try attributes(of: .root) }
      rest += VolumeFileSystem.parts(target)
    }
    return at
  }
  /// The parts of a path, the last one first.
  private static func parts(_ path: some Sequence<UInt8>) -> [[UInt8]] {
    Array(path).split(separator: 47).reversed().map { Array($0) }
  }
  private static func parts(_ path: Substring) -> [[UInt8]] { parts(path.utf8) }

  /// The directory and the last name of a path.
  ///
  /// - Throws: `.invalidArgument` for the root, which has no name.
  public func parent(of path: String) throws(FileSystemError) -> (directory: InodeNumber, name: FileName) {
    let parts = path.split(separator: "/")
    guard let last = parts.last else { throw FileSystemError(.invalidArgument, operation: "lookup", path: path) }
    let directory = try attributes(at: parts.dropLast().joined(separator: "/"))
    guard directory.type == .directory else { throw FileSystemError(.notDirectory, operation: "lookup", path: path) }
    return (directory.inode, FileName(last))
  }
  /// Opens the file at a path.
  public func file(at path: String) throws(FileSystemError) -> OpenFile { try open(try attributes(at: path).inode) }

  /// Opens the file at a path, and makes it where there is none.
  public func file(
    at path: String, _ creation: Creation, owner: FileOwner = .file
  ) throws(FileSystemError) -> OpenFile {
    let (directory, name) = try parent(of: path)
    return try open(try create(name, in: directory, creation, owner: owner))
  }
  /// Makes every directory of a path that is not there; each is one mini-transaction.
  ///
  /// - Returns: the last one. - Throws: `.notDirectory` where a name is taken by something else.
  @discardableResult
  public func makeDirectories(
    at path: String, owner: FileOwner = .directory
  ) throws(FileSystemError) -> InodeNumber {
    var at = InodeNumber.root
    for part in path.split(separator: "/") {
      do throws(FileSystemError) {
        at = try makeDirectory(FileName(part), in: at, owner: owner)
      } catch {
        guard error.code == .exists else { throw error }
        let found = try lookup(FileName(part), in: at)
        guard found.type == .directory else { throw FileSystemError(.notDirectory, operation: "lookup", path: path) }
        at = found.inode
      }
    }
    return at
  }
}
