import BorealisComputeEngine

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
    Iterator(feed: connection.feed(sql, parameters: parameters))
  }
  /// The rows of one run.
  public struct Iterator: AsyncIteratorProtocol {
    private let feed: RowFeed<SQLiteRow, SQLiteError>
    private var rows: ArraySlice<SQLiteRow> = []
    init(feed: RowFeed<SQLiteRow, SQLiteError>) { self.feed = feed }

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
