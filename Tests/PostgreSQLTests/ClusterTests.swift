import Borealis
import BorealisClusterModel
import BorealisComputeEngine
import BorealisCore
import BorealisMount
import BorealisRuntime
import Foundation
import Synchronization
import Testing

@testable import BorealisPostgreSQL

extension PostgreSQLTests {
  /// Whole clusters: failover under load, readers, and clients of other processes.
  @Suite(.serialized) struct ClusterTests {
    private static func withDirectory(_ body: (String) async throws -> Void) async throws {
      let directory = "/tmp/bpg-cluster-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
      do { try await body(directory) } catch {
        await removeWhenUnmounted(directory)
        throw error
      }
      await removeWhenUnmounted(directory)
    }
    private static func start(_ directory: String, readers: Int) async throws -> (Cluster, PostgreSQLEngine) {
      let engine = try PostgreSQLEngine(at: directory, mounter: FUSEMounter())
      let configuration = ClusterConfiguration("orders") {
        Engine(engine)
        Writer()
        for _ in 0..<readers { Reader() }
      }
      return (try await Cluster.start(configuration), engine)
    }

    /// Writes rows through the writer's endpoint until it is told to stop, and keeps what was acknowledged.
    private final class Load: Sendable {
      let acknowledged = Mutex<[Int]>([])
      let unknown = Mutex<Set<Int>>([])
      let longestPause = Mutex<Double>(0)
      let isOver = Atomic(false)

      func run(_ cluster: Cluster, client: Int) async {
        var id = client * 1_000_000
        var last = Date()
        while !isOver.load(ordering: .relaxed) {
          id += 1
          do {
            try await cluster.writer.execute("INSERT INTO t VALUES ($1)", id)
            let now = Date()
            let pause = now.timeIntervalSince(last)
            last = now
            acknowledged.withLock { $0.append(id) }
            longestPause.withLock { $0 = max($0, pause) }
          } catch let error as SQLError {
            if error.isOutcomeUnknown { _ = unknown.withLock { $0.insert(id) } }
            try? await Task.sleep(for: .milliseconds(2))
          } catch { return }
        }
      }
      func check(_ rows: [SQLRow]) {
        let there = Set(rows.compactMap { row -> Int? in if case .integer(let id) = row[0] { Int(id) } else { nil } })
        let told = Set(acknowledged.withLock { $0 })
        #expect(told.subtracting(there) == [], "acknowledged and lost")
        #expect(there.subtracting(told).subtracting(unknown.withLock { $0 }) == [], "there, and told to have failed")
      }
    }

    @Test func aWriterKilledUnderLoadIsReplacedAndNothingAcknowledgedIsLost() async throws {
      try await Self.withDirectory { directory in
        let (cluster, _) = try await Self.start(directory, readers: 2)
        try await cluster.writer.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
        let load = Load()
        try await withThrowingTaskGroup(of: Void.self) { group in
          for client in 1...4 { group.addTask { await load.run(cluster, client: client) } }
          for round in 1...3 {
            try await Task.sleep(for: .seconds(2))
            _ = try await cluster.chaos.killWriter()
            try await eventually("failover \(round) is complete") { await cluster.failoverReports.count == round }
          }
          try await Task.sleep(for: .seconds(2))
          load.isOver.store(true, ordering: .relaxed)
        }
        load.check(try await cluster.writer.rows("SELECT id FROM t"))
        let count = load.acknowledged.withLock { $0.count }
        print("\(count) commits acknowledged, the longest pause of a client was \(load.longestPause.withLock { $0 }) s")
        for report in await cluster.failoverReports { print(report.timeline) }
        #expect(load.longestPause.withLock { $0 } < 15)
        try await eventually("all instances are there again, and readers show what the writer has", seconds: 60) {
          let all = try await cluster.writer.rows("SELECT count(*) FROM t")
          for instance in await cluster.status().instances {
            guard instance.state == "available" else { return false }
            let here = try await cluster.instance(InstanceIdentifier(instance.identifier)).rows(
              "SELECT count(*) FROM t")
            guard here == all else { return false }
          }
          return true
        }
        await cluster.stop()
      }
    }

