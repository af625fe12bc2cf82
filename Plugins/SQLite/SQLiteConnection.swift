public import BorealisComputeEngine
import BorealisCore
import BorealisRuntime
import CBorealisSQLite
import Synchronization

/// A connection to a database on a volume, for tasks: calls suspend, and run one after the other on a thread of its own.
///
///     let db = try await SQLiteConnection(vfs, "/orders.db")
///     try await db.execute("INSERT INTO orders (what) VALUES (?)", "tea")     // durable on a write quorum
///     for try await row in db.query("SELECT id, what FROM orders") { print(row["what"] ?? .null) }
///
/// Who has a thread to block uses `SQLiteSession` instead, or the methods named `blocking`.
public final class SQLiteConnection: Sendable {
  private let queue = SessionQueue<SQLiteSession>()

  /// Opens a database; the writer makes it where there is none.
  public init(
    _ vfs: SQLiteVFS, _ path: String, busyTimeoutMilliseconds: UInt64 = 5000
  ) async throws(SQLiteError) {
    try await queue.start { () throws(SQLiteError) in
      try SQLiteSession(vfs, path, busyTimeoutMilliseconds: busyTimeoutMilliseconds)
    } end: {
      $0.close()
    }
  }
  deinit { queue.close() }

  /// Closes the connection after what was asked before; later calls fail with `SQLITE_MISUSE`.
  public func close() { queue.close() }

  /// Runs `body` with the connection's session, on its thread.
  public func perform<T: Sendable>(_ body: @escaping @Sendable (SQLiteSession) throws -> T) async throws -> T {
    try await queue.perform(SQLiteConnection.closed, body)
  }
  /// Runs `body` with the connection's session, and blocks the calling thread meanwhile.
  public func blockingPerform<T: Sendable>(_ body: @escaping @Sendable (SQLiteSession) throws -> T) throws -> T {
    let done = ThreadSignal()
    let result = Mutex<Result<T, any Error>?>(nil)
    queue.add { session in
      let value = Result<T, any Error> {
        guard let session else { throw SQLiteConnection.closed }
        return try body(session)
      }
      result.withLock { $0 = value }
      done.raise()
    }
    done.wait()
    guard let value = result.withLock({ $0 }) else { throw SQLiteConnection.closed }
    return try value.get()
  }
  private static var closed: SQLiteError { SQLiteError(code: SQLITE_MISUSE, message: "the connection is closed") }

  /// Runs statements and throws rows away; returns when they are durable.
  ///
  /// - Returns: rows changed by the last one. - Throws: `SQLiteError`.
  @discardableResult
  public func execute(_ sql: String, _ parameters: any SQLiteConvertible...) async throws(SQLiteError) -> Int {
    let values = parameters.map(\.sqlValue)
    return try await typed { session throws(SQLiteError) in try session.execute(sql, parameters: values) }
  }
  /// Runs a statement when its rows are asked for.
  ///
  /// Rows of a statement that only reads come as they are found, all of one moment; those of a statement that writes,
  /// when it is durable. No other call of this connection runs before the last row, or the end of the loop.
  public func query(_ sql: String, _ parameters: any SQLiteConvertible...) -> SQLiteRows {
    SQLiteRows(connection: self, sql: sql, parameters: parameters.map(\.sqlValue))
  }
  /// Runs a statement and gives all its rows.
  public func rows(_ sql: String, _ parameters: any SQLiteConvertible...) async throws(SQLiteError) -> [SQLiteRow] {
    let values = parameters.map(\.sqlValue)
    return try await typed { session throws(SQLiteError) in try session.query(sql, parameters: values) }
  }
  /// Runs `body` as one transaction on the connection's thread: all of it is committed, or, where it throws, nothing.
  ///
  /// `body` uses the session that it is given, and does not wait for tasks. The result comes when it is durable.
  public func transaction<T: Sendable>(
    _ kind: SQLiteSession.TransactionKind = .write, _ body: @escaping @Sendable (SQLiteSession) throws -> T
  ) async throws -> T {
    try await perform { session in try session.transaction(kind) { try body(session) } }
  }

  private func typed<T: Sendable>(
    _ body: @escaping @Sendable (SQLiteSession) throws(SQLiteError) -> T
  ) async throws(SQLiteError) -> T {
    let result: Result<T, SQLiteError> = await withCheckedContinuation { continuation in
      queue.add { session in
        guard let session else { return continuation.resume(returning: .failure(SQLiteConnection.closed)) }
        do throws(SQLiteError) { continuation.resume(returning: .success(try body(session))) } catch {
          continuation.resume(returning: .failure(error))
        }
      }
    }
    return try result.get()
  }
  /// Runs a statement that gives its rows as they are asked for.
  ///
  /// - Parameter finished: called once, on the connection's thread and before the last answer, with whether a transaction
  ///   is open then, and whether the statement failed.
  func feed(
    _ sql: String, parameters: [SQLiteValue],
    finished: (@Sendable (_ isInTransaction: Bool, _ failed: Bool) -> Void)? = nil
  ) -> RowFeed<SQLiteRow, SQLiteError> {
    let closed = SQLiteError(code: SQLITE_MISUSE, message: "the connection is closed", sql: sql)
    return RowFeed(queue, batch: 64, closed: closed) { session, sink throws(SQLiteError) in
      guard try session.isReadOnly(sql) else { return sink.rows = try session.query(sql, parameters: parameters) }
      try session.forEachRow(sql, parameters: parameters) { row in
        sink.rows.append(row)
        return sink.handOverBatch()
      }
    } finished: { session, error in
      finished?(session.map { !$0.isAutocommit } ?? false, error != nil)
      return error
    }
  }
}
