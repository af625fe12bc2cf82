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
  /// A reader whose view moves on and whose overlay is trimmed while it answers queries.
  @Suite(.serialized) struct ViewTests {
    /// A writer and readers of one volume, without a cluster that would start them again.
    final class Pair: Sendable {
      let engine: PostgreSQLEngine
      let fleet: StorageFleet
      let volume: Volume
      let writer: PostgreSQLEngineInstance
      let capacity = InstanceClass.localMedium.capacity

      init(_ directory: String, _ options: PostgreSQLOptions) async throws {
        engine = try PostgreSQLEngine(at: directory, mounter: FUSEMounter(), options: options)
        let fleet = try StorageFleet.inMemory()
        self.fleet = fleet
        let volume = try await blocking { try Volume.create(on: fleet) }
        self.volume = volume
        let start = InstanceStart(
          cluster: "view", instance: "view-1", zone: ZoneID(0), capacity: capacity, storage: .writer(volume))
        writer = try #require(try await engine.start(start) as? PostgreSQLEngineInstance)
      }
      func reader(_ name: InstanceIdentifier = "view-2") async throws -> PostgreSQLEngineInstance {
        let volume = volume
        let reader = try await blocking { try VolumeReaderInstance(of: volume) }
        let start = InstanceStart(
          cluster: "view", instance: name, zone: ZoneID(0), capacity: capacity,
          storage: .reader(reader, writer: writer.address))
        return try #require(try await engine.start(start) as? PostgreSQLEngineInstance)
      }
      func end(_ readers: PostgreSQLEngineInstance...) async {
        for reader in readers { await reader.stop() }
        await writer.stop()
        let fleet = fleet
        await onThread { fleet.stop() }
      }
    }
    static func withPair(_ change: (inout PostgreSQLOptions) -> Void, _ body: (Pair) async throws -> Void) async throws
    {
      let directory = "/tmp/bpg-view-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
      var options = PostgreSQLOptions()
      // Little of it in the server's own buffers, so that pages are read from the view all the time.
      options.parameters = ["shared_buffers": "4MB", "autovacuum_naptime": "1s"]
      options.trimMilliseconds = 500
      change(&options)
      do {
        let pair = try await Pair(directory, options)
        do { try await body(pair) } catch {
          await pair.end()
          throw error
        }
      } catch {
        await removeWhenUnmounted(directory)
        throw error
      }
      await removeWhenUnmounted(directory)
    }

    private static let rows = 16_000
    private static let schema = [
      "CREATE EXTENSION amcheck",
      "CREATE TABLE t (id int PRIMARY KEY, v int8 NOT NULL, pad text NOT NULL)",
      "INSERT INTO t SELECT i, 0, repeat('x', 600) FROM generate_series(1, \(rows)) i",
      "CREATE INDEX t_v ON t (v)",
      // A queue: it grows, and vacuum cuts it off again.
      "CREATE TABLE q (id serial PRIMARY KEY, pad text)",
      "INSERT INTO q (pad) SELECT repeat('q', 900) FROM generate_series(1, 2000)",
      "CREATE SEQUENCE s", "CREATE DATABASE gone", "VACUUM",
    ]
    /// What both sides must agree on.
    private static let digest = """
      SELECT 1 AS n, md5(string_agg(md5(t::text), '' ORDER BY id)) FROM t
      UNION ALL SELECT 2, md5(string_agg(md5(q::text), '' ORDER BY id)) FROM q
      UNION ALL SELECT 3, md5(string_agg(relname || relkind::text || relfilenode, '' ORDER BY oid)) FROM pg_class ORDER BY n
      """
    private static let integrity = """
      SELECT bt_index_check(c.oid, i.indisunique) FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
      WHERE c.relam = (SELECT oid FROM pg_am WHERE amname = 'btree') AND c.relpersistence = 'p'
      """

    private final class Flag: Sendable {
      let isOver = Atomic(false)
    }
    /// Queries until told to stop, each of which must see whole transactions.
    private static func query(_ reader: PostgreSQLEngineInstance, until flag: Flag) async throws -> Int {
      let connection = try await reader.connect()
      defer { connection.close() }
      var count = 0
      while !flag.isOver.load(ordering: .relaxed) {
        let plain = try await connection.rows(
          "SELECT count(*), sum(v), min(length(pad)), max(length(pad)) FROM t", parameters: [])[0]
        #expect(plain.values == [.integer(Int64(rows)), .text("0"), .integer(600), .integer(600)])
        // By way of the index, and without the table where the visibility map says so.
        let indexed = try await connection.rows(
          """
          WITH a AS (SELECT set_config('enable_seqscan', 'off', true))
          SELECT count(*), sum(v) FROM t, a WHERE v > -1000000000
          """, parameters: [])[0]
        #expect(indexed.values == [.integer(Int64(rows)), .text("0")])
        let queue = try await connection.rows("SELECT count(*) % 1000, count(DISTINCT pad) FROM q", parameters: [])[0]
        #expect(queue.values[0] == .integer(0))
        count += 1
      }
      return count
    }
    /// Rewrites all rows, a part at a time; the sum stays 0.
    private static func rewrite(_ writer: any SQLConnection, pass: Int) async throws {
      let part = 2000
      for first in stride(from: 1, to: rows, by: part) {
        _ = try await writer.execute(
          """
          UPDATE t SET v = v + CASE WHEN id % 2 = 0 THEN 1 ELSE -1 END * \(pass),
            pad = repeat(chr(97 + \(pass % 26)), 600) WHERE id BETWEEN \(first) AND \(first + part - 1)
          """, parameters: [])
      }
      _ = try await writer.execute(
        "INSERT INTO q (pad) SELECT repeat('r', 900) FROM generate_series(1, 1000)", parameters: [])
      if pass % 2 == 0 {
        _ = try await writer.execute("DELETE FROM q WHERE id > 1000", parameters: [])
        _ = try await writer.execute("VACUUM q", parameters: [])
        _ = try await writer.execute(
          "INSERT INTO q (pad) SELECT repeat('s', 900) FROM generate_series(1, 1000)", parameters: [])
      }
      _ = try await writer.execute("VACUUM t", parameters: [])
      _ = try await writer.execute("CHECKPOINT", parameters: [])
    }

    @Test func aWriterThatRewritesMoreThanAnOverlayHoldsDoesNotEndItsReaders() async throws {
      let limit: UInt64 = 128 << 20
      let readerLog = Mutex<[String]>([])
      try await Self.withPair { options in
        options.overlayLimit = ByteCount(limit)
        options.onLog = { instance, line in
          if instance == "view-2" { readerLog.withLock { $0.append(line) } }
        }
      } _: { pair in
        let connection = try await pair.writer.connect()
        defer { connection.close() }
        for statement in Self.schema { _ = try await connection.execute(statement, parameters: []) }
        let reader = try await pair.reader()
        let first = try #require(reader.readPoint)
        let flag = Flag()
        var highest: UInt64 = 0
        var passes = 0
        var queries = 0
        let start = try await connection.rows("SELECT pg_current_wal_lsn()::text", parameters: [])[0].values[0]
        try await withThrowingTaskGroup(of: Int.self) { group in
          group.addTask { try await Self.query(reader, until: flag) }
          let deadline = Date().addingTimeInterval(240)
          var written: Int64 = 0
          // Three times what the overlay may hold, and until the view has moved now and then.
          while written < Int64(3 * limit) || (reader.viewStatistics?.moves ?? 0) < 5, Date() < deadline {
            passes += 1
            try await Self.rewrite(connection, pass: passes)
            if passes == 3 { _ = try await connection.execute("DROP DATABASE gone", parameters: []) }
            let rows = try await connection.rows(
              "SELECT (pg_current_wal_lsn() - $1::pg_lsn)::int8", parameters: [start])
            if case .integer(let bytes) = rows[0].values[0] { written = bytes }
            highest = max(highest, reader.overlayStatistics?.bytes ?? .max)
          }
          flag.isOver.store(true, ordering: .relaxed)
          queries = try await group.reduce(0, +)
          print("\(passes) passes, \(written >> 20) MiB of log; the overlay held \(highest >> 20) MiB at most")
          #expect(written >= Int64(3 * limit))
        }
        let overlay = try #require(reader.overlayStatistics)
        let view = try #require(reader.viewStatistics)
        print("\(queries) rounds of queries; \(view); \(overlay)")
        #expect(queries > 3)
        #expect(overlay.refused == 0)
        #expect(highest < limit)
        #expect(view.pagesGivenBack * 8192 > limit, "more than it may hold at all")
        #expect(view.moves >= 5 && view.pagesGivenBack > 0 && view.logFilesEmptied > 0, "\(view)")
        #expect(try #require(reader.readPoint) > first)
        #expect(
          readerLog.withLock { $0.filter { $0.contains("entering standby mode") }.count } == 1, "it was not restarted")
        // The first read point was given back: storage may collect what it kept for it.
        guard case .reader(let shared, _) = try #require(reader.attachment()).database.storage else { return }
        #expect(shared.lowestReadPoint > first)
        // After it has caught up, and the view has moved to that: the same, page for page where it is read anew.
        #expect(await reader.waitUntilVisible(.zero, timeoutMilliseconds: 60_000))
        let moves = view.moves
        _ = try await connection.execute("CHECKPOINT", parameters: [])
        try await eventually("the view has moved twice more", seconds: 60) {
          _ = try await connection.execute(
            "INSERT INTO q (pad) SELECT 's' FROM generate_series(1, 1000)", parameters: [])
          return reader.viewStatistics?.moves ?? 0 > moves + 1
        }
        #expect(await reader.waitUntilVisible(.zero, timeoutMilliseconds: 60_000))
        let there = try await reader.connect()
        defer { there.close() }
        let (mine, its) = (
          try await connection.rows(Self.digest, parameters: []), try await there.rows(Self.digest, parameters: [])
        )
        #expect(mine.map(\.values) == its.map(\.values))
        _ = try await there.rows(Self.integrity, parameters: [])
        await pair.end(reader)
      }
    }

    /// A reader that replays nothing is told to begin again: its read point would hold storage's garbage for ever.
    @Test func aReaderThatStandsStillBeginsAgainAtAFreshReadPoint() async throws {
      try await Self.withPair {
        $0.readPointMillisecondsMax = 3000
      } _: { pair in
        let connection = try await pair.writer.connect()
        defer { connection.close() }
        _ = try await connection.execute("CREATE TABLE t (id int)", parameters: [])
        let reader = try await pair.reader()
        try await reader.checkHealth(timeoutMilliseconds: 5000)
        let first = try #require(reader.readPoint)
        try await eventually("the view moves with the writer") {
          _ = try await connection.execute("INSERT INTO t VALUES (1)", parameters: [])
          return try #require(reader.readPoint) > first
        }
        let there = try await reader.connect()
        _ = try await there.rows("SELECT pg_wal_replay_pause()", parameters: [])
        there.close()
        var told: EngineError?
        try await eventually("it ends") {
          _ = try await connection.execute("INSERT INTO t VALUES (1)", parameters: [])
          do throws(EngineError) {
            try await reader.checkHealth(timeoutMilliseconds: 5000)
            return false
          } catch {
            told = error
            return true
          }
        }
        #expect(told?.code == .terminated)
        #expect(told?.detail.contains("fresh read point") == true, "\(String(describing: told))")
        await pair.end(reader)
      }
    }

    /// A replication slot of the writer's is none of the reader's, which would keep its log for it.
    @Test func aReaderHasNoneOfTheWritersSlots() async throws {
      try await Self.withPair { _ in
      } _: { pair in
        let connection = try await pair.writer.connect()
        defer { connection.close() }
        _ = try await connection.rows("SELECT pg_create_physical_replication_slot('kept', true)", parameters: [])
        let reader = try await pair.reader()
        let there = try await reader.connect()
        defer { there.close() }
        let slots = "SELECT count(*) FROM pg_replication_slots"
        #expect(try await connection.rows(slots, parameters: [])[0].values == [.integer(1)])
        #expect(try await there.rows(slots, parameters: [])[0].values == [.integer(0)])
        await pair.end(reader)
      }
    }

    /// Log that was replayed is emptied, unless somebody is to read it: a slot of the reader's own.
    @Test func logThatSomebodyReadsIsNotEmptied() async throws {
      try await Self.withPair { _ in
      } _: { pair in
        let connection = try await pair.writer.connect()
        defer { connection.close() }
        _ = try await connection.execute("CREATE TABLE t (id int)", parameters: [])
        let reader = try await pair.reader()
        let there = try await reader.connect()
        defer { there.close() }
        func goOn(_ what: Comment, until isDone: (ViewStatistics) -> Bool) async throws {
          var rounds = 0
          try await eventually(what, seconds: 60) {
            rounds += 1
            _ = try await connection.execute("INSERT INTO t VALUES (1)", parameters: [])
            // Each sends the reader a whole segment, which stays in its overlay while the slot is there.
            if rounds % 25 == 1 { _ = try await connection.rows("SELECT pg_switch_wal()", parameters: []) }
            return isDone(try #require(reader.viewStatistics))
          }
        }
        func moves() -> UInt64 { reader.viewStatistics?.moves ?? 0 }
        _ = try await there.rows("SELECT pg_create_physical_replication_slot('own', true)", parameters: [])
        let first = moves()
        try await goOn("the view moves") { $0.moves > first + 1 }
        let (emptied, second) = (try #require(reader.viewStatistics).logFilesEmptied, moves())
        try await goOn("the view moves on") { $0.moves > second + 2 }
        #expect(reader.viewStatistics?.logFilesEmptied == emptied)
        _ = try await there.rows("SELECT pg_drop_replication_slot('own')", parameters: [])
        try await goOn("the log is emptied") { $0.logFilesEmptied > emptied }
        await pair.end(reader)
      }
    }
  }
}
