import Borealis
import BorealisCore
import BorealisSQLite
import CBorealisSQLite
import Testing

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

@Suite("SQLite on a volume: against a local file, with the same library", .timeLimit(.minutes(5)))
struct OracleTests {
  @Test("random transactions give the same results, changes and errors", arguments: 1...12)
  func random(seed: Int) throws {
    var g = DeterministicGenerator(seed: UInt64(seed))
    let one = try Instance(cache: .mebibytes(UInt64(seed % 3 + 1)))
    defer { one.fleet.stop() }
    let local = "/tmp/borealis-oracle-\(getpid())-\(seed).db"
    defer { for suffix in ["", "-journal"] { unlink(local + suffix) } }
    var instance = one
    var ours = [try instance.session(), try instance.session()]
    let theirs = try SQLiteSession(localFile: local)
    let page = [512, 4096, 8192, 32768][seed % 4]
    let setUp = [
      "PRAGMA page_size = \(page)", "PRAGMA auto_vacuum = \(seed % 3)", "PRAGMA synchronous = OFF",
      "CREATE TABLE t (id INTEGER PRIMARY KEY, k INTEGER, v BLOB)", "CREATE INDEX i ON t (k)",
      "CREATE TABLE u (k INTEGER UNIQUE, v TEXT)",
    ]
    for sql in setUp {
      try ours[0].execute(sql)
      try theirs.execute(sql)
    }
    for session in ours { try session.execute("PRAGMA cache_size = \(seed % 2 == 0 ? 10 : 2000)") }
    for step in 0..<250 {
      let at = Int(g.below(2))
      let inside = Int(g.below(3)) == 0 ? 1 + Int(g.below(8)) : 0
      var statements = inside == 0 ? [statement(&g)] : ["BEGIN IMMEDIATE"]
      for i in 0..<inside {
        statements.append(statement(&g))
        if g.below(4) == 0 { statements.append("SAVEPOINT s\(i)") }
        if g.below(6) == 0, let open = statements.last(where: { $0.hasPrefix("SAVEPOINT") }) {
          statements.append("ROLLBACK TO " + open.dropFirst(10))
        }
      }
      if inside > 0 { statements.append(g.below(4) == 0 ? "ROLLBACK" : "COMMIT") }
      for sql in statements {
        let (a, b) = (outcome(ours[at], sql), outcome(theirs, sql))
        guard a == b else {
          Issue.record("seed \(seed), step \(step): \(sql): \(a), the oracle \(b)")
          return
        }
      }
      if step % 25 == 0 {
        for table in ["t", "u"] {
          let sql = "SELECT * FROM \(table) ORDER BY 1, 2"
          #expect(outcome(ours[1 - at], sql) == outcome(theirs, sql), "seed \(seed), step \(step)")
        }
        #expect(try ours[at].query("PRAGMA integrity_check")[0][0] == "ok")
      }
      if step % 100 == 99 {
        instance = try instance.successor()
        ours = [try instance.session(), try instance.session()]
      }
    }
    #expect(instance.volume.checkInvariants() == [])
    #expect(try instance.files.check().problems == [])
  }
  private func statement(_ g: inout DeterministicGenerator) -> String {
    let (a, b, n) = (g.below(400), g.below(400), g.below(3000))
    let blob = "CAST(printf('%.\(n)c', '\(Character(UnicodeScalar(UInt8(97 + g.below(26)))))') AS BLOB)"
    switch g.below(12) {
    case 0, 1, 2: return "INSERT OR REPLACE INTO t VALUES (\(a), \(b), \(blob))"
    case 3: return "INSERT INTO t (k, v) VALUES (\(b), \(blob))"
    case 4: return "UPDATE t SET v = \(blob) WHERE k BETWEEN \(min(a, b)) AND \(min(a, b) + 20)"
    case 5: return "DELETE FROM t WHERE id BETWEEN \(a) AND \(a + b / 8)"
    case 6: return "INSERT INTO u VALUES (\(a), 'x'), (\(b), 'y')"
    case 7: return "DELETE FROM u WHERE k > \(a)"
    case 8: return "SELECT count(*), sum(k), sum(length(v)) FROM t"
    case 9: return "UPDATE t SET k = k + 1 WHERE id % 7 = \(a % 7)"
    case 10: return a % 4 == 0 ? "VACUUM" : "PRAGMA incremental_vacuum(5)"
    default: return "SELECT id, k, length(v) FROM t WHERE k > \(a) ORDER BY id LIMIT 20"
    }
  }
  private func outcome(_ session: SQLiteSession, _ sql: String) -> String {
    do throws(SQLiteError) {
      let rows = try session.query(sql)
      // What reads leaves the count of the session's last change.
      let isChange = ["INSERT", "UPDATE", "DELETE"].contains { sql.hasPrefix($0) }
      let changes = isChange ? "#\(sqlite3_changes(session.handle))" : ""
      return rows.map { "\($0.values)" }.joined(separator: ";") + changes
    } catch { return "error \(error.extendedCode)" }
  }
}
