import Borealis
import Testing

@Suite("Cluster: failover")
struct FailoverTests {
  private func makeCluster(readers: Int = 2) async throws -> Cluster {
    let cluster = try await Cluster.inMemory("orders", readers: readers)
    try await cluster.writer.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    return cluster
  }

  @Test("a writer that ends is replaced by a reader; nothing acknowledged is lost; it comes back as a reader")
  func writerEnds() async throws {
    let cluster = try await makeCluster()
    for i in 1...20 { try await cluster.writer.execute("INSERT INTO t VALUES (?)", i) }
    #expect(try await cluster.chaos.killWriter() == "orders-1")
    // Waits for the endpoint to move.
    try await cluster.writer.execute("INSERT INTO t VALUES (21)")
    #expect(try await cluster.writer.rows("SELECT count(*) FROM t")[0][0] == 21)
    let report = try #require(await cluster.failoverReports.first)
    #expect(report.cause == .writerEnded && report.oldWriter == "orders-1" && report.newWriter == "orders-2")
    #expect(report.newEpoch > report.oldEpoch)
    #expect(report.failedAt <= report.detectedAt && report.detectedAt <= report.fencedAt)
    #expect(report.fencedAt <= report.promotedAt && report.promotedAt <= report.endpointMovedAt)
    try await eventually("the old writer is a reader") {
      await cluster.status().instances.contains {
        $0.identifier == "orders-1" && $0.role == "reader" && $0.state == "available"
      }
    }
    try await eventually("readers follow the new writer") {
      for reader in ["orders-1", "orders-3"] as [InstanceIdentifier] {
        guard try await cluster.instance(reader).rows("SELECT count(*) FROM t")[0][0] == 21 else { return false }
      }
      return true
    }
    await cluster.stop()
  }

  @Test("without a reader the writer is made anew in its place")
  func noReader() async throws {
    let cluster = try await makeCluster(readers: 0)
    try await cluster.writer.execute("INSERT INTO t VALUES (1)")
    try await cluster.chaos.killWriter()
    try await cluster.writer.execute("INSERT INTO t VALUES (2)")
    #expect(try await cluster.writer.rows("SELECT count(*) FROM t")[0][0] == 2)
    #expect(await cluster.failoverReports.map(\.newWriter) == ["orders-1"])
    await cluster.stop()
  }

  @Test("a writer that ends while a reader is being started is replaced, and does not keep the cluster waiting")
  func writerEndsDuringRestart() async throws {
    let cluster = try await makeCluster(readers: 1)
    // The one killed is started again as a reader of the next, which is killed in that moment.
    for id in 1...6 {
      try await cluster.chaos.killWriterDuringNextCommit()
      await #expect(throws: SQLError.self) { try await cluster.writer.execute("INSERT INTO t VALUES (?)", id) }
      try await cluster.writer.execute("INSERT INTO t VALUES (?)", 100 + id)
    }
    let waited = cluster.recentEvents.map(\.description).filter { $0.contains("did not answer in time") }
    #expect(waited == [])
    await cluster.stop()
  }

