public import BorealisSQLite
import CBorealisSQLite
import Foundation

/// Runs a shell's statements on a session in this process.
public final class SessionExecutor: SQLExecutor {
  private let session: SQLiteSession

  /// Makes one; the session is used by nobody else meanwhile.
  public init(_ session: SQLiteSession) { self.session = session }

  /// Whether a transaction is under way.
  public var isInTransaction: Bool { !session.isAutocommit }
  /// Ends the statement that runs.
  public func interrupt() { sqlite3_interrupt(session.handle) }

  /// Runs one statement; rows of one that writes come when it is durable.
  public func run(_ sql: String, _ sink: (SQLResultPart) throws -> Void) throws -> SQLSummary {
    let start = ContinuousClock.now
    let shape = try session.describe(sql)
    if !shape.columns.isEmpty { try sink(.columns(shape.columns)) }
    guard shape.isReadOnly else {
      let before = sqlite3_total_changes64(session.handle)
      for row in try session.query(sql) { try sink(.row(row.values)) }
      let isChange = sqlite3_total_changes64(session.handle) != before
      return SQLSummary(
        changes: isChange ? Int(sqlite3_changes64(session.handle)) : 0, elapsed: ContinuousClock.now - start)
    }
    var failure: (any Error)?
    try session.forEachRow(sql) { row in
      do { try sink(.row(row.values)) } catch { failure = error }
      return failure == nil
    }
    if let failure { throw failure }
    return SQLSummary(changes: nil, elapsed: ContinuousClock.now - start)
  }

  // MARK: Import

  /// Copies a database from a file with SQLite's backup, as one transaction.
  public func importDatabase(_ path: String, replacing: Bool) throws -> SQLImportReport {
    guard session.isAutocommit else {
      throw SQLiteError(code: SQLITE_MISUSE, message: "an import cannot be part of a transaction")
    }
    let held = try count("SELECT count(*) FROM sqlite_master")
    guard held == 0 || replacing else {
      throw SQLiteError(
        code: SQLITE_MISUSE, message: "the database is not empty: .import \(path) --replace throws away what it holds")
    }
    guard FileManager.default.fileExists(atPath: path) else {
      throw SQLiteError(code: SQLITE_CANTOPEN, message: "there is no file \(path)")
    }
    let source = try SQLiteSession(localFile: path)
    defer { source.close() }
    let pageSize = try source.query("PRAGMA page_size")[0].get(0, as: Int.self)
    let ownSize = try count("PRAGMA page_size")
    if held > 0, pageSize != ownSize {
      try copyThroughFile(of: source, pageSize: ownSize)
    } else {
      try copy(source)
    }
    let tables = try session.query(
      "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'")
    var rows = 0
    for table in tables { rows += try count("SELECT count(*) FROM \(SQLDump.identifier(table.get(0)))") }
    let bytes = try count("PRAGMA page_count") * count("PRAGMA page_size")
    return SQLImportReport(tables: tables.count, rows: rows, bytes: bytes)
  }
  private func count(_ sql: String) throws -> Int { try session.query(sql)[0].get(0) }

  /// A database that holds something keeps its page size: the copy is made in that size first.
  private func copyThroughFile(of source: SQLiteSession, pageSize: Int) throws {
    let temporary = NSTemporaryDirectory() + "borealis-import-\(UUID().uuidString).db"
    defer { try? FileManager.default.removeItem(atPath: temporary) }
    try source.execute("PRAGMA page_size = \(pageSize)")
    try source.execute("VACUUM INTO ?", temporary)
    let whole = try SQLiteSession(localFile: temporary)
    defer { whole.close() }
    try copy(whole)
  }
  /// SQLite's backup, from beginning to end.
  private func copy(_ source: SQLiteSession) throws {
    // Nobody tells the VFS what is coming: COMMIT returns when all is durable.
    var intent = SQLiteIntent.undeclared.rawValue
    _ = sqlite3_file_control(session.handle, "main", SQLiteFileControl.intent, &intent)
    guard let backup = sqlite3_backup_init(session.handle, "main", source.handle, "main") else {
      throw failure(sqlite3_errcode(session.handle))
    }
    let code = sqlite3_backup_step(backup, -1)
    let ended = sqlite3_backup_finish(backup)
    guard code == SQLITE_DONE, ended == SQLITE_OK else { throw failure(code == SQLITE_DONE ? ended : code) }
  }
  private func failure(_ code: Int32) -> SQLiteError {
    var message = String(cString: sqlite3_errstr(code))
    if code == SQLITE_FULL { message += ": an import is one transaction; `borealis fs put` copies larger files" }
    return SQLiteError(code: code, message: message)
  }
}
