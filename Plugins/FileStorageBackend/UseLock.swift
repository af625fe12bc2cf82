import BorealisRuntime
import Synchronization

/// Lets calls in until the end, which waits for those that are in.
///
/// A descriptor's number must not be reused for another file while a call still means the old one. A call may be left on
/// another thread than the one that entered.
final class UseLock: Sendable {
  private let count = Atomic(0)
  private let isEnded = Atomic(false)
  private let isEmpty = ThreadSignal()

  /// False when ended; when true, `leave` must follow.
  func enter() -> Bool {
    // Sequentially consistent: of a call that comes in and the end, one sees the other.
    count.wrappingAdd(1, ordering: .sequentiallyConsistent)
    if !isEnded.load(ordering: .sequentiallyConsistent) { return true }
    leave()
    return false
  }
  func leave() {
    if count.wrappingSubtract(1, ordering: .sequentiallyConsistent).newValue == 0,
      isEnded.load(ordering: .sequentiallyConsistent)
    {
      isEmpty.raise()
    }
  }
  /// Runs `body` once, alone; does nothing the second time.
  func end(_ body: () -> Void) {
    if isEnded.exchange(true, ordering: .sequentiallyConsistent) { return }
    while count.load(ordering: .sequentiallyConsistent) > 0 { isEmpty.wait() }
    body()
  }
}
