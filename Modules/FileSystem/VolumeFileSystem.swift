import BorealisCore
import BorealisRuntime
import BorealisVolume
import Synchronization

/// Directories, files and symbolic links on the objects of a volume.
///
/// Each operation is one mini-transaction, so that the volume at any LSN holds a consistent file system and a prefix of
/// what was done; `write`, `truncate` and `punchHole` of great ranges take several, each consistent. An operation has
/// happened for everybody when its call returns, and is durable when a later `sync` has returned. All methods may be
/// called from any thread and block it: they are for threads of an engine. Semantics: Documentation/FileSystem.md.
///
///     let files = try VolumeFileSystem.format(on: volume)
///     let log = try files.open(try files.create("log", in: .root))
///     try files.write(log, at: 0, bytes)
///     try files.sync(log)                        // survives the loss of a zone and one copy more
public final class VolumeFileSystem: Sendable {
  /// The most bytes of a file: 16 TiB.
  public static let fileSizeMax: UInt64 = 1 << 44
  /// The most bytes of a symbolic link's target.
  public static let linkTargetMax = 4095
  /// Tries to see a space that moves at one moment.
  private static let snapshotTries = 100

  /// Where the pages are.
  public let space: any PageSpace
  /// Bytes of a page.
  public let pageSize: Int
  let options: FileSystemOptions
  let target: (any WritablePageSpace)?
  let core: Mutex<FileSystemCore>
  /// The highest LSN of a write that did not need `core`.
  let lastDirect = Atomic<UInt64>(0)
  let reclaimer: Reclaimer

  private init(
    _ space: any PageSpace, target: (any WritablePageSpace)?, superblock: Superblock, options: FileSystemOptions
  ) {
    self.space = space
    self.target = target
    self.options = options
    pageSize = space.pageSize
    let pages = Int(clamping: options.treeCacheBytes.value) / space.pageSize
    core = Mutex(
      FileSystemCore(
        TreeStore(space, superblock: superblock, cachePages: pages), target: target, options: options))
    reclaimer = Reclaimer()
  }
  deinit { reclaimer.stop() }

  // MARK: Mounting

  /// Makes an empty file system on a volume that has none, and mounts it.
  ///
  /// - Throws: `.exists` where there is one, `.invalidArgument` for pages below 2 KiB, `.volume`.
  public static func format(
    on space: any WritablePageSpace, options: FileSystemOptions = FileSystemOptions()
  ) throws(FileSystemError) -> VolumeFileSystem {
    guard space.pageSize >= TreePage.pageSizeMin else {
      throw FileSystemError(.invalidArgument, operation: "format", detail: "pages must have 2048 bytes or more")
    }
    try check(options, space, "format")
    var isThere = true
    do throws(FileSystemError) { _ = try superblock(of: space, "format") } catch {
      guard error.code == .notFound else { throw error }
      isThere = false
    }
    guard !isThere else { throw FileSystemError(.exists, operation: "format") }
    let time = options.clock()
    var store = TreeStore(space, superblock: Superblock(formatted: space.pageSize, at: time), cachePages: 16)
    store.operation = "format"
    store.put(TreePage(.leaf, level: 0, index: store.edited.root, pageSize: space.pageSize))
    let root = FileAttributes(
      inode: .root, type: .directory, mode: 0o755, links: 1, uid: 0, gid: 0, size: 0, modified: time, changed: time,
      accessed: time, created: time, parent: .root, object: 0)
    try store.insert(TreeKey.attributes(.root), InodeRecord.encode(root))
    store.transaction.write(PageID(object: TreeStore.object, index: 0), at: 0, store.edited.encoded())
    let lsn = try store.commit(space)
    do throws(VolumeError) { try space.waitUntilDurable(lsn) } catch {
      throw FileSystemError(error, operation: "format")
    }
    return try mount(space, options: options)
  }

  /// Mounts the file system of a volume for reading and writing; deletes what was unlinked while open.
  ///
  /// Takes a few page reads, however many files there are. The caller must be the volume's one writer.
  /// - Throws: `.notFound` where there is none, `.corrupt`, `.volume`.
  public static func mount(
    _ space: any WritablePageSpace, options: FileSystemOptions = FileSystemOptions()
  ) throws(FileSystemError) -> VolumeFileSystem {
    try check(options, space, "mount")
    let files = VolumeFileSystem(
      space, target: space, superblock: try superblock(of: space, "mount"), options: options)
    try files.deleteOrphans()
    if options.reclaiming == .inBackground { files.reclaimer.start(files) }
    return files
  }

