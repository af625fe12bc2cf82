import BorealisCore
import BorealisFileSystem
import BorealisRuntime
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// A file system that is mounted through FUSE.
///
/// Its threads hold it: it is served until `unmount`, `abort`, somebody's `umount`, or the end of the process.
final class FUSEMount: MountedFileSystem {
  /// The watcher looks this often for calls that wait.
  private static let watchMilliseconds: UInt64 = 100
  /// Looks that a call must have waited before its caller is asked about.
  private static let looksMin = 2
  /// A directory that is busy is tried again this often.
  private static let retryMilliseconds: UInt64 = 20

  private struct State: Sendable {
    var serving: [ServingThread] = []
    var workers: [WorkerThread] = []
    /// Serving threads that have not ended.
    var running = 0
    /// Of these, how many wait for the volume.
    var waiting = 0
    var isMounted = false
    var isAborted = false
    var isEnded = false
    var minor = 0
  }

  let files: VolumeFileSystem
  let options: MountOptions
  /// How long the kernel may keep what it is told.
  let caching: KernelCaching
  let counters = MountCounters()
  let handles = Mutex(HandleTable())
  let removed = RemovedInodes()
  /// Another writer has the volume: everything is refused from then on.
  let hasFailed = Atomic<Bool>(false)
  /// The kernel opens directories without asking.
  let directoriesNeedNoOpen = Atomic<Bool>(false)
  private let point: MountPoint
  private let session: FUSESession
  private let state = Mutex(State())
  private let hasBegun = ThreadSignal()
  private let watch = ThreadSignal()

  init(_ files: VolumeFileSystem, at point: MountPoint, options: MountOptions) throws(MountError) {
    self.files = files
    self.options = options
    caching = KernelCaching(options, isStill: files.space.isStill)
    self.point = point
    session = FUSESession()
  }

  /// Mounts and begins to serve; returns when the kernel has been told how.
  func start() throws(MountError) {
    let isReadOnly = options.isReadOnly || files.isReadOnly
    try session.begin(self, at: point, options, isReadOnly: isReadOnly)
    state.withLock { state in
      state.minor = point.entry?.minor ?? 0
      state.isMounted = true
    }
    addThreads(options.threads)
    let watcher = WorkerThread { [self] in watchThreads() }
    state.withLock { $0.workers.append(watcher) }
    hasBegun.wait()
    guard isMounted else {
      throw MountError(.system, path, "the kernel ended the connection at once: \(FUSELog.shared.take())")
    }
  }
  /// The kernel's first request has been answered.
  func begun() { hasBegun.raise() }

  // MARK: MountedFileSystem

  /// Where it is mounted: an absolute path.
  var path: String { point.path }
  /// Whether it is still served.
  var isMounted: Bool { state.withLock { $0.isMounted } }
  /// What was asked of it.
  var statistics: MountStatistics { counters.statistics }

  /// Unmounts; tries again and again until `timeoutMilliseconds` are over.
  ///
  /// Nothing becomes durable by it: `VolumeFileSystem.unmount` does that.
  /// - Throws: `.busy`, where it stays mounted; `.system`.
  func unmount(timeoutMilliseconds: UInt64) throws(MountError) {
    let deadline = SystemClock.now.advanced(byMilliseconds: timeoutMilliseconds)
    while isMounted {
      // Where somebody else has detached it, it ends when the last file is closed.
      let code = isAtItsPath ? point.unmount() : EBUSY
      if code == 0 { break }
      guard code == EBUSY || code == EAGAIN || code == EINVAL else {
        throw MountError(.system, path, String(cString: strerror(code)))
      }
      guard SystemClock.now < deadline else {
        throw MountError(.busy, path, "files in it are open, or processes work in it: `fuser -vm \(path)` shows which")
      }
      usleep(UInt32(FUSEMount.retryMilliseconds) * 1000)
    }
    if !state.withLock({ $0.isAborted }) { joinThreads() }
  }
  /// Whether this is what is mounted there.
  private var isAtItsPath: Bool { point.entry?.minor == state.withLock { $0.minor } }

