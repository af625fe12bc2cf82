import BorealisComputeEngine
import CBorealisSQLite

/// A prepared statement of one session.
final class SQLiteStatement {
  let sql: String
  let isReadOnly: Bool
  private let handle: OpaquePointer
  private let connection: OpaquePointer
  private(set) lazy var columns: [String] = (0..<sqlite3_column_count(handle)).map {
    sqlite3_column_name(handle, $0).map { String(cString: $0) } ?? ""
  }

  /// Prepares the first statement of `sql`, and gives what follows; nil where there are only space and comments.
  static func prepare(
    _ connection: OpaquePointer, _ sql: Substring
  ) -> (code: Int32, statement: SQLiteStatement?, rest: Substring) {
    var handle: OpaquePointer?
    var used = 0
    let text = String(sql)
    let code = text.utf8CString.withUnsafeBufferPointer { buffer -> Int32 in
      var tail: UnsafePointer<CChar>?
      let code = sqlite3_prepare_v3(connection, buffer.baseAddress, Int32(buffer.count), 0, &handle, &tail)
      if let tail, let start = buffer.baseAddress { used = tail - start }
      return code
    }
    let rest = sql.utf8.dropFirst(used)
    guard let handle else { return (code, nil, Substring(rest)) }
    return (code, SQLiteStatement(handle, connection, String(sql.utf8.prefix(used)) ?? text), Substring(rest))
  }
  private init(_ handle: OpaquePointer, _ connection: OpaquePointer, _ sql: String) {
    self.handle = handle
    self.connection = connection
    self.sql = sql
    isReadOnly = sqlite3_stmt_readonly(handle) != 0
  }
  deinit { sqlite3_finalize(handle) }

  var parameterCount: Int { Int(sqlite3_bind_parameter_count(handle)) }
  func bind(_ values: [SQLiteValue]) -> Int32 {
    for (i, value) in values.enumerated() {
      let n = Int32(i + 1)
      let code: Int32 =
        switch value {
        case .null: sqlite3_bind_null(handle, n)
        case .integer(let value): sqlite3_bind_int64(handle, n, value)
        case .real(let value): sqlite3_bind_double(handle, n, value)
        case .text(let value): borealis_sqlite_bind_text(handle, n, value, Int32(value.utf8.count))
        case .blob(let value): borealis_sqlite_bind_blob(handle, n, value, Int32(value.count))
        }
      guard code == SQLITE_OK else { return code }
    }
    return SQLITE_OK
  }
  func step() -> Int32 { sqlite3_step(handle) }
  /// Ends the statement: what it held is let go of.
  @discardableResult func reset() -> Int32 {
    let code = sqlite3_reset(handle)
    sqlite3_clear_bindings(handle)
    return code
  }
  func row() -> SQLiteRow {
    SQLiteRow(columns: columns, values: (0..<Int32(columns.count)).map { value($0) })
  }
  private func value(_ column: Int32) -> SQLiteValue {
    switch sqlite3_column_type(handle, column) {
    case SQLITE_INTEGER: return .integer(sqlite3_column_int64(handle, column))
    case SQLITE_FLOAT: return .real(sqlite3_column_double(handle, column))
    case SQLITE_TEXT:
      let text = sqlite3_column_text(handle, column)
      let count = Int(sqlite3_column_bytes(handle, column))
      return .text(String(decoding: UnsafeBufferPointer(start: text, count: count), as: UTF8.self))
    case SQLITE_BLOB:
      let bytes = sqlite3_column_blob(handle, column)
      let count = Int(sqlite3_column_bytes(handle, column))
      return .blob(Array(UnsafeRawBufferPointer(start: bytes, count: count)))
    default: return .null
    }
  }
}
