import BorealisCore
import CBorealisSystem

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// A thread of our own, for what may block: never Swift's cooperative pool.
package final class WorkerThread: @unchecked Sendable {
  // @unchecked: `handle` is written once in `init`, before anybody else has the object, and read once in `join`.
  #if canImport(Darwin)
    private var handle: pthread_t?
  #else
    private var handle = pthread_t()
  #endif

  private final class Body {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
  }

  package init(_ body: @escaping @Sendable () -> Void) {
    let retained = Unmanaged.passRetained(Body(body)).toOpaque()
    #if canImport(Darwin)
      let code = pthread_create(
        &handle, nil,
        {
          Unmanaged<Body>.fromOpaque($0).takeRetainedValue().run(); return nil
        }, retained)
    #else
      let code = pthread_create(
        &handle, nil,
        { argument in
          if let argument { Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run() }
          return nil
        }, retained)
    #endif
    precondition(code == 0, "cannot make a thread: \(String(cString: strerror(code)))")
  }

  /// Has the calling thread never interrupt the one that wakes it.
  ///
  /// For threads that flush: six of them are woken for each batch, and where the first ones took the processor from the
  /// sender, the last nodes had their wake-up late (measured on two cores: the sender was done after 44 instead of 90 us,
  /// one client's commit took 1.14-1.34 instead of 1.29-1.43 times the limit). Linux only; elsewhere nothing happens.
  package static func letOthersFinish() {
    // A failure costs speed only.
    _ = borealis_schedule_as_batch()
  }

  /// Waits until the body has returned.
  package func join() {
    #if canImport(Darwin)
      if let handle { pthread_join(handle, nil) }
    #else
      pthread_join(handle, nil)
    #endif
  }
}

/// The clocks of the machine.
package enum SystemClock {
  /// Monotonic time.
  package static var now: Instant {
    var t = timespec()
    clock_gettime(CLOCK_MONOTONIC, &t)
    return Instant(nanoseconds: UInt64(t.tv_sec) * 1_000_000_000 + UInt64(t.tv_nsec))
  }
  /// Nanoseconds since 1970.
  package static var wallClock: UInt64 {
    var t = timespec()
    clock_gettime(CLOCK_REALTIME, &t)
    return UInt64(t.tv_sec) * 1_000_000_000 + UInt64(t.tv_nsec)
  }
}
