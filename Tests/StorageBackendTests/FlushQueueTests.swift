import BorealisCore
import BorealisStorageBackend
import Glibc
import Synchronization
import Testing

@testable import BorealisFileStorageBackend

/// Counts what it hears of its jobs.
private final class CountingLane: LogLane {
  let errors = Mutex<[StorageBackendError?]>([])
  let returns = Mutex(0)
  func ended(_ job: StorageJob, error: StorageBackendError?) { errors.withLock { $0.append(error) } }
  func returned(_ job: StorageJob) { returns.withLock { $0 += 1 } }
  func goOn() {}
  var heard: Int { errors.withLock { $0.count } + returns.withLock { $0 } }
  func wait(for count: Int) async throws {
    for _ in 0..<20_000 where heard < count { try await Task.sleep(for: .milliseconds(1)) }
    #expect(heard == count)
  }
}

private func isOver(_ landing: LogFlight.Landing) -> Bool { if case .over = landing { true } else { false } }

private func flush(_ id: Int, at offset: Int, _ bytes: [UInt8]) -> StorageJob {
  StorageJob(id: UInt64(id), lane: .log, operations: [.write(.log, at: UInt64(offset), bytes), .sync(.log)])
}

/// Writes to logs through one thread of the process, and how they fail.
@Suite struct FlushQueueTests {
  @Test(
    "twelve logs at once: nothing is mixed up",
    .enabled(if: FlushQueue.shared != nil, "this system allows no io_uring: nodes write on their own threads"))
  func manyLogsAtOnce() async throws {
    let place = try TemporaryDirectory()
    let backends = try (0..<12).map { try FileStorageBackend(directory: "\(place.path)/\($0)") }
    let lanes = backends.map { _ in CountingLane() }
    func bytes(_ k: Int, _ round: Int) -> [UInt8] {
      [UInt8](repeating: UInt8(1 + (round * 12 + k) % 250), count: 512 * (1 + (round + k) % 9))
    }
    for backend in backends { try backend.reserve(.log, upTo: .mebibytes(1)) }
    for round in 0..<60 {
      for k in 0..<12 {
        // The index of a full chunk, which the flush has to cover too.
        if round % 7 == k % 7 { try backends[k].put(.log, at: UInt64(600_000 + round * 100), bytes(k, round)) }
        #expect(backends[k].begin(flush(round, at: round * 8192, bytes(k, round)), for: lanes[k]))
      }
      for lane in lanes { try await lane.wait(for: round + 1) }
    }
    for k in 0..<12 {
      #expect(lanes[k].errors.withLock { $0.allSatisfy { $0 == nil } })
      for round in 0..<60 {
        let expected = bytes(k, round)
        #expect(try backends[k].bytes(.log, at: UInt64(round * 8192), count: expected.count) == expected)
      }
      backends[k].close()
    }
  }

  @Test("what a queue cannot write is not taken")
  func declined() throws {
    let place = try TemporaryDirectory()
    let backend = try FileStorageBackend(directory: place.path)
    try backend.reserve(.log, upTo: .mebibytes(1))
    let lane = CountingLane()
    let sector = [UInt8](repeating: 1, count: 512)
    #expect(!backend.begin(flush(1, at: 100, sector), for: lane), "not at a sector")
    #expect(!backend.begin(flush(2, at: 0, Array(sector.dropLast())), for: lane), "no whole sector")
    #expect(!backend.begin(flush(3, at: 0, []), for: lane), "nothing")
    #expect(!backend.begin(flush(4, at: 1 << 20, sector), for: lane), "beyond what is reserved")
    #expect(!backend.begin(flush(5, at: 0, [UInt8](repeating: 1, count: 128 << 10)), for: lane), "long")
    let other = StorageJob(id: 6, lane: .log, operations: [.sync(.log)])
    #expect(!backend.begin(other, for: lane), "not a flush of the log")
    let blocking = try FileStorageBackend(
      directory: place.path + "/b", options: FileStorageOptions(logWrites: .blocking))
    #expect(!blocking.queuesLogJobs)
    #expect(lane.heard == 0)
  }

  // How requests end that no device here ends so.

  private func flight(_ place: TemporaryDirectory) throws -> (DataFile, LogFlight, CountingLane, UseLock) {
    let path = "\(place.path)/log"
    let descriptor = try Descriptor.open(path, flags: O_RDWR | O_CREAT, mode: 0o600)
    let direct = try #require(DirectWrites(path))
    let file = try DataFile(.log, descriptor, flush: .device, direct: direct)
    try file.reserve(upTo: 1 << 20)
    try file.sync()
    let (use, lane) = (UseLock(), CountingLane())
    let flight = LogFlight(use)
    #expect(use.enter())
    let bytes = [UInt8](repeating: 7, count: 1024)
    #expect(flight.take(bytes, at: 0, of: flush(1, at: 0, bytes), in: file, direct, for: lane))
    #expect(!flight.take(bytes, at: 0, of: flush(2, at: 0, bytes), in: file, direct, for: lane), "one at a time")
    return (file, flight, lane, use)
  }

  @Test("a write that failed on the device is a failed flush: the file refuses changes from then on")
  func failedWrite() throws {
    let (file, flight, lane, use) = try flight(TemporaryDirectory())
    #expect(isOver(flight.landed(-EIO)))
    #expect(lane.errors.withLock { $0.map { $0?.code } } == [.inputOutput])
    #expect(throws: StorageBackendError.self) { try file.sync() }
    #expect(file.directWrites(at: 0, 512) == nil, "the queue must not go on with it")
    use.end {}
  }
  @Test("a full device loses nothing: the same write may be tried again")
  func fullDevice() throws {
    let (file, flight, lane, _) = try flight(TemporaryDirectory())
    #expect(isOver(flight.landed(-ENOSPC)))
    #expect(lane.errors.withLock { $0.map { $0?.code } } == [.noSpace])
    try file.sync()
    #expect(file.directWrites(at: 0, 512) != nil)
  }
  @Test(
    "what was written in part, or was interrupted, goes to a thread that may block",
    arguments: [512, 0, -EINTR, -EAGAIN])
  func inPart(result: Int32) throws {
    let (file, flight, lane, _) = try flight(TemporaryDirectory())
    #expect(isOver(flight.landed(result)))
    #expect(lane.returns.withLock { $0 } == 1)
    #expect(file.directWrites(at: 0, 512) != nil)
  }
  @Test("a device that asks for larger sectors is not asked again")
  func largerSectors() throws {
    let (file, flight, lane, _) = try flight(TemporaryDirectory())
    #expect(isOver(flight.landed(-EINVAL)))
    #expect(lane.returns.withLock { $0 } == 1)
    #expect(file.directWrites(at: 0, 512) == nil)
    try file.sync()
  }
  @Test("unflushed changes of others are flushed behind the write; where that fails the file refuses changes")
  func flushBehind() throws {
    for fails in [false, true] {
      let (file, flight, lane, _) = try flight(TemporaryDirectory())
      try [UInt8](repeating: 9, count: 100).withUnsafeBytes { bytes throws in try file.write(at: 4096, bytes) }
      #expect(!isOver(flight.landed(1024)), "a flush has to follow")
      guard case .flush = flight.request else { throw CancellationError() }
      #expect(lane.heard == 0)
      #expect(isOver(flight.landed(fails ? -EIO : 0)))
      #expect(lane.errors.withLock { $0.map { $0?.code } } == [fails ? .inputOutput : nil])
      #expect((file.unflushed == nil) == !fails)
      #expect(file.directWrites(at: 0, 512) == nil ? fails : !fails)
    }
  }
}
