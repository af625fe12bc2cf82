import Borealis
import BorealisControl
import Foundation
import Synchronization

/// Clients that insert rows, one after the other, and remember what was acknowledged.
private final class InsertLoad: Sendable {
  static let clients = 4
  private struct Client: Sendable {
    var acknowledged: [Int] = []
    var unknown: Set<Int> = []
    var last = ContinuousClock.now
    var longest = Duration.zero
  }
  private let state = Mutex(Array(repeating: Client(), count: InsertLoad.clients))
  private let isOver = Mutex(false)

  func run(_ client: Int, _ cluster: Cluster) async {
    var id = client * 100_000_000
    while !isOver.withLock({ $0 }) {
      id += 1
      do {
        try await cluster.writer.execute("INSERT INTO t VALUES ($1)", id)
        let (acknowledged, now) = (id, ContinuousClock.now)
        state.withLock { state in
          state[client].acknowledged.append(acknowledged)
          state[client].longest = max(state[client].longest, now - state[client].last)
          state[client].last = now
        }
      } catch {
        if error.isOutcomeUnknown { state.withLock { _ = $0[client].unknown.insert(id) } }
        try? await Task.sleep(for: .milliseconds(2))
      }
    }
  }
  func stop() { isOver.withLock { $0 = true } }
  var counts: [Int] { state.withLock { $0.map(\.acknowledged.count) } }
  func forgetPauses() { state.withLock { for i in $0.indices { $0[i].longest = .zero } } }
  /// The longest time that each client was without an acknowledgement, in milliseconds.
  var pauses: [Double] { state.withLock { $0.map { $0.longest.seconds * 1000 } } }

  /// How many rows were acknowledged, lost, and there although their clients were told that they are not.
  func compare(_ rows: [SQLRow]) throws -> (acknowledged: Int, lost: Int, false: Int) {
    let there = Set(try rows.map { try $0.get(0, as: Int.self) })
    return state.withLock { state in
      let told = Set(state.flatMap(\.acknowledged))
      let unknown = state.reduce(into: Set<Int>()) { $0.formUnion($1.unknown) }
      return (told.count, told.subtracting(there).count, there.subtracting(told).subtracting(unknown).count)
    }
  }
}

extension PostgreSQLBenchmarks {
  /// kill -9 of the writer under load, again and again: how long each client is without it, and what is lost.
  static func failover(_ options: PGBenchOptions, in directory: String) throws -> [Measurement] {
    try wait {
      try await BenchCluster.with(options, in: directory, readers: 2) { bench in
        let (cluster, load) = (bench.cluster, InsertLoad())
        try await cluster.writer.execute("CREATE TABLE t (id bigint PRIMARY KEY)")
        let tasks = (0..<InsertLoad.clients).map { client in Task { await load.run(client, cluster) } }
        let outages: Result<[Double], any Error>
        do { outages = .success(try await kills(options, cluster, load)) } catch { outages = .failure(error) }
        load.stop()
        for task in tasks { await task.value }
        let sorted = try outages.get().sorted()
        let found = try load.compare(try await cluster.writer.rows("SELECT id FROM t"))
        guard found.lost == 0, found.false == 0 else {
          throw BenchError(
            "of \(found.acknowledged) acknowledged rows \(found.lost) are lost; \(found.false) that failed are there")
        }
        let detection = await cluster.failoverReports.map { Double($0.detectedAt - $0.failedAt) / 1e6 }.sorted()
        return [
          Measurement(
            name: "failover-pg", value: sorted[min(sorted.count - 1, sorted.count * 95 / 100)], unit: "ms",
            target: "< 5000 ms (p95)",
            note: note(
              "p50 %.0f ms, slowest %.0f ms; %d kills, %d clients; detection p50 %.0f ms; %d rows acknowledged, 0 lost",
              sorted[sorted.count / 2], sorted[sorted.count - 1], options.runs, InsertLoad.clients,
              detection[detection.count / 2], found.acknowledged))
        ]
      }
    }
  }
  private static func kills(
    _ options: PGBenchOptions, _ cluster: Cluster, _ load: InsertLoad
  ) async throws -> [Double] {
    var outages: [Double] = []
    for run in 1...options.runs {
      try await until("all instances are available", options) {
        await cluster.status().instances.allSatisfy { $0.state == "available" } && !cluster.writer.members.isEmpty
      }
      try await moreRows(load, options)
      try await Task.sleep(for: .seconds(1))
      load.forgetPauses()
      let done = await cluster.failoverReports.count
      try await cluster.chaos.killWriter()
      try await until("a failover is complete", options) { await cluster.failoverReports.count > done }
      // Every client has to be back.
      try await moreRows(load, options)
      let pauses = load.pauses
      outages += pauses
      tell("failover \(run) of \(options.runs): \(Int(pauses.max() ?? 0)) ms")
    }
    return outages
  }
  /// Every client has committed some rows more.
  private static func moreRows(_ load: InsertLoad, _ options: PGBenchOptions) async throws {
    let before = load.counts
    try await until("every client commits", options) { zip(load.counts, before).allSatisfy { $0 > $1 + 5 } }
  }
  private static func until(
    _ what: String, _ options: PGBenchOptions, _ condition: () async -> Bool
  ) async throws {
    let deadline = ContinuousClock.now + .seconds(120)
    while await !condition() {
      try options.interruption.check()
      guard ContinuousClock.now < deadline else { throw BenchError("two minutes have passed, and not yet: \(what)") }
      try await Task.sleep(for: .milliseconds(2))
    }
  }

  /// A reader more, on a database of pgbench's tables under load: how long until it answers, and what it reads for that.
  static func readerAdd(_ options: PGBenchOptions, in directory: String) throws -> [Measurement] {
    try wait {
      try await BenchCluster.with(options, in: directory) { bench in
        let cluster = bench.cluster
        try await bench.clients.prepare(scale: options.scale)
        _ = try await bench.clients.run(.tpcb, clients: 8, .seconds(options.seconds))
        var times: [Double] = []
        var bytes: [Double] = []
        for _ in 0..<3 {
          try options.interruption.check()
          let began = ContinuousClock.now
          let name = try await cluster.addReader(.provisioned(.localMedium))
          let rows = try await cluster.instance(name).rows("SELECT count(*) FROM pgbench_tellers")
          times.append((ContinuousClock.now - began).seconds)
          guard try rows.first?.get(0, as: Int.self) == options.scale * 10 else {
            throw BenchError("the new reader shows \(rows)")
          }
          for event in cluster.recentEvents {
            if case .instanceAdded(name, let copied) = event.kind { bytes.append(Double(copied)) }
          }
          try await cluster.remove(name)
        }
        let size: Int = try await cluster.writer.rows("SELECT pg_database_size('postgres')")[0].get(0)
        return [
          Measurement(
            name: "reader-add-pg", value: times.sorted()[times.count / 2], unit: "s", target: "< 5 s",
            note: note(
              "median of %d, slowest %.2f s, to its first answer; database of %.0f MiB, %.1f MiB read",
              times.count, times.max() ?? 0, Double(size) / 1_048_576, (bytes.max() ?? 0) / 1_048_576))
        ]
      }
    }
  }
}
