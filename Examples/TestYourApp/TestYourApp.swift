// How an application's own test runs against a cluster in memory, with a failover in the middle of a commit.
//
//     swift run -c release TestYourApp
//
// prints:
//
//     careful bank: three transfers through three failovers, each exactly once
//     hasty bank: customers were told that 10 have moved, and 20 have
//     timid bank: customers were told that 0 have moved, and 10 have

import Borealis

/// The application: moves money, once for each key that a customer's order has.
protocol Bank: Sendable {
  init(_ database: ClusterEndpoint)
  func transfer(_ amount: Int, from: Int, to: Int, key: String) async throws
}

/// After an unknown outcome it runs again, and looks for the key first: done is done.
struct CarefulBank: Bank {
  let database: ClusterEndpoint
  init(_ database: ClusterEndpoint) { self.database = database }
  func transfer(_ amount: Int, from: Int, to: Int, key: String) async throws {
    while true {
      do {
        return try await database.transaction { db in
          guard try db.query("SELECT 1 FROM done WHERE key = ?", key).isEmpty else { return }
          try db.execute("INSERT INTO done VALUES (?)", key)
          try move(amount, from, to, db)
        }
      } catch let error as SQLError where error.isRetryable || error.isOutcomeUnknown { continue }
    }
  }
}

/// Runs again what has failed: what was committed all the same is done twice.
struct HastyBank: Bank {
  let database: ClusterEndpoint
  init(_ database: ClusterEndpoint) { self.database = database }
  func transfer(_ amount: Int, from: Int, to: Int, key: String) async throws {
    while true {
      do { return try await database.transaction { try move(amount, from, to, $0) } } catch is SQLError { continue }
    }
  }
}

/// Tells the customer "failed" for every error: the money may have gone all the same.
struct TimidBank: Bank {
  let database: ClusterEndpoint
  init(_ database: ClusterEndpoint) { self.database = database }
  func transfer(_ amount: Int, from: Int, to: Int, key: String) async throws {
    try await database.transaction { try move(amount, from, to, $0) }
  }
}

func move(_ amount: Int, _ from: Int, _ to: Int, _ db: any SQLSession) throws {
  try db.execute("UPDATE account SET balance = balance - ? WHERE id = ?", amount, from)
  try db.execute("UPDATE account SET balance = balance + ? WHERE id = ?", amount, to)
}

/// The test, as it would stand in the application's own: what is wrong with a bank, or nil.
func problem<B: Bank>(with _: B.Type) async throws -> String? {
  let cluster = try await Cluster.inMemory("bank")
  try await cluster.writer.execute(
    "CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER); CREATE TABLE done (key TEXT PRIMARY KEY)")
  try await cluster.writer.execute("INSERT INTO account VALUES (1, 100), (2, 0)")
  let bank = B(cluster.writer)
  var (told, problem): (Int, String?) = (0, nil)
  for order in 1...3 where problem == nil {
    try await cluster.chaos.killWriterDuringNextCommit()
    do {
      try await bank.transfer(10, from: 1, to: 2, key: "order-\(order)")
      told += 10
    } catch {}
    let received = try await cluster.writer.rows("SELECT balance FROM account WHERE id = 2")[0].get(0, as: Int.self)
    let sum = try await cluster.writer.rows("SELECT sum(balance) FROM account")[0].get(0, as: Int.self)
    if sum != 100 { problem = "there are \(sum) in all, not 100" }
    if received != told { problem = "customers were told that \(told) have moved, and \(received) have" }
  }
  let failovers = await cluster.failoverReports.count
  if failovers == 0 { problem = "the test did not test: no failover" }
  await cluster.stop()
  return problem
}

@main
enum TestYourApp {
  static func main() async throws {
    let careful = try await problem(with: CarefulBank.self)
    let hasty = try await problem(with: HastyBank.self)
    let timid = try await problem(with: TimidBank.self)
    for (name, found) in [("careful", careful), ("hasty", hasty), ("timid", timid)] {
      print("\(name) bank: \(found ?? "three transfers through three failovers, each exactly once")")
    }
    precondition(careful == nil && hasty != nil && timid != nil, "the test tells good from bad")
  }
}
