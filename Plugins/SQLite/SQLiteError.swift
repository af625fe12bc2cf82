import BorealisFileSystem
public import BorealisVolume
import CBorealisSQLite

/// Why SQLite refused a statement.
public struct SQLiteError: Error, Sendable, CustomStringConvertible {
  /// SQLite's primary result code: `SQLITE_BUSY` is 5.
  public let code: Int32
  /// SQLite's extended result code: `SQLITE_BUSY_SNAPSHOT` is 517.
  public let extendedCode: Int32
  /// What SQLite says.
  public let message: String
  /// The statement.
  public let sql: String?
  /// Whether the transaction may have been committed all the same: it was submitted, and nobody knows what became of it.
  public let isOutcomeUnknown: Bool
  /// What the volume said, where it was the cause.
  public let volumeError: VolumeError?

  /// Makes an error.
  public init(
    code: Int32, message: String, sql: String? = nil, isOutcomeUnknown: Bool = false, volumeError: VolumeError? = nil
  ) {
    self.code = code & 0xFF
    extendedCode = code
    self.message = message
    self.sql = sql
    self.isOutcomeUnknown = isOutcomeUnknown
    self.volumeError = volumeError
  }
  /// Whether the same transaction may succeed when it is tried again from its beginning.
  public var isRetryable: Bool { code == SQLITE_BUSY || code == SQLITE_LOCKED }
  /// Whether another writer has taken the volume: this instance can write no more.
  public var isFenced: Bool { volumeError?.code == .fenced }
  /// One line for people.
  public var description: String {
    var text = "SQLite error \(extendedCode): \(message)"
    if let volumeError { text += " (\(volumeError))" }
    if let sql { text += ", in: \(sql)" }
    if isOutcomeUnknown { text += "; whether it was committed is unknown" }
    return text
  }

  /// The volume's error in what the VFS met with.
  static func volumeError(in error: (any Error)?) -> VolumeError? {
    (error as? VolumeError) ?? (error as? FileSystemError)?.volumeError
  }
}
