import BorealisCore
import BorealisFileSystem
import BorealisVolume
import CBorealisSQLite
import Synchronization

/// A database file opened by one connection: what SQLite's `sqlite3_file` stands for.
///
/// SQLite's locks are kept by these means: SHARED is a snapshot, RESERVED the one write lock of the file, PENDING and
/// EXCLUSIVE nothing more, since a writer takes nothing away from readers. What is written goes to `staging` and from
/// there, all at once, to the volume (`+Commit`).
final class DatabaseHandle: @unchecked Sendable {
  // @unchecked: SQLite holds the connection's mutex whenever it calls, and nobody else has the object.

  private static let numbers = Atomic<UInt64>(1)
  /// Numbers of SQLite's locks.
  enum Level {
    static let none = SQLITE_LOCK_NONE
    static let shared = SQLITE_LOCK_SHARED
    static let reserved = SQLITE_LOCK_RESERVED
  }
  /// Unlike all others.
  let number = DatabaseHandle.numbers.wrappingAdd(1, ordering: .relaxed).newValue
  let vfs: SQLiteVFS
  let path: String
  /// nil for an instance that only reads.
  let file: DatabaseFile?
  /// The connection's; a private one until SQLite has said which.
  var scope: ConnectionScope
  let pageSize: Int

  /// The address of the connection, when SQLite has told it.
  var connection: UInt = 0
  var level = Level.none
  var snapshot: Snapshot?
  /// What is seen of the file: up to this LSN; nil: the head, with the write lock held.
  var moment: LSN?
  var view = FileView(object: nil, size: 0)
  var stamp: DatabaseFile.Stamp?
  var holdsWriteLock = false
  let staging: Staging

  /// The first phase of a commit is done.
  var isPrepared = false
  /// The second phase has come.
  var isFinal = false
  /// The second phase has come, and the commit waits for other files; then the level that SQLite has unlocked to.
  var postponedLevel: Int32?
  /// SQLite believes a commit done that was not: its cache is wrong, so that nothing may be done any more.
  var isBroken = false

  init(_ vfs: SQLiteVFS, path: String, file: DatabaseFile?) {
    self.vfs = vfs
    self.path = path
    self.file = file
    pageSize = vfs.pageSize
    scope = vfs.makeScope()
    staging = Staging(pageSize: vfs.pageSize)
    scope.add(self)
  }
  /// SQLite has said whose file this is.
  func join(_ other: ConnectionScope) {
    guard other !== scope, level == Level.none else { return }
    scope.remove(self)
    scope = other
    scope.add(self)
  }
  func close() {
    _ = unlock(to: Level.none)
    scope.remove(self)
    vfs.closed(self)
  }

  /// Remembers an error and gives SQLite's code for it.
  func fail(_ error: any Error, _ operation: SQLiteErrorCode.Operation) -> Int32 {
    scope.lastError = error
    return SQLiteErrorCode.code(for: error, operation)
  }

  // MARK: Reading

  /// The size that the connection sees.
  var size: UInt64 { staging.size ?? view.size }

