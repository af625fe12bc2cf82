import Borealis
import BorealisSQLite
import CBorealisSQLite
import Testing

@Suite("SQLite on a volume: connections for tasks", .timeLimit(.minutes(2)))
struct ConnectionTests {
  @Test("statements, rows as they come, transactions, errors")
  func connection() async throws {
    let one = try Instance()
    defer { one.fleet.stop() }
    let db = try await SQLiteConnection(one.vfs, "/test.db")
    try await db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
    try await db.transaction { session in
      for i in 0..<1000 { try session.execute("INSERT INTO t VALUES (?, ?)", i, "row \(i)") }
    }
    var seen = 0
    for try await row in db.query("SELECT id, v FROM t ORDER BY id") {
      #expect(row["v"] == .text("row \(seen)"))
      seen += 1
    }
    #expect(seen == 1000)
    for try await row in db.query("SELECT id FROM t ORDER BY id") {
      // Left in the middle: the connection goes on.
      if try row.get(0) == 100 { break }
    }
    #expect(try await db.execute("DELETE FROM t WHERE id >= ?", 10) == 990)
    var returned: [Int] = []
    for try await row in db.query("UPDATE t SET v = 'x' WHERE id < 3 RETURNING id") { returned.append(try row.get(0)) }
    #expect(returned == [0, 1, 2])
    let error = await #expect(throws: SQLiteError.self) { try await db.execute("SELECT * FROM nowhere") }
    #expect(error?.code == SQLITE_ERROR)
    #expect(error?.message == "no such table: nowhere")
    #expect(error?.sql == "SELECT * FROM nowhere")
    let count = try db.blockingPerform { try integer($0, "SELECT count(*) FROM t") }
    #expect(count == 10)
    db.close()
    let closed = await #expect(throws: SQLiteError.self) { try await db.execute("SELECT 1") }
    #expect(closed?.code == SQLITE_MISUSE)
  }

  @Test("many connections at once")
  func many() async throws {
    let one = try Instance()
    defer { one.fleet.stop() }
    let vfs = one.vfs
    try await SQLiteConnection(vfs, "/test.db").execute("CREATE TABLE t (v INTEGER); INSERT INTO t VALUES (0)")
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 0..<8 {
        group.addTask {
          let db = try await SQLiteConnection(vfs, "/test.db")
          for _ in 0..<25 { try await db.execute("UPDATE t SET v = v + 1") }
        }
      }
      try await group.waitForAll()
    }
    let rows = try await SQLiteConnection(vfs, "/test.db").rows("SELECT v FROM t")
    #expect(rows[0][0] == 200)
  }

  @Test("a database that is not there, at an instance that cannot make it")
  func missing() throws {
    let one = try Instance()
    defer { one.fleet.stop() }
    let reader = SQLiteVFS(still: ReadPointSpace(one.volume))
    #expect(codeOf { _ = try SQLiteSession(reader, "/none.db").query("SELECT 1") } == SQLITE_CANTOPEN)
    #expect(codeOf { _ = try SQLiteSession(one.vfs, "/no/such/directory.db") } == SQLITE_CANTOPEN)
  }
}