  /// Mounts the file system of a reader instance, a read point or any other space for reading.
  ///
  /// Where the space follows a writer, so does what is seen: attributes and data are read at each call. Changes are
  /// refused with `.readOnly`. Nothing is written, nor deleted.
  /// - Throws: `.notFound` where there is none (yet), `.corrupt`, `.volume`.
  public static func readOnly(
    on space: any PageSpace, options: FileSystemOptions = FileSystemOptions()
  ) throws(FileSystemError) -> VolumeFileSystem {
    try check(options, space, "mount")
    return VolumeFileSystem(space, target: nil, superblock: try superblock(of: space, "mount"), options: options)
  }

  /// Whether there is a file system on a volume.
  public static func exists(on space: any PageSpace) throws(FileSystemError) -> Bool {
    do throws(FileSystemError) { _ = try superblock(of: space, "mount") } catch {
      guard error.code == .notFound else { throw error }
      return false
    }
    return true
  }

  private static func superblock(
    of space: any PageSpace, _ operation: StaticString
  ) throws(FileSystemError) -> Superblock {
    let page: [UInt8]
    do throws(VolumeError) { page = try TreeStore.read(space, PageID(object: TreeStore.object, index: 0)).0 } catch {
      throw FileSystemError(error, operation: operation)
    }
    return try TreeStore.superblock(page, operation)
  }
  private static func check(
    _ options: FileSystemOptions, _ space: any PageSpace, _ operation: StaticString
  ) throws(FileSystemError) {
    let chunk = options.writeBytesMax.value
    guard chunk >= UInt64(space.pageSize), chunk <= 4 << 20, chunk % UInt64(space.pageSize) == 0 else {
      throw FileSystemError(
        .invalidArgument, operation: operation, detail: "writeBytesMax must be whole pages up to 4 MiB")
    }
    guard (1...65536).contains(options.discardPagesMax),
      (0...options.discardPagesMax).contains(options.discardPagesSmall)
    else {
      throw FileSystemError(
        .invalidArgument, operation: operation,
        detail: "discardPagesMax must be 1...65536, and discardPagesSmall no more than it")
    }
  }

  /// Ends the use: writes times that are only in memory, waits until all is durable, stops giving back.
  ///
  /// Files that are open and have no name stay until the next mount deletes them.
  public func unmount() throws(FileSystemError) {
    reclaimer.stop()
    if target != nil { try syncAll() }
  }

  // MARK: The lock

  /// Whether changes are refused.
  public var isReadOnly: Bool { target == nil }

  /// Runs a change under the lock; where it throws, nothing of it remains.
  func change<T: Sendable>(
    _ operation: StaticString, _ body: (inout FileSystemCore) throws(FileSystemError) -> T
  ) throws(FileSystemError) -> T {
    guard target != nil else { throw FileSystemError(.readOnly, operation: operation) }
    let (result, doomed) = try core.withLock { core throws(FileSystemError) -> (T, Bool) in
      core.tree.operation = operation
      do throws(FileSystemError) {
        try core.trimQuiet()
        let result = try body(&core)
        return (result, core.hasDoomed)
      } catch {
        core.rollback()
        throw error
      }
    }
    if doomed { reclaimer.wake() }
    return result
  }
  /// Runs a query under the lock, at one moment of a space that moves.
  func query<T: Sendable>(
    _ operation: StaticString, _ body: (inout FileSystemCore) throws(FileSystemError) -> T
  ) throws(FileSystemError) -> T {
    try core.withLock { core throws(FileSystemError) -> T in
      core.tree.operation = operation
      if core.tree.isStill { return try body(&core) }
      for _ in 0..<VolumeFileSystem.snapshotTries {
        do throws(FileSystemError) {
          try core.tree.beginSnapshot()
          let result = try body(&core)
          if try core.tree.isSnapshotWhole() { return result }
        } catch {
          // What looked malformed may have been of two moments.
          guard error.code != .volume else { throw error }
          if try core.tree.isSnapshotWhole() { throw error }
        }
      }
      throw FileSystemError(
        VolumeError(.unavailable, operation: "read", detail: "the pages changed too fast to be read together"),
        operation: operation)
    }
  }
}
