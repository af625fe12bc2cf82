@_exported public import BorealisComputeEngine

/// A value of a column or a parameter.
public typealias SQLiteValue = SQLValue
/// A type that a column can be read as, and a parameter given as.
public typealias SQLiteConvertible = SQLConvertible
/// A row of a result.
public typealias SQLiteRow = SQLRow
