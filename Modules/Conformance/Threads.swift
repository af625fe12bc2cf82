import Synchronization

#if canImport(Darwin)
  import Darwin
#elseif canImport(Musl)
  import Musl
#else
  import Glibc
#endif

/// Sleeps.
func pause(milliseconds: Int) {
  var time = timespec(tv_sec: 0, tv_nsec: milliseconds * 1_000_000)
  nanosleep(&time, nil)
}

/// Runs `body` on that many threads of its own, waits for all, and throws what one of them threw first.
///
/// Threads and not tasks: calls of a backend block.
func onThreads(_ count: Int, _ body: @escaping @Sendable (Int) throws -> Void) throws {
  let work = ThreadWork(body)
  var threads: [pthread_t] = []
  for _ in 0..<count {
    let context = Unmanaged.passRetained(work).toOpaque()
    #if canImport(Darwin)
      var thread: pthread_t?
      let result = pthread_create(&thread, nil, { runThreadWork($0) }, context)
    #else
      var thread = pthread_t()
      let result = pthread_create(&thread, nil, { runThreadWork($0) }, context)
    #endif
    precondition(result == 0, "no thread: error \(result)")
    #if canImport(Darwin)
      if let thread { threads.append(thread) }
    #else
      threads.append(thread)
    #endif
  }
  for thread in threads { pthread_join(thread, nil) }
  if let failure = work.failure.withLock({ $0 }) { throw failure }
}

private final class ThreadWork: Sendable {
  let body: @Sendable (Int) throws -> Void
  let next = Atomic(0)
  let failure = Mutex<(any Error)?>(nil)
  init(_ body: @escaping @Sendable (Int) throws -> Void) { self.body = body }
}

private func runThreadWork(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
  guard let context else { return nil }
  let work = Unmanaged<ThreadWork>.fromOpaque(context).takeRetainedValue()
  let index = work.next.wrappingAdd(1, ordering: .relaxed).oldValue
  do { try work.body(index) } catch {
    work.failure.withLock { failure in if failure == nil { failure = error } }
  }
  return nil
}
