import BorealisCore

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
