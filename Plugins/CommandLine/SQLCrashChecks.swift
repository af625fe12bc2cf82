import Borealis
import BorealisSQLite

/// What must hold in the two databases of the SQL crash harness at any moment at all.
enum SQLCrashChecks {
  /// Each finds rows that must not be there.
  static let queries: [(name: String, sql: String)] = [
    (
      "a hole in a client's transactions",
      """
      SELECT id, folded, count(number), max(number) FROM clients LEFT JOIN ledger ON client = id GROUP BY id
        HAVING coalesce(max(number), folded) <> folded + count(number)
      """
    ),
    (
      "an account is not what the transactions say",
      """
      WITH moved(id, amount) AS (SELECT a, -amount FROM ledger WHERE kind IN (0, 4)
        UNION ALL SELECT b, amount FROM ledger WHERE kind = 0)
      SELECT id, base, balance, (SELECT sum(amount) FROM moved m WHERE m.id = accounts.id) AS moved FROM main.accounts
        WHERE balance <> base + coalesce((SELECT sum(amount) FROM moved m WHERE m.id = accounts.id), 0)
      """
    ),
    (
      "an account of the other database is not what its transactions say",
      """
      SELECT id, base, balance FROM other.accounts
        WHERE balance <> base + coalesce((SELECT sum(amount) FROM other.mirror m WHERE m.b = accounts.id), 0)
      """
    ),
    (
      "money is lost or made",
      """
      SELECT here, there FROM (SELECT (SELECT sum(balance) FROM main.accounts) AS here,
        (SELECT sum(balance) FROM other.accounts) AS there) WHERE here + there <> \(SQLCrashTransaction.total)
      """
    ),
    (
      "a transaction over both databases is only in the first",
      """
      SELECT client, number, a, b, amount FROM ledger WHERE kind = 4
        EXCEPT SELECT client, number, a, b, amount FROM other.mirror
      """
    ),
    (
      "a transaction over both databases is only in the second",
      """
      SELECT client, number, a, b, amount FROM other.mirror
        EXCEPT SELECT client, number, a, b, amount FROM ledger WHERE kind = 4
      """
    ),
    ("a batch is missing", "\(batches) EXCEPT SELECT client, number, rows, generation FROM batches"),
    ("a batch should not be there", "SELECT client, number, rows, generation FROM batches EXCEPT \(batches)"),
    (
      "a batch has other items than it should",
      """
      SELECT b.client, b.number, b.rows, count(i.id) FROM batches b LEFT JOIN items i
        ON i.client = b.client AND i.number = b.number AND i.generation = b.generation
        GROUP BY b.client, b.number HAVING count(i.id) <> b.rows OR count(DISTINCT i.part) <> b.rows
      """
    ),
    (
      "there are items without a batch",
      "SELECT items, batches FROM (SELECT (SELECT count(*) FROM items) AS items, "
        + "(SELECT coalesce(sum(rows), 0) FROM batches) AS batches) WHERE items <> batches"
    ),
    (
      "an item's body is of another moment",
      "SELECT client, number, part, generation FROM items WHERE substr(body, -length(\(SQLCrashTransaction.bodySQL))) "
        + "<> \(SQLCrashTransaction.bodySQL) OR ltrim(body, '0') <> ltrim(\(SQLCrashTransaction.bodySQL), '0')"
    ),
    (
      "a table is missing",
      "\(tables) EXCEPT SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE 'extra%'"
    ),
    (
      "a table should not be there",
      "SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE 'extra%' EXCEPT \(tables)"
    ),
  ]
  private static let batches = """
    SELECT client, number, a AS rows, (SELECT count(*) FROM ledger g WHERE g.kind = 8 AND g.client = l.client
      AND g.a = l.number) AS generation FROM ledger l WHERE kind IN (1, 3) AND NOT EXISTS
      (SELECT 1 FROM ledger d WHERE d.kind = 2 AND d.client = l.client AND d.a = l.number)
    """
  private static let tables = """
    SELECT 'extra_' || client || '_' || number FROM ledger l WHERE kind = 5 AND NOT EXISTS
      (SELECT 1 FROM ledger d WHERE d.kind = 6 AND d.client = l.client AND d.a = l.number)
    """

  /// Everything that is wrong with the two databases; `session` has the second one attached as `other`.
  static func problems(_ session: SQLiteSession) throws -> [String] {
    var found: [String] = []
    func look(_ name: String, _ sql: String, isFine: (SQLiteRow) -> Bool = { _ in false }) throws {
      let rows = try session.query(sql).filter { !isFine($0) }
      guard let first = rows.first else { return }
      found.append("\(name): " + text(first) + (rows.count > 1 ? " and \(rows.count - 1) more" : ""))
    }
    for database in ["main", "other"] {
      try look("integrity_check of \(database)", "PRAGMA \(database).integrity_check") { $0[0] == "ok" }
      try look("foreign_key_check of \(database)", "PRAGMA \(database).foreign_key_check")
    }
    for (name, sql) in queries { try look(name, sql) }
    for row in try session.query(
      "SELECT client, number, a FROM ledger l WHERE kind = 5 AND 'extra_' || client || '_' || number IN "
        + "(SELECT name FROM sqlite_schema)")
    {
      let name = "extra_\(row[0])_\(row[1])"
      try look(
        "rows of \(name)",
        "SELECT n FROM (SELECT count(*) AS n FROM \(name) WHERE v = hex(i * 7919)) WHERE n <> \(row[2])")
    }
    return found
  }

  /// The last transaction of each client that the database holds, and the weight of its history.
  static func histories(_ session: SQLiteSession) throws -> [(client: Int, number: Int64, weight: Int64)] {
    let rows = try session.query(
      """
      SELECT id, coalesce(max(number), folded), weight + coalesce(sum\(SQLCrashTransaction.weightSQL), 0)
        FROM clients LEFT JOIN ledger ON client = id GROUP BY id ORDER BY id
      """)
    return try rows.map { (try $0.get(0), try $0.get(1), try $0.get(2)) }
  }

  private static func text(_ row: SQLiteRow) -> String {
    row.values.map(\.description).joined(separator: "|")
  }
}
