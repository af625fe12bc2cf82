public import BorealisSQLShell
import Borealis
import Foundation

/// Runs a shell's statements on a cluster that another process runs.
public final class ControlExecutor: SQLExecutor {
  private let directory: String
  private let endpoint: String
  private var client: ControlClient
  /// The instance that it is connected to.
  public private(set) var instance = ""
  /// Whether a transaction is under way.
  public private(set) var isInTransaction = false
  private var isBroken = false

  /// Connects to an endpoint of the cluster in a directory: `cluster`, `reader`, a custom endpoint or an instance.
  public init(directory: String, endpoint: String) throws(ControlError) {
    self.directory = directory
    self.endpoint = endpoint
    client = try ControlClient(directory: directory)
    instance = try client.ask(ControlRequest("connect", ["endpoint": endpoint]))
  }

  /// Runs one statement.
  public func run(_ sql: String, _ sink: (SQLResultPart) throws -> Void) throws -> SQLSummary {
    if isBroken {
      client = try ControlClient(directory: directory)
      instance = try client.ask(ControlRequest("connect", ["endpoint": endpoint]))
      (isBroken, isInTransaction) = (false, false)
    }
    let start = ContinuousClock.now
    var summary = SQLSummary(changes: nil, elapsed: .zero)
    var failure: (any Error)?
    do throws(ControlError) {
      try client.ask(ControlRequest("sql", ["sql": sql])) { reply in
        switch reply {
        case .columns(let names): pass(.columns(names))
        case .rows(let rows): for row in rows { pass(.row(row.map(\.sqlValue))) }
        case .statement(let changes, let isOpen):
          summary.changes = changes
          isInTransaction = isOpen
        case .error(let text, let code, let isUnknown):
          failure = failure ?? ControlExecutor.error(text, code, sql, isOutcomeUnknown: isUnknown)
        default: break
        }
      }
    } catch {
      if failure == nil {
        // The process has ended, or Ctrl-C has cut the line.
        isBroken = true
        failure = SQLiteError(code: 9, message: error.description, sql: sql, isOutcomeUnknown: true)
      }
    }
    if let failure { throw failure }
    summary.elapsed = ContinuousClock.now - start
    return summary

    func pass(_ part: SQLResultPart) {
      guard failure == nil else { return }
      do { try sink(part) } catch { failure = error }
    }
  }
  /// The number in `SQLITE_BUSY (5)`.
  private static func error(_ text: String, _ code: String, _ sql: String, isOutcomeUnknown: Bool) -> SQLiteError {
    let digits = code.drop { $0 != "(" }.dropFirst().prefix { $0.isNumber }
    return SQLiteError(code: Int32(digits) ?? 1, message: text, isOutcomeUnknown: isOutcomeUnknown)
  }

  /// Cuts the connection to the cluster: the statement ends there, and the next one connects anew.
  public func interrupt() {
    isBroken = true
    client.interrupt()
  }

  /// Has the cluster's writer copy a database from a file of this machine.
  public func importDatabase(_ path: String, replacing: Bool) throws -> SQLImportReport {
    var report = SQLImportReport(tables: 0, rows: 0, bytes: 0)
    var failure: SQLiteError?
    let whole = URL(fileURLWithPath: path).path
    do throws(ControlError) {
      try client.ask(ControlRequest("import", ["path": whole, "replace": replacing ? "yes" : "no"])) { reply in
        if case .imported(let tables, let rows, let bytes) = reply {
          report = SQLImportReport(tables: tables, rows: rows, bytes: bytes)
        }
        if case .error(let text, let code, let isUnknown) = reply {
          failure = ControlExecutor.error(text, code, "", isOutcomeUnknown: isUnknown)
        }
      }
    } catch { throw failure ?? SQLiteError(code: 1, message: error.description) }
    return report
  }
}
