// Four ways for a writer to go while clients commit: what the cluster does, and what the clients see of it.
//
//     swift run -c release FailoverDrill
//
// prints, with figures of the machine:
//
//     planned
//     failover (planned): orders-1, epoch 1 -> orders-2, epoch 2
//       asked for                  +0.0 ms
//       detected                   +0.0 ms
//       fenced and recovered       +3.0 ms
//       promoted                   +6.1 ms
//       endpoint moved             +6.1 ms
//       clients: longest gap 12 ms; refused and run again: 0; outcome unknown: 0
//     kill -9 of the writer
//     failover (writerEnded): orders-2, epoch 2 -> orders-1, epoch 3
//       last sign of life          +0.0 ms
//       detected                 +100.5 ms
//       fenced and recovered     +102.6 ms
//       promoted                 +104.9 ms
//       endpoint moved           +104.9 ms
//       clients: longest gap 99 ms; refused and run again: 0; outcome unknown: 4
//     kill -9 in the middle of a commit
//     failover (writerEnded): orders-1, epoch 3 -> orders-2, epoch 4
//       last sign of life          +0.0 ms
//       detected                  +99.6 ms
//       fenced and recovered     +101.3 ms
//       promoted                 +104.1 ms
//       endpoint moved           +104.1 ms
//       clients: longest gap 99 ms; refused and run again: 0; outcome unknown: 4
//     a writer that the cluster cannot reach, and that goes on
//     failover (writerUnresponsive): orders-2, epoch 4 -> orders-1, epoch 5
//       last sign of life          +0.0 ms
//       detected                +1602.5 ms
//       fenced and recovered    +1604.0 ms
//       promoted                +1611.8 ms
//       endpoint moved          +1611.8 ms
//       clients: longest gap 10 ms; refused and run again: 0; outcome unknown: 1
//     every acknowledged row is there: true; missing: 0

import Borealis

@main
enum FailoverDrill {
  struct NotTrue: Error { let claim: String }

  static func main() async throws {
    let cluster = try await Cluster.inMemory("orders", readers: 2)
    try await cluster.writer.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    let ledger = Ledger()
    let load = (0..<4).map { client in Task { await ledger.commit(from: client, to: cluster) } }

    try await drill("planned", cluster, ledger) { try await cluster.failover() }
    try await drill("kill -9 of the writer", cluster, ledger) { try await cluster.chaos.killWriter() }
    try await drill("kill -9 in the middle of a commit", cluster, ledger) {
      try await cluster.chaos.killWriterDuringNextCommit()
    }
    try await drill("a writer that the cluster cannot reach, and that goes on", cluster, ledger) {
      guard let writer = cluster.writer.members.first?.instance else { throw NotTrue(claim: "there is a writer") }
      try await cluster.chaos.isolate(writer)
    }
    for task in load { task.cancel() }
    for task in load { await task.value }

    let there = Set(try await cluster.writer.rows("SELECT id FROM t").map { try $0.get(0, as: Int.self) })
    let told = ledger.told
    let missing = told.acknowledged.filter { !there.contains($0) }.count
    print("every acknowledged row is there: \(missing == 0); missing: \(missing)")
    await cluster.stop()
    if missing > 0 || told.acknowledged.isEmpty { throw NotTrue(claim: "nothing acknowledged is lost") }
    if let error = told.unexpected { throw error }
  }

  static func drill(
    _ name: String, _ cluster: Cluster, _ ledger: Ledger, _ fault: () async throws -> Void
  ) async throws {
    try await Task.sleep(for: .milliseconds(200))
    _ = ledger.takeFigures()
    let (before, deadline) = (await cluster.failoverReports.count, ContinuousClock.now + .seconds(60))
    try await fault()
    while true {
      let (done, status) = (await cluster.failoverReports.count, await cluster.status())
      if done > before, status.instances.allSatisfy({ $0.state == "available" }) { break }
      guard ContinuousClock.now < deadline else { throw NotTrue(claim: "\(name): a failover within a minute") }
      try await Task.sleep(for: .milliseconds(10))
    }
    try await Task.sleep(for: .milliseconds(200))
    print("\(name)\n\(await cluster.failoverReports[before].timeline)\n  clients: \(ledger.takeFigures())")
  }
}
