import BorealisCore
import BorealisStorageBackend
import BorealisStorageNode
import BorealisTransport
import BorealisWire
import Synchronization

/// Runs one storage node in this process: the machine in a lock, two threads of its own, a backend and a transport.
///
/// The log thread appends and flushes, unless the backend takes that on without a thread that waits (`begin`); the other one
/// ticks, coalesces, gossips and scrubs. Messages are handled on the thread that delivers them. Effects are performed after
/// the lock is let go.
public final class StorageNodeHost: MessageReceiver, LogLane {
  /// The node.
  public let id: NodeID
  private let node: Guarded<StorageNode>
  private let backend: any StorageBackend
  private let transport: any Transport
  private let logSignal = ThreadSignal()
  private let backgroundSignal = ThreadSignal()
  // Set in `receive`, taken in `endOfBurst` on the same thread, so that a wake-up is given by the one or by another
  // thread that came in between.
  private let wantsLog = Atomic<Bool>(false)
  private let wantsBackground = Atomic<Bool>(false)
  private let isRunning = Atomic<Bool>(true)
  private let threads = Mutex<[WorkerThread]>([])
  private let tickMilliseconds: UInt64
  private let queuesLogJobs: Bool
  /// A job that the backend did not take, for the log thread.
  private let returnedJob = Guarded<StorageJob?>(nil)

  /// Opens the node on `backend` (formats it when empty, recovers otherwise), starts its threads and registers with `transport`.
  ///
  /// - Throws: what the backend throws while opening.
  public init(
    id: NodeID, volume: VolumeID, backend: any StorageBackend, transport: any Transport,
    configuration: StorageNodeConfiguration, tickMilliseconds: UInt64 = 10
  ) throws(StorageBackendError) {
    self.id = id
    self.backend = backend
    self.transport = transport
    self.tickMilliseconds = tickMilliseconds
    queuesLogJobs = backend.queuesLogJobs
    node = Guarded(
      try StorageNode(id: id, volume: volume, backend: backend, configuration: configuration, now: SystemClock.now))
    transport.register(.node(id), self)
    threads.withLock {
      $0 = [WorkerThread { [self] in runLog() }, WorkerThread { [self] in runBackground() }]
    }
  }

  /// Takes one message; answers on this thread.
  public func receive(_ bytes: [UInt8]) {
    guard isRunning.load(ordering: .acquiring) else { return }
    var out: [Outgoing] = []
    let work = node.withLock { node in
      node.receive(bytes, now: SystemClock.now, into: &out)
      return (log: node.hasLogWork, background: node.hasBackgroundWork)
    }
    if work.log { wantsLog.store(true, ordering: .relaxed) }
    if work.background { wantsBackground.store(true, ordering: .relaxed) }
    send(out)
  }

  /// Wakes the threads for what was received.
  public func endOfBurst() {
    if wantsLog.load(ordering: .relaxed), wantsLog.exchange(false, ordering: .relaxed) { goOnWithLog() }
    if wantsBackground.load(ordering: .relaxed), wantsBackground.exchange(false, ordering: .relaxed) {
      backgroundSignal.raise()
    }
  }

  /// Where the node's segment of `group` stands; nil where it holds none.
  public func status(of group: ProtectionGroupID) -> SegmentStatus? { node.withLock { $0.status(of: group) } }

  /// The node's counters.
  public var statistics: StorageNodeStatistics { node.withLock { $0.statistics } }

  /// Violated invariants; empty when all hold.
  public func checkInvariants() -> [String] { node.withLock { $0.checkInvariants() } }

  /// Stops threads and delivery and closes the backend.
  ///
  /// What was not durable is not made durable: as after kill -9.
  public func stop() {
    guard isRunning.exchange(false, ordering: .acquiringAndReleasing) else { return }
    transport.unregister(.node(id))
    logSignal.raise()
    backgroundSignal.raise()
    for thread in threads.withLock({ $0 }) { thread.join() }
    threads.withLock { $0 = [] }
    backend.close()
  }

  private func send(_ out: [Outgoing]) {
    if !out.isEmpty { transport.send(out) }
  }

  private func runLog() {
    WorkerThread.letOthersFinish()
    while isRunning.load(ordering: .acquiring) {
      if queuesLogJobs {
        if performReturned() { goOn() } else { logSignal.wait() }
      } else if !step(.log) {
        logSignal.wait()
      }
    }
  }

  /// Performs the job that the backend gave back; whether there was one.
  private func performReturned() -> Bool {
    guard let job = returnedJob.withLock({ $0.take() }) else { return false }
    perform(job)
    return true
  }

  /// There is something to flush: begins with it, or wakes the thread that does.
  private func goOnWithLog() {
    guard queuesLogJobs else { return logSignal.raise() }
    guard isRunning.load(ordering: .acquiring) else { return }
    guard let job = node.withLock({ $0.nextJob(.log, now: SystemClock.now) }) else { return }
    if !backend.begin(job, for: self) { returned(job) }
  }
  /// The backend has done a job of the log lane.
  public func ended(_ job: StorageJob, error: StorageBackendError?) { complete(job, error) }
  /// The backend has not: the log thread does it.
  public func returned(_ job: StorageJob) {
    returnedJob.withLock { $0 = job }
    logSignal.raise()
  }
  /// The job of the log lane that has ended is gone: the next one takes its buffers.
  public func goOn() { endOfBurst() }

  private func runBackground() {
    var nextTick = SystemClock.now
    while isRunning.load(ordering: .acquiring) {
      let now = SystemClock.now
      if now >= nextTick {
        nextTick = now.advanced(byMilliseconds: tickMilliseconds)
        var out: [Outgoing] = []
        let hasLogWork = node.withLock { node in
          node.tick(now: now, into: &out)
          return node.hasLogWork
        }
        if hasLogWork { goOnWithLog() }
        send(out)
      }
      if !step(.background) {
        backgroundSignal.wait(until: nextTick)
      }
    }
  }

  /// Performs the lane's next job; whether there was one.
  private func step(_ lane: StorageLane) -> Bool {
    guard let job = node.withLock({ $0.nextJob(lane, now: SystemClock.now) }) else { return false }
    perform(job)
    return true
  }
  private func perform(_ job: StorageJob) { complete(job, backend.perform(job)) }

  private func complete(_ job: StorageJob, _ error: StorageBackendError?) {
    guard isRunning.load(ordering: .acquiring) else { return }
    var out: [Outgoing] = []
    let work = node.withLock { node in
      node.complete(job, error: error, now: SystemClock.now, into: &out)
      return (log: node.hasLogWork, background: node.hasBackgroundWork)
    }
    if work.log {
      // After one of the log lane the job is held by the callers yet: `goOn` follows.
      if job.lane != .log { goOnWithLog() } else if queuesLogJobs { wantsLog.store(true, ordering: .relaxed) }
    }
    if work.background, job.lane != .background { backgroundSignal.raise() }
    send(out)
  }
}
