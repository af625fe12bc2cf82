import Borealis
import BorealisSQLShell
import BorealisSQLite
import CBorealisSQLite
import Foundation
import Testing

@Suite("The SQL shell")
struct ShellTests {
  private static let orders = """
    CREATE TABLE orders (id INTEGER PRIMARY KEY, what TEXT, price REAL, b BLOB);
    INSERT INTO orders VALUES (1, 'tea', 2.5, NULL), (20, '日本茶', NULL, x'00ff'), (3, 'a,"b"
    c', -1, NULL);
    """

  @Test("tables are as wide as they have to be, and tell NULL from text")
  func table() throws {
    let terminal = try Terminal()
    terminal.run(Self.orders)
    #expect(
      terminal.run("SELECT id, what, price, b FROM orders ORDER BY id;") == """
         id |   what   | price  |    b
        ----+----------+--------+---------
          1 | tea      |    2.5 | [null]
          3 | a,"b"\\nc |   -1.0 | [null]
         20 | 日本茶   | [null] | x'00ff'
        (3 rows)

        """)
    #expect(terminal.run("SELECT 1 AS x WHERE 0") == " x\n---\n(0 rows)\n")
    #expect(terminal.run(".headers off\n.nullvalue -\nSELECT NULL, 'x', 1") == " - | x | 1\n(1 row)\n")
    #expect(terminal.run("UPDATE orders SET price = 1;") == "")
    #expect(terminal.isFine)
  }

  @Test("a table of more rows than are measured goes on")
  func longTable() throws {
    let terminal = try Terminal()
    let text = terminal.run(
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) SELECT i FROM n;")
    let lines = text.split(separator: "\n")
    #expect(lines.count == 2003)
    #expect(lines[2] == "   1")
    #expect(lines[2001] == " 2000")
    #expect(lines[2002] == "(2000 rows)")
  }

  @Test("the other formats")
  func formats() throws {
    let terminal = try Terminal()
    terminal.run(Self.orders)
    let select = "SELECT id, what, price, b FROM orders ORDER BY id;"
    #expect(
      terminal.run(".mode csv\n" + select)
        == "id,what,price,b\n1,tea,2.5,\n3,\"a,\"\"b\"\"\nc\",-1.0,\n20,日本茶,,x'00ff'\n")
    #expect(terminal.run("SELECT '' AS a, NULL AS b") == "a,b\n\"\",\n")
    let json = terminal.run(".mode json\n" + select)
    let parsed = try #require(try JSONSerialization.jsonObject(with: Data(json.utf8)) as? [[String: Any]])
    #expect(parsed.count == 3)
    #expect(parsed[1]["what"] as? String == "a,\"b\"\nc")
    #expect(parsed[2]["price"] is NSNull)
    #expect(terminal.run("SELECT 1 WHERE 0") == "[]\n")
    #expect(
      terminal.run(".mode line\nSELECT id, what FROM orders LIMIT 2")
        == "  id = 1\nwhat = tea\n\n  id = 3\nwhat = a,\"b\"\nc\n")
    #expect(terminal.run(".mode list\nSELECT 1, NULL AS x") == "1|x\n1|[null]\n")
    #expect(terminal.run(".mode pretty") == "")
    #expect(!terminal.isFine)
    #expect(terminal.errors.contains("table, csv, json, line, list"))
  }

  @Test("a script ends at its first error, which names the line and the statement")
  func scriptErrors() throws {
    let terminal = try Terminal()
    #expect(terminal.run(".mode list\n.headers off\nSELECT 1;\nSELECT 2\nFROM nowhere;\nSELECT 3;") == "1\n")
    #expect(!terminal.isFine)
    #expect(
      terminal.errors == "error in line 4: no such table: nowhere (SQLite code 1)\n  SELECT 2 FROM nowhere;\n")
    terminal.run("SELECT (")
    #expect(terminal.errors.contains("incomplete input"))
    terminal.run("CREATE TABLE t (v UNIQUE); INSERT INTO t VALUES (1), (1)")
    #expect(terminal.errors.contains("(SQLite code 2067)"))
    terminal.run(".nonsense")
    #expect(terminal.errors.contains("there is no command .nonsense"))
    #expect(!terminal.isFine)
  }

  @Test("who types gets prompts, goes on after errors, and may give up what he has typed")
  func interactive() throws {
    let terminal = Terminal(SessionExecutor(try SQLiteSession(localFile: ":memory:")), isInteractive: true)
    let seen = terminal.type([
      .line("CREATE TABLE t (v);\n"), .line("BEGIN;\n"), .line("INSERT INTO t\n"), .line("VALUES (1), (2);\n"),
      .line("SELECT nowhere;\n"), .line(".nonsense\n"), .line("SELECT 'x\n"), .interrupted, .line("COMMIT;\n"),
      .line("SELECT 1\n"), .end,
    ])
    #expect(
      seen == "orders=> orders=> orders*=> orders*-> 2 rows changed\norders*=> orders*=> orders*=> orders*-> "
        + "orders*=> orders=> orders->  1\n---\n 1\n(1 row)\n")
    #expect(terminal.isFine)
    #expect(terminal.errors.contains("error: no such column: nowhere (SQLite code 1)\n"))
    #expect(terminal.type([.line(".quit\n"), .line("SELECT 1;\n")]) == "orders=> ")
  }

  @Test("what there is: tables, schema, indexes, files, time")
  func commands() throws {
    let terminal = try Terminal()
    terminal.run(
      Self.orders + "CREATE INDEX by_what ON orders (what); CREATE VIEW dear AS SELECT * FROM orders; ANALYZE;")
    #expect(terminal.run(".tables") == "dear\norders\n")
    #expect(terminal.run(".tables d%") == "dear\n")
    #expect(terminal.run(".indexes orders") == "by_what\n")
    #expect(terminal.run(".schema by_what") == "CREATE INDEX by_what ON orders (what);\n")
    #expect(terminal.run(".schema").split(separator: "\n").count == 3)
    terminal.run(".schema nothing")
    #expect(!terminal.isFine)
    #expect(terminal.run(".timer on\nSELECT 1;").contains("Time: "))
    #expect(terminal.run(".help").contains(".import FILE"))
    try withLocalPath { path in
      try ".mode list\n.headers off\n.timer off\nSELECT 5;\nSELECT 6".write(
        toFile: path, atomically: true, encoding: .utf8)
      #expect(terminal.run(".read '\(path)'\nSELECT 7;") == "5\n6\n7\n")
      try "SELECT 8;\n\nSELECT FROM;\nSELECT 9;".write(toFile: path, atomically: true, encoding: .utf8)
      #expect(terminal.run(".read \(path)\nSELECT 10;") == "8\n")
      #expect(terminal.errors.contains("error in \(path), line 3: near \"FROM\""))
      #expect(!terminal.isFine)
    }
  }

  @Test("Ctrl-C ends the statement that runs")
  func interrupt() throws {
    let executor = SessionExecutor(try SQLiteSession(localFile: ":memory:"))
    var rows = 0
    let error = #expect(throws: SQLiteError.self) {
      _ = try executor.run("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n") { part in
        if case .row = part { rows += 1 }
        if rows == 100 { executor.interrupt() }
      }
    }
    #expect(error?.code == SQLITE_INTERRUPT)
    #expect(try executor.rows("SELECT 1") == [[1]])
  }
}
