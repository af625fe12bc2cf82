public import BorealisComputeEngine
import BorealisCore
import BorealisRuntime
import BorealisVolume
import CBorealisSQLite

/// A connection to a database on a volume, for one thread at a time: every call blocks.
///
/// Statements say beforehand whether they write. So a writer waits for its turn in line, lets the next one go on as soon
/// as its transaction is submitted, and only then waits until it is durable: many sessions share the flushes of the
/// storage. Nothing is returned before it is durable: neither that a transaction is committed nor what was read.
/// `SQLiteConnection` is the same for tasks.
public final class SQLiteSession {
  /// What a transaction may do.
  public enum TransactionKind: Sendable {
    /// Reads, all at one moment.
    case read
    /// Reads and writes; waits for its turn first.
    case write
  }
  private static let statementsMax = 64

  /// SQLite's own handle, for what is not here; to be used on the session's thread.
  public let handle: OpaquePointer
  /// The VFS of the database; nil for a local file.
  public let vfs: SQLiteVFS?
  private let scope: ConnectionScope?
  private var statements: [String: SQLiteStatement] = [:]
  private var order: [String] = []
  /// The transaction under way was begun by `transaction` and only reads.
  private var isReading = false

  /// Opens a database on a volume; the writer makes it where there is none.
  ///
  /// - Parameter busyTimeoutMilliseconds: how long a transaction waits for its turn to write.
  /// - Throws: `SQLITE_CANTOPEN` where there is no such database (reader), or its path is no file.
  public convenience init(
    _ vfs: SQLiteVFS, _ path: String, busyTimeoutMilliseconds: UInt64 = 5000
  ) throws(SQLiteError) {
    try self.init(path, vfs: vfs, busyTimeoutMilliseconds)
  }
  /// Opens a database on the local file system, with the same interface: what a test or a benchmark compares with.
  public convenience init(localFile path: String, busyTimeoutMilliseconds: UInt64 = 5000) throws(SQLiteError) {
    try self.init(path, vfs: nil, busyTimeoutMilliseconds)
  }
  private init(_ path: String, vfs: SQLiteVFS?, _ timeout: UInt64) throws(SQLiteError) {
    var opened: OpaquePointer?
    let flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX
    let code = sqlite3_open_v2(path, &opened, flags, vfs?.name)
    guard code == SQLITE_OK, let opened else {
      let message = opened.map { String(cString: sqlite3_errmsg($0)) } ?? "out of memory"
      sqlite3_close_v2(opened)
      throw SQLiteError(code: code, message: "\(message): \(path)")
    }
    sqlite3_extended_result_codes(opened, 1)
    // On a volume the VFS waits, in line; SQLite's own way is to sleep and try again.
    if vfs == nil { sqlite3_busy_timeout(opened, Int32(clamping: timeout)) }
    handle = opened
    self.vfs = vfs
    scope = vfs?.scope(of: opened)
    scope?.lockTimeoutMilliseconds = timeout
  }
  deinit { close() }
  private var isClosed = false
  /// Closes the connection; what was not committed is rolled back.
  public func close() {
    guard !isClosed else { return }
    isClosed = true
    statements = [:]
    sqlite3_close_v2(handle)
  }

  // MARK: Statements

  /// Runs statements and throws rows away; the parameters are those of the first one.
  ///
  /// - Returns: rows changed by the last one. - Throws: SQLite's error; what came before the one that failed is done.
  @discardableResult
  public func execute(_ sql: String, _ parameters: any SQLiteConvertible...) throws(SQLiteError) -> Int {
    try execute(sql, parameters: parameters.map(\.sqlValue))
  }
  /// `execute` with the parameters in an array.
  @discardableResult
  public func execute(_ sql: String, parameters: [SQLiteValue]) throws(SQLiteError) -> Int {
    try run(sql, parameters) { _ in true }
    return Int(sqlite3_changes64(handle))
  }
  /// Runs one statement and gives all its rows.
  public func query(_ sql: String, _ parameters: any SQLiteConvertible...) throws(SQLiteError) -> [SQLiteRow] {
    try query(sql, parameters: parameters.map(\.sqlValue))
  }
  /// `query` with the parameters in an array.
  public func query(_ sql: String, parameters: [SQLiteValue]) throws(SQLiteError) -> [SQLiteRow] {
    var rows: [SQLiteRow] = []
    try run(sql, parameters) { row in
      rows.append(row())
      return true
    }
    return rows
  }
  /// Runs a statement that only reads, row by row, until `body` says false.
  ///
  /// - Throws: `SQLITE_MISUSE` for a statement that writes: its rows must wait until it is durable (`query`).
  public func forEachRow(
    _ sql: String, parameters: [SQLiteValue] = [], _ body: (SQLiteRow) -> Bool
  ) throws(SQLiteError) {
    guard try statement(sql).isReadOnly else {
      throw SQLiteError(code: SQLITE_MISUSE, message: "rows of a statement that writes come all at once", sql: sql)
    }
    try run(sql, parameters) { body($0()) }
  }

