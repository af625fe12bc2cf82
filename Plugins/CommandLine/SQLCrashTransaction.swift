import Borealis
import BorealisSQLite

/// One numbered transaction of a client of the SQL crash harness: what it does is told beforehand, in one line.
///
/// The database keeps the same line in its table `ledger`, written by the transaction itself; everything else in the
/// database can be computed from the ledger, and that is how half a transaction would be seen.
struct SQLCrashTransaction: Equatable {
  /// What a transaction does; the raw value stands in the ledger.
  enum Kind: Int64, CaseIterable {
    /// `amount` goes from account `a` to account `b`.
    case transfer = 0
    /// Adds a batch of `a` items whose bodies have about `b` x 16 bytes.
    case addBatch = 1
    /// Deletes batch `a`, and by a foreign key its items.
    case dropBatch = 2
    /// Adds a batch with more bytes than the connection's cache holds.
    case addLargeBatch = 3
    /// `amount` goes from account `a` of one database to account `b` of the other.
    case transferAcross = 4
    /// Makes a table with an index and `a` rows.
    case createTable = 5
    /// Drops the table that transaction `a` made.
    case dropTable = 6
    /// Writes the effects of all transactions up to `a` into the accounts, and deletes everything else of them.
    case fold = 7
    /// Rewrites all items of batch `a`.
    case rewriteBatch = 8
  }
  var client: Int
  var number: Int64
  var kind: Kind
  var a: Int64 = 0
  var b: Int64 = 0
  var amount: Int64 = 0

  /// What the harness adds up to compare whole histories.
  var weight: Int64 { number % 1000 * (kind.rawValue + 3 * a + 5 * b + 7 * amount) }
  /// `weight` as SQL, over the ledger.
  static let weightSQL = "(number % 1000 * (kind + 3 * a + 5 * b + 7 * amount))"

  /// The words of a line.
  var line: String { "\(client) \(number) \(kind.rawValue) \(a) \(b) \(amount)" }

  init(client: Int, number: Int64, kind: Kind, a: Int64 = 0, b: Int64 = 0, amount: Int64 = 0) {
    self.client = client
    self.number = number
    self.kind = kind
    self.a = a
    self.b = b
    self.amount = amount
  }
  /// Reads a line's words; nil where they are none.
  init?(_ words: some Collection<Substring>) {
    let values = words.compactMap { Int64($0) }
    guard words.count == 6, values.count == 6, let kind = Kind(rawValue: values[2]) else { return nil }
    self.init(client: Int(values[0]), number: values[1], kind: kind, a: values[3], b: values[4], amount: values[5])
  }

  // MARK: SQL

  static let accounts = 40
  static let total: Int64 = 2 * 40 * 1000
  static let schema = """
    CREATE TABLE clients (id INTEGER PRIMARY KEY, folded INTEGER NOT NULL, weight INTEGER NOT NULL);
    CREATE TABLE accounts (id INTEGER PRIMARY KEY, base INTEGER NOT NULL, balance INTEGER NOT NULL, pad TEXT);
    CREATE INDEX accounts_by_balance ON accounts (balance);
    CREATE TABLE ledger (client INTEGER NOT NULL REFERENCES clients, number INTEGER NOT NULL, kind INTEGER NOT NULL,
      a INTEGER NOT NULL, b INTEGER NOT NULL, amount INTEGER NOT NULL, PRIMARY KEY (client, number)) WITHOUT ROWID;
    CREATE INDEX ledger_by_kind ON ledger (kind, client, a);
    CREATE TABLE batches (client INTEGER NOT NULL REFERENCES clients, number INTEGER NOT NULL, rows INTEGER NOT NULL,
      generation INTEGER NOT NULL, PRIMARY KEY (client, number)) WITHOUT ROWID;
    CREATE TABLE items (id INTEGER PRIMARY KEY, client INTEGER NOT NULL, number INTEGER NOT NULL, part INTEGER NOT NULL,
      generation INTEGER NOT NULL, tag TEXT NOT NULL, body TEXT NOT NULL,
      FOREIGN KEY (client, number) REFERENCES batches (client, number) ON DELETE CASCADE);
    CREATE UNIQUE INDEX items_by_tag ON items (tag);
    CREATE INDEX items_by_batch ON items (client, number, part);
    CREATE TABLE other.accounts (id INTEGER PRIMARY KEY, base INTEGER NOT NULL, balance INTEGER NOT NULL);
    CREATE TABLE other.mirror (client INTEGER NOT NULL, number INTEGER NOT NULL, a INTEGER NOT NULL, b INTEGER NOT NULL,
      amount INTEGER NOT NULL, PRIMARY KEY (client, number));
    WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 39)
      INSERT INTO main.accounts SELECT i, 1000, 1000, hex(zeroblob(100)) FROM n;
    WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 39)
      INSERT INTO other.accounts SELECT i, 1000, 1000 FROM n;
    """
  /// The body of an item: what is in its other columns, so that no byte of it can be of another moment.
  static let bodySQL =
    "replace(hex(zeroblob(8 + (part * 7 + number) % 9)), '00', client || '.' || number || '.' || part || '.' || generation || ';')"

