import BorealisCore
import BorealisStorageBackend
import Synchronization

/// A commit's write to one log, on its way through a `FlushQueue`; used again for the next one.
///
/// It is the log's own: a node has one such job under way at most.
final class LogFlight: @unchecked Sendable {
  // @unchecked: `buffer`, `trip` and `request` belong to whoever has won `isTaken`, and from `put` on to the queue's thread,
  // until it lets go of `isTaken` again.

  /// What the kernel is to do next.
  enum Request {
    case write(Int32, UnsafeRawBufferPointer, offset: UInt64)
    case flush(Int32)
  }
  private struct Trip {
    let file: DataFile
    let direct: DirectWrites
    let job: StorageJob
    let lane: any LogLane
    let offset: UInt64
    let length: Int
    /// Counted changes of the file that the flush under way makes durable.
    var change: UInt64 = 0
  }

  private let buffer: UnsafeMutableRawBufferPointer
  private let use: UseLock
  private let isTaken = Atomic(false)
  private var trip: Trip?
  private(set) var request: Request

  init(_ use: UseLock) {
    self.use = use
    buffer = .allocate(byteCount: DirectWrites.lengthMax, alignment: 4096)
    request = .flush(-1)
  }
  deinit { buffer.deallocate() }

  /// Takes a job's write, if no other is under way; the caller has entered the use lock, which is left at the end.
  func take(
    _ bytes: [UInt8], at offset: UInt64, of job: StorageJob, in file: DataFile, _ direct: DirectWrites,
    for lane: any LogLane
  ) -> Bool {
    if isTaken.exchange(true, ordering: .acquiring) { return false }
    bytes.withUnsafeBytes { buffer.copyMemory(from: $0) }
    trip = Trip(file: file, direct: direct, job: job, lane: lane, offset: offset, length: bytes.count)
    request = .write(
      direct.descriptor.number, UnsafeRawBufferPointer(rebasing: buffer[..<bytes.count]), offset: offset)
    return true
  }

  /// What follows when a request has ended.
  enum Landing {
    /// Another request, `request`.
    case again
    /// Nothing: the lane has heard of it, and may go on.
    case over(any LogLane)
  }

  /// The request has ended, with a count or minus an errno value.
  func landed(_ result: Int32) -> Landing {
    guard var trip else { preconditionFailure("a request of nobody has ended") }
    if case .flush = request {
      if result < 0 { return end(trip, trip.file.flushFailed(SystemFailure(number: -result))) }
      trip.file.flushed(trip.change)
      return end(trip, nil)
    }
    guard result == trip.length else {
      let failure = result < 0 ? SystemFailure(number: -result) : nil
      // In part, or not in this way: all of it is written again where a thread can wait for it.
      guard let failure, !failure.isTemporary else { return giveBack(trip) }
      if trip.direct.refuses(failure) { return giveBack(trip) }
      return end(trip, trip.file.directWriteFailed(failure))
    }
    trip.direct.note(trip.offset, trip.length)
    // What others have written into the file, the index of a full chunk, wants a flush of its own.
    guard let change = trip.file.unflushed else { return end(trip, nil) }
    trip.change = change
    self.trip = trip
    request = .flush(trip.file.descriptor.number)
    return .again
  }

  private func end(_ trip: Trip, _ error: StorageBackendError?) -> Landing {
    free()
    trip.lane.ended(trip.job, error: error)
    use.leave()
    return .over(trip.lane)
  }
  private func giveBack(_ trip: Trip) -> Landing {
    free()
    trip.lane.returned(trip.job)
    use.leave()
    return .over(trip.lane)
  }
  /// Before the lane hears of it: it may have the next job.
  private func free() {
    trip = nil
    isTaken.store(false, ordering: .releasing)
  }
}