    @Test func aPlannedFailoverLosesNothing() async throws {
      try await Self.withDirectory { directory in
        let (cluster, _) = try await Self.start(directory, readers: 1)
        try await cluster.writer.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
        let load = Load()
        try await withThrowingTaskGroup(of: Void.self) { group in
          group.addTask { await load.run(cluster, client: 1) }
          for _ in 1...2 {
            try await Task.sleep(for: .seconds(1))
            let report = try await cluster.failover()
            print(report.timeline)
          }
          try await Task.sleep(for: .seconds(1))
          load.isOver.store(true, ordering: .relaxed)
        }
        load.check(try await cluster.writer.rows("SELECT id FROM t"))
        print("the longest pause of a planned failover was \(load.longestPause.withLock { $0 }) s")
        await cluster.stop()
      }
    }

    @Test func aReaderIsAddedWithoutACopyAndFollowsClosely() async throws {
      try await Self.withDirectory { directory in
        let (cluster, _) = try await Self.start(directory, readers: 0)
        try await cluster.writer.execute(
          "CREATE TABLE t AS SELECT i AS id, repeat('x', 500) AS v FROM generate_series(1, 100000) i")
        try await cluster.writer.execute("CREATE INDEX ON t (id)")
        let began = Date()
        try await cluster.addReader()
        let took = Date().timeIntervalSince(began)
        let size = try await cluster.writer.rows("SELECT pg_database_size('postgres')")[0][0]
        var copied: UInt64 = 0
        for event in cluster.recentEvents {
          if case .instanceAdded(_, let bytes) = event.kind { copied = bytes }
        }
        print("a reader of \(size) bytes was added in \(took) s; \(copied) bytes were read")
        #expect(took < 10)
        guard case .integer(let bytes) = size else { throw SQLError(.mismatch, "\(size)") }
        #expect(copied < UInt64(bytes) / 4)
        var lags: [Double] = []
        for id in 100_001...100_050 {
          try await cluster.writer.execute("INSERT INTO t VALUES ($1)", id)
          let written = Date()
          while try await cluster.reader.rows("SELECT 1 FROM t WHERE id = $1 AND id > 100000 LIMIT 1", id).isEmpty,
            Date().timeIntervalSince(written) < 10
          {}
          lags.append(Date().timeIntervalSince(written))
        }
        lags.sort()
        print("a row was seen on the reader after \(lags[25]) s (median), \(lags[47]) s (p95)")
        #expect(lags[47] < 5)
        await cluster.stop()
      }
    }

    @Test func psqlAndPgbenchRunOnAnInstance() async throws {
      try await Self.withDirectory { directory in
        let engine = try PostgreSQLEngine(at: directory, mounter: FUSEMounter())
        let fleet = try StorageFleet.inMemory()
        let volume = try await blocking { try Volume.create(on: fleet) }
        let started = try await engine.start(
          InstanceStart(
            cluster: "orders", instance: "orders-1", zone: ZoneID(0), capacity: InstanceClass.localMedium.capacity,
            storage: .writer(volume)))
        let instance = try #require(started as? PostgreSQLEngineInstance)
        let line = try #require(instance.connectionString)
        let password = try #require(SystemFiles.text(of: engine.passwordFile(of: "orders"))).split(separator: "\n")[0]
        let programs = try PostgreSQLInstallation.find().directory
        func run(_ program: String, _ arguments: [String]) async throws -> [String] {
          try await blocking {
            try ChildProcess.run(
              Program(
                path: "\(programs)/\(program)", arguments: arguments,
                environment: ["PGPASSWORD=\(password)"]), milliseconds: 120_000)
          }
        }
        #expect(
          try await run("psql", ["-X", "-At", "-c", "create extension pg_stat_statements", line]) == [
            "CREATE EXTENSION"
          ])
        _ = try await run("pgbench", ["-i", "-s", "1", "-q", line])
        let output = try await run("pgbench", ["-c", "4", "-T", "3", "-n", line])
        print(output.suffix(4).joined(separator: "\n"))
        let history = try await run(
          "psql",
          [
            "-X", "-At", "-c", "select sum(delta) = (select sum(abalance) from pgbench_accounts) from pgbench_history",
            line,
          ])
        #expect(history == ["t"])
        try await instance.checkHealth(timeoutMilliseconds: 5000)
        await instance.stop()
        #expect(!SystemFiles.exists(directory + "/orders/orders-1/0/data-mount/pgdata"))
        await onThread { fleet.stop() }
      }
    }
  }
}
