#if Observability
  import Borealis
  import BorealisObservability
  import CoreMetrics
  import MetricsTestKit
  import Testing

  @Suite("Observability: metrics", .serialized)
  struct MetricsTests {
    /// A cluster whose figures go to a factory in memory, every few milliseconds.
    private func observed<T: Sendable>(
      readers: Int = 1, _ body: @Sendable (Cluster, TestMetrics) async throws -> T
    ) async throws -> T {
      let (cluster, factory) = (try await Cluster.inMemory("orders", readers: readers), TestMetrics())
      let metrics = ClusterMetrics(cluster, interval: .milliseconds(5), factory: factory)
      let reporting = Task { await metrics.run() }
      let result = try await body(cluster, factory)
      reporting.cancel()
      await reporting.value
      await cluster.stop()
      return result
    }
    private func of(_ instance: String) -> [(String, String)] { [("cluster", "orders"), ("instance", instance)] }
    private func counted(_ factory: TestMetrics, _ label: String, _ dimensions: [(String, String)]) -> Int64 {
      (try? factory.expectCounter(label, dimensions).totalValue) ?? 0
    }
    private func last(_ factory: TestMetrics, _ label: String, _ dimensions: [(String, String)]) -> Double? {
      try? factory.expectGauge(label, dimensions).lastValue
    }

    @Test("commits, queries, connections and commit latency of each instance")
    func statements() async throws {
      try await observed { cluster, factory in
        try await cluster.writer.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
        for i in 1...9 { try await cluster.writer.execute("INSERT INTO t VALUES (?)", i) }
        try await eventually("ten commits") { counted(factory, "borealis_commits_total", of("orders-1")) == 10 }
        #expect(counted(factory, "borealis_commits_total", of("orders-2")) == 0)
        let timer = try factory.expectTimer("borealis_commit_duration", of("orders-1"))
        #expect(!timer.values.isEmpty && timer.values.allSatisfy { $0 > 0 })
        let open = try await cluster.instance("orders-2").connect()
        _ = try await open.rows("SELECT 1")
        _ = try await open.rows("SELECT 2")
        try await eventually("queries") { counted(factory, "borealis_queries_total", of("orders-2")) == 2 }
        try await eventually("a connection") { last(factory, "borealis_connections", of("orders-2")) == 1 }
        open.close()
        try await eventually("no connection") { last(factory, "borealis_connections", of("orders-2")) == 0 }
        try await eventually("no lag") { last(factory, "borealis_reader_lag_records", of("orders-2")) == 0 }
        #expect(last(factory, "borealis_reader_lag_milliseconds", of("orders-2")) == 0)
      }
    }

    @Test("the volume, the storage nodes and failovers")
    func volume() async throws {
      try await observed { cluster, factory in
        let whole = [("cluster", "orders")]
        try await cluster.writer.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
        let vdl = Double(await cluster.status().vdl)
        try await eventually("the VDL") {
          last(factory, "borealis_volume_durable_lsn", whole).map { $0 >= vdl } == true
        }
        #expect(last(factory, "borealis_volume_epoch", whole) == 1)
        let node = whole + [("node", "n0")]
        try await eventually("bytes of a node") {
          last(factory, "borealis_node_used_bytes", node).map { $0 > 0 } == true
        }
        try await cluster.chaos.stopNode(NodeID(0))
        try await eventually("a node is down") { last(factory, "borealis_node_running", node) == 0 }
        try await cluster.chaos.startNode(NodeID(0))
        try await eventually("a node is back") { last(factory, "borealis_node_running", node) == 1 }

        try await cluster.failover()
        try await cluster.writer.execute("INSERT INTO t VALUES (1)")
        let planned = whole + [("cause", "planned")]
        try await eventually("a failover") { counted(factory, "borealis_failovers_total", planned) == 1 }
        #expect(try factory.expectTimer("borealis_failover_duration", planned).values.count == 1)
        try await eventually("the writer has changed") {
          last(factory, "borealis_instance_is_writer", of("orders-2")) == 1
            && last(factory, "borealis_instance_is_writer", of("orders-1")) == 0
        }
      }
    }

    @Test("what an instance counted before it was started anew is not counted again, nor lost")
    func restarts() async throws {
      try await observed(readers: 0) { cluster, factory in
        try await cluster.writer.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
        for i in 1...9 { try await cluster.writer.execute("INSERT INTO t VALUES (?)", i) }
        try await eventually("ten commits") { counted(factory, "borealis_commits_total", of("orders-1")) == 10 }
        try await cluster.chaos.killWriter()
        try await cluster.writer.execute("INSERT INTO t VALUES (10)")
        try await eventually("an eleventh") { counted(factory, "borealis_commits_total", of("orders-1")) == 11 }
      }
    }

    @Test("an instance that is removed, and a cluster that ends, leave no metrics behind")
    func removal() async throws {
      let (cluster, factory) = (try await Cluster.inMemory("orders"), TestMetrics())
      let reporting = Task { await ClusterMetrics(cluster, interval: .milliseconds(5), factory: factory).run() }
      try await eventually("a reader's figures") { last(factory, "borealis_connections", of("orders-2")) != nil }
      try await cluster.remove("orders-2")
      try await eventually("they are gone") { last(factory, "borealis_connections", of("orders-2")) == nil }
      await cluster.stop()
      // Ends by itself.
      await reporting.value
      #expect(factory.recorders.isEmpty && factory.counters.isEmpty && factory.timers.isEmpty)
    }
  }
#endif
