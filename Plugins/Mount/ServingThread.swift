import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// One thread that serves a mount, as the others see it.
final class ServingThread: Sendable {
  /// A request that may be answered for it where its caller is being killed.
  struct Waiting: Sendable {
    /// The address of libfuse's request.
    var request: UInt
    /// The caller's thread.
    var caller: Int32
    /// Times that the watcher has seen it.
    var looks = 0
  }
  /// Set while a request waits that changes nothing: whoever takes it out answers the request.
  let waiting = Mutex<Waiting?>(nil)
  /// Counts up twice for each request: odd while it is served.
  let progress = Atomic<UInt64>(0)
}

/// What belongs to a serving thread alone: found by the C callbacks that run on it.
final class ServingContext {
  let thread: ServingThread
  private var buffer = UnsafeMutableRawBufferPointer(start: nil, count: 0)

  init(_ thread: ServingThread) { self.thread = thread }
  deinit { buffer.deallocate() }

  /// Bytes to read into, kept for the next request.
  func buffer(_ count: Int) -> UnsafeMutableRawBufferPointer {
    if buffer.count < count {
      buffer.deallocate()
      // Whole pages: reads of the volume's pages are then aligned.
      buffer = .allocate(byteCount: max(count, 128 << 10), alignment: 4096)
    }
    return UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])
  }

  // libfuse gives a callback no place for a thread's own things, so they are in the thread's.
  private static let key: pthread_key_t = {
    var key = pthread_key_t()
    let code = pthread_key_create(&key, nil)
    precondition(code == 0, "no key for a thread's own things: \(code)")
    return key
  }()
  /// Runs `body` with this as the current one of the thread.
  func use(_ body: () -> Void) {
    withExtendedLifetime(self) {
      pthread_setspecific(ServingContext.key, Unmanaged.passUnretained(self).toOpaque())
      body()
      pthread_setspecific(ServingContext.key, nil)
    }
  }
  /// The one of this thread, which must be a serving one.
  static var current: ServingContext {
    guard let found = pthread_getspecific(key) else { preconditionFailure("not a thread that serves a mount") }
    return Unmanaged<ServingContext>.fromOpaque(found).takeUnretainedValue()
  }
}

/// What /proc tells of other people's threads.
enum CallerState {
  private static let killBit: UInt64 = 1 << UInt64(SIGKILL - 1)

  /// Whether a thread has a SIGKILL before it: it ends as soon as the kernel lets it.
  ///
  /// Any other signal that ends a process is turned into this one when it is sent.
  static func isBeingKilled(_ thread: Int32) -> Bool {
    guard thread > 0 else { return false }
    for line in TextFile.lines(of: "/proc/\(thread)/status") ?? [] {
      guard line.hasPrefix("SigPnd:") || line.hasPrefix("ShdPnd:") else { continue }
      let mask = UInt64(line.dropFirst(7).trimmed, radix: 16) ?? 0
      if mask & killBit != 0 { return true }
    }
    return false
  }
}
