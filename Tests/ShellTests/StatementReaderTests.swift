import BorealisCore
import BorealisSQLShell
import CBorealisSQLite
import Testing

@Suite("The shell cuts text into statements")
struct StatementReaderTests {
  private func statements(_ text: String, by count: Int = .max) -> [String] {
    var reader = StatementReader()
    var found: [String] = []
    var rest = text[...]
    while !rest.isEmpty {
      reader.add(String(rest.prefix(count)))
      rest = rest.dropFirst(count)
      while let next = reader.next() { found.append(next.text) }
    }
    if let last = reader.rest() { found.append("rest: " + last.text) }
    return found
  }

  @Test("quotes, comments and triggers hold semicolons")
  func pieces() {
    #expect(statements("SELECT 1; SELECT 2;") == ["SELECT 1;", "SELECT 2;"])
    #expect(statements("SELECT ';'';', \";\", [;], `;`; x") == ["SELECT ';'';', \";\", [;], `;`;", "rest: x"])
    #expect(statements("-- a; b\nSELECT 1 -- c;\n;/* d; */") == ["SELECT 1 -- c;\n;"])
    #expect(statements("SELECT 1 /* ; */ - -1; -") == ["SELECT 1 /* ; */ - -1;", "rest: -"])
    #expect(statements(";; ;\n") == [])
    let trigger = "CREATE TEMP TRIGGER t AFTER INSERT ON x BEGIN SELECT CASE 1 WHEN 1 THEN 2 END; DELETE FROM y; END;"
    #expect(statements(trigger + "SELECT 1;") == [trigger, "SELECT 1;"])
    #expect(statements("create table trigger_end (a); b") == ["create table trigger_end (a);", "rest: b"])
    #expect(
      statements("explain create trigger a begin x; end; y") == ["explain create trigger a begin x; end;", "rest: y"])
    #expect(statements("SELECT 'it") == ["rest: SELECT 'it"])
    #expect(statements("SELECT 1 /") == ["rest: SELECT 1 /"])
  }

  @Test("lines are counted where statements begin")
  func lines() {
    var reader = StatementReader()
    reader.add("-- one\n\nSELECT\n1;\n'a\nb';")
    #expect(reader.next()?.line == 3)
    #expect(reader.next()?.line == 5)
    #expect(reader.next() == nil)
    reader.add("\n/* x")
    #expect(reader.next() == nil)
    #expect(reader.isInside)
    reader.add("*/ y")
    #expect(reader.next() == nil)
    #expect(reader.rest()?.line == 7)
  }

  @Test("agrees with sqlite3_complete on random text")
  func oracle() {
    var g = DeterministicGenerator(seed: 4)
    let parts = [
      "SELECT", "CREATE", "TRIGGER", "TEMP", "END", "EXPLAIN", "BEGIN", ";", ";", ";", " ", "\n", "'", "\"", "[", "]",
      "`", "--", "/*", "*/", "x", "1", "-", "/", "*", "é",
    ]
    for _ in 0..<30_000 {
      let text = (0..<g.below(14)).map { _ in parts[Int(g.below(UInt64(parts.count)))] }.joined()
      var reader = StatementReader()
      reader.add(text)
      while reader.next() != nil {}
      // What SQLite takes to be complete leaves nothing over; it does not mind semicolons with nothing before them.
      let isComplete = sqlite3_complete(text) != 0
      let isOver = !reader.isInside
      // A comment that is not closed is the end of the text for SQLite.
      if isComplete, !text.contains("/*") { #expect(isOver, "\(text.debugDescription)") }
      if isOver, text.contains(";"), !text.contains("--"), !text.contains("/*") {
        #expect(isComplete, "\(text.debugDescription)")
      }
    }
  }
}
