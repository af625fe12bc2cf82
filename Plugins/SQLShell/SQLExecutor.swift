public import BorealisSQLite

/// What a shell runs its statements on: a session in the process, or a cluster elsewhere.
///
/// Calls come one after the other, from one thread, but for `interrupt`.
public protocol SQLExecutor: AnyObject {
  /// Runs one statement: `sink` gets its columns first, where it has any, then its rows in order, as they come.
  ///
  /// What `sink` throws ends the statement and is thrown on.
  /// - Throws: `SQLiteError` with SQLite's code.
  func run(_ sql: String, _ sink: (SQLResultPart) throws -> Void) throws -> SQLSummary
  /// Whether a transaction is under way.
  var isInTransaction: Bool { get }
  /// Ends the statement that runs, with `SQLITE_INTERRUPT`; may be called from a signal handler.
  func interrupt()
  /// Copies a whole SQLite database from a file of this machine into the one that is open.
  ///
  /// - Parameter replacing: whether what the open database holds may go.
  /// - Throws: `SQLiteError`: `SQLITE_CANTOPEN`, `SQLITE_NOTADB`; `SQLITE_MISUSE` where the open database holds
  ///   something that may not go, or a transaction is under way.
  func importDatabase(_ path: String, replacing: Bool) throws -> SQLImportReport
}

/// A part of a statement's result.
public enum SQLResultPart {
  /// The names of the columns: comes first.
  case columns([String])
  /// A row.
  case row([SQLiteValue])
}

/// What a statement has done.
public struct SQLSummary: Sendable {
  /// Rows that it has inserted, updated or deleted; nil for one that only reads.
  public var changes: Int?
  /// From the call to the last row, and for a commit until it is durable.
  public var elapsed: Duration
  /// Makes one.
  public init(changes: Int?, elapsed: Duration) {
    self.changes = changes
    self.elapsed = elapsed
  }
}

/// What an import has copied.
public struct SQLImportReport: Sendable, Equatable {
  /// Tables, without SQLite's own.
  public var tables: Int
  /// Rows of all of them.
  public var rows: Int
  /// Size of the database afterwards.
  public var bytes: Int
  /// Makes one.
  public init(tables: Int, rows: Int, bytes: Int) {
    self.tables = tables
    self.rows = rows
    self.bytes = bytes
  }
}

extension SQLExecutor {
  /// Runs one statement and gives all its rows.
  public func rows(_ sql: String) throws -> [[SQLiteValue]] {
    var rows: [[SQLiteValue]] = []
    _ = try run(sql) { part in
      if case .row(let row) = part { rows.append(row) }
    }
    return rows
  }
  /// Runs a statement whose rows are of no interest.
  public func execute(_ sql: String) throws { _ = try run(sql) { _ in } }
}
