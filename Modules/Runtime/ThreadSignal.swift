import BorealisCore

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Wakes one thread that has nothing to do: a flag, a mutex and a condition.
///
/// A signal given while nobody waits is kept, so that a wake-up is never lost; several are kept as one.
package final class ThreadSignal: @unchecked Sendable {
  // @unchecked: `raised` is only touched under `mutex`; both live as long as the object.
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private let condition: UnsafeMutablePointer<pthread_cond_t>
  private var raised = false

  package init() {
    mutex = .allocate(capacity: 1)
    condition = .allocate(capacity: 1)
    pthread_mutex_init(mutex, nil)
    #if canImport(Darwin)
      pthread_cond_init(condition, nil)
    #else
      var attributes = pthread_condattr_t()
      pthread_condattr_init(&attributes)
      pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
      pthread_cond_init(condition, &attributes)
      pthread_condattr_destroy(&attributes)
    #endif
  }

  deinit {
    pthread_cond_destroy(condition)
    pthread_mutex_destroy(mutex)
    condition.deallocate()
    mutex.deallocate()
  }

  /// Lets the waiting thread go on, or the next one that waits.
  package func raise() {
    pthread_mutex_lock(mutex)
    let wasRaised = raised
    raised = true
    pthread_mutex_unlock(mutex)
    if !wasRaised { pthread_cond_signal(condition) }
  }

  /// Blocks until raised, then lowers.
  package func wait() {
    pthread_mutex_lock(mutex)
    while !raised { pthread_cond_wait(condition, mutex) }
    raised = false
    pthread_mutex_unlock(mutex)
  }

  /// Blocks until raised or until `milliseconds` have passed, then lowers; whether it was raised.
  @discardableResult
  package func wait(milliseconds: UInt64) -> Bool {
    wait(until: SystemClock.now.advanced(byMilliseconds: milliseconds))
  }

  /// Blocks until raised or until it is `instant`, then lowers; whether it was raised.
  @discardableResult
  package func wait(until instant: Instant) -> Bool {
    var nanoseconds = instant.nanoseconds
    #if canImport(Darwin)
      // Darwin's conditions wait by the wall clock.
      let now = SystemClock.now.nanoseconds
      nanoseconds = SystemClock.wallClock + (nanoseconds > now ? nanoseconds - now : 0)
    #endif
    var deadline = timespec()
    deadline.tv_sec = Int(nanoseconds / 1_000_000_000)
    deadline.tv_nsec = Int(nanoseconds % 1_000_000_000)
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    while !raised {
      if pthread_cond_timedwait(condition, mutex, &deadline) == ETIMEDOUT { break }
    }
    let result = raised
    raised = false
    return result
  }
}
