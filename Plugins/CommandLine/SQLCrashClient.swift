import Borealis
import BorealisSQLite
import CBorealisSQLite

/// What the harness can do wrong on purpose, to show that it would be seen.
enum SQLCrashLie: String, CaseIterable {
  /// Says that a transaction is committed before it commits it.
  case early
  /// Makes two transactions of what must be one.
  case half
  /// The storage nodes acknowledge records before they are on disk.
  case nodes
}

/// A connection as the harness uses it: statements as text.
protocol SQLCrashConnection {
  /// Runs statements; rows are thrown away.
  func run(_ sql: String) throws(SQLiteError)
}
extension SQLiteSession: SQLCrashConnection {
  func run(_ sql: String) throws(SQLiteError) { try execute(sql) }
}
/// SQLite's C interface, as a program uses it that knows nothing of volumes.
struct PlainConnection: SQLCrashConnection {
  private let handle: OpaquePointer

  init(_ path: String, vfs: SQLiteVFS) throws(SQLiteError) {
    var opened: OpaquePointer?
    let code = sqlite3_open_v2(path, &opened, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, vfs.name)
    guard code == SQLITE_OK, let opened else { throw SQLiteError(code: code, message: "open \(path)") }
    handle = opened
    sqlite3_extended_result_codes(opened, 1)
    sqlite3_busy_timeout(opened, 20)
  }
  func run(_ sql: String) throws(SQLiteError) {
    let code = sqlite3_exec(handle, sql, nil, nil, nil)
    guard code == SQLITE_OK else {
      throw SQLiteError(code: code, message: String(cString: sqlite3_errmsg(handle)), sql: sql)
    }
  }
}

/// A client that makes transactions until its process is killed.
struct SQLCrashClient {
  let id: Int
  let connection: any SQLCrashConnection
  let hasOther: Bool
  let lie: SQLCrashLie?
  let say: @Sendable (String) -> Void
  var chance: DeterministicGenerator
  var next: Int64
  var folded: Int64
  /// What it has made and not deleted.
  var batches: [Int64]
  var tables: [Int64]

  /// Makes transactions for ever; throws what is no reason to try again.
  mutating func work() throws(SQLiteError) {
    while true {
      if chance.chance(1, in: 150) { try maintain() }
      let transaction = draw()
      let statements = transaction.statements(tables: tables, hasOther: hasOther)
      say("begin \(transaction.line)")
      while true {
        do throws(SQLiteError) {
          try make(transaction, statements)
          break
        } catch {
          try? connection.run("ROLLBACK")
          guard error.isRetryable else { throw error }
        }
      }
      if lie != .early { say("acked \(id) \(transaction.number)") }
      note(transaction)
    }
  }
  private func make(_ transaction: SQLCrashTransaction, _ statements: [String]) throws(SQLiteError) {
    // BEGIN alone reads first and may find later that another one was faster.
    try connection.run(transaction.number % 3 == 0 ? "BEGIN" : "BEGIN IMMEDIATE")
    for (i, statement) in statements.enumerated() {
      if i == 1, lie == .half, transaction.number % 4 == 0 { try connection.run("COMMIT; BEGIN IMMEDIATE") }
      try connection.run(statement)
    }
    if lie == .early { say("acked \(id) \(transaction.number)") }
    try connection.run("COMMIT")
  }
  /// What changes no row and rewrites much.
  private mutating func maintain() throws(SQLiteError) {
    let choices = ["VACUUM main", "REINDEX", "ANALYZE main", "PRAGMA optimize"] + (hasOther ? ["VACUUM other"] : [])
    do throws(SQLiteError) { try connection.run(choices[chance.index(choices.count)]) } catch {
      guard error.isRetryable else { throw error }
    }
  }
  private mutating func draw() -> SQLCrashTransaction {
    var t = SQLCrashTransaction(client: id, number: next, kind: .transfer)
    func old(_ numbers: [Int64], _ chance: inout DeterministicGenerator) -> Int64 {
      numbers[chance.index(numbers.count)]
    }
    if next - folded > 60 || batches.count > 12 {
      t.kind = .fold
      t.a = next - 1
      return t
    }
    switch chance.below(100) {
    case 0..<20:
      (t.kind, t.a, t.b) = (.addBatch, Int64(chance.within(1...6)), Int64(chance.below(16)))
    case 20..<23:
      (t.kind, t.a, t.b) = (.addLargeBatch, Int64(chance.within(60...160)), Int64(chance.within(40...120)))
    case 23..<35 where !batches.isEmpty: (t.kind, t.a) = (.dropBatch, old(batches, &chance))
    case 35..<45 where !batches.isEmpty: (t.kind, t.a) = (.rewriteBatch, old(batches, &chance))
    case 45..<48: (t.kind, t.a) = (.createTable, Int64(chance.within(1...30)))
    case 48..<52 where !tables.isEmpty: (t.kind, t.a) = (.dropTable, old(tables, &chance))
    default:
      t.kind = hasOther && chance.chance(2, in: 3) ? .transferAcross : .transfer
      let accounts = UInt64(SQLCrashTransaction.accounts)
      (t.a, t.amount) = (Int64(chance.below(accounts)), Int64(chance.within(1...20)))
      t.b = (t.a + 1 + Int64(chance.below(accounts - 1))) % Int64(accounts)
    }
    return t
  }
  private mutating func note(_ t: SQLCrashTransaction) {
    next = t.number + 1
    switch t.kind {
    case .addBatch, .addLargeBatch: batches.append(t.number)
    case .dropBatch: batches.removeAll { $0 == t.a }
    case .createTable: tables.append(t.number)
    case .dropTable: tables.removeAll { $0 == t.a }
    case .fold: (batches, tables, folded) = ([], [], t.a)
    case .transfer, .transferAcross, .rewriteBatch: break
    }
  }
}
