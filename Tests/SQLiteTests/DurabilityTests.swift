import Borealis
import BorealisCore
import BorealisRuntime
import BorealisSQLite
import BorealisVolume
import CBorealisSQLite
import Synchronization
import Testing

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

@Suite("SQLite on a volume: what COMMIT promises", .timeLimit(.minutes(5)))
struct DurabilityTests {
  @Test("a second writer fences the first: its commits fail with the cause, and nothing acknowledged is lost")
  func fencing() throws {
    let one = try Instance()
    defer { one.fleet.stop() }
    let (session, raw) = (try one.session(), try one.raw())
    try session.execute("CREATE TABLE t (v); INSERT INTO t VALUES (1)")
    let two = try one.successor()
    #expect(codeOf { try raw.execute("INSERT INTO t VALUES (2)") } & 0xFF == SQLITE_IOERR)
    do throws(SQLiteError) {
      try session.execute("INSERT INTO t VALUES (3)")
      Issue.record("the fenced writer has committed")
    } catch {
      #expect(error.code == SQLITE_IOERR)
      #expect(error.isFenced)
    }
    let next = try two.session()
    #expect(try next.query("SELECT v FROM t").map { $0[0] } == [1])
    try next.execute("INSERT INTO t VALUES (4)")
    #expect(try next.query("SELECT v FROM t").map { $0[0] } == [1, 4])
  }

