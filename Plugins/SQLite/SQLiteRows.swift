import BorealisComputeEngine
import BorealisRuntime
import CBorealisSQLite
import Synchronization

/// The rows of a statement, as they come.
public struct SQLiteRows: AsyncSequence, Sendable {
  /// A row.
  public typealias Element = SQLiteRow
  /// Why the statement failed.
  public typealias Failure = SQLiteError
  let connection: SQLiteConnection
  let sql: String
  let parameters: [SQLiteValue]

  /// Runs the statement.
  public func makeAsyncIterator() -> Iterator {
    Iterator(feed: RowFeed(connection: connection, sql: sql, parameters: parameters))
  }
  /// The rows of one run.
  public struct Iterator: AsyncIteratorProtocol {
    private let feed: RowFeed
    private var rows: ArraySlice<SQLiteRow> = []
    init(feed: RowFeed) { self.feed = feed }

    /// The next row; nil after the last one.
    public mutating func next() async throws(SQLiteError) -> SQLiteRow? {
      if let row = rows.popFirst() { return row }
      rows = try await feed.next()[...]
      return rows.popFirst()
    }
    /// The next row; nil after the last one.
    public mutating func next(isolation actor: isolated (any Actor)?) async throws(SQLiteError) -> SQLiteRow? {
      if let row = rows.popFirst() { return row }
      rows = try await feed.next()[...]
      return rows.popFirst()
    }
  }
}

/// Carries rows from the connection's thread to one task, some at a time, and holds the thread up while nobody asks.
final class RowFeed: Sendable {
  /// Rows handed over together: a switch of threads costs as much as some tens of rows.
  private static let batch = 64
  private enum Answer: Sendable {
    case rows([SQLiteRow])
    case end
    case failure(SQLiteError)
  }
  private struct State: Sendable {
    var ready: Answer?
    var waiting: CheckedContinuation<Answer, Never>?
    var isOver = false
  }
  private let state = Mutex(State())
  private let wanted = ThreadSignal()

  /// - Parameter finished: called once, on the connection's thread and before the last answer, with whether a transaction
  ///   is open then, and whether the statement failed.
  init(
    connection: SQLiteConnection, sql: String, parameters: [SQLiteValue],
    finished: (@Sendable (_ isInTransaction: Bool, _ failed: Bool) -> Void)? = nil
  ) {
    // The thread must not keep this alive: when nobody can ask any more, it is over.
    connection.add { [weak self, wanted] session in
      guard let session else {
        finished?(false, true)
        self?.put(.failure(SQLiteError(code: SQLITE_MISUSE, message: "the connection is closed", sql: sql)))
        return
      }
      var hasFailed = false
      var isFinished = false
      func finish() {
        if !isFinished { finished?(!session.isAutocommit, hasFailed) }
        isFinished = true
      }
      defer { finish() }
      var rows: [SQLiteRow] = []
      func hand() -> Bool {
        guard let feed = self, feed.put(.rows(rows)) else { return false }
        rows = []
        return true
      }
      do throws(SQLiteError) {
        if try session.isReadOnly(sql) {
          try session.forEachRow(sql, parameters: parameters) { row in
            rows.append(row)
            guard rows.count == RowFeed.batch else { return true }
            guard hand() else { return false }
            wanted.wait()
            return self != nil
          }
        } else {
          rows = try session.query(sql, parameters: parameters)
        }
        if !rows.isEmpty {
          guard hand() else { return }
          wanted.wait()
        }
        finish()
        self?.put(.end)
      } catch {
        hasFailed = true
        finish()
        self?.put(.failure(error))
      }
    }
  }
  deinit { wanted.raise() }

  /// Gives the task an answer; false where nobody asks any more.
  @discardableResult private func put(_ answer: Answer) -> Bool {
    let waiting = state.withLock { state in
      if state.waiting == nil { state.ready = answer }
      defer { state.waiting = nil }
      return state.waiting
    }
    waiting?.resume(returning: answer)
    return true
  }
  func next() async throws(SQLiteError) -> [SQLiteRow] {
    if state.withLock({ $0.isOver }) { return [] }
    let answer: Answer = await withCheckedContinuation { continuation in
      let ready = state.withLock { state -> Answer? in
        defer { state.ready = nil }
        if state.ready == nil { state.waiting = continuation }
        return state.ready
      }
      if let ready { continuation.resume(returning: ready) }
    }
    switch answer {
    case .rows(let rows):
      wanted.raise()
      return rows
    case .end:
      state.withLock { $0.isOver = true }
      return []
    case .failure(let error):
      state.withLock { $0.isOver = true }
      throw error
    }
  }
}
