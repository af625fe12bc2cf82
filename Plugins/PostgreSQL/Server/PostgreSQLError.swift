/// Why a PostgreSQL server could not be found, made, started or asked.
public struct PostgreSQLError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The kinds of failure.
  public enum Code: String, Hashable, Sendable, CaseIterable {
    /// No server, or not the version that made the data directory, is installed.
    case notInstalled
    /// A parameter that the cluster sets itself, that would cost durability, or that is no parameter.
    case refusedParameter
    /// The data directory is no PostgreSQL database, or a damaged one.
    case unusableData
    /// A file or directory could not be made or read.
    case file
    /// A program of PostgreSQL or OpenSSL ended with an error.
    case program
    /// The server ended before it took connections.
    case notStarted
    /// It did not come in time.
    case timedOut
  }
  /// The kind of failure.
  public let code: Code
  /// The file, directory, program or parameter that it is about.
  public let subject: String
  /// What happened, and what to do.
  public let detail: String

  /// Makes an error.
  public init(_ code: Code, _ subject: String, _ detail: String) {
    self.code = code
    self.subject = subject
    self.detail = detail
  }
  /// One line for people, with the server's last words below where it has any.
  public var description: String { "\(subject): \(detail)" }
}