  private var head: String {
    "INSERT INTO ledger VALUES (\(client), \(number), \(kind.rawValue), \(a), \(b), \(amount))"
  }
  private var batchSQL: [String] {
    let body = SQLCrashTransaction.bodySQL
    return [
      "INSERT INTO batches VALUES (\(client), \(number), \(a), 0)",
      """
      WITH RECURSIVE p(part) AS (SELECT 0 UNION ALL SELECT part + 1 FROM p WHERE part < \(a - 1)),
        q AS (SELECT \(client) AS client, \(number) AS number, part, 0 AS generation FROM p)
        INSERT INTO items (client, number, part, generation, tag, body) SELECT client, number, part, generation,
          printf('%08x-%d-%d-%d', (number * 2654435761 + part * 40503000 + client) & 0xffffffff, client, number, part),
          hex(zeroblob(\(b) * 8)) || \(body) FROM q
      """,
    ]
  }
  /// The statements between BEGIN and COMMIT.
  ///
  /// `tables` are those that the client has made and not dropped, for a fold.
  func statements(tables: [Int64], hasOther: Bool) -> [String] {
    switch kind {
    case .transfer:
      return [
        "UPDATE main.accounts SET balance = balance - \(amount) WHERE id = \(a)",
        "UPDATE main.accounts SET balance = balance + \(amount) WHERE id = \(b)", head,
      ]
    case .addBatch, .addLargeBatch: return [head] + batchSQL
    case .dropBatch: return ["DELETE FROM batches WHERE client = \(client) AND number = \(a)", head]
    case .transferAcross:
      return [
        head, "UPDATE main.accounts SET balance = balance - \(amount) WHERE id = \(a)",
        "UPDATE other.accounts SET balance = balance + \(amount) WHERE id = \(b)",
        "INSERT INTO other.mirror VALUES (\(client), \(number), \(a), \(b), \(amount))",
      ]
    case .createTable:
      let name = "extra_\(client)_\(number)"
      return [
        head, "CREATE TABLE \(name) (i INTEGER PRIMARY KEY, v TEXT)", "CREATE INDEX \(name)_by_v ON \(name) (v)",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < \(a)) "
          + "INSERT INTO \(name) SELECT i, hex(i * 7919) FROM n",
      ]
    case .dropTable: return ["DROP TABLE extra_\(client)_\(a)", head]
    case .rewriteBatch:
      let mine = "client = \(client) AND number = \(a)"
      return [
        "UPDATE batches SET generation = generation + 1 WHERE \(mine)",
        "UPDATE items SET generation = generation + 1 WHERE \(mine)",
        "UPDATE items SET body = \(SQLCrashTransaction.bodySQL) WHERE \(mine)", head,
      ]
    case .fold:
      let old = "client = \(client) AND number <= \(a)"
      var all = [
        """
        UPDATE main.accounts SET base = base
          - coalesce((SELECT sum(amount) FROM ledger l WHERE \(old) AND kind IN (0, 4) AND l.a = accounts.id), 0)
          + coalesce((SELECT sum(amount) FROM ledger l WHERE \(old) AND kind = 0 AND l.b = accounts.id), 0)
        """,
        """
        UPDATE clients SET folded = \(a), weight = weight
          + (SELECT coalesce(sum\(SQLCrashTransaction.weightSQL), 0) FROM ledger WHERE \(old)) WHERE id = \(client)
        """,
        "DELETE FROM ledger WHERE \(old)", "DELETE FROM batches WHERE \(old)", head,
      ]
      if hasOther {
        all.append(
          """
          UPDATE other.accounts SET base = base
            + coalesce((SELECT sum(amount) FROM other.mirror m WHERE \(old) AND m.b = accounts.id), 0)
          """)
        all.append("DELETE FROM other.mirror WHERE \(old)")
      }
      return all + tables.map { "DROP TABLE extra_\(client)_\($0)" }
    }
  }
}
