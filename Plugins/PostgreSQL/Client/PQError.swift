import BorealisComputeEngine
import CBorealisPQ

/// SQLSTATE codes in the terms that all engines share.
enum SQLState {
  /// The kind of a failure.
  ///
  /// Source: PostgreSQL's manual, appendix A; the first two characters are the class.
  static func code(_ state: String) -> SQLError.Code {
    switch state {
    case "25006": return .readOnly
    case "40001", "40P01", "55P03", "55006": return .busy
    case "53300": return .tooManyConnections
    case "57P03": return .unavailable
    case "57P01", "57P02", "57P05": return .connectionLost
    default: break
    }
    switch state.prefix(2) {
    case "08": return .connectionLost
    case "22", "25", "26", "34", "42": return .statement
    case "23": return .constraint
    case "53", "54": return .full
    default: return .engine
    }
  }
  /// The server has rolled the transaction back and then ended the connection: that is known, not lost.
  static let shutdown = "57P01"
}

extension PQSession {
  /// The error of a result.
  static func error(_ result: OpaquePointer, _ sql: String?, _ instance: String?) -> SQLError {
    let state = PQresultErrorField(result, Int32(UInt8(ascii: "C"))).map { String(cString: $0) } ?? ""
    var message =
      PQresultErrorField(result, Int32(UInt8(ascii: "M"))).map { String(cString: $0) }
      ?? trimmed(PQresultErrorMessage(result))
    for (field, title) in [("D", ""), ("H", "hint: ")] {
      guard let byte = field.utf8.first, let text = PQresultErrorField(result, Int32(byte)) else { continue }
      message += "; \(title)\(String(cString: text))"
    }
    return SQLError(
      SQLState.code(state), message, engineCode: state.isEmpty ? "" : "SQLSTATE \(state)", sql: sql, instance: instance)
  }
  static func trimmed(_ text: UnsafePointer<CChar>?) -> String {
    guard let text else { return "" }
    var lines = String(cString: text)
    while let last = lines.last, last.isWhitespace { lines.removeLast() }
    return lines
  }
}
