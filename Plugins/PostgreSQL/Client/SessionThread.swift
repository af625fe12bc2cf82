import BorealisComputeEngine

/// A connection of libpq on a thread of its own.
final class SessionThread: Sendable {
  private let queue = SessionQueue<PQSession>()
  let cutter = PQSession.Cutter()

  /// Connects on the thread.
  static func connect(
    _ target: ConnectionTarget, instance: String?, timeoutMilliseconds: UInt64 = 10_000,
    onCommitSent: (@Sendable () -> Void)? = nil
  ) async throws(SQLError) -> SessionThread {
    let thread = SessionThread()
    let cutter = thread.cutter
    try await thread.queue.start { () throws(SQLError) in
      let session = try PQSession(
        target, instance: instance, cutter: cutter, timeoutMilliseconds: timeoutMilliseconds)
      if let onCommitSent { session.onCommitSent = { onCommitSent() } }
      return session
    } end: {
      $0.close()
    }
    return thread
  }

  /// Runs `body` on the thread, and gives what it gives.
  func perform<T: Sendable>(_ body: @escaping @Sendable (PQSession) throws -> T) async throws -> T {
    try await queue.perform(SQLError(.connectionLost, "the connection is closed"), body)
  }
  /// Ends the connection; the statement under way fails.
  func close() {
    queue.close()
    cutter.cut()
  }
  /// Runs a statement that gives its rows as they are asked for.
  ///
  /// - Parameter finished: see `RowFeed`; it is told whether a transaction is open then.
  func feed(
    _ sql: String, parameters: [SQLValue],
    finished: @escaping @Sendable (_ isInTransaction: Bool, _ error: SQLError?) -> SQLError?
  ) -> RowFeed<SQLRow, SQLError> {
    RowFeed(queue, batch: 256, closed: SQLError(.connectionLost, "the connection is closed", sql: sql)) {
      session, sink throws(SQLError) in
      try session.forEachRow(sql, parameters: parameters) { more in
        sink.rows += more
        return sink.handOverBatch()
      }
    } finished: { session, error in
      finished(session?.isInTransaction ?? false, error)
    }
  }
}
