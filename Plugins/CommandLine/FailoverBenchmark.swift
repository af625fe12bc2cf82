import Borealis
import BorealisControl
import BorealisDemo
import BorealisRuntime
import Foundation
import Synchronization

extension SQLiteBenchmarks {
  /// The writer of a cluster on files is killed under load, again and again: how long clients are without it.
  static func failover(in directory: String) throws -> [Measurement] {
    try wait { try await failovers(50, in: directory) }
  }

  private static func failovers(_ runs: Int, in directory: String) async throws -> [Measurement] {
    let cluster = try await Cluster.files("bench", at: directory, readers: 2)
    let load = OrderLoad(cluster)
    try await load.prepare()
    let running = Task { await load.run(readers: 1) }
    var outages: [Double] = []
    while outages.count < runs {
      try await settle(cluster)
      let before = load.now
      try await Task.sleep(for: .milliseconds(100))
      // In turn between commits, and within one.
      if outages.count.isMultiple(of: 2) {
        try await cluster.chaos.killWriter()
      } else {
        try await cluster.chaos.killWriterDuringNextCommit()
      }
      let count = await cluster.failoverReports.count
      let deadline = ContinuousClock.now + .seconds(60)
      while await cluster.failoverReports.count == count, ContinuousClock.now < deadline {
        try await Task.sleep(for: .milliseconds(1))
      }
      // Every client has to have committed again.
      try await Task.sleep(for: .milliseconds(50))
      try await settle(cluster)
      let marks = load.now
      while zip(load.now.acknowledged, marks.acknowledged).contains(where: { $0 <= $1 }), ContinuousClock.now < deadline
      {
        try await Task.sleep(for: .milliseconds(1))
      }
      // A commit that was begun before, and repeated until it was acknowledged, is as long as the client was without.
      let slowest = load.now.writes[before.writes.count...].map(\.took).max() ?? 0
      outages.append(Double(slowest) / 1e6)
      FileHandle.standardError.write(
        Data("failover \(outages.count) of \(runs): \(Int(outages[outages.count - 1])) ms\n".utf8))
    }
    load.stop()
    await running.value
    let problems = try await load.verify()
    let (seen, reports) = (load.now, await cluster.failoverReports)
    await cluster.stop()
    if let first = problems.first { throw BenchError("\(problems.count) problems, the first: \(first)") }
    let sorted = outages.sorted()
    return [
      Measurement(
        name: "failover", value: sorted[min(sorted.count - 1, sorted.count * 95 / 100)], unit: "ms",
        target: "< 1000 ms (p95)",
        note: note(
          "p50 %.0f ms, slowest %.0f ms of %d; detection p50 %.0f ms; %d orders acknowledged, 0 missing, %d outcomes looked up",
          sorted[sorted.count / 2], sorted.last ?? 0, sorted.count,
          reports.map { Double($0.detectedAt - $0.failedAt) / 1e6 }.sorted()[reports.count / 2],
          Int(load.acknowledged), seen.lookedUp))
    ]
  }
  /// Waits until there is a writer and all instances work again.
  private static func settle(_ cluster: Cluster) async throws {
    let deadline = ContinuousClock.now + .seconds(60)
    while ContinuousClock.now < deadline {
      if await cluster.status().instances.allSatisfy({ $0.state == "available" }), !cluster.writer.members.isEmpty {
        return
      }
      try await Task.sleep(for: .milliseconds(5))
    }
    throw BenchError("the cluster did not come back within a minute: \(await cluster.status().instances)")
  }
}
