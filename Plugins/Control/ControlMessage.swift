import Borealis
import Foundation

/// A request to a running cluster: one line of JSON on its socket.
public struct ControlRequest: Codable, Sendable, Hashable {
  /// What to do: `status`, `events`, `add-reader`, `remove`, `modify`, `failover`, `chaos`, `endpoint` (with the action `add`,
  /// `modify` or `remove`), `connect`, `sql`, `import`, `stop`.
  public var command: String
  /// Arguments by name.
  public var arguments: [String: String]
  /// Parameters of a SQL statement.
  public var parameters: [ControlValue]?

  /// Makes a request.
  public init(_ command: String, _ arguments: [String: String] = [:], parameters: [ControlValue]? = nil) {
    self.command = command
    self.arguments = arguments
    self.parameters = parameters
  }
}

/// A line of an answer; `done` or `error` is the last one of a request.
public enum ControlReply: Codable, Sendable, Hashable {
  /// The cluster's state.
  case status(ClusterStatus)
  /// Something that happened: when (nanoseconds since 1970), `info`, `warning` or `error`, and what.
  case event(time: UInt64, level: String, text: String)
  /// A failover that has ended.
  case failover(FailoverReport)
  /// The columns of the rows that follow.
  case columns([String])
  /// Some rows.
  case rows([[ControlValue]])
  /// A statement has ended: rows that it has changed (nil where it only reads), and whether a transaction is open.
  case statement(changes: Int?, isInTransaction: Bool)
  /// What an import has copied.
  case imported(tables: Int, rows: Int, bytes: Int)
  /// The request was carried out; with what was made (a reader's name) or found (an instance's).
  case done(String)
  /// It was not: why, with SQL's code and whether the outcome is unknown, where it was a statement.
  case error(text: String, code: String, isOutcomeUnknown: Bool)
}

/// A value of SQL in JSON: null, integers as numbers, text as strings, reals as `{"real": BITS}`, blobs as `{"blob": "00ff"}`.
public enum ControlValue: Codable, Sendable, Hashable {
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

  private enum Key: String, CodingKey { case real, blob }

  /// The same value.
  public init(_ value: SQLValue) {
    switch value {
    case .null: self = .null
    case .integer(let value): self = .integer(value)
    case .real(let value): self = .real(value)
    case .text(let value): self = .text(value)
    case .blob(let value): self = .blob(value)
    }
  }
  /// The same value.
  public var sqlValue: SQLValue {
    switch self {
    case .null: .null
    case .integer(let value): .integer(value)
    case .real(let value): .real(value)
    case .text(let value): .text(value)
    case .blob(let value): .blob(value)
    }
  }
  /// Reads a value.
  public init(from decoder: any Decoder) throws {
    if let object = try? decoder.container(keyedBy: Key.self) {
      if let bits = try object.decodeIfPresent(UInt64.self, forKey: .real) {
        self = .real(Double(bitPattern: bits))
        return
      }
      let digits = Array(try object.decode(String.self, forKey: .blob).utf8)
      self = .blob(
        stride(from: 0, to: digits.count - 1, by: 2).map {
          UInt8(String(decoding: digits[$0...($0 + 1)], as: UTF8.self), radix: 16) ?? 0
        })
      return
    }
    let single = try decoder.singleValueContainer()
    if single.decodeNil() {
      self = .null
    } else if let value = try? single.decode(Int64.self) {
      self = .integer(value)
    } else {
      self = .text(try single.decode(String.self))
    }
  }
  /// Writes a value; a real as its bit pattern, which JSON does not round.
  public func encode(to encoder: any Encoder) throws {
    switch self {
    case .null:
      var single = encoder.singleValueContainer()
      try single.encodeNil()
    case .integer(let value):
      var single = encoder.singleValueContainer()
      try single.encode(value)
    case .text(let value):
      var single = encoder.singleValueContainer()
      try single.encode(value)
    case .real(let value):
      var object = encoder.container(keyedBy: Key.self)
      try object.encode(value.bitPattern, forKey: .real)
    case .blob(let bytes):
      var object = encoder.container(keyedBy: Key.self)
      let digits = bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
      try object.encode(digits, forKey: .blob)
    }
  }
}
