public import BorealisCore

/// The files of one storage node.
public enum StorageFile: UInt8, CaseIterable, Hashable, Sendable, CustomStringConvertible {
  /// The one append-only log that all the node's segments share.
  case log = 0
  /// Materialised pages, in slots.
  case pages = 1
  /// One of two journals of small durable state (epochs, membership, page index); the other takes its place at compaction.
  case journalA = 2
  /// The other journal.
  case journalB = 3
  /// The file's name.
  public var description: String {
    switch self {
    case .log: "log"
    case .pages: "pages"
    case .journalA: "journal-a"
    case .journalB: "journal-b"
    }
  }
}

/// Where one storage node keeps its bytes: four growing files with explicit flush.
///
/// The formats of log, pages and journal are written once, in the storage node, over this seam; a backend moves bytes.
///
/// Contract (the conformance suite cites these numbers):
/// 1. A read returns what was written last, synced or not; bytes never written, released, cut off or beyond the end are
///    zero. Reading or writing nothing succeeds and changes nothing.
/// 2. After `sync(file)` returns, every write, reservation, truncation and release of that file that returned before the
///    call is durable: it survives kill -9 and loss of power, and so does the size.
/// 3. A change that was not synced may, after a crash, be there wholly, in part (any of a write's 512-byte sectors), or
///    not at all, and this for each change apart; the size is then between what was synced and what was last seen. A
///    sector that was synced is not damaged by a later unsynced write elsewhere.
/// 4. A failed write or sync throws; nothing is silently dropped. A write that threw may be there in part, like one
///    that was not synced. After a failed `sync` the file's unsynced writes count as lost until they are written and
///    synced again; a backend that cannot promise that (Linux drops dirty pages when a flush fails) refuses further
///    changes of the file with `.inputOutput` until it is opened again.
/// 5. `reserve` makes later writes between the present end and the new one not fail for lack of space, extends the file
///    and does not change contents. A range that is released afterwards is no longer reserved.
/// 6. A full disk throws `.noSpace`, reads go on, and the same call succeeds once there is space.
/// 7. Calls for different files may come from different threads at once; calls for one file too, except that writes to
///    overlapping ranges are never concurrent.
/// 8. After `close` every call throws `.closed`; opening the same place again shows what was durable (and, without a
///    crash in between, everything written).
/// 9. One place is open at most once: a second open throws `.locked`, until the first has closed or its process is gone.
/// 10. A job that `begin` takes ends as `perform` would have ended it, and its lane hears of that once: also where the backend is
///    closed meanwhile, which waits for it. Jobs that were taken do not wait for one another.
///
/// Implementing: calls block the calling thread, which is one of the node's own, never one of Swift's pool.
public protocol StorageBackend: Sendable {
  /// The file's size: one past the last byte ever written or reserved, less truncation.
  func size(of file: StorageFile) throws(StorageBackendError) -> ByteCount
  /// Fills `buffer` from `offset`, with zeros beyond the end.
  func read(
    _ file: StorageFile, at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageBackendError)
  /// Writes `bytes` at `offset`; not durable before `sync`.
  func write(_ file: StorageFile, at offset: UInt64, _ bytes: UnsafeRawBufferPointer) throws(StorageBackendError)
  /// Makes earlier changes of the file durable.
  func sync(_ file: StorageFile) throws(StorageBackendError)
  /// Reserves space from the present end up to `size`; nothing to do when the file is that long.
  func reserve(_ file: StorageFile, upTo size: ByteCount) throws(StorageBackendError)
  /// Gives the space of a range back; it reads as zeros afterwards, and the size stays.
  func release(_ file: StorageFile, from offset: UInt64, length: ByteCount) throws(StorageBackendError)
  /// Cuts the file to `size`, or extends it with zeros.
  func truncate(_ file: StorageFile, to size: ByteCount) throws(StorageBackendError)
  /// Whether `begin` may take jobs: else nobody need try.
  var queuesLogJobs: Bool { get }
  /// Begins a job of the log lane without a thread that waits for it; false where it is to be performed instead.
  ///
  /// The fewer threads a commit has to wake, the sooner it is durable. By default no job is taken.
  func begin(_ job: StorageJob, for lane: any LogLane) -> Bool
  /// Ends the use of the backend; does not sync.
  func close()
}

/// What went wrong in a storage backend, with which file, and what can be done.
public struct StorageBackendError: Error, Sendable, CustomStringConvertible {
  /// The kinds of failure.
  public enum Code: String, Sendable, Hashable {
    /// The device or quota is full: the same call succeeds once there is space.
    case noSpace
    /// The device reported an error.
    case inputOutput
    /// The backend was closed.
    case closed
    /// Another process or object has this place open.
    case locked
    /// The place cannot be opened: missing directory, no permission, not a directory.
    case cannotOpen
    /// Injected by a test.
    case injected
  }
  /// The kind of failure.
  public let code: Code
  /// The operation: `write`, `sync`.
  public let operation: String
  /// The file, where one was concerned.
  public let file: StorageFile?
  /// What the system said, for people.
  public let detail: String

  /// Makes an error.
  public init(_ code: Code, operation: String, file: StorageFile?, detail: String = "") {
    self.code = code
    self.operation = operation
    self.file = file
    self.detail = detail
  }
  /// Whether the same call may succeed later.
  public var isRetryable: Bool { code == .noSpace || code == .injected }
  /// What to do about it.
  public var hint: String {
    switch code {
    case .noSpace: "free space on the device; the node heals by itself"
    case .inputOutput: "check the device; replace the node if it persists"
    case .closed: "the backend was closed before this call"
    case .locked: "stop the other process that uses this directory"
    case .cannotOpen: "check that the directory exists and may be written"
    case .injected: "a test asked for this"
    }
  }
  /// One line for people.
  public var description: String {
    "storage \(operation)\(file.map { " of \($0)" } ?? "") failed: \(code.rawValue)\(detail.isEmpty ? "" : " (\(detail))"); \(hint)"
  }
}
