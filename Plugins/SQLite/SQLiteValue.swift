import CBorealisSQLite

/// A value of a column or a parameter.
public enum SQLiteValue: Hashable, Sendable {
  /// NULL.
  case null
  /// INTEGER.
  case integer(Int64)
  /// REAL.
  case real(Double)
  /// TEXT.
  case text(String)
  /// BLOB.
  case blob([UInt8])
}

extension SQLiteValue: ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral, ExpressibleByStringLiteral,
  ExpressibleByNilLiteral, ExpressibleByBooleanLiteral, CustomStringConvertible
{
  /// INTEGER.
  public init(integerLiteral value: Int64) { self = .integer(value) }
  /// REAL.
  public init(floatLiteral value: Double) { self = .real(value) }
  /// TEXT.
  public init(stringLiteral value: String) { self = .text(value) }
  /// NULL.
  public init(nilLiteral: ()) { self = .null }
  /// 1 or 0.
  public init(booleanLiteral value: Bool) { self = .integer(value ? 1 : 0) }
  /// As SQLite's shell shows it; a blob as `x'…'`.
  public var description: String {
    switch self {
    case .null: "NULL"
    case .integer(let value): "\(value)"
    case .real(let value): "\(value)"
    case .text(let value): value
    case .blob(let bytes):
      "x'" + bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() + "'"
    }
  }
}

/// A type that a column can be read as, and a parameter given as.
public protocol SQLiteConvertible: Sendable {
  /// The value as SQLite keeps it.
  var sqliteValue: SQLiteValue { get }
  /// Reads a column; nil where the column holds something else.
  init?(sqliteValue: SQLiteValue)
}

extension SQLiteValue: SQLiteConvertible {
  /// Itself.
  public var sqliteValue: SQLiteValue { self }
  /// Itself.
  public init?(sqliteValue: SQLiteValue) { self = sqliteValue }
}
extension Int64: SQLiteConvertible {
  /// INTEGER.
  public var sqliteValue: SQLiteValue { .integer(self) }
  /// From INTEGER.
  public init?(sqliteValue: SQLiteValue) {
    guard case .integer(let value) = sqliteValue else { return nil }
    self = value
  }
}
extension Int: SQLiteConvertible {
  /// INTEGER.
  public var sqliteValue: SQLiteValue { .integer(Int64(self)) }
  /// From INTEGER.
  public init?(sqliteValue: SQLiteValue) {
    guard case .integer(let value) = sqliteValue else { return nil }
    self = Int(value)
  }
}
extension Bool: SQLiteConvertible {
  /// 1 or 0.
  public var sqliteValue: SQLiteValue { .integer(self ? 1 : 0) }
  /// From INTEGER: everything but 0 is true.
  public init?(sqliteValue: SQLiteValue) {
    guard case .integer(let value) = sqliteValue else { return nil }
    self = value != 0
  }
}
extension Double: SQLiteConvertible {
  /// REAL.
  public var sqliteValue: SQLiteValue { .real(self) }
  /// From REAL or INTEGER.
  public init?(sqliteValue: SQLiteValue) {
    switch sqliteValue {
    case .real(let value): self = value
    case .integer(let value): self = Double(value)
    case .null, .text, .blob: return nil
    }
  }
}
extension String: SQLiteConvertible {
  /// TEXT.
  public var sqliteValue: SQLiteValue { .text(self) }
  /// From TEXT.
  public init?(sqliteValue: SQLiteValue) {
    guard case .text(let value) = sqliteValue else { return nil }
    self = value
  }
}
extension [UInt8]: SQLiteConvertible {
  /// BLOB.
  public var sqliteValue: SQLiteValue { .blob(self) }
  /// From BLOB.
  public init?(sqliteValue: SQLiteValue) {
    guard case .blob(let value) = sqliteValue else { return nil }
    self = value
  }
}
extension Optional: SQLiteConvertible where Wrapped: SQLiteConvertible {
  /// NULL for nil.
  public var sqliteValue: SQLiteValue { self?.sqliteValue ?? .null }
  /// From NULL, or what the type is read from.
  public init?(sqliteValue: SQLiteValue) {
    if case .null = sqliteValue {
      self = Wrapped?.none
    } else if let value = Wrapped(sqliteValue: sqliteValue) {
      self = value
    } else {
      return nil
    }
  }
}

/// A row of a result.
public struct SQLiteRow: Sendable, Hashable, CustomStringConvertible {
  /// The names of the columns, the same for all rows of a result.
  public let columns: [String]
  /// The values, by column.
  public let values: [SQLiteValue]

  /// The value of a column by its number from 0.
  public subscript(index: Int) -> SQLiteValue { values[index] }
  /// The value of the first column of that name; nil where there is none.
  public subscript(name: String) -> SQLiteValue? { columns.firstIndex(of: name).map { values[$0] } }
  /// A column as a type.
  ///
  /// - Throws: `SQLITE_MISMATCH` where it holds something else, `SQLITE_RANGE` where there is no such column.
  public func get<T: SQLiteConvertible>(_ index: Int, as type: T.Type = T.self) throws(SQLiteError) -> T {
    guard values.indices.contains(index) else {
      throw SQLiteError(code: SQLITE_RANGE, message: "there is no column \(index)")
    }
    guard let value = T(sqliteValue: values[index]) else {
      throw SQLiteError(code: SQLITE_MISMATCH, message: "column \(index) holds \(values[index]), no \(T.self)")
    }
    return value
  }
  /// A column by its name as a type.
  public func get<T: SQLiteConvertible>(_ name: String, as type: T.Type = T.self) throws(SQLiteError) -> T {
    guard let index = columns.firstIndex(of: name) else {
      throw SQLiteError(code: SQLITE_RANGE, message: "there is no column \(name)")
    }
    return try get(index, as: type)
  }
  /// `name: value, …`.
  public var description: String {
    zip(columns, values).map { "\($0): \($1)" }.joined(separator: ", ")
  }
}
