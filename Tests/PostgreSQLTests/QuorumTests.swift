import Borealis
import BorealisComputeEngine
import BorealisCore
import Foundation
import Synchronization
import Testing

@testable import BorealisPostgreSQL

extension PostgreSQLTests {
  /// Three of six copies are away: a zone and one more.
  @Suite(.serialized) struct QuorumTests {
    /// Clients that insert rows of their own, one after the other, on connections that they keep.
    private final class Inserts: Sendable {
      let acknowledged = Mutex<[Int]>([])
      let errors = Mutex<[SQLError]>([])
      /// Statements that were sent and not answered.
      let waiting = Atomic<Int>(0)
      let isOver = Atomic(false)
      var count: Int { acknowledged.withLock { $0.count } }

      func run(_ endpoint: ClusterEndpoint, client: Int) async throws {
        let connection = try await endpoint.connect()
        defer { connection.close() }
        var id = client * 1_000_000
        while !isOver.load(ordering: .relaxed) {
          id += 1
          waiting.add(1, ordering: .relaxed)
          defer { waiting.subtract(1, ordering: .relaxed) }
          do throws(SQLError) {
            try await connection.execute("INSERT INTO t VALUES ($1)", id)
            acknowledged.withLock { $0.append(id) }
          } catch {
            errors.withLock { $0.append(error) }
            return
          }
        }
      }
    }
    private static func count(_ endpoint: ClusterEndpoint) async throws -> Int {
      try await endpoint.rows("SELECT count(*) FROM t")[0].get(0)
    }

    @Test func withoutAQuorumCommitsWaitAndGoOnWhenItIsBack() async throws {
      try await withEngine { engine in
        let cluster = try await Cluster.start(
          ClusterConfiguration("orders") {
            Engine(engine)
            Writer()
            Reader()
          })
        try await cluster.writer.execute("CREATE TABLE t (id int PRIMARY KEY)")
        let started = try await cluster.writer.rows("SELECT pg_postmaster_start_time()::text")
        let load = Inserts()
        let clients = 4
        let work = Task {
          try await withThrowingTaskGroup(of: Void.self) { group in
            for client in 1...clients { group.addTask { try await load.run(cluster.writer, client: client) } }
            try await group.waitForAll()
          }
        }
        try await eventually("rows are acknowledged", seconds: 60) { load.count >= 40 }
        let away = [NodeID(0), NodeID(3), NodeID(1)]
        for node in away { try await cluster.chaos.stopNode(node) }
        // What was durable before is still told to those who wait for it.
        var settled = -1
        try await eventually("acknowledgements cease", seconds: 60) {
          settled = load.count
          try await Task.sleep(for: .seconds(1))
          return load.count == settled
        }
        #expect(load.waiting.load(ordering: .relaxed) == clients)

        // Reads go on, on connections old and new, and show what was acknowledged and nothing else.
        #expect(try await Self.count(cluster.writer) == settled)
        let instance = try #require(cluster.writer.currentEngine as? PostgreSQLEngineInstance)
        #expect(try await run("psql", ["-XAt", "-c", "SELECT count(*) FROM t"], on: instance) == ["\(settled)"])
        try await eventually("the reader shows the same") { try await Self.count(cluster.reader) == settled }
        try await Task.sleep(for: .seconds(2))
        #expect(load.count == settled, "acknowledged without a quorum")
        #expect(load.errors.withLock { $0 } == [])

        try await cluster.chaos.startNode(away[2])
        try await eventually("those who waited are told, and others follow", seconds: 60) {
          load.count >= settled + 5 * clients
        }
        load.isOver.store(true, ordering: .relaxed)
        try await work.value
        #expect(load.errors.withLock { $0 } == [])
        let rows = try await cluster.writer.rows("SELECT id FROM t ORDER BY id")
        let there = try rows.map { row in try row.get(0, as: Int.self) }
        #expect(there == load.acknowledged.withLock { $0.sorted() })
        // The same server all the time, and the same writer.
        #expect(try await cluster.writer.rows("SELECT pg_postmaster_start_time()::text") == started)
        #expect(await cluster.failoverReports.isEmpty)
        for node in away.prefix(2) { try await cluster.chaos.startNode(node) }
        await cluster.stop()
      }
    }
  }
}
