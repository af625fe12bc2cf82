import Borealis
import BorealisControl
import Foundation

/// The benchmarks of `borealis bench postgresql`.
enum PostgreSQLBenchmarks {
  private static let clientCounts = [1, 8, 32]
  static let comparisonNames =
    clientCounts.flatMap { ["tpcb-\($0)-local", "tpcb-\($0)-same-durability"] } + ["select-8-local", "wal-bytes"]

  /// What was measured on one of the three.
  private struct Figures: Sendable {
    var tpcb: [Int: PGBench.Result] = [:]
    var select: PGBench.Result?
    /// Bytes of log for a transaction.
    var logBytes: Double?
  }

  /// The same runs on the cluster, on one local server, and on one with five synchronous standbys; each alone.
  static func compare(_ options: PGBenchOptions, in directory: String) throws -> [Measurement] {
    try wait { try await compared(options, in: directory) }
  }
  private static func compared(_ options: PGBenchOptions, in directory: String) async throws -> [Measurement] {
    let wants = options.wants
    let (select, log) = (wants("select-8-local"), wants("wal-bytes"))
    let local = clientCounts.filter { wants("tpcb-\($0)-local") }
    let durable = clientCounts.filter { wants("tpcb-\($0)-same-durability") }
    let ours = try await BenchCluster.with(options, in: directory + "/cluster") { cluster in
      try await run(
        options, cluster.clients, tpcb: clientCounts.filter { (local + durable).contains($0) }, select: select,
        log: log)
    }
    let (single, copied) = try await LocalServers.with(options, in: directory + "/local") { servers in
      let primary = try await servers.startPrimary()
      let single = try await run(options, primary, tpcb: local, select: select, log: log)
      guard !durable.isEmpty else { return (single, Figures()) }
      let withStandbys = try await servers.addStandbys()
      let copied = try await run(options, withStandbys, tpcb: durable, select: false, log: false)
      guard try await LocalServers.allStream(withStandbys) else { throw BenchError("a standby was lost meanwhile") }
      return (single, copied)
    }
    var measurements: [Measurement] = []
    for clients in clientCounts {
      if let measurement = line(
        "tpcb-\(clients)-local", ours.tpcb[clients], single.tpcb[clients],
        target: clients == 32 ? "ratio >= 0.8" : nil, "one copy")
      {
        measurements.append(measurement)
      }
      if let measurement = line(
        "tpcb-\(clients)-same-durability", ours.tpcb[clients], copied.tpcb[clients],
        target: clients == 32 ? "ratio >= 2" : clients == 1 ? "ratio >= 1" : nil, "five standbys, ANY 3")
      {
        measurements.append(measurement)
      }
    }
    if let measurement = line("select-8-local", ours.select, single.select, target: "ratio >= 0.95", "one copy") {
      measurements.append(measurement)
    }
    if let a = ours.logBytes, let b = single.logBytes {
      measurements.append(
        Measurement(
          name: "wal-bytes", value: a, unit: "B/transaction", peer: b, ratio: a / b,
          note: "write-ahead log; TPC-B-like, 8 clients, from a checkpoint on; peer: local, with full-page images"))
    }
    return measurements
  }
  private static func run(
    _ options: PGBenchOptions, _ clients: PGBench, tpcb counts: [Int], select: Bool, log: Bool
  ) async throws -> Figures {
    var figures = Figures()
    try await clients.prepare(scale: options.scale)
    if select {
      try await clients.warmUp()
      figures.select = try await clients.run(.select, clients: 8, .seconds(options.seconds))
    }
    for count in counts {
      figures.tpcb[count] = try await clients.run(.tpcb, clients: count, .seconds(options.seconds))
    }
    if log {
      try await clients.sql("CHECKPOINT")
      let before = try await clients.logPosition()
      let result = try await clients.run(.tpcb, clients: 8, transactions(options))
      figures.logBytes = (try await clients.logPosition() - before) / Double(result.transactions)
    }
    return figures
  }
  /// The same number everywhere, where what counts is what a transaction costs.
  private static func transactions(_ options: PGBenchOptions) -> PGBench.Length {
    .transactions(max(100, options.seconds * 100))
  }
  private static func line(
    _ name: String, _ ours: PGBench.Result?, _ peer: PGBench.Result?, target: String?, _ what: String
  ) -> Measurement? {
    guard let ours, let peer else { return nil }
    return Measurement(
      name: name, value: ours.tps, unit: "tps", peer: peer.tps, ratio: ours.tps / peer.tps, target: target,
      note: note("latency %.2f ms, peer %.2f ms; peer: %@", ours.milliseconds, peer.milliseconds, what))
  }

  /// What the volume's writer sends for a transaction, beside a volume that sends whole pages; checkpoints included.
  static func network(_ options: PGBenchOptions, in directory: String) throws -> [Measurement] {
    try wait {
      let ours = try await sent(options, .aurora, in: directory + "/aurora")
      let pages = try await sent(options, .mirroredPages, in: directory + "/mirrored-pages")
      return [
        Measurement(
          name: "network-bytes", value: ours.bytes, unit: "B/transaction", peer: pages.bytes,
          ratio: ours.bytes / pages.bytes, target: "ratio <= 0.2",
          note: note(
            "TPC-B-like, 8 clients, and the one checkpoint after it; %.1f messages a transaction, peer %.1f; peer: mirrored-pages",
            ours.messages, pages.messages))
      ]
    }
  }
  private static func sent(
    _ options: PGBenchOptions, _ replication: any ReplicationPolicy, in directory: String
  ) async throws -> (bytes: Double, messages: Double) {
    // The same number of checkpoints on both, however long they take.
    let once = ["checkpoint_timeout": "1d", "max_wal_size": "64GB"]
    return try await BenchCluster.with(options, in: directory, replication: replication, parameters: once) { cluster in
      try await cluster.clients.prepare(scale: options.scale)
      try await cluster.clients.sql("CHECKPOINT")
      let before = await cluster.cluster.volumeStatistics
      let result = try await cluster.clients.run(.tpcb, clients: 8, transactions(options))
      try await cluster.clients.sql("CHECKPOINT")
      guard let before, let after = await cluster.cluster.volumeStatistics, after.bytesSent > before.bytesSent else {
        throw BenchError("the writer has changed meanwhile")
      }
      let count = Double(result.transactions)
      return (
        Double(after.bytesSent - before.bytesSent) / count, Double(after.messagesSent - before.messagesSent) / count
      )
    }
  }
}
