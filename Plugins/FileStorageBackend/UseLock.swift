import Synchronization

#if canImport(Darwin)
  import Darwin
#elseif canImport(Musl)
  import Musl
#else
  import Glibc
#endif

/// Lets calls in until the end, which waits for those that are in.
///
/// A descriptor's number must not be reused for another file while a call still means the old one.
final class UseLock: Sendable {
  /// Unsafe only in that pointers are not Sendable: it is set once, points to memory of this object alone until `deinit`,
  /// and the pthread functions are made for several threads.
  private nonisolated(unsafe) let lock: UnsafeMutablePointer<pthread_rwlock_t>
  private let isEnded = Atomic(false)

  init() {
    lock = .allocate(capacity: 1)
    pthread_rwlock_init(lock, nil)
  }
  deinit {
    pthread_rwlock_destroy(lock)
    lock.deallocate()
  }
  /// False when ended; when true, `leave` must follow.
  func enter() -> Bool {
    // Looked at before the lock too, so that a stream of calls cannot keep the end waiting.
    if isEnded.load(ordering: .acquiring) { return false }
    pthread_rwlock_rdlock(lock)
    if isEnded.load(ordering: .acquiring) {
      pthread_rwlock_unlock(lock)
      return false
    }
    return true
  }
  func leave() { pthread_rwlock_unlock(lock) }
  /// Runs `body` once, alone; does nothing the second time.
  func end(_ body: () -> Void) {
    if isEnded.exchange(true, ordering: .acquiringAndReleasing) { return }
    pthread_rwlock_wrlock(lock)
    body()
    pthread_rwlock_unlock(lock)
  }
}
