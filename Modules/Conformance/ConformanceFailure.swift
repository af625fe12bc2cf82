/// A check of a conformance suite that an implementation did not pass.
public struct ConformanceFailure: Error, CustomStringConvertible, Sendable {
  /// The name of the check.
  public let check: String
  /// What was expected and what was found.
  public let reason: String
  /// Makes a failure.
  public init(check: String, reason: String) {
    self.check = check
    self.reason = reason
  }
  /// One line for people.
  public var description: String { "\(check): \(reason)" }
}
