/// Whom a backend tells how a queued job of the log lane went: a storage node's shell.
public protocol LogLane: AnyObject, Sendable {
  /// The job has ended, as `perform` would have: everything done and durable, or the first failure.
  ///
  /// Called once, on a thread of the backend's that serves other nodes, too: it must not block for long.
  func ended(_ job: StorageJob, error: StorageBackendError?)
  /// The job could not be done in this way after all: it is to be performed on a thread that may block, from its beginning.
  ///
  /// Called instead of `ended`.
  func returned(_ job: StorageJob)
  /// What was said of a job is said, and nothing of it is held any more: the time to begin the next one, which can use its
  /// memory again.
  func goOn()
}

extension StorageBackend {
  /// No jobs are queued: each is performed.
  public var queuesLogJobs: Bool { false }
  /// Takes no job.
  public func begin(_ job: StorageJob, for lane: any LogLane) -> Bool { false }
}
