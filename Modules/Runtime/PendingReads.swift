import BorealisCore
import BorealisVolume
import Synchronization

/// The callers that wait for page reads, by read id: threads or tasks.
final class PendingReads: Sendable {
  final class Blocked: Sendable {
    let signal = ThreadSignal()
    let result = Mutex<Result<PageImage, VolumeError>?>(nil)
  }
  private enum Caller {
    case thread(Blocked)
    case task(CheckedContinuation<Result<PageImage, VolumeError>, Never>)
  }
  private struct State {
    var callers: [ReadID: Caller] = [:]
    var next: ReadID = 1
    var closed: VolumeError?
  }
  private let state = Mutex(State())

  /// Blocks the calling thread until the read that `begin` starts has completed.
  func wait(_ begin: (ReadID) -> Void) throws(VolumeError) -> PageImage {
    let blocked = Blocked()
    guard let id = add(.thread(blocked)) else { throw closedError }
    begin(id)
    blocked.signal.wait()
    guard let result = blocked.result.withLock({ $0 }) else { throw closedError }
    return try result.get()
  }

  /// Suspends the calling task until the read that `begin` starts has completed.
  func value(_ begin: @Sendable (ReadID) -> Void) async throws(VolumeError) -> PageImage {
    let result: Result<PageImage, VolumeError> = await withCheckedContinuation { continuation in
      if let id = add(.task(continuation)) { begin(id) } else { continuation.resume(returning: .failure(closedError)) }
    }
    return try result.get()
  }

  /// Hands results to their callers; ids that nobody waits for are ignored.
  func complete(_ reads: [CompletedRead]) {
    for read in reads {
      if let caller = state.withLock({ $0.callers.removeValue(forKey: read.id) }) { finish(caller, read.result) }
    }
  }

  /// Fails every caller, now and later.
  func close(_ error: VolumeError) {
    let callers = state.withLock { state in
      state.closed = error
      defer { state.callers = [:] }
      return Array(state.callers.values)
    }
    for caller in callers { finish(caller, .failure(error)) }
  }

  private var closedError: VolumeError {
    state.withLock { $0.closed } ?? VolumeError(.closed, operation: "read")
  }

  private func add(_ caller: Caller) -> ReadID? {
    state.withLock { state in
      guard state.closed == nil else { return nil }
      let id = state.next
      state.next += 1
      state.callers[id] = caller
      return id
    }
  }

  private func finish(_ caller: Caller, _ result: Result<PageImage, VolumeError>) {
    switch caller {
    case .thread(let blocked):
      blocked.result.withLock { $0 = result }
      blocked.signal.raise()
    case .task(let continuation): continuation.resume(returning: result)
    }
  }
}
