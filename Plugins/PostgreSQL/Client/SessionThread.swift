import BorealisComputeEngine
import BorealisRuntime
import Synchronization

/// The thread of a connection: what tasks ask for runs there, one thing after the other.
final class SessionThread: Sendable {
  typealias Job = @Sendable (PQSession?) -> Void
  private struct State: Sendable {
    var jobs: [Job] = []
    var isClosed = false
  }
  private let state = Mutex(State())
  private let signal = ThreadSignal()
  let cutter: PQSession.Cutter

  private init(_ cutter: PQSession.Cutter) { self.cutter = cutter }

  /// Connects on a thread of its own.
  static func connect(
    _ target: ConnectionTarget, instance: String?, timeoutMilliseconds: UInt64 = 10_000,
    onCommitSent: (@Sendable () -> Void)? = nil
  ) async throws(SQLError) -> SessionThread {
    let thread = SessionThread(PQSession.Cutter())
    let opened: Result<Void, SQLError> = await withCheckedContinuation { continuation in
      _ = WorkerThread {
        do throws(SQLError) {
          let session = try PQSession(
            target, instance: instance, cutter: thread.cutter, timeoutMilliseconds: timeoutMilliseconds)
          if let onCommitSent { session.onCommitSent = { onCommitSent() } }
          continuation.resume(returning: .success(()))
          thread.run(session)
        } catch { continuation.resume(returning: .failure(error)) }
      }
    }
    try opened.get()
    return thread
  }

  /// Has `job` run on the thread; with nothing where the connection was closed.
  func add(_ job: @escaping Job) {
    let isClosed = state.withLock { state in
      if !state.isClosed { state.jobs.append(job) }
      return state.isClosed
    }
    if isClosed { job(nil) } else { signal.raise() }
  }
  /// Runs `body` on the thread, and gives what it gives.
  func perform<T: Sendable>(_ body: @escaping @Sendable (PQSession) throws -> T) async throws -> T {
    try await withCheckedThrowingContinuation { continuation in
      add { session in
        guard let session else {
          return continuation.resume(throwing: SQLError(.connectionLost, "the connection is closed"))
        }
        continuation.resume(with: Result { try body(session) })
      }
    }
  }
  /// Ends the connection; the statement under way fails.
  func close() {
    state.withLock { $0.isClosed = true }
    cutter.cut()
    signal.raise()
  }
  private func run(_ session: PQSession) {
    while true {
      let (jobs, isClosed) = state.withLock { state in
        defer { state.jobs = [] }
        return (state.jobs, state.isClosed)
      }
      for job in jobs { job(session) }
      if jobs.isEmpty {
        if isClosed { break }
        signal.wait()
      }
    }
    session.close()
  }
}

/// Carries rows from the connection's thread to one task, some at a time, and holds the thread up while nobody asks.
final class RowFeed: Sendable {
  /// Rows handed over together: a switch of threads costs as much as some tens of rows.
  private static let batch = 256
  private enum Answer: Sendable {
    case rows([SQLRow])
    case end
    case failure(SQLError)
  }
  private struct State: Sendable {
    var ready: Answer?
    var waiting: CheckedContinuation<Answer, Never>?
    var isOver = false
  }
  private let state = Mutex(State())
  private let wanted = ThreadSignal()

  /// - Parameter finished: called once, on the connection's thread and before the last answer, with whether a transaction
  ///   is open then, and the error where the statement failed; gives the error that the task shall see.
  init(
    _ thread: SessionThread, sql: String, parameters: [SQLValue],
    finished: @escaping @Sendable (_ isInTransaction: Bool, _ error: SQLError?) -> SQLError?
  ) {
    // The thread must not keep this alive: when nobody can ask any more, it is over.
    thread.add { [weak self, wanted] session in
      guard let session else {
        let error = SQLError(.connectionLost, "the connection is closed", sql: sql)
        self?.put(.failure(finished(false, error) ?? error))
        return
      }
      var rows: [SQLRow] = []
      func hand() -> Bool {
        guard self?.put(.rows(rows)) != nil else { return false }
        rows = []
        wanted.wait()
        return self != nil
      }
      var failure: SQLError?
      do throws(SQLError) {
        try session.forEachRow(sql, parameters: parameters) { more in
          rows += more
          return rows.count < RowFeed.batch || hand()
        }
      } catch { failure = error }
      if failure == nil, !rows.isEmpty { _ = hand() }
      let error = finished(session.isInTransaction, failure)
      self?.put(error.map { .failure($0) } ?? .end)
    }
  }
  deinit { wanted.raise() }

  /// Gives the task an answer.
  private func put(_ answer: Answer) {
    let waiting = state.withLock { state in
      if state.waiting == nil { state.ready = answer }
      defer { state.waiting = nil }
      return state.waiting
    }
    waiting?.resume(returning: answer)
  }
  /// The next rows; none after the last.
  func next() async throws(SQLError) -> [SQLRow] {
    if state.withLock({ $0.isOver }) { return [] }
    let answer: Answer = await withCheckedContinuation { continuation in
      let ready = state.withLock { state -> Answer? in
        defer { state.ready = nil }
        if state.ready == nil { state.waiting = continuation }
        return state.ready
      }
      if let ready { continuation.resume(returning: ready) }
    }
    switch answer {
    case .rows(let rows):
      wanted.raise()
      return rows
    case .end:
      state.withLock { $0.isOver = true }
      return []
    case .failure(let error):
      state.withLock { $0.isOver = true }
      throw error
    }
  }
}