  @Test("an unreachable writer that still runs is fenced: what it commits later is never acknowledged")
  func isolatedWriter() async throws {
    let cluster = try await makeCluster()
    let old = try await cluster.instance("orders-1").connect()
    try await cluster.chaos.isolate("orders-1")
    try await eventually("a failover") { await cluster.failoverReports.count == 1 }
    let error = await #expect(throws: SQLError.self) {
      try await old.execute("INSERT INTO t VALUES (666)", parameters: [])
    }
    #expect(error?.code == .connectionLost)
    #expect(await cluster.failoverReports.first?.cause == .writerUnresponsive)
    try await cluster.writer.execute("INSERT INTO t VALUES (1)")
    #expect(try await cluster.writer.rows("SELECT id FROM t").map { $0[0] } == [1])
    await cluster.stop()
  }

  @Test(
    "a writer that ends within a commit: the client is told that the outcome is unknown, and it is whole or not there")
  func duringCommit() async throws {
    let cluster = try await makeCluster()
    try await cluster.chaos.killWriterDuringNextCommit()
    let error = await #expect(throws: SQLError.self) {
      try await cluster.writer.transaction { db in
        try db.execute("INSERT INTO t VALUES (1)")
        try db.execute("INSERT INTO t VALUES (2)")
      }
    }
    #expect(error?.isOutcomeUnknown == true && error?.isRetryable == false)
    let count = try await cluster.writer.rows("SELECT count(*) FROM t")[0].get(0, as: Int.self)
    #expect(count == 0 || count == 2)
    await cluster.stop()
  }

  @Test("a planned failover lets transactions end, and loses no connection to readers that stay readers")
  func planned() async throws {
    let cluster = try await makeCluster()
    let reader = try await cluster.instance("orders-3").connect()
    _ = try await reader.rows("SELECT 1")
    let report = try await cluster.failover(to: "orders-2")
    #expect(report.cause == .planned && report.newWriter == "orders-2")
    try await cluster.writer.execute("INSERT INTO t VALUES (1)")
    try await eventually { try await reader.rows("SELECT count(*) FROM t")[0][0] == 1 }
    #expect(reader.instance == "orders-3")
    let status = await cluster.status()
    #expect(status.instances.map(\.state) == ["available", "available", "available"])
    #expect(status.instances[0].identifier == "orders-2")
    await cluster.stop()
  }

  @Test("planned failovers that make no sense are refused")
  func refused() async throws {
    let cluster = try await makeCluster(readers: 0)
    await #expect(throws: ClusterError.self) { try await cluster.failover() }
    await #expect(throws: ClusterError.self) { try await cluster.failover(to: "orders-1") }
    await #expect(throws: ClusterError.self) { try await cluster.failover(to: "nobody") }
    await #expect(throws: ClusterError.self) { try await cluster.remove("orders-1") }
    await cluster.stop()
  }

  @Test("the best tier is promoted, then the largest, then the first by name")
  func order() async throws {
    let cluster = try await Cluster.start(
      ClusterConfiguration("orders") {
        Writer()
        Reader(tier: 1, identifier: "late")
        Reader(tier: 0, identifier: "small-b")
        Reader(tier: 0, identifier: "small-a")
        Reader(.provisioned(.localMedium), tier: 0, identifier: "large")
      })
    for expected in ["large", "small-a", "small-b", "late"] {
      let before = await cluster.failoverReports.count
      try await cluster.chaos.kill(try #require(cluster.writer.members.first?.instance))
      try await eventually { await cluster.failoverReports.count == before + 1 && !cluster.writer.members.isEmpty }
      #expect(await cluster.failoverReports.last?.newWriter == expected)
      // Not again: what comes back as a reader would be chosen once more.
      for name in ["large", "small-a", "small-b"] as [InstanceIdentifier] { try await cluster.modify(name, tier: 15) }
      try await cluster.modify("orders-1", tier: 15)
      let done = await cluster.failoverReports.map(\.newWriter)
      for name in ["large", "small-a", "small-b"] where !done.contains(name) {
        try await cluster.modify(InstanceIdentifier(name), tier: 0)
      }
      try await eventually { await cluster.status().instances.allSatisfy { $0.state == "available" } }
    }
    await cluster.stop()
  }

  @Test("the choice is a function of tier, size and name, for every order of the candidates")
  func choice() {
    var generator = DeterministicGenerator(seed: 7)
    for _ in 0..<500 {
      let candidates = (0..<6).map { i in
        FailoverChoice.Candidate(
          InstanceIdentifier("i\(i)"), tier: PromotionTier(Int(generator.next() % 3)),
          capacity: InstanceCapacity(memory: .gibibytes(generator.next() % 3 + 1), processors: 1))
      }
      let order = FailoverChoice.order(candidates)
      #expect(order == FailoverChoice.order(candidates.reversed()))
      for (a, b) in zip(order, order.dropFirst()) {
        #expect(a.tier <= b.tier)
        if a.tier == b.tier { #expect(a.capacity >= b.capacity) }
        if a.tier == b.tier, a.capacity == b.capacity { #expect(a.instance < b.instance) }
      }
    }
  }

  @Test("losing the writer's zone moves the writer to another; the zone's instances come back with it")
  func zoneLost() async throws {
    let cluster = try await makeCluster()
    try await cluster.writer.execute("INSERT INTO t VALUES (1)")
    try await cluster.chaos.loseZone("a")
    try await cluster.writer.execute("INSERT INTO t VALUES (2)")
    #expect(await cluster.failoverReports.first?.cause == .zoneLost)
    #expect(await cluster.status().nodes.filter { !$0.isRunning }.map(\.zone) == ["a", "a"])
    try await cluster.chaos.restoreZone("a")
    try await eventually { await cluster.status().instances.allSatisfy { $0.state == "available" } }
    #expect(try await cluster.writer.rows("SELECT count(*) FROM t")[0][0] == 2)
    await cluster.stop()
  }

  @Test("a dead reader leaves its endpoint and comes back")
  func readerEnds() async throws {
    let cluster = try await makeCluster()
    try await cluster.chaos.kill("orders-2")
    for _ in 0..<10 { _ = try await cluster.reader.rows("SELECT count(*) FROM t") }
    try await eventually { cluster.reader.members.map(\.instance) == ["orders-2", "orders-3"] }
    #expect(await cluster.failoverReports.isEmpty)
    await cluster.stop()
  }

  @Test("clients that commit through failovers: every acknowledged row is there, none twice")
  func underLoad() async throws {
    let cluster = try await makeCluster()
    let acknowledged = try await withThrowingTaskGroup(of: [Int].self) { group in
      for client in 0..<4 {
        group.addTask {
          var done: [Int] = []
          for i in 0..<150 {
            let id = client * 1000 + i
            do {
              try await cluster.writer.execute("INSERT INTO t VALUES (?)", id)
              done.append(id)
            } catch let error as SQLError {
              guard error.isOutcomeUnknown || error.isRetryable else { throw error }
            }
          }
          return done
        }
      }
      group.addTask {
        for _ in 0..<3 {
          try await Task.sleep(for: .milliseconds(60))
          let before = await cluster.failoverReports.count
          try await cluster.chaos.killWriter()
          try await eventually { await cluster.failoverReports.count > before && !cluster.writer.members.isEmpty }
        }
        return []
      }
      return try await group.reduce(into: []) { $0 += $1 }
    }
    let there = Set(try await cluster.writer.rows("SELECT id FROM t").map { try $0.get(0, as: Int.self) })
    #expect(acknowledged.count > 100)
    #expect(acknowledged.filter { !there.contains($0) } == [])
    #expect(await cluster.failoverReports.count == 3)
    await cluster.stop()
  }
}
