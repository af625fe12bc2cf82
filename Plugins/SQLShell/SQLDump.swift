import BorealisSQLite
import Foundation

/// Writes a database as SQL that any SQLite reads and makes an equal database of.
///
/// As the `.dump` of SQLite's shell, and besides: text with NULs or bytes that are no UTF-8, every REAL to the last bit,
/// `user_version`, `application_id` and the encoding.
struct SQLDump {
  private let executor: any SQLExecutor
  private let write: (String) throws -> Void

  init(_ executor: any SQLExecutor, _ write: @escaping (String) throws -> Void) {
    self.executor = executor
    self.write = write
  }

  /// Dumps everything, or the tables and views whose names match a pattern of `LIKE`; all of one moment.
  func run(matching pattern: String? = nil) throws {
    let isOurs = !executor.isInTransaction
    if isOurs { try executor.execute("BEGIN") }
    defer { if isOurs { try? executor.execute("COMMIT") } }
    try dump(pattern)
  }
  private func dump(_ pattern: String?) throws {
    let encoding = try text("PRAGMA encoding")
    try write("PRAGMA foreign_keys=OFF;\n")
    if pattern == nil, encoding != "UTF-8" { try write("PRAGMA encoding='\(encoding)';\n") }
    try write("BEGIN TRANSACTION;\n")
    if pattern == nil {
      for name in ["application_id", "user_version"] {
        if case .integer(let value)? = try executor.rows("PRAGMA \(name)").first?.first, value != 0 {
          try write("PRAGMA \(name)=\(value);\n")
        }
      }
    }
    let condition = pattern.map { " AND tbl_name LIKE \(SQLDump.quoted($0))" } ?? ""
    let tables = try executor.rows(
      "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND sql IS NOT NULL\(condition) "
        + "ORDER BY name = 'sqlite_sequence', rowid")
    var hasVirtualTables = false
    var hasStatistics = false
    for row in tables {
      guard case .text(let name) = row[0], case .text(let sql) = row[1] else { continue }
      if name == "sqlite_sequence" {
        try write("DELETE FROM sqlite_sequence;\n")
      } else if name.hasPrefix("sqlite_stat") {
        if !hasStatistics { try write("ANALYZE sqlite_master;\n") }
        hasStatistics = true
      } else if name.hasPrefix("sqlite_") {
        continue
      } else if sql.lowercased().hasPrefix("create virtual table") {
        if !hasVirtualTables { try write("PRAGMA writable_schema=ON;\n") }
        hasVirtualTables = true
        let values = "'table',\(SQLDump.quoted(name)),\(SQLDump.quoted(name)),0,\(SQLDump.quoted(sql))"
        try write("INSERT INTO sqlite_master(type,name,tbl_name,rootpage,sql) VALUES(\(values));\n")
        // Its data is in tables of its own, which come as such.
        continue
      } else {
        try write(sql + ";\n")
      }
      try dumpRows(name, isUTF8: encoding == "UTF-8")
    }
    let others = try executor.rows(
      "SELECT sql FROM sqlite_master WHERE type IN ('index', 'trigger', 'view') AND sql IS NOT NULL\(condition) "
        + "ORDER BY rowid")
    for row in others { if case .text(let sql) = row[0] { try write(SQLDump.ended(sql)) } }
    if hasVirtualTables { try write("PRAGMA writable_schema=OFF;\n") }
    try write("COMMIT;\n")
    if hasVirtualTables { try write("PRAGMA writable_schema=RESET;\n") }
  }
  private func text(_ sql: String) throws -> String {
    guard case .text(let value)? = try executor.rows(sql).first?.first else { return "" }
    return value
  }
  /// A comment at the end of a statement must not take the semicolon with it.
  private static func ended(_ sql: String) -> String { sql + (sql.contains("--") ? "\n;\n" : ";\n") }

  private func dumpRows(_ table: String, isUTF8: Bool) throws {
    var columns: [String] = []
    var hasHidden = false
    for row in try executor.rows("PRAGMA table_xinfo(\(SQLDump.quoted(table)))") {
      guard case .text(let name) = row[1] else { continue }
      // Generated columns are not inserted.
      if row.last == .integer(0) { columns.append(name) } else { hasHidden = true }
    }
    guard !columns.isEmpty else { return }
    let names = columns.map(SQLDump.identifier)
    // The bytes of a text as they are: a text is no Swift String where they are no UTF-8.
    let selected =
      isUTF8
      ? names.flatMap { ["typeof(\($0))", "CASE typeof(\($0)) WHEN 'text' THEN CAST(\($0) AS BLOB) ELSE \($0) END"] }
      : names.flatMap { ["typeof(\($0))", $0] }
    let into = SQLDump.identifier(table) + (hasHidden ? "(" + names.joined(separator: ",") + ")" : "")
    let query = "SELECT \(selected.joined(separator: ", ")) FROM \(SQLDump.identifier(table))"
    _ = try executor.run(query) { part in
      guard case .row(let row) = part else { return }
      let values = columns.indices.map { column in
        if case .blob(let bytes) = row[column * 2 + 1], row[column * 2] == .text("text") { return SQLDump.text(bytes) }
        return SQLDump.literal(row[column * 2 + 1])
      }
      try write("INSERT INTO \(into) VALUES(\(values.joined(separator: ",")));\n")
    }
  }

  // MARK: Literals

  static func identifier(_ name: String) -> String { "\"" + ShownText.doubled(name, "\"") + "\"" }
  static func quoted(_ text: String) -> String { "'" + ShownText.doubled(text, "'") + "'" }
  /// A text of these bytes.
  static func text(_ bytes: [UInt8]) -> String {
    if !bytes.contains(0), let text = String(validating: bytes, as: UTF8.self) { return quoted(text) }
    return "CAST(\(hexadecimal(bytes)) AS TEXT)"
  }
  static func literal(_ value: SQLiteValue) -> String {
    switch value {
    case .null: "NULL"
    case .integer(let value): "\(value)"
    case .real(let value): real(value)
    case .text(let value): text(Array(value.utf8))
    case .blob(let value): hexadecimal(value)
    }
  }
  private static func real(_ value: Double) -> String {
    if value.isInfinite { return value < 0 ? "-1e999" : "1e999" }
    let shortest = "\(value)"
    // SQLite does not round the last digits of a literal exactly; with 19 of them it need not.
    if shortest.utf8.count(where: { (48...57).contains($0) }) <= 15 { return shortest }
    return String(format: "%.18e", value)
  }
  private static let digits = Array("0123456789ABCDEF".utf8)
  private static func hexadecimal(_ bytes: [UInt8]) -> String {
    var out: [UInt8] = []
    out.reserveCapacity(bytes.count * 2 + 3)
    out.append(contentsOf: "X'".utf8)
    for byte in bytes {
      out.append(digits[Int(byte >> 4)])
      out.append(digits[Int(byte & 15)])
    }
    out.append(39)
    return String(decoding: out, as: UTF8.self)
  }
}
