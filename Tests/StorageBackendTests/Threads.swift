import Glibc
import Synchronization

/// Runs `body` on that many threads of its own and waits for all; throws what one of them threw.
func onThreads(_ count: Int, _ body: @escaping @Sendable (Int) throws -> Void) throws {
  final class Work: Sendable {
    let body: @Sendable (Int) throws -> Void
    let next = Atomic(0)
    let failure = Mutex<(any Error)?>(nil)
    init(_ body: @escaping @Sendable (Int) throws -> Void) { self.body = body }
    func run() {
      do { try body(next.wrappingAdd(1, ordering: .relaxed).oldValue) } catch { failure.withLock { $0 = error } }
    }
  }
  let work = Work(body)
  var threads: [pthread_t] = []
  for _ in 0..<count {
    var thread = pthread_t()
    let context = Unmanaged.passRetained(work).toOpaque()
    let result = pthread_create(
      &thread, nil,
      { context in
        if let context { Unmanaged<Work>.fromOpaque(context).takeRetainedValue().run() }
        return nil
      }, context)
    precondition(result == 0)
    threads.append(thread)
  }
  for thread in threads { pthread_join(thread, nil) }
  if let failure = work.failure.withLock({ $0 }) { throw failure }
}
