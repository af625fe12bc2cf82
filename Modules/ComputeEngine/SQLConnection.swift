public import BorealisClusterModel

/// What a transaction may do.
public enum TransactionKind: Sendable {
  /// Reads, all at one moment.
  case read
  /// Reads and writes; waits for its turn first where the engine has turns.
  case write
}

/// The statements of one transaction, on the thread that runs it: every call blocks.
public protocol SQLSession {
  /// Runs statements and throws rows away; the parameters are those of the first one.
  ///
  /// Returns the rows changed by the last.
  @discardableResult
  func execute(_ sql: String, parameters: [SQLValue]) throws(SQLError) -> Int
  /// Runs one statement and gives all its rows.
  func query(_ sql: String, parameters: [SQLValue]) throws(SQLError) -> [SQLRow]
}

extension SQLSession {
  /// Runs statements and throws rows away; the parameters are those of the first one.
  ///
  /// Returns the rows changed by the last.
  @discardableResult
  public func execute(_ sql: String, _ parameters: any SQLConvertible...) throws(SQLError) -> Int {
    try execute(sql, parameters: parameters.map(\.sqlValue))
  }
  /// Runs one statement and gives all its rows.
  public func query(_ sql: String, _ parameters: any SQLConvertible...) throws(SQLError) -> [SQLRow] {
    try query(sql, parameters: parameters.map(\.sqlValue))
  }
}

/// A connection to one instance.
///
/// Calls of several tasks are run one after the other. Nothing is returned before it is durable. When the instance ends or
/// changes its role, the connection is lost: each call fails with `.connectionLost` from then on.
public protocol SQLConnection: AnyObject, Sendable {
  /// The instance it leads to.
  var instance: InstanceIdentifier { get }
  /// Whether the instance is still there; false is final.
  var isUsable: Bool { get }
  /// Whether a transaction was begun with a statement, and is open.
  var isInTransaction: Bool { get }
  /// Runs statements and throws rows away; returns, when they are durable, the rows changed by the last one.
  @discardableResult
  func execute(_ sql: String, parameters: [SQLValue]) async throws(SQLError) -> Int
  /// Runs a statement and gives all its rows.
  func rows(_ sql: String, parameters: [SQLValue]) async throws(SQLError) -> [SQLRow]
  /// Runs a statement that gives its rows as they are found.
  func source(of sql: String, parameters: [SQLValue]) async throws(SQLError) -> any SQLRowSource
  /// Runs `body` as one transaction: all of it is committed, or, where it throws, nothing.
  ///
  /// `body` runs on the connection's thread. The result comes when the transaction is durable.
  func transaction<T: Sendable>(
    _ kind: TransactionKind, _ body: @escaping @Sendable (any SQLSession) throws -> T
  ) async throws -> T
  /// Ends the connection; what was not committed is rolled back.
  func close()
}

extension SQLConnection {
  /// Runs statements and throws rows away; returns, when they are durable, the rows changed by the last one.
  @discardableResult
  public func execute(_ sql: String, _ parameters: any SQLConvertible...) async throws(SQLError) -> Int {
    try await execute(sql, parameters: parameters.map(\.sqlValue))
  }
  /// Runs a statement and gives all its rows.
  public func rows(_ sql: String, _ parameters: any SQLConvertible...) async throws(SQLError) -> [SQLRow] {
    try await rows(sql, parameters: parameters.map(\.sqlValue))
  }
  /// Runs a statement when its rows are asked for, and gives them as they are found.
  public func query(_ sql: String, _ parameters: any SQLConvertible...) -> SQLRows {
    let values = parameters.map(\.sqlValue)
    return SQLRows { () async throws(SQLError) in try await self.source(of: sql, parameters: values) }
  }
  /// Runs `body` as one transaction that may write.
  public func transaction<T: Sendable>(
    _ body: @escaping @Sendable (any SQLSession) throws -> T
  ) async throws -> T {
    try await transaction(.write, body)
  }
}

/// Where the rows of one running statement come from; used by one task at a time.
public protocol SQLRowSource: AnyObject, Sendable {
  /// The next rows, at least one; none after the last.
  func next() async throws(SQLError) -> [SQLRow]
}

/// The rows of a statement, as they come; it is run anew by each loop.
public struct SQLRows: AsyncSequence, Sendable {
  /// A row.
  public typealias Element = SQLRow
  /// Why the statement failed.
  public typealias Failure = SQLError
  private let start: @Sendable () async throws(SQLError) -> any SQLRowSource

  /// Makes a sequence whose loops begin with `start`.
  public init(_ start: @escaping @Sendable () async throws(SQLError) -> any SQLRowSource) { self.start = start }
  /// Runs the statement at the first `next`.
  public func makeAsyncIterator() -> Iterator { Iterator(start: start) }

  /// The rows of one run.
  public struct Iterator: AsyncIteratorProtocol {
    let start: @Sendable () async throws(SQLError) -> any SQLRowSource
    private var source: (any SQLRowSource)?
    private var rows: ArraySlice<SQLRow> = []
    init(start: @escaping @Sendable () async throws(SQLError) -> any SQLRowSource) { self.start = start }

    /// The next row; nil after the last one.
    public mutating func next() async throws(SQLError) -> SQLRow? {
      if let row = rows.popFirst() { return row }
      let source: any SQLRowSource
      if let running = self.source { source = running } else { source = try await start() }
      self.source = source
      rows = try await source.next()[...]
      return rows.popFirst()
    }
    /// The next row; nil after the last one.
    public mutating func next(isolation actor: isolated (any Actor)?) async throws(SQLError) -> SQLRow? {
      try await next()
    }
  }
}