  /// Ends it at once: calls under way and later ones fail with `ENOTCONN` or `ECONNABORTED`.
  ///
  /// A change that a thread has begun may still happen afterwards; close the volume where it must not.
  func abort() {
    let found = state.withLock { state -> (minor: Int, running: Int)? in
      guard state.isMounted else { return nil }
      state.isMounted = false
      // Threads that wait for the volume end when it answers; nobody waits for them.
      state.isAborted = true
      return (state.minor, state.running)
    }
    guard let found else { return }
    let isAtItsPath = isAtItsPath
    if point.abort(minor: found.minor, isThere: isAtItsPath) { return }
    // The connection ends with the last that has the device open, and a thread that waits for a request has it open.
    session.letGoOfDevice()
    guard isAtItsPath else { return }
    point.wake(found.running + 1)
    _ = point.detach()
  }

  // MARK: Threads

  private func addThreads(_ count: Int) {
    state.withLock { state in
      guard !state.isEnded else { return }
      for _ in 0..<max(0, min(count, options.threadsMax - state.running)) {
        let thread = ServingThread()
        state.serving.append(thread)
        state.running += 1
        state.workers.append(WorkerThread { [self] in serve(thread) })
      }
    }
  }
  private func serve(_ thread: ServingThread) {
    ServingContext(thread).use { session.serve(thread) }
    let isLast = state.withLock { state in
      state.isMounted = false
      state.running -= 1
      // At once, so that nobody adds a thread to a session that is being closed.
      state.isEnded = state.running == 0
      return state.isEnded
    }
    if isLast { end() }
  }
  /// What the last thread does.
  private func end() {
    session.end()
    // The kernel does not close what is open when a connection ends.
    for file in handles.withLock({ $0.removeAll() }) + removed.forgetAll() { try? files.close(file) }
    watch.raise()
    hasBegun.raise()
  }
  private func joinThreads() {
    while true {
      let workers = state.withLock { state in
        defer { state.workers = [] }
        return state.workers
      }
      if workers.isEmpty { return }
      for worker in workers { worker.join() }
    }
  }

  /// Runs `body`, which waits for the volume, and sees to it that enough threads serve meanwhile.
  ///
  /// Nil where the caller has been answered in the meantime, because it is being killed.
  func waiting<T>(
    _ request: FUSERequest, _ context: ServingContext, isLong: Bool, _ body: () -> T
  ) -> T? {
    let thread = context.thread
    thread.waiting.withLock { $0 = ServingThread.Waiting(request: request.address, caller: request.caller) }
    if isLong {
      let missing = state.withLock { state -> Int in
        state.waiting += 1
        return options.threads - (state.running - state.waiting)
      }
      if missing > 0 { addThreads(missing) }
    }
    defer { if isLong { state.withLock { $0.waiting -= 1 } } }
    let result = body()
    let isMine = thread.waiting.withLock { waiting in
      defer { waiting = nil }
      return waiting != nil
    }
    return isMine ? result : nil
  }
  /// Looks after calls that wait: their callers may be killed, and others need threads.
  private func watchThreads() {
    var before: [UInt64] = []
    while true {
      watch.wait(milliseconds: FUSEMount.watchMilliseconds)
      let (serving, isEnded) = state.withLock { ($0.serving, $0.isEnded) }
      if isEnded { return }
      for thread in serving { letGo(thread) }
      // All are busy, and none with another request than before: they wait for the volume.
      let now = serving.map { $0.progress.load(ordering: .relaxed) }
      if now == before, now.allSatisfy({ $0 % 2 == 1 }) { addThreads(options.threads) }
      before = now
    }
  }
  /// Answers a thread's request with EINTR where its caller is being killed.
  ///
  /// The kernel leaves a caller alone that waits for us, even for its SIGKILL, until it has an answer.
  private func letGo(_ thread: ServingThread) {
    let caller = thread.waiting.withLock { waiting -> Int32? in
      waiting?.looks += 1
      guard let waiting, waiting.looks >= FUSEMount.looksMin else { return nil }
      return waiting.caller
    }
    guard let caller, CallerState.isBeingKilled(caller) else { return }
    let request = thread.waiting.withLock { waiting -> UInt? in
      guard waiting?.caller == caller, (waiting?.looks ?? 0) >= FUSEMount.looksMin else { return nil }
      defer { waiting = nil }
      return waiting?.request
    }
    if let request { FUSERequest(address: request).fail(EINTR) }
  }
}
