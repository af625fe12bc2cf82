import BorealisCore
import BorealisStorageBackend
import Synchronization

extension StorageBackendConformance {
  /// Contract 10: jobs of the log lane that nobody waits for on a thread.
  ///
  /// A backend that takes none passes: what it does not take is performed.
  static let queue: [Check] = [
    Check(name: "10 queued jobs end as performed ones do", needs: [], body: queuedJobs),
    Check(name: "10 closing waits for queued jobs", needs: [], body: closingWithQueuedJobs),
  ]
}

/// Remembers what a backend said of its jobs.
private final class TrialLane: LogLane {
  struct Ended: Sendable {
    var id: UInt64
    var error: StorageBackendError?
    var isReturned: Bool
  }
  private let all = Mutex<[Ended]>([])
  var heard: [Ended] { all.withLock { $0 } }

  func ended(_ job: StorageJob, error: StorageBackendError?) {
    all.withLock { $0.append(Ended(id: job.id, error: error, isReturned: false)) }
  }
  func goOn() {}
  func returned(_ job: StorageJob) { all.withLock { $0.append(Ended(id: job.id, error: nil, isReturned: true)) } }

  /// Waits until something is said of the job; polls, as the backend's threads are its own.
  func await(_ id: UInt64) throws -> Ended {
    for _ in 0..<10_000 {
      if let found = heard.first(where: { $0.id == id }) { return found }
      pause(milliseconds: 1)
    }
    throw StorageTrial.Violation("nothing was heard of job \(id) for ten seconds")
  }
}

/// Writes `bytes` with a flush behind them in the way that the backend takes; whether that was the queue.
private func write(
  _ backend: any StorageBackend, _ lane: TrialLane, id: UInt64, at offset: UInt64, _ bytes: [UInt8]
) throws -> Bool {
  let job = StorageJob(id: id, lane: .log, operations: [.write(.log, at: offset, bytes), .sync(.log)])
  if backend.begin(job, for: lane) {
    let ended = try lane.await(id)
    if let error = ended.error { throw error }
    if !ended.isReturned { return true }
  }
  if let error = backend.perform(job) { throw error }
  return false
}

private func queuedJobs(_ trial: StorageTrial) throws {
  let backend = try trial.place.open()
  try backend.reserve(.log, upTo: ByteCount(256 << 10))
  try backend.sync(.log)
  let lane = TrialLane()
  var generator = DeterministicGenerator(seed: 60)
  var model = [UInt8](repeating: 0, count: 300 << 10)
  var queued: [UInt64] = []
  for id in UInt64(1)...200 {
    // Mostly whole sectors, as the log has them; what no queue takes in between, and the end of the reservation.
    let count = generator.chance(7, in: 8) ? (1 + generator.index(40)) * 512 : 1 + generator.index(9000)
    let offset = generator.index((model.count - count) / 512) * 512
    let bytes = generator.bytes(count)
    // Somebody else writes into the file, too, without a flush.
    if generator.chance(1, in: 4) {
      try backend.put(.log, at: UInt64(model.count) + id * 512, [UInt8(truncatingIfNeeded: id)])
    }
    if try write(backend, lane, id: id, at: UInt64(offset), bytes) { queued.append(id) }
    model.replaceSubrange(offset..<(offset + count), with: bytes)
    try trial.expect(backend, .log, at: UInt64(offset), is: bytes, "what job \(id) wrote")
  }
  try trial.expect(backend, .log, at: 0, is: model, "after all jobs")
  for id in queued {
    try trial.expect(lane.heard.count { $0.id == id } == 1, "job \(id) was heard of more than once")
  }
  if trial.place.abilities.contains(.losePower) {
    let again = try trial.place.losePower(seed: 61)
    try trial.expect(again, .log, at: 0, is: model, "after loss of power")
  }
}

private func closingWithQueuedJobs(_ trial: StorageTrial) throws {
  for round in UInt64(1)...20 {
    let backend = try trial.place.open()
    try backend.reserve(.log, upTo: ByteCount(64 << 10))
    let lane = TrialLane()
    let bytes = [UInt8](repeating: UInt8(round), count: 4096)
    let job = StorageJob(id: round, lane: .log, operations: [.write(.log, at: 4096, bytes), .sync(.log)])
    let isTaken = backend.begin(job, for: lane)
    backend.close()
    try trial.expect(lane.heard.count == (isTaken ? 1 : 0), "round \(round): \(lane.heard.count) heard when closed")
    if isTaken, let ended = lane.heard.first, !ended.isReturned, ended.error == nil {
      let again = try trial.place.open()
      try trial.expect(again, .log, at: 4096, is: bytes, "round \(round), opened again")
      again.close()
    }
    let late = StorageJob(id: round + 1000, lane: .log, operations: job.operations)
    try trial.expect(!backend.begin(late, for: lane), "a closed backend took a job")
  }
}
