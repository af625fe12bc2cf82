// One workload under each replication policy: what a commit costs, and what the policy survives for it.
//
//     swift run -c release SwapThePolicy
//
// prints, with figures of the machine:
//
//     policy          commit p50 bytes/commit messages/commit   stored  writes go on without    reads go on without
//     aurora             1.02 ms         3838              12  7.1 MiB       2 nodes, a zone  3 nodes, a zone and 1
//     full-and-tail      0.94 ms         3838              12  4.1 MiB       2 nodes, a zone  2 nodes, a zone and 1
//     zone-lost          1.62 ms         2570               8  4.8 MiB                1 node        2 nodes, a zone
//     majority           1.28 ms         1922               6  3.6 MiB        1 node, a zone         1 node, a zone
//     single             0.75 ms          633               2  1.2 MiB               nothing                nothing
//     mirrored-pages     2.65 ms       199871              12  7.4 MiB       2 nodes, a zone  3 nodes, a zone and 1
//     log records : mirrored pages, bytes over the network, same quorums: 1 : 52.1

import Borealis
import Foundation

@main
enum SwapThePolicy {
  static let (transactions, items) = (200, 5000)
  struct NotTrue: Error { let claim: String }
  struct Cost {
    var p50 = Duration.zero
    var bytes = 0, messages = 0, stored = 0
  }

  static func main() async throws {
    let costs = ["commit p50", "bytes/commit", "messages/commit", "stored"]
    print(row("policy", costs + ["writes go on without", "reads go on without"]))
    var bytes: [String: Int] = [:]
    for policy in BuiltInPolicies.all {
      try policy.validate()
      let cost = try await measure(policy)
      bytes[policy.name] = cost.bytes
      let survival = PolicySurvival(policy)
      let p50 = String(format: "%.2f ms", cost.p50 / .milliseconds(1))
      let stored = String(format: "%.1f MiB", Double(cost.stored) / 1_048_576)
      let survives = [survival.ofWrites, survival.ofReads]
      print(row(policy.name, [p50, "\(cost.bytes)", "\(cost.messages)", stored] + survives))
    }
    guard let records = bytes[AuroraPolicy().name], let mirrored = bytes[MirroredPagesPolicy().name],
      mirrored > records
    else { throw NotTrue(claim: "log records take less of the network than whole pages") }
    let ratio = String(format: "%.1f", Double(mirrored) / Double(records))
    print("log records : mirrored pages, bytes over the network, same quorums: 1 : \(ratio)")
  }

  /// Sells: a row more and two counters changed in each transaction, one client, on files.
  static func measure(_ policy: any ReplicationPolicy) async throws -> Cost {
    let directory = FileManager.default.temporaryDirectory.appending(path: "borealis-\(UUID().uuidString)").path
    defer { try? FileManager.default.removeItem(atPath: directory) }
    // Small chunks, so that what is stored is pages in the end, and not the log.
    let nodes = StorageNodeConfiguration(chunkSize: 256 << 10)
    let cluster = try await Cluster.start(
      ClusterConfiguration("orders") { Storage(.files(at: directory), replication: policy, nodes: nodes) })
    try await cluster.writer.execute("CREATE TABLE sale (id INTEGER PRIMARY KEY, item INTEGER, what TEXT)")
    try await cluster.writer.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, stock INTEGER, what TEXT)")
    let numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < \(items))"
    try await cluster.writer.execute("\(numbers) INSERT INTO item SELECT i, 1000, hex(zeroblob(100)) FROM n")
    let connection = try await cluster.writer.connect()
    var random = DeterministicGenerator(seed: 1)
    var times: [Duration] = []
    let before = cluster.fleet.transport.statistics
    for _ in 0..<transactions {
      let (a, b) = (Int(random.next() % UInt64(items)) + 1, Int(random.next() % UInt64(items)) + 1)
      let begin = ContinuousClock.now
      try await connection.transaction { db in
        try db.execute("INSERT INTO sale (item, what) VALUES (?, 'a hundred bytes or so of what was sold')", a)
        try db.execute("UPDATE item SET stock = stock - 1 WHERE id IN (?, ?)", a, b)
      }
      times.append(begin.duration(to: .now))
    }
    let after = cluster.fleet.transport.statistics
    let sold = try await cluster.writer.rows("SELECT count(*) FROM sale")[0]
    guard try sold.get(0) == transactions else { throw NotTrue(claim: "\(policy.name) keeps every order") }
    let stored = try await settled(cluster)
    await cluster.stop()
    return Cost(
      p50: times.sorted()[transactions / 2], bytes: Int(after.bytes - before.bytes) / transactions,
      messages: Int(after.messages - before.messages) / transactions, stored: stored)
  }

  /// Bytes of all nodes when the log that was written is folded into pages: when they have stayed the same for a while.
  static func settled(_ cluster: Cluster) async throws -> Int {
    var (last, same) = (-1, 0)
    for _ in 0..<200 where same < 6 {
      let now = await cluster.status().nodes.reduce(0) { $0 + Int($1.usedBytes) }
      (last, same) = (now, now == last ? same + 1 : 0)
      try await Task.sleep(for: .milliseconds(50))
    }
    return last
  }
  static func row(_ name: String, _ columns: [String]) -> String {
    let widths = [11, 13, 16, 9, 22, 23]
    return name.padding(toLength: 15, withPad: " ", startingAt: 0)
      + zip(columns, widths).map { String(repeating: " ", count: max(1, $1 - $0.count)) + $0 }.joined()
  }
}