  /// The columns that a statement will give, and whether it only reads; runs nothing.
  public func describe(_ sql: String) throws(SQLiteError) -> (columns: [String], isReadOnly: Bool) {
    if isAutocommit { scope?.intent = .read }
    let prepared = try statement(sql)
    return (prepared.columns, prepared.isReadOnly)
  }
  /// Whether a statement only reads.
  func isReadOnly(_ sql: String) throws(SQLiteError) -> Bool { try statement(sql).isReadOnly }
  private func statement(_ sql: String) throws(SQLiteError) -> SQLiteStatement {
    if let known = statements[sql] { return known }
    let (code, prepared, _) = SQLiteStatement.prepare(handle, sql[...])
    guard code == SQLITE_OK else { throw error(code, sql) }
    guard let prepared else { throw SQLiteError(code: SQLITE_MISUSE, message: "there is no statement", sql: sql) }
    return prepared
  }
  private func run(
    _ sql: String, _ parameters: [SQLiteValue], _ body: (() -> SQLiteRow) -> Bool
  ) throws(SQLiteError) {
    if let known = statements.removeValue(forKey: sql) {
      defer { statements[sql] = known }
      return try run(known, parameters, body)
    }
    var rest = sql[...]
    var isFirst = true
    while true {
      if isAutocommit { scope?.intent = .read }
      let (code, prepared, after) = SQLiteStatement.prepare(handle, rest)
      guard code == SQLITE_OK else { throw error(code, sql) }
      guard let prepared else { return }
      let isWhole = isFirst && after.allSatisfy(\.isWhitespace)
      try run(prepared, isFirst ? parameters : [], body)
      if isWhole { return keep(prepared, sql) }
      isFirst = false
      rest = after
    }
  }
  private func keep(_ statement: SQLiteStatement, _ sql: String) {
    statements[sql] = statement
    order.append(sql)
    if order.count > SQLiteSession.statementsMax { statements[order.removeFirst()] = nil }
  }
  private func run(
    _ statement: SQLiteStatement, _ parameters: [SQLiteValue], _ body: (() -> SQLiteRow) -> Bool
  ) throws(SQLiteError) {
    guard parameters.count <= statement.parameterCount else {
      throw SQLiteError(
        code: SQLITE_RANGE,
        message: "\(parameters.count) parameters for a statement that has \(statement.parameterCount)",
        sql: statement.sql)
    }
    declare(statement)
    let bound = statement.bind(parameters)
    guard bound == SQLITE_OK else { throw error(bound, statement.sql) }
    var code = statement.step()
    while code == SQLITE_ROW, body({ statement.row() }) { code = statement.step() }
    if code == SQLITE_ROW { code = SQLITE_DONE }
    let failure = code == SQLITE_DONE ? nil : error(code, statement.sql)
    let ended = statement.reset()
    if let failure { throw failure }
    if ended != SQLITE_OK { throw error(ended, statement.sql) }
    if isAutocommit { try settle(statement.sql) }
  }
  /// Tells the VFS what is coming.
  private func declare(_ statement: SQLiteStatement) {
    guard let scope else { return }
    scope.lastError = nil
    if isAutocommit {
      scope.intent = statement.isReadOnly ? .read : .write
    } else if !statement.isReadOnly, !isReading {
      scope.intent = .write
    }
  }
  /// Waits until what was committed or read from a head is durable.
  private func settle(_ sql: String) throws(SQLiteError) {
    guard let scope, let vfs, scope.owed > .zero else { return }
    let owed = scope.owed
    scope.owed = .zero
    let start = SystemClock.now
    defer { if scope.intent == .write { vfs.addCommitTime(since: start) } }
    do throws(VolumeError) { try vfs.waitUntilDurable(owed) } catch {
      throw SQLiteError(
        code: SQLITE_IOERR | 4 << 8, message: "the transaction was submitted and did not become durable", sql: sql,
        isOutcomeUnknown: true, volumeError: error)
    }
  }
  private func error(_ code: Int32, _ sql: String) -> SQLiteError {
    let cause = SQLiteError.volumeError(in: scope?.lastError)
    let isUnknown = cause?.outcome == .unknown && code & 0xFF == SQLITE_IOERR
    return SQLiteError(
      code: code, message: String(cString: sqlite3_errmsg(handle)), sql: sql, isOutcomeUnknown: isUnknown,
      volumeError: code & 0xFF == SQLITE_BUSY ? nil : cause)
  }

  // MARK: Transactions

  /// Whether no transaction is under way.
  public var isAutocommit: Bool { sqlite3_get_autocommit(handle) != 0 }
  /// The row id of the last row inserted.
  public var lastInsertRowID: Int64 { sqlite3_last_insert_rowid(handle) }

  /// Runs `body` as one transaction: all of it is committed, or, where it throws, nothing.
  ///
  /// Within a transaction it is a savepoint of that. The result is returned when the transaction is durable.
  /// - Throws: what `body` throws; `SQLITE_BUSY` where its turn did not come in time; where `isOutcomeUnknown`, it may
  ///   have been committed.
  public func transaction<T>(_ kind: TransactionKind = .write, _ body: () throws -> T) throws -> T {
    guard isAutocommit else { return try savepoint(body) }
    switch kind {
    case .read: try execute("BEGIN")
    case .write: try execute("BEGIN IMMEDIATE")
    }
    isReading = kind == .read
    defer { isReading = false }
    let result: T
    do {
      result = try body()
      if !isAutocommit { try execute("COMMIT") }
    } catch {
      if !isAutocommit { _ = try? execute("ROLLBACK") }
      scope?.owed = .zero
      throw error
    }
    return result
  }
  private func savepoint<T>(_ body: () throws -> T) throws -> T {
    try execute("SAVEPOINT borealis")
    do {
      let result = try body()
      try execute("RELEASE borealis")
      return result
    } catch {
      if !isAutocommit { _ = try? execute("ROLLBACK TO borealis; RELEASE borealis") }
      throw error
    }
  }
}
