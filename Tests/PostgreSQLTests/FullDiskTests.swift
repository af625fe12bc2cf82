import Borealis
import BorealisComputeEngine
import BorealisCore
import BorealisFileSystem
import BorealisRuntime
import Foundation
import Synchronization
import Testing

@testable import BorealisPostgreSQL

extension PostgreSQLTests {
  /// The storage nodes' disks run out of room.
  @Suite(.serialized) struct FullDiskTests {
    /// Rows of about 1 KB each, which hardly compress.
    private static func fill(_ ids: ClosedRange<Int>) -> String {
      """
      INSERT INTO big SELECT i, (SELECT string_agg(md5(i::text || j), '') FROM generate_series(1, 30) j)
        FROM generate_series(\(ids.lowerBound), \(ids.upperBound)) i
      """
    }
    private static let tables = """
      CREATE TABLE big (id int PRIMARY KEY, v text); ALTER TABLE big ALTER v SET STORAGE PLAIN; CREATE TABLE t (id int)
      """
    private static func expectRefused(_ error: SQLError?) {
      #expect(error?.code == .full, "\(String(describing: error))")
      #expect(error?.engineCode == "SQLSTATE 53100")
      #expect(error?.message.contains("could not extend file") == true, "\(String(describing: error))")
      #expect(error?.message.contains("No space left on device") == true)
      #expect(error?.isOutcomeUnknown == false)
    }
    /// How long the engine believes what it has heard of the room, and some more.
    private static func untilNoticed() async throws { try await Task.sleep(for: .milliseconds(300)) }

    /// What people meet: the error comes before the disks are full, from the statement that needs the room.
    @Test func whoNeedsMoreRoomIsToldAndEverythingElseGoesOn() async throws {
      let room = Mutex(MountCapacity(total: .gibibytes(10), free: .gibibytes(9)))
      let change: (inout PostgreSQLOptions) -> Void = { options in
        options.room = { room.withLock { $0 } }
        options.reserve = .mebibytes(512)
      }
      try await withEngine(change) { engine in
        let disks = TestDisks()
        let writer = try await TestWriter(engine, disks)
        try await writer.execute(Self.tables)
        try await writer.execute(Self.fill(1...2000))
        let mount = try #require(writer.instance.attachment()?.database.mount.path)
        let shown = try FileManager.default.attributesOfFileSystem(forPath: mount)
        #expect((shown[.systemFreeSize] as? NSNumber)?.uint64Value == 9 << 30)

        room.withLock { $0.free = .mebibytes(500) }
        try await Self.untilNoticed()
        let error = await #expect(throws: SQLError.self) { try await writer.execute(Self.fill(2001...4000)) }
        Self.expectRefused(error)
        // Nothing of the statement is left; changes in place, new segments of the log and checkpoints go on.
        #expect(try await writer.value("SELECT count(*) FROM big") == 2000)
        for round in 1...3 {
          try await writer.execute("INSERT INTO t VALUES (\(round)); DELETE FROM big WHERE id % 100 = \(round)")
          _ = try await writer.value("SELECT pg_switch_wal()::text")
          try await writer.execute("CHECKPOINT")
        }
        // Recovery from a crash may need room, and has it.
        try await writer.execute("UPDATE t SET id = id + 10")
        await writer.terminate()
        let next = try await TestWriter(engine, disks)
        #expect(try await next.value("SELECT min(id) FROM t") == 11)
        #expect(try await next.value("SELECT count(*) FROM big") == 1940)
        Self.expectRefused(await #expect(throws: SQLError.self) { try await next.execute(Self.fill(2001...4000)) })
        // What makes room is possible.
        try await next.execute("CREATE TABLE kept AS SELECT id FROM big; DROP TABLE big")
        room.withLock { $0.free = .gibibytes(1) }
        try await Self.untilNoticed()
        try await next.execute("CREATE TABLE big (id int PRIMARY KEY, v text)")
        try await next.execute(Self.fill(1...4000))
        #expect(try await next.value("SELECT count(*) FROM big") == 4000)
        await next.stop()
      }
    }

    /// Disks that are full all the same, because the room is somebody else's: commits wait, and nothing is lost.
    @Test func onFullDisksCommitsWaitAndGoOnWhenThereIsRoom() async throws {
      try await withEngine { engine in
        let disks = TestDisks()
        let writer = try await TestWriter(engine, disks)
        try await writer.execute(Self.tables)
        let started = try await writer.value("SELECT pg_postmaster_start_time()::text")
        let watching = try await writer.instance.connect()
        _ = try await watching.rows("SELECT count(*) FROM t", parameters: [])
        let acknowledged = Atomic(0)
        let isOver = Atomic(false)
        let step = 500
        let clients = Task {
          let connection = try await writer.instance.connect()
          defer { connection.close() }
          while !isOver.load(ordering: .relaxed) {
            let done = acknowledged.load(ordering: .relaxed)
            try await connection.execute(Self.fill((done + 1)...(done + step)), parameters: [])
            acknowledged.store(done + step, ordering: .relaxed)
            // The database stays small: it is the log that goes on and on.
            if done > 0, done % 5000 == 0 { try await connection.execute("CHECKPOINT", parameters: []) }
          }
        }
        try await eventually("rows are acknowledged") { acknowledged.load(ordering: .relaxed) >= 2 * step }
        // Three of six: what is left is no write quorum.
        disks.fill(3)
        var settled = -1
        try await eventually("acknowledgements cease", seconds: 60) {
          settled = acknowledged.load(ordering: .relaxed)
          try await Task.sleep(for: .milliseconds(1500))
          return acknowledged.load(ordering: .relaxed) == settled
        }
        #expect(try await watching.rows("SELECT count(*) FROM t", parameters: []).first?.values == [0])
        try await eventually("nodes say that their disks are full") {
          writer.fleet.topology.contains { writer.fleet.host($0.node)?.statistics.isFull == true }
        }
        disks.fill(0)
        try await eventually("commits go on", seconds: 60) {
          acknowledged.load(ordering: .relaxed) >= settled + 2 * step
        }
        isOver.store(true, ordering: .relaxed)
        try await clients.value
        watching.close()
        let count = Int64(acknowledged.load(ordering: .relaxed))
        #expect(try await writer.value("SELECT count(*) FROM big") == .integer(count))
        #expect(try await writer.value("SELECT pg_postmaster_start_time()::text") == started)
        #expect(writer.volume.checkInvariants() == [])
        // And after a crash, from what the nodes have.
        await writer.terminate()
        let next = try await TestWriter(engine, disks)
        #expect(try await next.value("SELECT count(*) FROM big") == .integer(count))
        #expect(try await next.damages() == [])
        await next.stop()
      }
    }
  }
}
