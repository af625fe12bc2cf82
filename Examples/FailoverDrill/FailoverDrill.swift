// Four ways for a writer to go while clients commit: what the cluster does, and what the clients see of it.
//
//     swift run -c release FailoverDrill
//
// prints, with figures of the machine:
//
//     planned
//       orders-1 -> orders-2, epoch 2: detected after 0, fenced 3, promoted 6, endpoint moved 6 ms
//       clients: longest gap 9 ms; outcome unknown: 0
//     kill -9 of the writer
//       orders-2 -> orders-1, epoch 3: detected after 99, fenced 101, promoted 103, endpoint moved 103 ms
//       clients: longest gap 87 ms; outcome unknown: 4
//     kill -9 in the middle of a commit
//       orders-1 -> orders-2, epoch 4: detected after 101, fenced 103, promoted 108, endpoint moved 108 ms
//       clients: longest gap 100 ms; outcome unknown: 4
//     a writer that the cluster cannot reach, and that goes on
//       orders-2 -> orders-1, epoch 5: detected after 1600, fenced 1602, promoted 1609, endpoint moved 1609 ms
//       clients: longest gap 55 ms; outcome unknown: 4
//     every acknowledged row is there: true; missing: 0

import Borealis
import Synchronization

@main
struct FailoverDrill {
  struct NotTrue: Error { let claim: String }
  struct Told: Sendable {
    var acknowledged: [Int] = [], last = ContinuousClock.now, gap = Duration.zero, unknown = 0
    var unexpected: SQLError?
  }
  /// What the clients were told.
  final class Ledger: Sendable { let told = Mutex(Told()) }
  let cluster: Cluster, ledger = Ledger()

  static func main() async throws {
    let drill = FailoverDrill(cluster: try await Cluster.inMemory("orders", readers: 2))
    try await drill.run()
    await drill.cluster.stop()
  }

  func run() async throws {
    try await cluster.writer.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    let load = (0..<4).map { client in Task { await commit(from: client) } }
    try await watch("planned") { try await cluster.failover() }
    try await watch("kill -9 of the writer") { try await cluster.chaos.killWriter() }
    try await watch("kill -9 in the middle of a commit") { try await cluster.chaos.killWriterDuringNextCommit() }
    try await watch("a writer that the cluster cannot reach, and that goes on") {
      guard let writer = cluster.writer.members.first?.instance else { throw NotTrue(claim: "there is a writer") }
      try await cluster.chaos.isolate(writer)
    }
    for task in load { task.cancel() }
    for task in load { await task.value }

    let there = Set(try await cluster.writer.rows("SELECT id FROM t").map { try $0.get(0, as: Int.self) })
    let told = ledger.told.withLock { $0 }
    let missing = told.acknowledged.filter { !there.contains($0) }.count
    print("every acknowledged row is there: \(missing == 0); missing: \(missing)")
    if missing > 0 || told.acknowledged.isEmpty { throw NotTrue(claim: "nothing acknowledged is lost") }
    if let error = told.unexpected { throw error }
  }

  /// Makes a fault, and waits until a failover has mended it.
  func watch(_ name: String, _ fault: () async throws -> Void) async throws {
    try await Task.sleep(for: .milliseconds(200))
    ledger.told.withLock { ($0.gap, $0.unknown) = (.zero, 0) }
    let (before, deadline) = (await cluster.failoverReports.count, ContinuousClock.now + .seconds(60))
    try await fault()
    while true {
      let (done, status) = (await cluster.failoverReports.count, await cluster.status())
      if done > before, status.instances.allSatisfy({ $0.state == "available" }) { break }
      guard ContinuousClock.now < deadline else { throw NotTrue(claim: "\(name): a failover within a minute") }
      try await Task.sleep(for: .milliseconds(10))
    }
    try await Task.sleep(for: .milliseconds(200))
    let told = ledger.told.withLock { $0 }
    print("\(name)\n  \(await cluster.failoverReports[before])")
    print("  clients: longest gap \(Int(told.gap / .milliseconds(1))) ms; outcome unknown: \(told.unknown)")
  }

  /// A client: rows of its own, one after the other; a statement is run again only where that is safe.
  func commit(from client: Int) async {
    var row = 0
    while !Task.isCancelled {
      let id = row * 100 + client
      do throws(SQLError) {
        try await cluster.writer.execute("INSERT INTO t VALUES (?)", id)
        ledger.told.withLock { told in
          told.acknowledged.append(id)
          told.gap = max(told.gap, told.last.duration(to: .now))
          told.last = .now
        }
      } catch {
        if error.isRetryable { continue }
        ledger.told.withLock { error.isOutcomeUnknown ? ($0.unknown += 1) : ($0.unexpected = error) }
      }
      row += 1
    }
  }
}
