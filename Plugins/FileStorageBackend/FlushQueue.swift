import BorealisCore
import BorealisRuntime
import BorealisStorageBackend
import CBorealisFlushRing
import Synchronization

#if canImport(Darwin)
  import Darwin
#elseif canImport(Musl)
  import Musl
#else
  import Glibc
#endif

/// One thread that has the kernel write and flush the logs of all nodes of a process (io_uring).
///
/// Six nodes with a thread each are six wake-ups for a commit, twice: for the write, and when it has ended. This one hands
/// all writes to the kernel at once and takes what has ended; while commits are busy it does not sleep, and nobody has to
/// wake it. Where the system has no io_uring or does not allow it, as in many containers, there is no queue, and nodes
/// write on threads of their own.
final class FlushQueue: Sendable {
  /// The one of this process; nil where the system allows none.
  static let shared = FlushQueue()

  /// Requests that are handed over at once; more flights than that are handed over in turns.
  private static let entries: UInt32 = 128
  /// The tag of the bell's request; flights have their addresses.
  private static let bellTag: UInt64 = 0

  private let inbox = Guarded<[LogFlight]>([])
  /// Whether the thread sleeps or is about to: who puts something into the inbox then rings the bell.
  private let isAsleep = Atomic(false)
  private let bell: Int32

  private init?() {
    bell = borealis_flush_ring_bell()
    if bell < 0 { return nil }
    let outcome = Guarded<Int32?>(nil)
    let isMade = ThreadSignal()
    // The ring belongs to the thread that makes it, and lives as long as the process.
    _ = WorkerThread { [self] in
      var ring: OpaquePointer?
      let code = borealis_flush_ring_make(FlushQueue.entries, &ring)
      outcome.withLock { $0 = code }
      isMade.raise()
      if let ring { run(ring) }
    }
    isMade.wait()
    if outcome.withLock({ $0 }) == 0 { return }
    _ = close(bell)
    return nil
  }

  /// Takes a flight, whose lane will hear of its end.
  func put(_ flight: LogFlight) {
    inbox.withLock { $0.append(flight) }
    // In one order with the thread's own: one of the two sees what the other has done.
    if isAsleep.load(ordering: .sequentiallyConsistent),
      isAsleep.exchange(false, ordering: .sequentiallyConsistent)
    {
      borealis_flush_ring_ring(bell)
    }
  }

  private func run(_ ring: OpaquePointer) {
    WorkerThread.letOthersFinish()
    let rung = UnsafeMutablePointer<UInt64>.allocate(capacity: 1)
    var isBellArmed = false
    var taken: [LogFlight] = []
    while true {
      if !isBellArmed {
        queue(ring) { borealis_flush_ring_read(ring, bell, rung, 8, FlushQueue.bellTag) }
        isBellArmed = true
      }
      inbox.withLock { swap(&$0, &taken) }
      for flight in taken { submit(flight, ring) }
      taken.removeAll(keepingCapacity: true)
      isAsleep.store(true, ordering: .sequentiallyConsistent)
      let isMore = inbox.withLock { !$0.isEmpty }
      if isMore { isAsleep.store(false, ordering: .sequentiallyConsistent) }
      enter(ring, least: isMore ? 0 : 1)
      isAsleep.store(false, ordering: .sequentiallyConsistent)
      var (tag, result) = (UInt64(0), Int32(0))
      while borealis_flush_ring_take(ring, &tag, &result) == 1 {
        if tag == FlushQueue.bellTag {
          isBellArmed = false
        } else {
          landed(tag, result, ring)
        }
      }
    }
  }

  /// Hands a flight's next request over; the request holds the flight.
  private func submit(_ flight: LogFlight, _ ring: OpaquePointer) {
    let tag = UInt64(UInt(bitPattern: Unmanaged.passRetained(flight).toOpaque()))
    queue(ring) {
      switch flight.request {
      case .write(let descriptor, let bytes, let offset):
        borealis_flush_ring_write(ring, descriptor, bytes.baseAddress, UInt32(bytes.count), offset, tag)
      case .flush(let descriptor): borealis_flush_ring_data_sync(ring, descriptor, tag)
      }
    }
  }
  private func landed(_ tag: UInt64, _ result: Int32, _ ring: OpaquePointer) {
    guard let pointer = UnsafeMutableRawPointer(bitPattern: UInt(tag)) else { return }
    let flight = Unmanaged<LogFlight>.fromOpaque(pointer).takeRetainedValue()
    switch flight.landed(result) {
    case .again: submit(flight, ring)
    case .over(let lane): lane.goOn()
    }
  }

  private func queue(_ ring: OpaquePointer, _ request: () -> Int32) {
    while request() != 0 { enter(ring, least: 0) }
  }
  private func enter(_ ring: OpaquePointer, least: UInt32) {
    let code = borealis_flush_ring_enter(ring, least)
    // Nobody could be told that their commits will never end: better to stop than to hang.
    precondition(
      code == 0 || code == EINTR || code == EAGAIN || code == EBUSY,
      "io_uring_enter failed: \(String(cString: strerror(code)))")
  }
}
