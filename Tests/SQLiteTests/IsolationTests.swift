import Borealis
import BorealisRuntime
import BorealisSQLite
import CBorealisSQLite
import Synchronization
import Testing

@Suite("SQLite on a volume: isolation", .timeLimit(.minutes(3)))
struct IsolationTests {
  @Test("a reader keeps its snapshot while a writer commits, and neither waits")
  func snapshots() throws {
    let one = try Instance()
    defer { one.fleet.stop() }
    let (a, b) = (try one.raw(), try one.raw())
    try a.execute("CREATE TABLE t (v); INSERT INTO t VALUES (1)")
    try b.execute("BEGIN")
    #expect(try b.query("SELECT v FROM t") == ["1"])
    try a.execute("UPDATE t SET v = 2")
    try a.execute("INSERT INTO t SELECT randomblob(5000) FROM (VALUES (1), (2), (3), (4), (5), (6))")
    try b.execute("PRAGMA cache_size = 0")
    #expect(try b.query("SELECT v FROM t") == ["1"])
    #expect(codeOf { try b.execute("UPDATE t SET v = 3") } == SQLITE_BUSY_SNAPSHOT)
    try b.execute("COMMIT")
    #expect(try b.query("SELECT v FROM t LIMIT 1") == ["2"])
    try b.execute("UPDATE t SET v = 3 WHERE v = 2")
    #expect(try a.query("SELECT v FROM t LIMIT 1") == ["3"])
  }
  private var SQLITE_BUSY_SNAPSHOT: Int32 { SQLITE_BUSY | 2 << 8 }

  @Test("one writer at a time: the others are told that it is busy, or wait for their turn")
  func busy() throws {
    let one = try Instance()
    defer { one.fleet.stop() }
    let (a, b) = (try one.raw(), try one.raw())
    try a.execute("CREATE TABLE t (v); BEGIN IMMEDIATE; INSERT INTO t VALUES (1)")
    #expect(codeOf { try b.execute("BEGIN IMMEDIATE") } == SQLITE_BUSY)
    #expect(codeOf { try b.execute("INSERT INTO t VALUES (2)") } == SQLITE_BUSY)
    let impatient = try SQLiteSession(one.vfs, "/test.db", busyTimeoutMilliseconds: 20)
    #expect(codeOf { try impatient.execute("INSERT INTO t VALUES (3)") } == SQLITE_BUSY)
    #expect(try b.query("SELECT count(*) FROM t") == ["0"])
    let vfs = one.vfs
    let done = Mutex<Int32>(-1)
    let thread = WorkerThread {
      let code = codeOf { try SQLiteSession(vfs, "/test.db").execute("INSERT INTO t VALUES (4)") }
      done.withLock { $0 = code }
    }
    try a.execute("COMMIT")
    thread.join()
    #expect(done.withLock { $0 } == SQLITE_OK)
    #expect(try b.query("SELECT v FROM t") == ["1", "4"])
  }

  @Test("many sessions write at once: each increment counts, and they share flushes")
  func increments() throws {
    let one = try Instance()
    defer { one.fleet.stop() }
    try one.session().execute("CREATE TABLE t (v INTEGER); INSERT INTO t VALUES (0)")
    let vfs = one.vfs
    let failures = Mutex<[String]>([])
    let threads = (0..<8).map { _ in
      WorkerThread {
        do {
          let session = try SQLiteSession(vfs, "/test.db")
          for i in 0..<100 {
            if i % 2 == 0 {
              try session.execute("UPDATE t SET v = v + 1")
            } else {
              try session.transaction {
                let v = try integer(session, "SELECT v FROM t")
                try session.execute("UPDATE t SET v = ?", v + 1)
              }
            }
          }
        } catch { failures.withLock { $0.append("\(error)") } }
      }
    }
    for thread in threads { thread.join() }
    #expect(failures.withLock { $0 } == [])
    #expect(try integer(one.session(), "SELECT v FROM t") == 800)
    #expect(try one.raw().query("PRAGMA integrity_check") == ["ok"])
    #expect(one.volume.checkInvariants() == [])
  }

  @Test("declared and undeclared connections side by side")
  func mixed() throws {
    let one = try Instance()
    defer { one.fleet.stop() }
    try one.session().execute("CREATE TABLE t (v INTEGER); INSERT INTO t VALUES (0)")
    let vfs = one.vfs
    let failures = Mutex<[String]>([])
    let threads = (0..<4).map { client in
      WorkerThread {
        do {
          if client % 2 == 0 {
            let session = try SQLiteSession(vfs, "/test.db")
            for _ in 0..<100 { try session.execute("UPDATE t SET v = v + 1") }
          } else {
            let raw = try RawConnection("/test.db", vfs: vfs.name)
            sqlite3_busy_timeout(raw.handle, 20_000)
            for _ in 0..<100 { try raw.execute("BEGIN IMMEDIATE; UPDATE t SET v = v + 1; COMMIT") }
          }
        } catch { failures.withLock { $0.append("\(error)") } }
      }
    }
    for thread in threads { thread.join() }
    #expect(failures.withLock { $0 } == [])
    #expect(try integer(one.session(), "SELECT v FROM t") == 400)
  }

