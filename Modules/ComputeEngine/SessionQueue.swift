import BorealisRuntime
import Synchronization

/// The thread of an engine's connection: what tasks ask for runs there, one thing after the other.
///
/// The session never leaves the thread.
package final class SessionQueue<Session>: Sendable {
  /// Is given nothing where the connection was closed.
  package typealias Job = @Sendable (Session?) -> Void
  private struct State: Sendable {
    var jobs: [Job] = []
    var isClosed = false
  }
  private let state = Mutex(State())
  private let signal = ThreadSignal()

  package init() {}

  /// Begins: `open` runs first, on the thread, and `end` last.
  package func start<Failure: Error>(
    _ open: @escaping @Sendable () throws(Failure) -> Session, end: @escaping @Sendable (Session) -> Void
  ) async throws(Failure) {
    let opened: Result<Void, Failure> = await withCheckedContinuation { continuation in
      _ = WorkerThread { [self] in
        do throws(Failure) {
          let session = try open()
          continuation.resume(returning: .success(()))
          run(session)
          end(session)
        } catch {
          close()
          run(nil)
          continuation.resume(returning: .failure(error))
        }
      }
    }
    try opened.get()
  }

  /// Has `job` run on the thread.
  package func add(_ job: @escaping Job) {
    let isClosed = state.withLock { state in
      if !state.isClosed { state.jobs.append(job) }
      return state.isClosed
    }
    if isClosed { job(nil) } else { signal.raise() }
  }
  /// Runs `body` on the thread, and gives what it gives; throws `closed` where the connection was closed.
  package func perform<T: Sendable>(
    _ closed: any Error, _ body: @escaping @Sendable (Session) throws -> T
  ) async throws -> T {
    try await withCheckedThrowingContinuation { continuation in
      add { session in
        guard let session else { return continuation.resume(throwing: closed) }
        continuation.resume(with: Result { try body(session) })
      }
    }
  }
  /// Ends the connection after what was asked before.
  package func close() {
    state.withLock { $0.isClosed = true }
    signal.raise()
  }

  private func run(_ session: Session?) {
    while true {
      let (jobs, isClosed) = state.withLock { state in
        defer { state.jobs = [] }
        return (state.jobs, state.isClosed)
      }
      for job in jobs { job(session) }
      if jobs.isEmpty {
        if isClosed { return }
        signal.wait()
      }
    }
  }
}
