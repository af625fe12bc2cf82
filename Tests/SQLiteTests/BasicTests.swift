import Borealis
import BorealisSQLite
import CBorealisSQLite
import Testing

@Suite("SQLite on a volume: what its users expect")
struct BasicTests {
  @Test("what was committed is there, in another connection and after a new writer has taken over")
  func commitAndReopen() throws {
    let one = try Instance()
    defer { one.fleet.stop() }
    let session = try one.session()
    try session.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT, r REAL, b BLOB)")
    try session.execute("INSERT INTO t VALUES (?, ?, ?, ?)", 1, "eins", 1.5, [UInt8]([1, 2, 3]))
    try session.execute("INSERT INTO t VALUES (2, NULL, NULL, NULL)")
    let rows = try one.session().query("SELECT * FROM t ORDER BY id")
    #expect(rows.count == 2)
    #expect(rows[0].values == [1, "eins", 1.5, .blob([1, 2, 3])])
    #expect(rows[1].values == [2, nil, nil, nil])
    #expect(try rows[0].get("v") == "eins")
    let none: String? = try rows[1].get("v")
    #expect(none == nil)
    let two = try one.successor()
    #expect(try two.session().query("SELECT v FROM t WHERE id = 1")[0][0] == "eins")
    #expect(try two.session().query("PRAGMA integrity_check")[0][0] == "ok")
  }

  @Test("a new database has the volume's page size, and no journal is ever on the volume")
  func shape() throws {
    let one = try Instance()
    defer { one.fleet.stop() }
    let raw = try one.raw()
    try raw.execute("CREATE TABLE t (v)")
    #expect(try raw.query("PRAGMA page_size") == ["8192"])
    #expect(try raw.query("PRAGMA journal_mode") == ["memory"])
    #expect(try raw.query("PRAGMA journal_mode=DELETE") == ["memory"])
    #expect(codeOf { _ = try raw.query("PRAGMA journal_mode=WAL") } == SQLITE_ERROR)
    try raw.execute("BEGIN; INSERT INTO t VALUES (1)")
    #expect(try one.files.list(.root).map { "\($0.name)" } == ["test.db"])
    try raw.execute("COMMIT")
    #expect(try one.files.list(.root).count == 1)
  }

  @Test("a transaction is one mini-transaction, and an unchanged size touches nothing but data pages")
  func oneMiniTransaction() throws {
    let one = try Instance()
    defer { one.fleet.stop() }
    let raw = try one.raw()
    try raw.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, 1), (2, 2)")
    let before = one.volume.statistics
    try raw.execute("BEGIN; UPDATE t SET v = 5 WHERE id = 1; UPDATE t SET v = 6 WHERE id = 2; COMMIT")
    let after = one.volume.statistics
    #expect(after.commits == before.commits + 1)
    #expect(after.records == before.records + 2, "the leaf, and the first page with the change counter")
    try raw.execute("BEGIN; UPDATE t SET v = 7; ROLLBACK")
    _ = try raw.query("SELECT * FROM t")
    #expect(one.volume.statistics.commits == after.commits)
  }

  @Test("rollback, savepoints and failed statements leave what they should")
  func rollbackAndSavepoints() throws {
    let one = try Instance()
    defer { one.fleet.stop() }
    let session = try one.session()
    try session.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v); INSERT INTO t VALUES (1, 'a')")
    try session.execute("BEGIN; UPDATE t SET v = 'b'; INSERT INTO t VALUES (2, 'c'); ROLLBACK")
    #expect(try session.query("SELECT v FROM t").map { $0[0] } == ["a"])
    try session.execute(
      "BEGIN; INSERT INTO t VALUES (2, 'x'); SAVEPOINT s; INSERT INTO t VALUES (3, 'y'); ROLLBACK TO s; "
        + "INSERT INTO t VALUES (4, 'z'); COMMIT")
    #expect(try session.query("SELECT id FROM t ORDER BY id").map { $0[0] } == [1, 2, 4])
    #expect(codeOf { try session.execute("INSERT INTO t VALUES (5, 1), (1, 2)") } == SQLITE_CONSTRAINT | 6 << 8)
    #expect(try integer(session, "SELECT count(*) FROM t") == 3)
    struct Stop: Error {}
    #expect(throws: Stop.self) {
      try session.transaction {
        try session.execute("DELETE FROM t")
        throw Stop()
      }
    }
    let count = try session.transaction { try integer(session, "SELECT count(*) FROM t") }
    #expect(count == 3)
  }

  @Test("a transaction beyond SQLite's cache spills to private memory: nobody sees it, rollback undoes it")
  func spill() throws {
    let one = try Instance()
    defer { one.fleet.stop() }
    let session = try one.session()
    let other = try one.session()
    try session.execute("PRAGMA cache_size = 10; CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB)")
    let fill = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) "
    try session.execute(fill + "INSERT INTO t SELECT i, zeroblob(1000) FROM n")
    let commits = one.volume.statistics.commits
    try session.execute("BEGIN; UPDATE t SET v = randomblob(900); DELETE FROM t WHERE id % 3 = 0")
    #expect(one.volume.statistics.commits == commits)
    #expect(try integer(other, "SELECT count(*) FROM t WHERE length(v) = 1000") == 2000)
    #expect(try integer(session, "SELECT count(*) FROM t WHERE length(v) = 900") == 1334)
    try session.execute("ROLLBACK")
    #expect(one.volume.statistics.commits == commits)
    #expect(try integer(session, "SELECT count(*) FROM t WHERE length(v) = 1000") == 2000)
    try session.execute("UPDATE t SET v = randomblob(900)")
    #expect(one.volume.statistics.commits == commits + 1)
    #expect(try integer(other, "SELECT count(*) FROM t WHERE length(v) = 900") == 2000)
    #expect(try other.query("PRAGMA integrity_check")[0][0] == "ok")
  }

  @Test("other page sizes work", arguments: [512, 1024, 4096, 16384, 65536])
  func pageSizes(size: Int) throws {
    let one = try Instance()
    defer { one.fleet.stop() }
    let session = try one.session()
    try session.execute("PRAGMA page_size = \(size); CREATE TABLE t (id INTEGER PRIMARY KEY, v)")
    #expect(try integer(session, "PRAGMA page_size") == Int64(size))
    let fill = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) "
    try session.execute(fill + "INSERT INTO t SELECT i, hex(randomblob(200)) FROM n")
    try session.execute("DELETE FROM t WHERE id % 2 = 0")
    try session.execute("UPDATE t SET v = 'x' WHERE id % 3 = 0")
    let other = try one.successor().session()
    #expect(try integer(other, "SELECT count(*) FROM t") == 250)
    #expect(try integer(other, "SELECT count(*) FROM t WHERE v = 'x'") == 83)
    #expect(try other.query("PRAGMA integrity_check")[0][0] == "ok")
  }

  @Test("VACUUM and auto_vacuum give pages back, and the file can grow again")
  func vacuum() throws {
    let one = try Instance()
    defer { one.fleet.stop() }
    let session = try one.session()
    let reader = try one.session()
    try session.execute("PRAGMA auto_vacuum = FULL; CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB)")
    let fill = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) "
    try session.execute(fill + "INSERT INTO t SELECT i, randomblob(3000) FROM n")
    let full = try one.files.attributes(at: "/test.db").size
    try session.execute("DELETE FROM t WHERE id > 100")
    let small = try one.files.attributes(at: "/test.db").size
    #expect(small < full / 5)
    #expect(try integer(reader, "SELECT count(*) FROM t") == 100)
    try session.execute(fill + "INSERT INTO t SELECT i + 1000, randomblob(3000) FROM n")
    try session.execute("DELETE FROM t WHERE id > 1000")
    try session.execute("PRAGMA auto_vacuum = NONE; VACUUM")
    #expect(try integer(session, "SELECT count(*) FROM t") == 100)
    try session.execute(fill + "INSERT INTO t SELECT i + 1000, randomblob(3000) FROM n")
    try session.execute("DELETE FROM t WHERE id > 500")
    #expect(try one.files.attributes(at: "/test.db").size > full / 2)
    try session.execute("VACUUM")
    #expect(try one.files.attributes(at: "/test.db").size < full / 5)
    #expect(try reader.query("PRAGMA integrity_check")[0][0] == "ok")
    #expect(try one.successor().session().query("PRAGMA integrity_check")[0][0] == "ok")
  }

  @Test("temporary tables and sorting need nothing of the volume")
  func temporary() throws {
    let one = try Instance()
    defer { one.fleet.stop() }
    let session = try one.session()
    try session.execute("CREATE TABLE t (v)")
    let commits = one.volume.statistics.commits
    try session.execute("PRAGMA cache_size = 10; PRAGMA temp_store = FILE; CREATE TEMP TABLE x (v)")
    let fill = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) "
    try session.execute(fill + "INSERT INTO x SELECT randomblob(300) FROM n")
    #expect(try session.query("SELECT v FROM x ORDER BY v").count == 20000)
    #expect(one.volume.statistics.commits == commits)
  }

  @Test("a database is copied in and out with SQLite's backup")
  func backup() throws {
    let one = try Instance()
    defer { one.fleet.stop() }
    let session = try one.session()
    try session.execute("CREATE TABLE t (v); INSERT INTO t VALUES (1), (2)")
    let local = try RawConnection(":memory:", vfs: nil)
    func copy(_ from: OpaquePointer, _ to: OpaquePointer) {
      let backup = sqlite3_backup_init(to, "main", from, "main")
      #expect(sqlite3_backup_step(backup, -1) == SQLITE_DONE)
      #expect(sqlite3_backup_finish(backup) == SQLITE_OK)
    }
    copy(session.handle, local.handle)
    #expect(try local.query("SELECT sum(v) FROM t") == ["3"])
    try local.execute("INSERT INTO t VALUES (10)")
    let back = try one.raw("/back.db")
    copy(local.handle, back.handle)
    #expect(try one.session("/back.db").query("SELECT sum(v) FROM t")[0][0] == 13)
    try session.execute("VACUUM INTO '/into.db'")
    #expect(try one.session("/into.db").query("SELECT sum(v) FROM t")[0][0] == 3)
  }
}
