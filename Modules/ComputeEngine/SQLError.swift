/// Why a statement failed, in terms that all engines share, with the engine's own code.
public struct SQLError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The kinds of failure.
  public enum Code: String, Hashable, Sendable {
    /// Somebody else holds what it needs; the same transaction may succeed when it is run again.
    case busy
    /// A write on an instance that only reads.
    case readOnly
    /// A constraint of the schema does not allow it.
    case constraint
    /// The statement is wrong: syntax, a name that does not exist, a type.
    case statement
    /// The transaction is too large, or there is no room.
    case full
    /// The connection is gone: its instance has ended, changed its role, or was fenced. Connect again.
    case connectionLost
    /// No instance can be connected to at the moment.
    case unavailable
    /// The instance has all the connections that its class allows.
    case tooManyConnections
    /// A column holds another type than the one asked for.
    case mismatch
    /// An argument is outside its range.
    case invalidArgument
    /// What only the engine has a name for: see `engineCode`.
    case engine
  }
  /// The kind of failure.
  public let code: Code
  /// What happened, in the engine's words.
  public let message: String
  /// The engine's own code, `SQLITE_BUSY (5)`; empty where the engine was not asked.
  public let engineCode: String
  /// The statement; nil where none was run.
  public let sql: String?
  /// The instance it was run on; nil where none was found.
  public var instance: String?
  /// Whether the transaction may have been committed all the same.
  ///
  /// It was submitted when the instance ended: look for what it wrote before running it again.
  public let isOutcomeUnknown: Bool

  /// Makes an error.
  public init(
    _ code: Code, _ message: String, engineCode: String = "", sql: String? = nil, instance: String? = nil,
    isOutcomeUnknown: Bool = false
  ) {
    self.code = code
    self.message = message
    self.engineCode = engineCode
    self.sql = sql
    self.instance = instance
    self.isOutcomeUnknown = isOutcomeUnknown
  }
  /// Whether the whole transaction may be run again without the danger of doing it twice.
  public var isRetryable: Bool {
    guard !isOutcomeUnknown else { return false }
    switch code {
    case .busy, .connectionLost, .unavailable, .tooManyConnections: return true
    case .readOnly, .constraint, .statement, .full, .mismatch, .invalidArgument, .engine: return false
    }
  }
  /// One line for people.
  public var description: String {
    var text = "\(message)"
    if !engineCode.isEmpty { text += " [\(engineCode)]" }
    if let instance { text += " on \(instance)" }
    if let sql { text += ", in: \(sql)" }
    if isOutcomeUnknown { text += "; whether it was committed is unknown" }
    return text
  }
}
