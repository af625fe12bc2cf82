public import BorealisCore
public import BorealisFileSystem
public import BorealisRuntime
import BorealisVolume
import CBorealisSQLite
import Synchronization

/// Limits of SQLite on a volume.
public struct SQLiteVFSOptions: Sendable {
  /// Bytes of pages that one transaction may change; beyond it SQLite says `SQLITE_FULL`.
  ///
  /// They are kept in memory until the commit. With their headers they must fit in one mini-transaction of the volume
  /// (512 MiB, and half of the log of a node).
  public var transactionBytesMax = 480 << 20
  /// The defaults.
  public init() {}
}

/// SQLite's files on a volume: one VFS for each instance, the writer or a reader.
///
/// Registered with the SQLite library under `name` for as long as this object lives; any program that opens a database
/// with it (`sqlite3_open_v2`, `?vfs=` in a URI, GRDB) works on the volume. A transaction is one mini-transaction; the
/// volume never holds a journal; readers have snapshots and never wait. How: Documentation/SQLite.md.
///
///     let vfs = try SQLiteVFS(writer: try VolumeFileSystem.format(on: volume))
///     let session = try SQLiteSession(vfs, "/orders.db")
///     try session.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, what TEXT)")
public final class SQLiteVFS: Sendable {
  private struct ScopeEntry {
    var scope: ConnectionScope
    var handles: Int
  }
  private static let numbers = Atomic<UInt64>(1)

  /// The name that the SQLite library knows it by.
  public let name: String
  /// Whether databases can only be read: the instance is no writer.
  public var isReadOnly: Bool { fileSystem == nil }
  /// The limits.
  public let options: SQLiteVFSOptions
  let origin: PageOrigin
  let pageSize: Int
  private let fileSystem: VolumeFileSystem?
  private let files = Mutex<[InodeNumber: DatabaseFile]>([:])
  private let scopes = Mutex<[UInt: ScopeEntry]>([:])
  private let registry = SnapshotRegistry()
  private let shared: SharedSnapshot?
  private let registration = Mutex<VFSRegistration?>(nil)
  private let submissions = Atomic<UInt64>(0)
  private let commitTime = Atomic<UInt64>(0)
  private let submitHook = Mutex<(@Sendable () -> Void)?>(nil)

  /// Databases in a file system that the volume's one writer has mounted.
  ///
  /// While databases are open, nobody else may change their files.
  /// - Throws: `.invalidArgument` where the file system is not mounted for writing on a volume.
  public init(
    writer fileSystem: VolumeFileSystem, options: SQLiteVFSOptions = SQLiteVFSOptions()
  ) throws(FileSystemError) {
    guard let volume = fileSystem.space as? Volume, !fileSystem.isReadOnly else {
      throw FileSystemError(
        .invalidArgument, operation: "open", detail: "SQLite needs a file system mounted for writing on a volume")
    }
    name = "borealis-\(SQLiteVFS.numbers.wrappingAdd(1, ordering: .relaxed).newValue)"
    origin = .writer(volume)
    pageSize = fileSystem.pageSize
    self.fileSystem = fileSystem
    self.options = options
    shared = nil
    register()
  }
  /// Databases of a reader instance: each transaction sees the volume as the reader shows it when it begins.
  public convenience init(reader: VolumeReaderInstance, options: SQLiteVFSOptions = SQLiteVFSOptions()) {
    self.init(.reader(reader), options)
  }
  /// Databases on pages that stand still, such as a read point.
  public convenience init(still space: any PageSpace, options: SQLiteVFSOptions = SQLiteVFSOptions()) {
    self.init(.still(space), options)
  }
  private init(_ origin: PageOrigin, _ options: SQLiteVFSOptions) {
    name = "borealis-\(SQLiteVFS.numbers.wrappingAdd(1, ordering: .relaxed).newValue)"
    self.origin = origin
    self.options = options
    pageSize = origin.space.pageSize
    fileSystem = nil
    shared = SharedSnapshot()
    register()
  }
  deinit { registration.withLock { $0?.end() } }

  private func register() {
    let new = VFSRegistration(self, name: name)
    registration.withLock { $0 = new }
  }

  /// Blocks until everything up to `lsn` is durable.
  public func waitUntilDurable(_ lsn: LSN) throws(VolumeError) {
    guard lsn > .zero, case .writer(let volume) = origin else { return }
    try volume.waitUntilDurable(lsn)
  }

  // MARK: Connections

