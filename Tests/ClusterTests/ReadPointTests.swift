import Borealis
import Foundation
import Synchronization
import Testing

@Suite("Cluster: read points")
struct ReadPointTests {
  private final class Gate: Sendable {
    let isHeld = Atomic(false)
    let isOver = Atomic(false)
  }

  /// What a reader holds, and storage has to keep for it, is to be seen, and how far it is behind.
  @Test func theStatusShowsReadPointsAndHowFarTheyAreBehind() async throws {
    let cluster = try await Cluster.inMemory("orders")
    try await cluster.writer.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    try await eventually { (try? await cluster.reader.rows("SELECT count(*) FROM t")) != nil }
    func reader() async throws -> ClusterStatus.Instance {
      try #require(await cluster.status().instances.first { $0.role == "reader" })
    }
    let writer = try #require(await cluster.status().instances.first { $0.role == "writer" })
    #expect(writer.readPoint == nil && writer.readPointRecords == nil)
    let gate = Gate()
    async let holding: Void = cluster.reader.transaction(.read) { db in
      _ = try db.query("SELECT count(*) FROM t")
      gate.isHeld.store(true, ordering: .releasing)
      while !gate.isOver.load(ordering: .acquiring) { Thread.sleep(forTimeInterval: 0.002) }
    }
    try await eventually("the transaction has begun") { gate.isHeld.load(ordering: .acquiring) }
    let before = try await reader()
    let point = try #require(before.readPoint)
    for id in 1...20 { try await cluster.writer.execute("INSERT INTO t VALUES (?)", id) }
    try await eventually("the reader has caught up") { try await reader().lagRecords == 0 }
    let after = try await reader()
    // It is held where it was, though the reader itself has seen everything.
    #expect(after.readPoint == point)
    #expect(try #require(after.readPointRecords) >= 20)
    gate.isOver.store(true, ordering: .releasing)
    try await holding
    try await eventually("it is given back") { try await reader().readPointRecords == 0 }
    await cluster.stop()
  }
}
