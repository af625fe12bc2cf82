/// How a `FileStorageBackend` opens and flushes.
public struct FileStorageOptions: Sendable, Hashable {
  /// What to do when the directory does not exist.
  public enum Creation: Sendable, Hashable {
    /// Make it, with the directories above it.
    case createIfMissing
    /// Throw `.cannotOpen`: guards against an unmounted disk being taken for a new node.
    case mustExist
  }
  /// What `sync` does.
  public enum Flush: Sendable, Hashable {
    /// Flushes to the device: what `sync` promises.
    case device
    /// Does nothing: survives kill -9 but not loss of power. For tests and throw-away volumes.
    case unsafeNever
  }

  /// On which thread commits are written to the log.
  public enum LogWrites: Sendable, Hashable {
    /// On one for all nodes of the process, with io_uring, where the system has it and allows it; else as `blocking`.
    case queued
    /// On the node's own.
    case blocking
  }

  /// What to do when the directory does not exist.
  public var creation: Creation
  /// What `sync` does.
  public var flush: Flush
  /// On which thread commits are written to the log.
  public var logWrites: LogWrites

  /// Makes options.
  public init(creation: Creation = .createIfMissing, flush: Flush = .device, logWrites: LogWrites = .queued) {
    self.creation = creation
    self.flush = flush
    self.logWrites = logWrites
  }
}
