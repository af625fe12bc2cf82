import Borealis
import BorealisCore
import BorealisFileSystem
import BorealisRuntime
import BorealisSQLite
import CBorealisSQLite
import Testing

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// A volume in memory with a file system, and SQLite on it.
final class Instance {
  let fleet: StorageFleet
  let volume: Volume
  let files: VolumeFileSystem
  let vfs: SQLiteVFS

  /// A new volume.
  convenience init(cache: ByteCount = .mebibytes(16), pageSize: Int = 8192) throws {
    let fleet = try StorageFleet.inMemory(configuration: StorageNodeConfiguration(pageSize: pageSize))
    var options = VolumeOptions()
    options.cacheBytes = cache
    let volume = try Volume.create(on: fleet, options: options)
    try self.init(fleet, volume, try VolumeFileSystem.format(on: volume))
  }
  init(_ fleet: StorageFleet, _ volume: Volume, _ files: VolumeFileSystem) throws {
    self.fleet = fleet
    self.volume = volume
    self.files = files
    vfs = try SQLiteVFS(writer: files)
  }
  /// The next writer, on the same storage: fences this one.
  func successor() throws -> Instance {
    let volume = try Volume.open(on: fleet)
    return try Instance(fleet, volume, try VolumeFileSystem.mount(volume))
  }
  func session(_ path: String = "/test.db") throws -> SQLiteSession { try SQLiteSession(vfs, path) }
  /// A connection that knows nothing of volumes.
  func raw(_ path: String = "/test.db") throws -> RawConnection { try RawConnection(path, vfs: vfs.name) }
}

/// SQLite's C interface with nothing of ours: what any program does.
final class RawConnection: @unchecked Sendable {
  // @unchecked: SQLite's serialized mode.
  let handle: OpaquePointer
  init(_ path: String, vfs: String?) throws {
    var opened: OpaquePointer?
    let code = sqlite3_open_v2(path, &opened, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, vfs)
    guard code == SQLITE_OK, let opened else {
      sqlite3_close(opened)
      throw SQLiteError(code: code, message: "open")
    }
    handle = opened
    sqlite3_extended_result_codes(opened, 1)
  }
  deinit { sqlite3_close_v2(handle) }
  func execute(_ sql: String) throws {
    let code = sqlite3_exec(handle, sql, nil, nil, nil)
    guard code == SQLITE_OK else {
      throw SQLiteError(code: code, message: String(cString: sqlite3_errmsg(handle)), sql: sql)
    }
  }
  /// Rows as text, columns by `|`.
  func query(_ sql: String) throws -> [String] {
    var statement: OpaquePointer?
    let code = sqlite3_prepare_v2(handle, sql, -1, &statement, nil)
    guard code == SQLITE_OK else {
      throw SQLiteError(code: code, message: String(cString: sqlite3_errmsg(handle)), sql: sql)
    }
    defer { sqlite3_finalize(statement) }
    var rows: [String] = []
    while true {
      switch sqlite3_step(statement) {
      case SQLITE_ROW:
        rows.append(
          (0..<sqlite3_column_count(statement)).map { column in
            sqlite3_column_text(statement, column).map { String(cString: $0) } ?? "NULL"
          }.joined(separator: "|"))
      case SQLITE_DONE: return rows
      case let code: throw SQLiteError(code: code, message: String(cString: sqlite3_errmsg(handle)), sql: sql)
      }
    }
  }
}

/// The code of the SQLite error that `body` throws; 0 where it throws none.
func codeOf(_ body: () throws -> Void) -> Int32 {
  do {
    try body()
    return SQLITE_OK
  } catch { return (error as? SQLiteError)?.extendedCode ?? -1 }
}

func integer(_ session: SQLiteSession, _ sql: String) throws -> Int64 { try session.query(sql)[0].get(0) }
