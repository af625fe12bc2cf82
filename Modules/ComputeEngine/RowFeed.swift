import BorealisRuntime
import Synchronization

/// Carries rows from a connection's thread to one task, some at a time, and holds the thread up while nobody asks.
package final class RowFeed<Row: Sendable, Failure: Error>: Sendable {
  /// The thread's side: rows on their way.
  package struct Sink {
    /// Rows that were not handed over yet.
    package var rows: [Row] = []
    private let batch: Int
    private let hand: ([Row]) -> Bool

    init(_ batch: Int, _ hand: @escaping ([Row]) -> Bool) { (self.batch, self.hand) = (batch, hand) }

    /// Hands over what has come to a batch; false where nobody asks any more.
    package mutating func handOverBatch() -> Bool { rows.count < batch || handOver() }
    mutating func handOver() -> Bool {
      if rows.isEmpty { return true }
      defer { rows = [] }
      return hand(rows)
    }
  }
  private enum Answer: Sendable {
    case rows([Row])
    case end
    case failure(Failure)
  }
  private struct State: Sendable {
    var ready: Answer?
    var waiting: CheckedContinuation<Answer, Never>?
    var isOver = false
  }
  private let state = Mutex(State())
  private let wanted = ThreadSignal()

  /// Has a statement run on the connection's thread.
  ///
  /// - Parameters:
  ///   - batch: rows handed over together: a switch of threads costs as much as some tens of rows.
  ///   - closed: the error where the connection was closed.
  ///   - produce: runs the statement; what it leaves in the sink is handed over after it.
  ///   - finished: called once, on the connection's thread and before the last answer, with the session (nil: closed) and the
  ///     error where the statement failed; gives the error that the task shall see.
  package init<Session>(
    _ queue: SessionQueue<Session>, batch: Int, closed: Failure,
    produce: @escaping @Sendable (Session, inout Sink) throws(Failure) -> Void,
    finished: @escaping @Sendable (Session?, Failure?) -> Failure?
  ) {
    // The thread must not keep this alive: when nobody can ask any more, it is over.
    queue.add { [weak self, wanted] session in
      guard let session else {
        self?.put(.failure(finished(nil, closed) ?? closed))
        return
      }
      var sink = Sink(batch) { rows in
        guard self?.put(.rows(rows)) != nil else { return false }
        wanted.wait()
        return self != nil
      }
      var failure: Failure?
      do throws(Failure) { try produce(session, &sink) } catch { failure = error }
      if failure == nil { _ = sink.handOver() }
      let error = finished(session, failure)
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
  package func next() async throws(Failure) -> [Row] {
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
