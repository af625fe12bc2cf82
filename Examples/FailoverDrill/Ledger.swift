import Borealis
import Synchronization

/// What the clients were told.
final class Ledger: Sendable {
  struct State: Sendable {
    var acknowledged: [Int] = []
    var last = ContinuousClock.now
    var gap = Duration.zero
    var refused = 0, unknown = 0
    var unexpected: SQLError?
  }
  private let state = Mutex(State())
  var told: State { state.withLock { $0 } }
  func acknowledge(_ id: Int) {
    state.withLock { state in
      state.acknowledged.append(id)
      state.gap = max(state.gap, state.last.duration(to: .now))
      state.last = .now
    }
  }
  func fail(_ error: SQLError) {
    state.withLock { state in
      if error.isOutcomeUnknown { state.unknown += 1 } else { state.refused += 1 }
      if !error.isOutcomeUnknown && !error.isRetryable { state.unexpected = error }
    }
  }
  func takeFigures() -> String {
    state.withLock { state in
      defer { (state.gap, state.refused, state.unknown) = (.zero, 0, 0) }
      let gap = Int(state.gap / .milliseconds(1))
      return "longest gap \(gap) ms; refused and run again: \(state.refused); outcome unknown: \(state.unknown)"
    }
  }

  /// A client: rows of its own, one after the other; a statement is run again only where that is safe.
  func commit(from client: Int, to cluster: Cluster) async {
    var row = 0
    while !Task.isCancelled {
      let id = row * 100 + client
      do throws(SQLError) {
        try await cluster.writer.execute("INSERT INTO t VALUES (?)", id)
        acknowledge(id)
      } catch {
        fail(error)
        if error.isRetryable { continue }
      }
      row += 1
    }
  }
}
