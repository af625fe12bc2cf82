/// A value of a column or a parameter.
public enum SQLValue: Hashable, Sendable {
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

extension SQLValue: ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral, ExpressibleByStringLiteral,
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
  /// For people; a blob as `x'…'`.
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
public protocol SQLConvertible: Sendable {
  /// The value as an engine keeps it.
  var sqlValue: SQLValue { get }
  /// Reads a column; nil where the column holds something else.
  init?(sqlValue: SQLValue)
}

extension SQLValue: SQLConvertible {
  /// Itself.
  public var sqlValue: SQLValue { self }
  /// Itself.
  public init?(sqlValue: SQLValue) { self = sqlValue }
}
extension Int64: SQLConvertible {
  /// INTEGER.
  public var sqlValue: SQLValue { .integer(self) }
  /// From INTEGER.
  public init?(sqlValue: SQLValue) {
    guard case .integer(let value) = sqlValue else { return nil }
    self = value
  }
}
extension Int: SQLConvertible {
  /// INTEGER.
  public var sqlValue: SQLValue { .integer(Int64(self)) }
  /// From INTEGER.
  public init?(sqlValue: SQLValue) {
    guard case .integer(let value) = sqlValue else { return nil }
    self = Int(value)
  }
}
extension Bool: SQLConvertible {
  /// 1 or 0.
  public var sqlValue: SQLValue { .integer(self ? 1 : 0) }
  /// From INTEGER: everything but 0 is true.
  public init?(sqlValue: SQLValue) {
    guard case .integer(let value) = sqlValue else { return nil }
    self = value != 0
  }
}
extension Double: SQLConvertible {
  /// REAL.
  public var sqlValue: SQLValue { .real(self) }
  /// From REAL or INTEGER.
  public init?(sqlValue: SQLValue) {
    switch sqlValue {
    case .real(let value): self = value
    case .integer(let value): self = Double(value)
    case .null, .text, .blob: return nil
    }
  }
}
extension String: SQLConvertible {
  /// TEXT.
  public var sqlValue: SQLValue { .text(self) }
  /// From TEXT.
  public init?(sqlValue: SQLValue) {
    guard case .text(let value) = sqlValue else { return nil }
    self = value
  }
}
extension [UInt8]: SQLConvertible {
  /// BLOB.
  public var sqlValue: SQLValue { .blob(self) }
  /// From BLOB.
  public init?(sqlValue: SQLValue) {
    guard case .blob(let value) = sqlValue else { return nil }
    self = value
  }
}
extension Optional: SQLConvertible where Wrapped: SQLConvertible {
  /// NULL for nil.
  public var sqlValue: SQLValue { self?.sqlValue ?? .null }
  /// From NULL, or what the type is read from.
  public init?(sqlValue: SQLValue) {
    if case .null = sqlValue {
      self = Wrapped?.none
    } else if let value = Wrapped(sqlValue: sqlValue) {
      self = value
    } else {
      return nil
    }
  }
}
