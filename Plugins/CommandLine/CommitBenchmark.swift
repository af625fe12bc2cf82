import Borealis
import BorealisRuntime
import CBorealisBench
import Foundation
import Synchronization

/// Durable commits on files: one client against the physical limit, and 32 clients against one.
enum CommitBenchmark {
  static func run(in directory: String) throws -> [Measurement] {
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let fleet = try StorageFleet.files(at: directory + "/volume")
    defer { fleet.stop() }
    let volume = try Volume.create(on: fleet)
    defer { volume.close() }
    try warmUp(volume)
    // Rounds of ours and the limit in turn, so that both see the same weather.
    var ours: [UInt64] = []
    var limit: [UInt64] = []
    var seconds = 0.0
    for round in 0..<4 {
      limit += try quorumLimit(in: directory, commits: 1000)
      let start = ContinuousClock.now
      ours += try clients(1, commits: 1000, of: volume, seed: round)[0]
      seconds += (ContinuousClock.now - start).seconds
    }
    let one = Latencies(ours)
    let peer = Latencies(limit)
    let oneRate = Double(ours.count) / seconds
    let before = volume.statistics
    let start = ContinuousClock.now
    let many = try clients(32, commits: 1000, of: volume, seed: 100)
    let manyRate = 32_000 / (ContinuousClock.now - start).seconds
    let after = volume.statistics
    let batches = Double(max(1, after.batches - before.batches))
    let quorum =
      Double(after.quorumNanoseconds - before.quorumNanoseconds) / Double(max(1, after.quorums - before.quorums))
    let manyLatencies = Latencies(many.flatMap { $0 })
    return [
      Measurement(
        name: "commit-1", value: one.microseconds(0.5), unit: "us", peer: peer.microseconds(0.5),
        ratio: one.microseconds(0.5) / peer.microseconds(0.5), target: "ratio <= 1.3",
        note: note(
          "p99 %.0f us; peer: six files, fdatasync, four acks, p99 %.0f us", one.microseconds(0.99),
          peer.microseconds(0.99))),
      Measurement(
        name: "commit-32", value: manyRate, unit: "1/s", peer: oneRate, ratio: manyRate / oneRate,
        target: "ratio >= 8",
        note: note(
          "p50 %.0f us, p99 %.0f us, %.1f commits a batch, quorum of a batch in %.0f us; peer: one client",
          manyLatencies.microseconds(0.5), manyLatencies.microseconds(0.99), 32_000 / batches, quorum / 1000)),
    ]
  }

  /// Latencies of the limit, in nanoseconds.
  static func quorumLimit(in directory: String, commits: Int) throws -> [UInt64] {
    var nanoseconds = [UInt64](repeating: 0, count: commits)
    guard borealis_quorum_limit(directory, Int32(commits), &nanoseconds) == 0 else {
      throw BenchError("the quorum limit could not run in \(directory): \(String(cString: strerror(errno)))")
    }
    return nanoseconds
  }

  private static func warmUp(_ volume: Volume) throws { _ = try clients(4, commits: 200, of: volume, seed: 7) }

  /// `count` threads, each committing records of 200 bytes one after the other; the latencies of each.
  static func clients(_ count: Int, commits: Int, of volume: Volume, seed: Int) throws -> [[UInt64]] {
    let results = Mutex<[[UInt64]]>([])
    let failure = Mutex<VolumeError?>(nil)
    let threads = (0..<count).map { client in
      WorkerThread {
        var generator = DeterministicGenerator(seed: UInt64(seed * 1000 + client))
        var latencies: [UInt64] = []
        latencies.reserveCapacity(commits)
        var payload = [UInt8](repeating: 0, count: 200)
        var transaction = MiniTransaction(pageSize: volume.metadata.pageSize)
        do throws(VolumeError) {
          for _ in 0..<commits {
            for i in stride(from: 0, to: 200, by: 8) { payload.storeInteger(generator.next(), at: i) }
            let page = PageID(object: ObjectID(1), index: UInt64(client) * 64 + generator.below(64))
            let start = SystemClock.now
            transaction.removeAll()
            transaction.write(page, at: Int(generator.below(39)) * 200, payload)
            try volume.waitUntilDurable(try volume.commit(transaction))
            latencies.append(SystemClock.now.nanoseconds(since: start))
          }
        } catch { failure.withLock { $0 = error } }
        results.withLock { $0.append(latencies) }
      }
    }
    for thread in threads { thread.join() }
    if let error = failure.withLock({ $0 }) { throw error }
    return results.withLock { $0 }
  }
}

/// A benchmark that could not be run.
struct BenchError: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

extension Duration {
  /// The duration in seconds.
  var seconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}

/// A formatted note.
func note(_ format: String, _ arguments: any CVarArg...) -> String { String(format: format, arguments: arguments) }
