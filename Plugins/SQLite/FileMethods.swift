import BorealisCore
import CBorealisSQLite

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// File controls of ours, for any program: `sqlite3_file_control(db, "main", number, &value)`.
public enum SQLiteFileControl {
  /// `Int32`, in: a `SQLiteIntent`.
  public static let intent: Int32 = 0x0B0A_0001
  /// `UInt64`, out: the LSN that must be durable before results are given out; then it is forgotten.
  public static let owed: Int32 = 0x0B0A_0002
  /// `UInt64`, in: milliseconds that a declared writer waits for the write lock.
  public static let lockTimeout: Int32 = 0x0B0A_0003
}

/// The functions that SQLite calls for a database file.
enum FileMethods {
  // Written once, before anybody sees it, and only read from then on.
  nonisolated(unsafe) static let table: UnsafeMutablePointer<sqlite3_io_methods> = {
    let table = UnsafeMutablePointer<sqlite3_io_methods>.allocate(capacity: 1)
    table.initialize(to: sqlite3_io_methods())
    // Version 1: no shared memory, so no WAL, and no memory mapping.
    table.pointee.iVersion = 1
    table.pointee.xClose = { file in close(file) }
    table.pointee.xRead = { file, buffer, count, offset in read(file, buffer, count, offset) }
    table.pointee.xWrite = { file, bytes, count, offset in write(file, bytes, count, offset) }
    table.pointee.xTruncate = { file, size in
      perform(file, .truncate) { try $0.truncate(to: UInt64(max(0, size))) }
    }
    table.pointee.xSync = { _, _ in SQLITE_OK }
    table.pointee.xFileSize = { file, size in
      perform(file, .size) { size?.pointee = Int64(try $0.fileSize()) }
    }
    table.pointee.xLock = { file, level in handle(file)?.lock(to: level) ?? SQLITE_MISUSE }
    table.pointee.xUnlock = { file, level in handle(file)?.unlock(to: level) ?? SQLITE_MISUSE }
    table.pointee.xCheckReservedLock = { file, result in
      result?.pointee = handle(file)?.file?.isReserved == true ? 1 : 0
      return SQLITE_OK
    }
    table.pointee.xFileControl = { file, operation, argument in control(file, operation, argument) }
    // A new database takes this as its page size; one that exists is read in pages of its own.
    table.pointee.xSectorSize = { file in
      guard let handle = handle(file), (try? handle.fileSize()) == 0 else { return 512 }
      return Int32(handle.pageSize)
    }
    table.pointee.xDeviceCharacteristics = { _ in
      SQLITE_IOCAP_SAFE_APPEND | SQLITE_IOCAP_SEQUENTIAL | SQLITE_IOCAP_UNDELETABLE_WHEN_OPEN
    }
    return table
  }()

  private static func handle(_ file: UnsafeMutablePointer<sqlite3_file>?) -> DatabaseHandle? {
    file?.withMemoryRebound(to: borealis_sqlite_file.self, capacity: 1) { file in
      file.pointee.object.map { Unmanaged<DatabaseHandle>.fromOpaque($0).takeUnretainedValue() }
    }
  }
  private static func perform(
    _ file: UnsafeMutablePointer<sqlite3_file>?, _ operation: SQLiteErrorCode.Operation,
    _ body: (DatabaseHandle) throws -> Void
  ) -> Int32 {
    guard let handle = handle(file) else { return SQLITE_MISUSE }
    do { try body(handle) } catch {
      let code = handle.fail(error, operation)
      borealis_sqlite_log(code, "\(error)")
      return code
    }
    return SQLITE_OK
  }

