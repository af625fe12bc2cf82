import BorealisSQLShell
import BorealisSQLite
import CBorealisSQLite
import Foundation

/// A path of the local file system that is gone afterwards.
func withLocalPath<T>(_ body: (String) throws -> T) throws -> T {
  let directory = NSTemporaryDirectory() + "borealis-shell-\(UUID().uuidString)"
  try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(atPath: directory) }
  return try body(directory + "/local.db")
}

/// A shell on an executor, and what it has said.
final class Terminal {
  private(set) var output = ""
  private(set) var errors = ""
  private(set) var isFine = true
  let executor: any SQLExecutor
  let isInteractive: Bool
  lazy var shell = SQLShell(
    executor, name: "orders", isInteractive: isInteractive,
    output: { [unowned self] in output += $0 }, errors: { [unowned self] in errors += $0 })

  init(_ executor: any SQLExecutor, isInteractive: Bool = false) {
    self.executor = executor
    self.isInteractive = isInteractive
  }
  convenience init() throws { self.init(SessionExecutor(try SQLiteSession(localFile: ":memory:"))) }

  /// Runs a script, and gives what it has put out; errors are kept.
  @discardableResult func run(_ text: String) -> String {
    output = ""
    errors = ""
    isFine = shell.run(TextInput(text))
    return output
  }
  /// Runs what a person types, and gives prompts and output as they come.
  func type(_ lines: [ShellLine]) -> String {
    output = ""
    errors = ""
    let input = TypedInput(lines) { [unowned self] in output += $0 }
    isFine = shell.run(input)
    return output
  }
}

/// Lines that somebody types.
final class TypedInput: ShellInput {
  private var lines: [ShellLine]
  private let show: (String) -> Void
  init(_ lines: [ShellLine], _ show: @escaping (String) -> Void) {
    self.lines = lines.reversed()
    self.show = show
  }
  func next(prompt: String) -> ShellLine {
    show(prompt)
    return lines.popLast() ?? .end
  }
}

/// All that a database holds, as text: its schema, and each row with the type and the bytes of each value.
func contents(_ session: SQLiteSession) throws -> [String] {
  var found: [String] = []
  for name in ["user_version", "application_id", "encoding"] {
    found.append("\(name) \(try session.query("PRAGMA \(name)")[0][0])")
  }
  let schema = try session.query("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name")
  for row in schema {
    found.append("\(row)")
    guard row[0] == "table", case .text(let name) = row[1] else { continue }
    let quoted = "\"" + name.replacingOccurrences(of: "\"", with: "\"\"") + "\""
    let columns = try session.query("PRAGMA table_xinfo(\(quoted))").compactMap { row -> String? in
      guard case .text(let name)? = row["name"], row["hidden"] != 1 else { return nil }
      return "\"" + name.replacingOccurrences(of: "\"", with: "\"\"") + "\""
    }
    let values = columns.map {
      "typeof(\($0)) || ' ' || hex(\($0)) || ' ' || CASE typeof(\($0)) "
        + "WHEN 'real' THEN (\($0) = 0) || printf('%!.26e', \($0)) ELSE '' END"
    }
    let rows = try session.query("SELECT \(values.joined(separator: " || '|' || ")) FROM \(quoted)")
    found.append(contentsOf: rows.map { "\(name) \($0[0])" }.sorted())
  }
  return found
}