  /// What is seen without a lock: the header, when SQLite opens the file.
  private func lookWithoutLock() throws {
    guard level == Level.none else { return }
    if let file {
      view = file.head.view
    } else {
      let now = scope.enter()
      defer { scope.leave() }
      view = try now.file(at: path) ?? FileView(object: nil, size: 0)
    }
  }
  func fileSize() throws -> UInt64 {
    try lookWithoutLock()
    return size
  }
  /// Fills `buffer` from `offset` on; how many bytes the file had.
  func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
    if buffer.count == DatabaseFile.Stamp.count, offset == UInt64(DatabaseFile.Stamp.offset), !holdsWriteLock,
      level >= Level.shared, let stamp
    {
      buffer.storeBytes(of: stamp.bytes.0, as: UInt64.self)
      buffer.storeBytes(of: stamp.bytes.1, toByteOffset: 8, as: UInt64.self)
      return buffer.count
    }
    try lookWithoutLock()
    let size = size
    let count = offset >= size ? 0 : Int(min(UInt64(buffer.count), size - offset))
    var done = 0
    while done < count {
      let at = offset + UInt64(done)
      let inPage = Int(at % UInt64(pageSize))
      let part = min(pageSize - inPage, count - done)
      try readPart(
        at / UInt64(pageSize), inPage, UnsafeMutableRawBufferPointer(rebasing: buffer[done..<(done + part)]))
      done += part
    }
    if count < buffer.count {
      UnsafeMutableRawBufferPointer(rebasing: buffer[count...]).initializeMemory(as: UInt8.self, repeating: 0)
    }
    return count
  }
  private func readPart(_ page: UInt64, _ offset: Int, _ buffer: UnsafeMutableRawBufferPointer) throws(VolumeError) {
    if let staged = staging.find(page) {
      buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: staged[offset..<(offset + buffer.count)]))
    } else if buffer.count == pageSize {
      try readBase(page, into: buffer)
    } else {
      try withPage { (whole: UnsafeMutableRawBufferPointer) throws(VolumeError) in
        try readBase(page, into: whole)
        buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: whole[offset..<(offset + buffer.count)]))
      }
    }
  }
  private func withPage(_ body: (UnsafeMutableRawBufferPointer) throws(VolumeError) -> Void) throws(VolumeError) {
    let whole = UnsafeMutableRawBufferPointer.allocate(byteCount: pageSize, alignment: 16)
    defer { whole.deallocate() }
    try body(whole)
  }
  /// A page as it is without what this transaction has staged.
  func readBase(_ page: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(VolumeError) {
    let (start, end) = (page * UInt64(pageSize), (page + 1) * UInt64(pageSize))
    let end0 = min(view.size, staging.kept)
    guard let object = view.object, start < end0 else {
      buffer.initializeMemory(as: UInt8.self, repeating: 0)
      return
    }
    let id = PageID(object: object, index: page)
    if let snapshot {
      try snapshot.read(id, at: moment, into: buffer)
    } else {
      _ = try vfs.origin.space.read(id, into: buffer)
    }
    guard end0 < end else { return }
    UnsafeMutableRawBufferPointer(rebasing: buffer[Int(end0 - start)...])
      .initializeMemory(as: UInt8.self, repeating: 0)
  }

  // MARK: Writing

  func write(at offset: UInt64, _ bytes: UnsafeRawBufferPointer) throws {
    guard holdsWriteLock else {
      throw VolumeError(.invalidArgument, operation: "write", detail: "SQLite wrote without its RESERVED lock")
    }
    var done = 0
    while done < bytes.count {
      let at = offset + UInt64(done)
      let inPage = Int(at % UInt64(pageSize))
      let part = min(pageSize - inPage, bytes.count - done)
      let source = UnsafeRawBufferPointer(rebasing: bytes[done..<(done + part)])
      let page = at / UInt64(pageSize)
      let target = try staging.find(page) ?? addStaged(page, isWhole: part == pageSize)
      UnsafeMutableRawBufferPointer(rebasing: target[inPage..<(inPage + part)]).copyMemory(from: source)
      if at == 0 { DatabaseHandle.leaveWAL(target) }
      done += part
    }
    let end = offset + UInt64(bytes.count)
    if end > size { staging.size = end }
  }
  /// A database that was in WAL mode elsewhere is copied in by SQLite's backup: here it is in no such mode.
  ///
  /// The change counter goes up with it, so that the connection that wrote this does not take its cache to be the file.
  private static func leaveWAL(_ header: UnsafeMutableRawBufferPointer) {
    guard header.count >= 100, header[18] == 2 || header[19] == 2 else { return }
    header[18] = 1
    header[19] = 1
    let counter = UInt32(bigEndian: header.loadUnaligned(fromByteOffset: 24, as: UInt32.self)) &+ 1
    header.storeBytes(of: counter.bigEndian, toByteOffset: 24, as: UInt32.self)
    // The size in the header counts as long as it was written for this counter.
    header.storeBytes(of: counter.bigEndian, toByteOffset: 92, as: UInt32.self)
  }
  private func addStaged(_ page: UInt64, isWhole: Bool) throws(VolumeError) -> UnsafeMutableRawBufferPointer {
    guard staging.bytes + pageSize <= vfs.options.transactionBytesMax else {
      throw VolumeError(
        .tooLarge, operation: "write", isFull: true,
        detail: "a transaction may change \(vfs.options.transactionBytesMax >> 20) MiB of pages at most: split it")
    }
    var failure: VolumeError?
    let target = staging.add(page) { target in
      if isWhole { return }
      do throws(VolumeError) { try readBase(page, into: target) } catch { failure = error }
    }
    if let failure { throw failure }
    return target
  }
  func truncate(to size: UInt64) throws {
    guard holdsWriteLock else {
      throw VolumeError(.invalidArgument, operation: "truncate", detail: "SQLite cut without its RESERVED lock")
    }
    guard size < self.size else {
      staging.size = size
      return
    }
    let inPage = Int(size % UInt64(pageSize))
    if inPage > 0 {
      let page = size / UInt64(pageSize)
      let target = try staging.find(page) ?? addStaged(page, isWhole: false)
      UnsafeMutableRawBufferPointer(rebasing: target[inPage...]).initializeMemory(as: UInt8.self, repeating: 0)
    }
    staging.truncate(to: size)
  }
}