  private static func close(_ file: UnsafeMutablePointer<sqlite3_file>?) -> Int32 {
    file?.withMemoryRebound(to: borealis_sqlite_file.self, capacity: 1) { file in
      guard let object = file.pointee.object else { return }
      file.pointee.object = nil
      file.pointee.base.pMethods = nil
      Unmanaged<DatabaseHandle>.fromOpaque(object).takeRetainedValue().close()
    }
    return SQLITE_OK
  }
  private static func read(
    _ file: UnsafeMutablePointer<sqlite3_file>?, _ buffer: UnsafeMutableRawPointer?, _ count: Int32, _ offset: Int64
  ) -> Int32 {
    var isShort = false
    let code = perform(file, .read) { handle in
      let target = UnsafeMutableRawBufferPointer(start: buffer, count: Int(count))
      isShort = try handle.read(at: UInt64(offset), into: target) < Int(count)
    }
    return code == SQLITE_OK && isShort ? SQLITE_IOERR | 2 << 8 : code
  }
  private static func write(
    _ file: UnsafeMutablePointer<sqlite3_file>?, _ bytes: UnsafeRawPointer?, _ count: Int32, _ offset: Int64
  ) -> Int32 {
    perform(file, .write) {
      try $0.write(at: UInt64(offset), UnsafeRawBufferPointer(start: bytes, count: Int(count)))
    }
  }

  // MARK: File controls

  private static func control(
    _ file: UnsafeMutablePointer<sqlite3_file>?, _ operation: Int32, _ argument: UnsafeMutableRawPointer?
  ) -> Int32 {
    guard let handle = handle(file) else { return SQLITE_MISUSE }
    switch operation {
    case SQLITE_FCNTL_PDB:
      if let connection = argument?.load(as: OpaquePointer?.self) {
        handle.vfs.join(handle, connection: UInt(bitPattern: connection))
      }
      return SQLITE_OK
    case SQLITE_FCNTL_SYNC:
      if handle.holdsWriteLock, !handle.staging.isEmpty { handle.isPrepared = true }
      return SQLITE_OK
    case SQLITE_FCNTL_COMMIT_PHASETWO: return handle.commitPhaseTwo()
    case SQLITE_FCNTL_PRAGMA:
      return argument.map { pragma(handle, $0.assumingMemoryBound(to: UnsafeMutablePointer<CChar>?.self)) }
        ?? SQLITE_NOTFOUND
    case SQLITE_FCNTL_VFSNAME:
      argument?.storeBytes(of: borealis_sqlite_text(handle.vfs.name), as: UnsafeMutablePointer<CChar>?.self)
      return SQLITE_OK
    case SQLITE_FCNTL_HAS_MOVED:
      argument?.storeBytes(of: 0, as: Int32.self)
      return SQLITE_OK
    case SQLiteFileControl.intent:
      guard let value = argument?.load(as: Int32.self), let intent = SQLiteIntent(rawValue: value) else {
        return SQLITE_MISUSE
      }
      handle.scope.intent = intent
      return SQLITE_OK
    case SQLiteFileControl.owed:
      argument?.storeBytes(of: handle.scope.owed.value, as: UInt64.self)
      handle.scope.owed = .zero
      return SQLITE_OK
    case SQLiteFileControl.lockTimeout:
      guard let value = argument?.load(as: UInt64.self) else { return SQLITE_MISUSE }
      handle.scope.lockTimeoutMilliseconds = value
      return SQLITE_OK
    default: return SQLITE_NOTFOUND
    }
  }
  /// `PRAGMA journal_mode` is ours: the journal is in memory, and a WAL there cannot be.
  private static func pragma(
    _ handle: DatabaseHandle, _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
  ) -> Int32 {
    guard let name = arguments[1], strcasecmp(name, "journal_mode") == 0 else { return SQLITE_NOTFOUND }
    if let value = arguments[2], strcasecmp(value, "wal") == 0 {
      arguments[0] = borealis_sqlite_text(
        "journal_mode=WAL is not for a volume: a commit is one write there, and readers never wait")
      return SQLITE_ERROR
    }
    arguments[0] = borealis_sqlite_text("memory")
    return SQLITE_OK
  }
}