  @Test("taken over at random moments: every acknowledged transaction is there, whole, and no part of another")
  func takenOver() throws {
    var instance = try Instance(cache: .mebibytes(2))
    let fleet = instance.fleet
    defer { fleet.stop() }
    try instance.session().execute(
      "CREATE TABLE t (client INTEGER, n INTEGER, part INTEGER, pad BLOB, PRIMARY KEY (client, n, part))")
    var g = DeterministicGenerator(seed: 5)
    var acknowledged: [Int64: Int64] = [:]
    for round in 0..<25 {
      let vfs = instance.vfs
      let known = Mutex<[Int64: Int64]>(acknowledged)
      let problems = Mutex<[String]>([])
      let threads = (0..<4).map { client in
        WorkerThread {
          do {
            var n = known.withLock { $0[Int64(client)] ?? 0 }
            if client == 0 {
              let raw = try RawConnection("/test.db", vfs: vfs.name)
              sqlite3_busy_timeout(raw.handle, 20_000)
              // What was submitted and not acknowledged may be there.
              n = try Int64(raw.query("SELECT coalesce(max(n), 0) FROM t WHERE client = 0")[0]) ?? 0
              while true {
                n += 1
                try raw.execute(
                  "BEGIN IMMEDIATE; INSERT INTO t VALUES (0, \(n), 0, randomblob(3000)), (0, \(n), 1, NULL); COMMIT")
                known.withLock { $0[0] = n }
              }
            }
            let session = try SQLiteSession(vfs, "/test.db")
            n = try integer(session, "SELECT coalesce(max(n), 0) FROM t WHERE client = \(client)")
            while true {
              n += 1
              try session.transaction {
                try session.execute("INSERT INTO t VALUES (?, ?, 0, randomblob(3000))", client, n)
                try session.execute("INSERT INTO t VALUES (?, ?, 1, NULL)", client, n)
              }
              known.withLock { $0[Int64(client)] = n }
            }
          } catch {
            let code = (error as? SQLiteError)?.code
            if code != SQLITE_IOERR { problems.withLock { $0.append("client \(client): \(error)") } }
          }
        }
      }
      usleep(UInt32(1000 + g.below(30_000)))
      if round % 5 == 4 {
        // All nodes die at once, and come back.
        for node in fleet.topology { fleet.stop(node.node) }
        for node in fleet.topology { try fleet.start(node.node) }
      }
      instance = try instance.successor()
      for thread in threads { thread.join() }
      acknowledged = known.withLock { $0 }
      #expect(problems.withLock { $0 } == [], "round \(round)")
      let session = try instance.session()
      #expect(try session.query("PRAGMA integrity_check")[0][0] == "ok", "round \(round)")
      #expect(
        try integer(session, "SELECT count(*) FROM (SELECT 1 FROM t GROUP BY client, n HAVING count(*) <> 2)") == 0)
      for row in try session.query("SELECT client, max(n), count(*) FROM t GROUP BY client") {
        let (client, last, count): (Int64, Int64, Int64) = (try row.get(0), try row.get(1), try row.get(2))
        #expect(count == last * 2, "round \(round), client \(client): a hole")
        #expect(last >= acknowledged[client] ?? 0, "round \(round), client \(client): lost")
        acknowledged[client] = last
      }
    }
    #expect(acknowledged.values.reduce(0, +) > 100)
    #expect(try instance.files.check().problems == [])
  }

  @Test("a transaction of 64 MiB is one mini-transaction; readers see it whole")
  func large() throws {
    let one = try Instance(cache: .mebibytes(8))
    defer { one.fleet.stop() }
    let session = try one.session()
    try session.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB)")
    let instance = try VolumeReaderInstance(of: one.volume)
    let reader = try SQLiteSession(SQLiteVFS(reader: instance), "/test.db")
    let commits = one.volume.statistics.commits
    let fill = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 16000) "
    try session.execute(fill + "INSERT INTO t SELECT i, randomblob(4000) FROM n")
    #expect(one.volume.statistics.commits == commits + 1)
    #expect(instance.waitUntilApplied(one.volume.vdl))
    #expect(try integer(reader, "SELECT count(*) FROM t WHERE length(v) = 4000") == 16000)
    try session.execute("UPDATE t SET v = randomblob(4000)")
    #expect(instance.waitUntilApplied(one.volume.vdl))
    #expect(try reader.query("PRAGMA integrity_check")[0][0] == "ok")
    #expect(one.volume.checkInvariants() == [])
    let next = try one.successor()
    #expect(try next.session().query("PRAGMA integrity_check")[0][0] == "ok")
    instance.close()
  }

  @Test("beyond the limit SQLite says that it is full, with a clear reason, and goes on")
  func tooLarge() throws {
    let one = try Instance()
    defer { one.fleet.stop() }
    var options = SQLiteVFSOptions()
    options.transactionBytesMax = 2 << 20
    let session = try SQLiteSession(try SQLiteVFS(writer: one.files, options: options), "/test.db")
    try session.execute("PRAGMA cache_size = 10; CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB)")
    let fill = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) "
    do throws(SQLiteError) {
      try session.execute(fill + "INSERT INTO t SELECT i, randomblob(4000) FROM n")
      Issue.record("the transaction was too large")
    } catch {
      #expect(error.code == SQLITE_FULL)
      #expect("\(error)".contains("2 MiB"))
    }
    try session.execute("INSERT INTO t VALUES (1, 'x')")
    #expect(try integer(session, "SELECT count(*) FROM t") == 1)
    #expect(try session.query("PRAGMA integrity_check")[0][0] == "ok")
  }

  @Test("a database at a read point, while the writer goes on")
  func readPoint() throws {
    let one = try Instance()
    defer { one.fleet.stop() }
    let session = try one.session()
    try session.execute("CREATE TABLE t (v); INSERT INTO t VALUES (1)")
    let then = try SQLiteSession(SQLiteVFS(still: ReadPointSpace(one.volume)), "/test.db")
    try session.execute("UPDATE t SET v = 2; CREATE TABLE later (v)")
    #expect(try then.query("SELECT v FROM t")[0][0] == 1)
    #expect(codeOf { try then.execute("UPDATE t SET v = 3") } == SQLITE_READONLY)
    #expect(codeOf { _ = try then.query("SELECT * FROM later") } == SQLITE_ERROR)
  }
}
