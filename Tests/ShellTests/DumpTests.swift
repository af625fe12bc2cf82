import Borealis
import BorealisCore
import BorealisSQLShell
import BorealisSQLite
import CBorealisSQLite
import Foundation
import Testing

@Suite("The SQL shell: dumps and imports", .timeLimit(.minutes(5)))
struct DumpTests {
  private static let schema = """
    PRAGMA user_version = 42; PRAGMA application_id = 7;
    CREATE TABLE plain (a, b TEXT, c REAL, d BLOB, "select "" odd" INTEGER); -- ends with a comment
    CREATE TABLE auto (id INTEGER PRIMARY KEY AUTOINCREMENT, v TEXT COLLATE NOCASE UNIQUE);
    CREATE TABLE keyed (k TEXT, n INTEGER, v, PRIMARY KEY (k, n)) WITHOUT ROWID;
    CREATE TABLE made (a INTEGER, b INTEGER GENERATED ALWAYS AS (a * 2) STORED, c AS (a || 'x') VIRTUAL, d);
    CREATE TABLE parent (id INTEGER PRIMARY KEY);
    CREATE TABLE child (id INTEGER PRIMARY KEY, p INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED);
    CREATE TABLE "quo'ted" ("it's" INT CHECK ("it's" <> 5), x DEFAULT 'a;b');
    CREATE TABLE tight (a INT, b TEXT) STRICT;
    CREATE VIEW seen AS SELECT a, b FROM plain WHERE b <> ';';
    CREATE INDEX by_b ON plain (b DESC, a) WHERE a IS NOT NULL;
    CREATE INDEX by_expression ON plain (lower(b));
    CREATE TRIGGER told AFTER INSERT ON plain BEGIN
      INSERT INTO keyed VALUES (new.rowid, 0, 'told; so') ON CONFLICT DO NOTHING; -- ;
    END;
    CREATE TRIGGER seen_too INSTEAD OF INSERT ON seen BEGIN INSERT INTO plain (a) VALUES (new.a); END;
    CREATE VIRTUAL TABLE words USING fts5(body, tokenize = "unicode61");
    """
  private func value(_ g: inout DeterministicGenerator) -> SQLiteValue {
    func bytes(_ most: UInt64) -> [UInt8] { (0..<g.below(most)).map { _ in UInt8(truncatingIfNeeded: g.next()) } }
    switch g.below(12) {
    case 0: return .null
    case 1: return .integer(Int64(bitPattern: g.next()))
    case 2: return [.integer(.min), .integer(.max), 0, -1][Int(g.below(4))]
    case 3, 4:
      let value = Double(bitPattern: g.next())
      return .real(value.isNaN ? 0.1 : value)
    case 5:
      let some: [Double] = [
        .infinity, -.infinity, 1.0 / 3, 0.1 + 0.2, .leastNonzeroMagnitude, 1.7976931348623157e308, 5, -0.0, 1e15, 1e16,
      ]
      return .real(some[Int(g.below(UInt64(some.count)))])
    case 6: return .blob(bytes(40))
    case 7: return .blob([])
    case 8:
      return .text(["", "it's", "a;b", "\"", "line\nfeed\r\n", "'\u{301}", "日本", "x\0y", "\0", "--"][Int(g.below(10))])
    default: return .text(String(g.next(), radix: 36))
    }
  }
  /// A database with a bit of everything, and rows by chance.
  private func fill(_ session: SQLiteSession, seed: UInt64) throws {
    var g = DeterministicGenerator(seed: seed)
    var reader = StatementReader()
    reader.add(Self.schema)
    while let next = reader.next() { try session.execute(next.text) }
    try session.transaction {
      for n in 0..<60 {
        try session.execute(
          "INSERT INTO plain VALUES (?, ?, ?, ?, ?)",
          parameters: [value(&g), value(&g), value(&g), value(&g), value(&g)])
        try session.execute("INSERT OR IGNORE INTO auto (v) VALUES (?)", parameters: [value(&g)])
        try session.execute(
          "INSERT OR IGNORE INTO keyed VALUES (?, ?, ?)",
          parameters: [.text("\(g.below(20))"), .integer(Int64(n)), value(&g)])
        try session.execute("INSERT INTO made (a, d) VALUES (?, ?)", n, n)
        try session.execute("INSERT INTO \"quo'ted\" VALUES (?, ?)", parameters: [.integer(Int64(n + 6)), value(&g)])
        try session.execute("INSERT INTO tight VALUES (?, ?)", n, "t\(n)")
        try session.execute("INSERT INTO words VALUES (?)", "word\(n % 7) tea")
        // Text that is no UTF-8, and other bytes that only look like text.
        try session.execute(
          "INSERT INTO plain (a, b) VALUES (CAST(? AS TEXT), CAST(x'c3' AS TEXT))",
          parameters: [
            .blob((0..<5).map { _ in UInt8(truncatingIfNeeded: g.next()) })
          ])
      }
      try session.execute("INSERT INTO parent VALUES (1); INSERT INTO child VALUES (1, 1), (2, 1)")
      try session.execute("DELETE FROM auto WHERE id > 30")
    }
    try session.execute("ANALYZE")
  }

