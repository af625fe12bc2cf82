/// A row of a result.
public struct SQLRow: Sendable, Hashable, CustomStringConvertible {
  /// The names of the columns, the same for all rows of a result.
  public let columns: [String]
  /// The values, by column.
  public let values: [SQLValue]

  /// Makes a row; `columns` and `values` are of one length.
  public init(columns: [String], values: [SQLValue]) {
    self.columns = columns
    self.values = values
  }
  /// The value of a column by its number from 0.
  public subscript(index: Int) -> SQLValue { values[index] }
  /// The value of the first column of that name; nil where there is none.
  public subscript(name: String) -> SQLValue? { columns.firstIndex(of: name).map { values[$0] } }
  /// A column as a type.
  ///
  /// - Throws: `.mismatch` where it holds something else, `.invalidArgument` where there is no such column.
  public func get<T: SQLConvertible>(_ index: Int, as type: T.Type = T.self) throws(SQLError) -> T {
    guard values.indices.contains(index) else {
      throw SQLError(.invalidArgument, "there is no column \(index)")
    }
    guard let value = T(sqlValue: values[index]) else {
      throw SQLError(.mismatch, "column \(index) holds \(values[index]), no \(T.self)")
    }
    return value
  }
  /// A column by its name as a type.
  public func get<T: SQLConvertible>(_ name: String, as type: T.Type = T.self) throws(SQLError) -> T {
    guard let index = columns.firstIndex(of: name) else {
      throw SQLError(.invalidArgument, "there is no column \(name)")
    }
    return try get(index, as: type)
  }
  /// `name: value, …`.
  public var description: String {
    zip(columns, values).map { "\($0): \($1)" }.joined(separator: ", ")
  }
}
