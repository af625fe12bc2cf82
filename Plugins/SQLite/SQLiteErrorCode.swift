import BorealisFileSystem
import BorealisVolume
import CBorealisSQLite

/// The one place where errors of the volume become result codes of SQLite.
enum SQLiteErrorCode {
  /// What SQLite wanted.
  enum Operation {
    case open, read, write, truncate, size, lock, commit, durability
  }

  static func code(for error: any Error, _ operation: Operation) -> Int32 {
    if let error = error as? FileSystemError {
      switch error.code {
      case .noSpace, .tooLarge: return SQLITE_FULL
      case .readOnly: return SQLITE_READONLY
      case .corrupt: return operation == .open ? SQLITE_CANTOPEN : SQLITE_IOERR | 33 << 8
      case .volume: return ioError(operation)
      case .notFound, .exists, .notDirectory, .isDirectory, .notEmpty, .nameTooLong, .invalidArgument, .tooManyLinks,
        .linkLoop, .badHandle, .noSuchOffset:
        return operation == .open ? SQLITE_CANTOPEN : ioError(operation)
      }
    }
    if let error = error as? VolumeError, error.isFull || error.code == .tooLarge { return SQLITE_FULL }
    return ioError(operation)
  }
  /// `SQLITE_IOERR` with what was done: SQLite gives the transaction up, and reads nothing of it again.
  private static func ioError(_ operation: Operation) -> Int32 {
    let detail: Int32 =
      switch operation {
      case .read: 1
      case .write: 3
      // The outcome of a commit that was submitted is not known.
      case .durability: 4
      case .truncate: 6
      case .size: 7
      case .lock: 15
      case .open: 0
      case .commit: 30
      }
    return SQLITE_IOERR | detail << 8
  }

  /// SQLite's name of a result code with its number, `SQLITE_BUSY_SNAPSHOT (517)`.
  static func name(_ code: Int32) -> String {
    let primary: String =
      switch code & 0xFF {
      case SQLITE_ERROR: "SQLITE_ERROR"
      case SQLITE_INTERNAL: "SQLITE_INTERNAL"
      case SQLITE_PERM: "SQLITE_PERM"
      case SQLITE_ABORT: "SQLITE_ABORT"
      case SQLITE_BUSY: "SQLITE_BUSY"
      case SQLITE_LOCKED: "SQLITE_LOCKED"
      case SQLITE_NOMEM: "SQLITE_NOMEM"
      case SQLITE_READONLY: "SQLITE_READONLY"
      case SQLITE_INTERRUPT: "SQLITE_INTERRUPT"
      case SQLITE_IOERR: "SQLITE_IOERR"
      case SQLITE_CORRUPT: "SQLITE_CORRUPT"
      case SQLITE_FULL: "SQLITE_FULL"
      case SQLITE_CANTOPEN: "SQLITE_CANTOPEN"
      case SQLITE_SCHEMA: "SQLITE_SCHEMA"
      case SQLITE_TOOBIG: "SQLITE_TOOBIG"
      case SQLITE_CONSTRAINT: "SQLITE_CONSTRAINT"
      case SQLITE_MISMATCH: "SQLITE_MISMATCH"
      case SQLITE_MISUSE: "SQLITE_MISUSE"
      case SQLITE_AUTH: "SQLITE_AUTH"
      case SQLITE_RANGE: "SQLITE_RANGE"
      case SQLITE_NOTADB: "SQLITE_NOTADB"
      default: "SQLite"
      }
    return "\(primary) (\(code))"
  }
}