  @Test("readers on other instances see whole transactions while the writer goes on; they cannot write")
  func readerInstances() throws {
    let one = try Instance(cache: .mebibytes(1))
    defer { one.fleet.stop() }
    let session = try one.session()
    try session.execute("CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER, pad BLOB)")
    let fill = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) "
    try session.execute(fill + "INSERT INTO account SELECT i, 100, randomblob(2000) FROM n")
    let instances = try (0..<2).map { _ in try VolumeReaderInstance(of: one.volume, cacheBytes: .mebibytes(1)) }
    for instance in instances { #expect(instance.waitUntilApplied(one.volume.vdl)) }
    let isOver = Atomic<Bool>(false)
    let failures = Mutex<[String]>([])
    let looks = Atomic<Int>(0)
    let vfs = one.vfs
    var threads = instances.map { instance in
      WorkerThread {
        do {
          let readers = SQLiteVFS(reader: instance)
          let session = try SQLiteSession(readers, "/test.db")
          while !isOver.load(ordering: .relaxed) {
            try session.transaction(.read) {
              for _ in 0..<2 {
                let sum = try integer(session, "SELECT sum(balance) FROM account")
                if sum != 100_000 { failures.withLock { $0.append("a reader saw \(sum)") } }
              }
            }
            looks.wrappingAdd(1, ordering: .relaxed)
          }
          let check = try session.query("PRAGMA integrity_check")[0][0]
          if check != "ok" { failures.withLock { $0.append("\(check)") } }
          let code = codeOf { try session.execute("UPDATE account SET balance = 0") }
          if code != SQLITE_READONLY { failures.withLock { $0.append("writing gave \(code)") } }
        } catch { failures.withLock { $0.append("\(error)") } }
      }
    }
    threads += (0..<2).map { client in
      WorkerThread {
        do {
          // The writer's own readers: a session, and a program that knows nothing.
          let session = try SQLiteSession(vfs, "/test.db")
          let raw = try RawConnection("/test.db", vfs: vfs.name)
          while !isOver.load(ordering: .relaxed) {
            let sum =
              client == 0
              ? "\(try integer(session, "SELECT sum(balance) FROM account"))"
              : try raw.query("SELECT sum(balance) FROM account")[0]
            if sum != "100000" { failures.withLock { $0.append("at the writer: \(sum)") } }
          }
        } catch { failures.withLock { $0.append("\(error)") } }
      }
    }
    for i in 0..<400 {
      try session.transaction {
        let (from, to, amount) = (i * 7 % 1000 + 1, i * 13 % 1000 + 1, i % 50)
        try session.execute("UPDATE account SET balance = balance - ? WHERE id = ?", amount, from)
        try session.execute("UPDATE account SET balance = balance + ?, pad = randomblob(2000) WHERE id = ?", amount, to)
      }
    }
    isOver.store(true, ordering: .relaxed)
    for thread in threads { thread.join() }
    #expect(failures.withLock { Array($0.prefix(5)) } == [])
    #expect(looks.load(ordering: .relaxed) > 0)
    for instance in instances { instance.close() }
  }

  @Test("a transaction over two attached databases is one mini-transaction, and one moment for readers")
  func attach() throws {
    let one = try Instance()
    defer { one.fleet.stop() }
    let session = try one.session("/a.db")
    try session.execute("ATTACH '/b.db' AS b")
    try session.execute("CREATE TABLE main.t (v INTEGER); CREATE TABLE b.t (v INTEGER)")
    try session.execute("INSERT INTO main.t VALUES (1); INSERT INTO b.t VALUES (1)")
    let raw = try one.raw("/a.db")
    try raw.execute("ATTACH '/b.db' AS b")
    var commits = one.volume.statistics.commits
    try raw.execute("BEGIN; UPDATE main.t SET v = 2; UPDATE b.t SET v = 2; COMMIT")
    #expect(one.volume.statistics.commits == commits + 1)
    commits += 1
    try session.execute("BEGIN; UPDATE main.t SET v = v + 1; UPDATE b.t SET v = v + 1; COMMIT")
    #expect(one.volume.statistics.commits == commits + 1)
    try session.execute("BEGIN; UPDATE main.t SET v = 9; UPDATE b.t SET v = 9; ROLLBACK")
    #expect(one.volume.statistics.commits == commits + 1)
    try session.execute("BEGIN; UPDATE main.t SET v = 4; SELECT * FROM b.t; COMMIT")
    let vfs = one.vfs
    let isOver = Atomic<Bool>(false)
    let failures = Mutex<[String]>([])
    let thread = WorkerThread {
      do {
        let reader = try SQLiteSession(vfs, "/b.db")
        try reader.execute("ATTACH '/a.db' AS a")
        while !isOver.load(ordering: .relaxed) {
          let row = try reader.query("SELECT (SELECT v FROM a.t), (SELECT v FROM main.t)")[0]
          let pair: (Int, Int) = (try row.get(0), try row.get(1))
          if pair.0 != pair.1 + 1 { failures.withLock { $0.append("\(pair)") } }
        }
      } catch { failures.withLock { $0.append("\(error)") } }
    }
    for _ in 0..<200 {
      try session.execute("BEGIN; UPDATE b.t SET v = v + 1; UPDATE main.t SET v = v + 1; COMMIT")
    }
    isOver.store(true, ordering: .relaxed)
    thread.join()
    #expect(failures.withLock { Array($0.prefix(5)) } == [])
    #expect(try session.query("SELECT main.t.v, b.t.v FROM main.t, b.t")[0].values == [204, 203])
  }
}
