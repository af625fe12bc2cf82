import BorealisCore
import CBorealisSQLite

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// A VFS as the SQLite library knows it.
final class VFSRegistration: @unchecked Sendable {
  // @unchecked: the structure is written here once, before SQLite knows it, and then belongs to SQLite.

  private let vfs: UnsafeMutablePointer<sqlite3_vfs>
  /// Databases take this many bytes of path, the longest that a file system here makes sense of.
  private static let pathMax: Int32 = 4096

  init(_ owner: SQLiteVFS, name: String) {
    // Never given back: a connection may look at it for as long as the process runs.
    vfs = .allocate(capacity: 1)
    vfs.initialize(to: sqlite3_vfs())
    // Programs that know nothing of us name the VFS in a URI. Too late where SQLite is in use: `readsURIs` tells.
    _ = borealis_sqlite_enable_uris()
    sqlite3_initialize()
    guard let base = sqlite3_vfs_find(nil) else { preconditionFailure("SQLite has no VFS of its own") }
    vfs.pointee.iVersion = 2
    vfs.pointee.szOsFile = max(Int32(MemoryLayout<borealis_sqlite_file>.size), base.pointee.szOsFile)
    vfs.pointee.mxPathname = VFSRegistration.pathMax
    vfs.pointee.zName = UnsafePointer(borealis_sqlite_text(name))
    vfs.pointee.pAppData = Unmanaged.passUnretained(owner).toOpaque()
    // Clock, randomness and sleep are the library's own; they look at no VFS.
    vfs.pointee.xDlOpen = base.pointee.xDlOpen
    vfs.pointee.xDlError = base.pointee.xDlError
    vfs.pointee.xDlSym = base.pointee.xDlSym
    vfs.pointee.xDlClose = base.pointee.xDlClose
    vfs.pointee.xRandomness = base.pointee.xRandomness
    vfs.pointee.xSleep = base.pointee.xSleep
    vfs.pointee.xCurrentTime = base.pointee.xCurrentTime
    vfs.pointee.xCurrentTimeInt64 = base.pointee.xCurrentTimeInt64
    vfs.pointee.xGetLastError = { _, _, _ in 0 }
    vfs.pointee.xOpen = { vfs, name, file, flags, out in VFSRegistration.open(vfs, name, file, flags, out) }
    vfs.pointee.xDelete = { vfs, name, _ in VFSRegistration.delete(vfs, name) }
    vfs.pointee.xAccess = { vfs, name, _, result in VFSRegistration.access(vfs, name, result) }
    vfs.pointee.xFullPathname = { _, name, count, out in VFSRegistration.fullPath(name, count, out) }
    let code = sqlite3_vfs_register(vfs, 0)
    precondition(code == SQLITE_OK, "SQLite cannot register a VFS: \(code)")
  }
  /// SQLite forgets it: no connection can be opened with it any more.
  func end() { sqlite3_vfs_unregister(vfs) }

  private static func owner(_ vfs: UnsafeMutablePointer<sqlite3_vfs>?) -> SQLiteVFS? {
    vfs?.pointee.pAppData.map { Unmanaged<SQLiteVFS>.fromOpaque($0).takeUnretainedValue() }
  }
  /// Whether SQLite means a journal of its own, which the volume never holds.
  private static func isJournal(_ path: String) -> Bool { path.hasSuffix("-journal") || path.hasSuffix("-wal") }

  private static func open(
    _ vfs: UnsafeMutablePointer<sqlite3_vfs>?, _ name: UnsafePointer<CChar>?,
    _ file: UnsafeMutablePointer<sqlite3_file>?, _ flags: Int32, _ out: UnsafeMutablePointer<Int32>?
  ) -> Int32 {
    guard let owner = owner(vfs), let file else { return SQLITE_MISUSE }
    file.pointee.pMethods = nil
    guard flags & SQLITE_OPEN_MAIN_DB != 0, let name else {
      // Journals and temporary files are private: in a local file that has no name.
      guard let base = sqlite3_vfs_find(nil) else { return SQLITE_ERROR }
      let kinds = SQLITE_OPEN_TEMP_DB | SQLITE_OPEN_TRANSIENT_DB | SQLITE_OPEN_TEMP_JOURNAL | SQLITE_OPEN_SUBJOURNAL
      let kind = flags & kinds != 0 ? flags & kinds : SQLITE_OPEN_TEMP_JOURNAL
      let all = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_EXCLUSIVE | SQLITE_OPEN_DELETEONCLOSE | kind
      var given: Int32 = 0
      let code = base.pointee.xOpen(base, nil, file, all, &given)
      out?.pointee = given
      return code
    }
    do {
      let handle = try owner.open(String(cString: name), flags: flags)
      // "In memory" makes SQLite keep the rollback journal in memory, also of attached databases.
      var given = flags | SQLITE_OPEN_MEMORY
      if owner.isReadOnly { given = given & ~(SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE) | SQLITE_OPEN_READONLY }
      out?.pointee = given
      file.withMemoryRebound(to: borealis_sqlite_file.self, capacity: 1) { file in
        file.pointee.object = Unmanaged.passRetained(handle).toOpaque()
        file.pointee.base.pMethods = UnsafePointer(FileMethods.table)
      }
      return SQLITE_OK
    } catch {
      let code = SQLiteErrorCode.code(for: error, .open)
      borealis_sqlite_log(code, "\(error)")
      return code
    }
  }
  private static func delete(_ vfs: UnsafeMutablePointer<sqlite3_vfs>?, _ name: UnsafePointer<CChar>?) -> Int32 {
    guard let owner = owner(vfs), let name else { return SQLITE_MISUSE }
    let path = String(cString: name)
    if isJournal(path) { return SQLITE_OK }
    do { try owner.remove(path) } catch { return SQLiteErrorCode.code(for: error, .write) }
    return SQLITE_OK
  }
  private static func access(
    _ vfs: UnsafeMutablePointer<sqlite3_vfs>?, _ name: UnsafePointer<CChar>?, _ result: UnsafeMutablePointer<Int32>?
  ) -> Int32 {
    guard let owner = owner(vfs), let name else { return SQLITE_MISUSE }
    result?.pointee = 0
    // Called for each transaction: is there a hot journal, a WAL? Never.
    let path = UnsafeBufferPointer(start: name, count: strlen(name))
    if ends(path, "-journal") || ends(path, "-wal") { return SQLITE_OK }
    do { result?.pointee = try owner.exists(String(cString: name)) ? 1 : 0 } catch {
      return SQLiteErrorCode.code(for: error, .read)
    }
    return SQLITE_OK
  }
  private static func ends(_ path: UnsafeBufferPointer<CChar>, _ suffix: StaticString) -> Bool {
    let count = suffix.utf8CodeUnitCount
    guard path.count >= count else { return false }
    for i in 0..<count where UInt8(bitPattern: path[path.count - count + i]) != suffix.utf8Start[i] { return false }
    return true
  }
  private static func fullPath(
    _ name: UnsafePointer<CChar>?, _ count: Int32, _ out: UnsafeMutablePointer<CChar>?
  ) -> Int32 {
    guard let name, let out else { return SQLITE_MISUSE }
    var parts: [Substring] = []
    for part in String(cString: name).split(separator: "/") where part != "." {
      if part == ".." { _ = parts.popLast() } else { parts.append(part) }
    }
    let path = Array(("/" + parts.joined(separator: "/")).utf8CString)
    guard path.count <= Int(count) else { return SQLITE_CANTOPEN }
    for i in path.indices { out[i] = path[i] }
    return SQLITE_OK
  }
}
