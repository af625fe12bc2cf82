import BorealisCore
import BorealisVolume
import Synchronization

/// The callers that wait for a commit to be durable, by waiter id: threads or tasks.
///
/// A waiter is entered here *before* the machine hears of it, so that its wake-up finds it.
final class CommitWaiters: Sendable {
  /// How a wait ended.
  enum Outcome: Sendable {
    case durable
    case failed(VolumeError)
  }
  final class Blocked: Sendable {
    let signal = ThreadSignal()
    let outcome = Guarded<Outcome?>(nil)
  }
  private enum Caller: Sendable {
    case thread(Blocked)
    case task(CheckedContinuation<Outcome, Never>)
  }
  private struct State: Sendable {
    var callers: [WaiterID: Caller] = [:]
    var idle: [Blocked] = []
    var next: WaiterID = 1
    var closed: VolumeError?
  }
  private let state = Guarded(State())

  /// Blocks the calling thread until `begin`'s waiter is woken.
  ///
  /// `begin` says true where no wait is needed.
  func wait(_ begin: (WaiterID) throws(VolumeError) -> Bool) throws(VolumeError) {
    let (blocked, id, closed) = state.withLock { state in
      let blocked = state.idle.popLast() ?? Blocked()
      let id = state.next
      state.next += 1
      if state.closed == nil { state.callers[id] = .thread(blocked) }
      return (blocked, id, state.closed)
    }
    if let closed { throw closed }
    do throws(VolumeError) {
      if try begin(id) {
        // Nobody else knows the id: it was durable already.
        state.withLock { state in
          state.callers[id] = nil
          state.idle.append(blocked)
        }
        return
      }
    } catch {
      state.withLock { $0.callers[id] = nil }
      throw error
    }
    blocked.signal.wait()
    let outcome = blocked.outcome.withLock { $0.take() }
    state.withLock { $0.idle.append(blocked) }
    if case .failed(let error) = outcome { throw error }
  }

  /// Suspends the calling task likewise.
  func value(_ begin: @Sendable (WaiterID) -> Result<Bool, VolumeError>) async throws(VolumeError) {
    let outcome: Outcome = await withCheckedContinuation { continuation in
      let (id, closed) = state.withLock { state in
        let id = state.next
        state.next += 1
        if state.closed == nil { state.callers[id] = .task(continuation) }
        return (id, state.closed)
      }
      if let closed { return continuation.resume(returning: .failed(closed)) }
      switch begin(id) {
      case .success(false): break
      case .success(true): finish(id, .durable)
      case .failure(let error): finish(id, .failed(error))
      }
    }
    if case .failed(let error) = outcome { throw error }
  }

  /// Ends a wait; an id that is not waited for is ignored.
  func finish(_ id: WaiterID, _ outcome: Outcome) {
    guard let caller = state.withLock({ $0.callers.removeValue(forKey: id) }) else { return }
    finish(caller, outcome)
  }

  /// Ends several waits.
  func finish(_ ids: [WaiterID], _ outcome: Outcome) {
    let callers = state.withLock { state in ids.compactMap { state.callers.removeValue(forKey: $0) } }
    for caller in callers { finish(caller, outcome) }
  }

  /// Fails every caller, now and later.
  func close(_ error: VolumeError) {
    let callers = state.withLock { state in
      state.closed = error
      defer { state.callers = [:] }
      return Array(state.callers.values)
    }
    for caller in callers { finish(caller, .failed(error)) }
  }

  private func finish(_ caller: Caller, _ outcome: Outcome) {
    switch caller {
    case .thread(let blocked):
      blocked.outcome.withLock { $0 = outcome }
      blocked.signal.raise()
    case .task(let continuation): continuation.resume(returning: outcome)
    }
  }
}
