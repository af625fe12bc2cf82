public import Borealis
import BorealisRuntime
import Synchronization

/// An application that takes orders: clients that write through the cluster endpoint, and others that read through the
/// reader endpoint; it remembers what was acknowledged, and how long each took.
public final class OrderLoad: Sendable {
  /// What clients have seen.
  public struct Seen: Sendable {
    /// Orders acknowledged, by client: 0, 1, 2, … without gap.
    public var acknowledged: [Int64]
    /// When each was acknowledged and how long it took, in nanoseconds.
    public var writes: [(at: UInt64, took: UInt64)] = []
    /// Answers that readers got.
    public var reads: UInt64 = 0
    /// Commits whose outcome was not known, and that the client has looked up.
    public var lookedUp = 0
    /// Commits that were found not to have happened, or refused, and were made again.
    public var repeated = 0
    /// What must not happen: readers that saw a half transaction, or one disappear.
    public var wrong: [String] = []
  }
  /// Clients that order.
  public static let clients = 4
  private static let itemCount: Int64 = 50
  private let cluster: Cluster
  private let seen: Mutex<Seen>
  private let isRunning = Atomic<Bool>(true)

  /// Makes an application on a cluster.
  public init(_ cluster: Cluster) {
    self.cluster = cluster
    seen = Mutex(Seen(acknowledged: Array(repeating: 0, count: OrderLoad.clients)))
  }
  /// What clients have seen so far.
  public var now: Seen { seen.withLock { $0 } }
  /// Orders acknowledged by now, of all clients.
  public var acknowledged: Int64 { seen.withLock { $0.acknowledged.reduce(0, +) } }
  /// Has `run` end.
  public func stop() { isRunning.store(false, ordering: .releasing) }

  /// Makes the tables.
  public func prepare() async throws {
    try await cluster.writer.execute(
      """
      CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT NOT NULL, sold INTEGER NOT NULL);
      CREATE TABLE orders (client INTEGER, number INTEGER, item INTEGER REFERENCES items, note TEXT,
        PRIMARY KEY (client, number)) WITHOUT ROWID;
      """)
    try await cluster.writer.execute(
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) INSERT INTO items SELECT i, 'item ' || i, 0 FROM n",
      OrderLoad.itemCount)
  }

  /// Runs until `stop`.
  public func run(readers: Int) async {
    await withTaskGroup(of: Void.self) { group in
      for client in 0..<OrderLoad.clients { group.addTask { await self.order(client) } }
      for _ in 0..<readers { group.addTask { await self.read() } }
    }
  }

  private func order(_ client: Int) async {
    var number: Int64 = 0
    while isRunning.load(ordering: .acquiring) {
      let (item, next) = (number % OrderLoad.itemCount + 1, number)
      let start = SystemClock.now
      while true {
        do {
          try await cluster.writer.transaction { db in
            try db.execute("INSERT INTO orders VALUES (?, ?, ?, 'as before')", client, next, item)
            try db.execute("UPDATE items SET sold = sold + 1 WHERE id = ?", item)
          }
          break
        } catch let error as SQLError where error.isOutcomeUnknown {
          // The application does what each one must: it looks whether the order is there.
          seen.withLock { $0.lookedUp += 1 }
          if await isThere(client, next) { break }
          seen.withLock { $0.repeated += 1 }
        } catch let error as SQLError where error.isRetryable {
          seen.withLock { $0.repeated += 1 }
          try? await Task.sleep(for: .milliseconds(1))
        } catch {
          seen.withLock { $0.wrong.append("client \(client) cannot go on: \(error)") }
          return
        }
      }
      number += 1
      let (count, end) = (number, SystemClock.now)
      seen.withLock { seen in
        seen.acknowledged[client] = count
        seen.writes.append((end.nanoseconds, end.nanoseconds(since: start)))
      }
    }
  }
  private func isThere(_ client: Int, _ number: Int64) async -> Bool {
    while true {
      if let rows = try? await cluster.writer.rows(
        "SELECT count(*) FROM orders WHERE client = ? AND number = ?", client, number)
      {
        return rows.first?.values == [1]
      }
      try? await Task.sleep(for: .milliseconds(5))
    }
  }

  private func read() async {
    while isRunning.load(ordering: .acquiring) {
      do {
        let rows = try await cluster.reader.rows(
          "SELECT (SELECT count(*) FROM orders), (SELECT sum(sold) FROM items)")
        let (orders, sold): (Int64, Int64) = (try rows[0].get(0), try rows[0].get(1))
        seen.withLock { seen in
          seen.reads += 1
          if orders != sold { seen.wrong.append("a reader saw \(orders) orders and \(sold) items sold") }
        }
      } catch {
        // The instance has ended: the next call goes to another.
        try? await Task.sleep(for: .milliseconds(2))
      }
      // The readers share two cores with everybody else here.
      try? await Task.sleep(for: .milliseconds(10))
    }
  }

  /// What is missing of what was acknowledged, and whether the database is whole; nothing: all is well.
  public func verify() async throws -> [String] {
    var problems = now.wrong
    for (client, count) in now.acknowledged.enumerated() {
      let rows = try await cluster.writer.rows(
        "SELECT count(*) FROM orders WHERE client = ? AND number < ?", client, count)
      let there: Int64 = try rows[0].get(0)
      if there != count { problems.append("client \(client): \(count - there) acknowledged orders are missing") }
    }
    let sums = try await cluster.writer.rows("SELECT (SELECT count(*) FROM orders) - (SELECT sum(sold) FROM items)")
    if sums[0][0] != 0 { problems.append("orders and items sold differ by \(sums[0][0])") }
    let check = try await cluster.writer.rows("PRAGMA integrity_check")
    if check.map(\.values) != [["ok"]] { problems.append("integrity_check: \(check)") }
    return problems
  }
}
