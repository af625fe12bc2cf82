import Synchronization

/// Runs `body`, which may block, on a thread of its own.
package func onThread<T: Sendable>(_ body: @escaping @Sendable () -> T) async -> T {
  await withCheckedContinuation { continuation in _ = WorkerThread { continuation.resume(returning: body()) } }
}

/// What `body` gives, or nil when it takes longer; it is not waited for then.
package func withTimeLimit<T: Sendable>(
  milliseconds: UInt64, _ body: @escaping @Sendable () async -> T
) async -> T? {
  await withCheckedContinuation { (continuation: CheckedContinuation<T?, Never>) in
    let once = Once(continuation)
    let timer = Task {
      try? await Task.sleep(for: .milliseconds(milliseconds))
      once.resume(nil)
    }
    Task {
      once.resume(await body())
      timer.cancel()
    }
  }
}

/// A continuation that the first of two resumes.
private final class Once<T: Sendable>: Sendable {
  private let continuation: Mutex<CheckedContinuation<T?, Never>?>
  init(_ continuation: CheckedContinuation<T?, Never>) { self.continuation = Mutex(continuation) }
  func resume(_ value: T?) {
    let waiting = continuation.withLock { waiting in
      defer { waiting = nil }
      return waiting
    }
    waiting?.resume(returning: value)
  }
}