  func makeScope() -> ConnectionScope { ConnectionScope(origin, registry, shared) }
  /// A file belongs to a connection: all files of one share what they see and when they commit.
  func join(_ handle: DatabaseHandle, connection: UInt) {
    guard handle.connection == 0 else { return }
    handle.connection = connection
    let scope = scopes.withLock { scopes in
      scopes[connection, default: ScopeEntry(scope: handle.scope, handles: 0)].handles += 1
      return scopes[connection]?.scope ?? handle.scope
    }
    handle.join(scope)
  }
  /// What belongs to a connection; nil where it has no file here.
  func scope(of connection: OpaquePointer) -> ConnectionScope? {
    scopes.withLock { $0[UInt(bitPattern: connection)]?.scope }
  }

  // MARK: Files

  func open(_ path: String, flags: Int32) throws -> DatabaseHandle {
    guard let fileSystem else {
      let snapshot = shared?.current(origin) ?? Snapshot(origin)
      guard try snapshot.file(at: path) != nil else {
        throw FileSystemError(
          .notFound, operation: "open", path: path, detail: "no such database here; a reader cannot make one")
      }
      return DatabaseHandle(self, path: path, file: nil)
    }
    let open: OpenFile
    if flags & SQLITE_OPEN_CREATE != 0 {
      open = try fileSystem.file(at: path, flags & SQLITE_OPEN_EXCLUSIVE != 0 ? .exclusive : .openExisting)
    } else {
      open = try fileSystem.file(at: path)
    }
    let attributes = try fileSystem.attributes(of: open)
    guard attributes.type == .file else { throw FileSystemError(.isDirectory, operation: "open", path: path) }
    // What snapshots show from now on: the name, and whatever was written to the file before.
    if files.withLock({ $0[open.inode] == nil }) { try fileSystem.syncAll() }
    let file = files.withLock { files in
      let file =
        files[open.inode]
        ?? DatabaseFile(open, view: FileView(object: attributes.dataObject, size: attributes.size), lsn: .zero)
      files[open.inode] = file
      file.opened()
      return file
    }
    return DatabaseHandle(self, path: path, file: file)
  }
  func closed(_ handle: DatabaseHandle) {
    if handle.connection != 0 {
      scopes.withLock { scopes in
        scopes[handle.connection]?.handles -= 1
        if scopes[handle.connection]?.handles == 0 { scopes[handle.connection] = nil }
      }
    }
    guard let file = handle.file else { return }
    // Who opens it anew must find it durable.
    try? waitUntilDurable(file.head.lsn)
    files.withLock { files in
      if file.closed() == 0 { files[file.file.inode] = nil }
    }
  }
  func remove(_ path: String) throws {
    guard let fileSystem else { throw FileSystemError(.readOnly, operation: "remove", path: path) }
    let (directory, name) = try fileSystem.parent(of: path)
    try fileSystem.unlink(name, in: directory)
    try fileSystem.sync(directory)
  }
  func exists(_ path: String) throws -> Bool {
    guard let fileSystem else { return try (shared?.current(origin) ?? Snapshot(origin)).file(at: path) != nil }
    do throws(FileSystemError) { _ = try fileSystem.attributes(at: path) } catch {
      guard error.code == .notFound || error.code == .notDirectory else { throw error }
      return false
    }
    return true
  }

  // MARK: Commits

  /// Transactions submitted so far.
  var commits: UInt64 { submissions.load(ordering: .relaxed) }
  /// Nanoseconds that they took, added up: submitting, and waiting until they were durable.
  var commitNanoseconds: UInt64 { commitTime.load(ordering: .relaxed) }
  /// A part of a commit is over that began at `start`.
  func addCommitTime(since start: Instant) {
    commitTime.wrappingAdd(SystemClock.now.nanoseconds(since: start), ordering: .relaxed)
  }
  /// Has `hook` called after each submission, before anybody is told that it is durable.
  func onSubmit(_ hook: @escaping @Sendable () -> Void) { submitHook.withLock { $0 = hook } }

  /// Submits what these files of one connection have staged, as one mini-transaction.
  func commit(_ parts: [DatabaseHandle]) throws -> LSN {
    guard let fileSystem, case .writer(let volume) = origin else {
      throw FileSystemError(.readOnly, operation: "commit")
    }
    let start = SystemClock.now
    defer { addCommitTime(since: start) }
    let floor = volume.vdl
    for part in parts { part.file?.beginCommit(above: floor) }
    defer { for part in parts { part.file?.endCommit() } }
    let lsn = try fileSystem.commit(parts.compactMap { $0.engineWrite() })
    submissions.wrappingAdd(1, ordering: .relaxed)
    defer { submitHook.withLock { $0 }?() }
    let lowest = min(registry.lowest ?? .max, floor)
    for part in parts {
      guard let file = part.file else { continue }
      part.committed(at: lsn, object: try fileSystem.attributes(of: file.file).dataObject, lowest: lowest)
    }
    return lsn
  }
}