  @Test("a dump loads with SQLite's library, and with this shell, and gives an equal database", arguments: 1...6)
  func dump(seed: Int) throws {
    let cluster = try StorageFleet.inMemory()
    defer { cluster.stop() }
    let files = try VolumeFileSystem.format(on: try Volume.create(on: cluster))
    let vfs = try SQLiteVFS(writer: files)
    let session = try SQLiteSession(vfs, "/main.db")
    try fill(session, seed: UInt64(seed))
    let text = Terminal(SessionExecutor(session)).run(".dump")
    let expected = try contents(session)
    #expect(expected.count > 400)

    let plain = try SQLiteSession(localFile: ":memory:")
    // As any program would: all at once, by the library alone.
    #expect(
      sqlite3_exec(plain.handle, text, nil, nil, nil) == SQLITE_OK, "\(String(cString: sqlite3_errmsg(plain.handle)))")
    try expectEqual(try contents(plain), expected)
    #expect(try plain.query("PRAGMA integrity_check")[0][0] == "ok")
    #expect(try plain.query("SELECT count(*) FROM words WHERE words MATCH 'word3'")[0][0] != 0)

    let again = try SQLiteSession(vfs, "/again.db")
    let terminal = Terminal(SessionExecutor(again))
    terminal.run(text)
    #expect(terminal.isFine, "\(terminal.errors)")
    try expectEqual(try contents(again), expected)
    #expect(Terminal(SessionExecutor(again)).run(".dump") == text)
  }
  private func expectEqual(_ found: [String], _ expected: [String]) throws {
    #expect(found.count == expected.count)
    for (a, b) in zip(found, expected) where a != b {
      Issue.record("\(a)\nis not\n\(b)")
      return
    }
  }

  @Test("a dump of one table has what belongs to it")
  func dumpTable() throws {
    let terminal = try Terminal()
    terminal.run("CREATE TABLE a (v); CREATE TABLE b (v); CREATE INDEX i ON a (v); INSERT INTO a VALUES (1);")
    #expect(
      terminal.run(".dump a") == "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\nCREATE TABLE a (v);\n"
        + "INSERT INTO \"a\" VALUES(1);\nCREATE INDEX i ON a (v);\nCOMMIT;\n")
  }

  @Test("an import copies a file, also one in WAL mode, and throws nothing away unasked", arguments: ["DELETE", "WAL"])
  func imports(mode: String) throws {
    let cluster = try StorageFleet.inMemory()
    defer { cluster.stop() }
    let files = try VolumeFileSystem.format(on: try Volume.create(on: cluster))
    let vfs = try SQLiteVFS(writer: files)
    try withLocalPath { path in
      let local = try SQLiteSession(localFile: path)
      try local.execute("PRAGMA page_size = 4096; PRAGMA journal_mode = \(mode)")
      try fill(local, seed: 9)
      let expected = try contents(local)
      let session = try SQLiteSession(vfs, "/main.db")
      let terminal = Terminal(SessionExecutor(session))
      #expect(terminal.run(".import \(path)").hasPrefix("imported 14 tables, "))
      #expect(terminal.isFine, "\(terminal.errors)")
      try expectEqual(try contents(session), expected)
      // Another connection reads it, and writes.
      let other = try SQLiteSession(vfs, "/main.db")
      try expectEqual(try contents(other), expected)
      try other.execute("DELETE FROM plain")
      terminal.run(".import \(path)")
      #expect(!terminal.isFine)
      #expect(terminal.errors.contains("not empty"))
      terminal.run(".import '\(path)' --replace")
      #expect(terminal.isFine, "\(terminal.errors)")
      try expectEqual(try contents(other), expected)
      #expect(try other.query("PRAGMA integrity_check")[0][0] == "ok")
      // A database of another page size keeps its own.
      let wide = try SQLiteSession(vfs, "/wide.db")
      try wide.execute("CREATE TABLE t (v)")
      let replaced = Terminal(SessionExecutor(wide))
      replaced.run(".import \(path) --replace")
      #expect(replaced.isFine, "\(replaced.errors)")
      try expectEqual(try contents(wide), expected)
      #expect(try wide.query("PRAGMA page_size")[0][0] == 8192)
    }
  }

  @Test("an import of what is no database, or not there, changes nothing")
  func badImports() throws {
    let terminal = try Terminal()
    terminal.run(".import /no/such/file.db")
    #expect(terminal.errors.contains("there is no file"))
    try withLocalPath { path in
      try String(repeating: "no database ", count: 1000).write(toFile: path, atomically: true, encoding: .utf8)
      terminal.run(".import \(path)")
      #expect(terminal.errors.contains("SQLite code 26"))
      #expect(!terminal.isFine)
      #expect(terminal.run(".tables") == "")
      terminal.run("BEGIN;\n.import \(path)")
      #expect(terminal.errors.contains("part of a transaction"))
    }
  }
}
