import Borealis
import BorealisComputeEngine
import BorealisCore
import Foundation
import Synchronization

@testable import BorealisPostgreSQL

/// Clients that move money between accounts, as pgbench does, and remember what they were told.
///
/// Each transfer writes a row of its own, so that the accounts can be computed from the transfers, and the transfers be
/// compared with what was acknowledged.
final class MoneyLoad: Sendable {
  static let accounts = 200
  private let acknowledged = Mutex<Set<Int>>([])
  private let unknown = Mutex<Set<Int>>([])
  private let next = Atomic<Int>(0)

  var acknowledgedCount: Int { acknowledged.withLock { $0.count } }

  static func prepare(_ writer: TestWriter) async throws {
    try await writer.execute(
      """
      CREATE TABLE accounts (id int PRIMARY KEY, balance bigint NOT NULL, filler char(84) NOT NULL DEFAULT '');
      CREATE TABLE transfers (id bigint PRIMARY KEY, source int NOT NULL, target int NOT NULL, amount int NOT NULL,
        note text NOT NULL);
      ALTER TABLE transfers ALTER note SET STORAGE EXTERNAL;
      CREATE INDEX ON transfers (source, target);
      CREATE INDEX ON transfers (md5(note));
      INSERT INTO accounts SELECT i, 0 FROM generate_series(1, \(accounts)) i;
      """)
  }

  /// Runs clients, and checkpoints between their transactions, until the server is gone.
  func run(_ writer: TestWriter, clients: Int, using generator: inout DeterministicGenerator) -> Task<Void, Never> {
    let seeds = (0..<clients).map { _ in generator.fork() }
    return Task {
      await withTaskGroup(of: Void.self) { group in
        for seed in seeds { group.addTask { await self.client(writer, seed) } }
        group.addTask {
          // Pages are written, and torn if they can be, only when there are checkpoints.
          while (try? await writer.execute("CHECKPOINT")) != nil { try? await Task.sleep(for: .milliseconds(50)) }
        }
      }
    }
  }
  private func client(_ writer: TestWriter, _ seed: DeterministicGenerator) async {
    var generator = seed
    guard let connection = try? await writer.instance.connect() else { return }
    defer { connection.close() }
    while connection.isUsable {
      let id = next.wrappingAdd(1, ordering: .relaxed).newValue
      let first = generator.index(Self.accounts - 1) + 1
      let second = first + 1 + generator.index(Self.accounts - first)
      let amount = generator.index(2001) - 1000
      // One in eight is long enough to be kept apart from its row.
      let length = generator.chance(1, in: 8) ? 100 : 1
      do throws(SQLError) {
        try await connection.execute(
          """
          BEGIN;
          UPDATE accounts SET balance = balance - \(amount) WHERE id = \(first);
          UPDATE accounts SET balance = balance + \(amount) WHERE id = \(second);
          INSERT INTO transfers VALUES (\(id), \(first), \(second), \(amount), repeat(md5('\(id)'), \(length)));
          COMMIT
          """, parameters: [])
        _ = acknowledged.withLock { $0.insert(id) }
      } catch {
        if error.isOutcomeUnknown { _ = unknown.withLock { $0.insert(id) } }
        _ = try? await connection.execute("ROLLBACK", parameters: [])
      }
    }
  }

  /// What is wrong with the database, compared with what the clients were told; empty when nothing is.
  func problems(_ writer: TestWriter) async throws -> [String] {
    var found: [String] = []
    let rows = try await writer.rows("SELECT id FROM transfers")
    let there = Set(rows.compactMap { row -> Int? in if case .integer(let id) = row[0] { Int(id) } else { nil } })
    let (told, open) = (acknowledged.withLock { $0 }, unknown.withLock { $0 })
    let lost = told.subtracting(there)
    if !lost.isEmpty { found.append("\(lost.count) acknowledged and lost, such as \(lost.min() ?? 0)") }
    let risen = there.subtracting(told).subtracting(open)
    if !risen.isEmpty { found.append("\(risen.count) there, and told to have failed, such as \(risen.min() ?? 0)") }
    // What is there now has an outcome, and may not change it at the next crash.
    acknowledged.withLock { $0.formUnion(there) }
    unknown.withLock { $0.removeAll() }
    let wrong = try await writer.rows(
      """
      SELECT a.id, a.balance, coalesce(m.sum, 0) FROM accounts a LEFT JOIN
        (SELECT id, sum(amount) FROM (SELECT source AS id, -amount AS amount FROM transfers UNION ALL
          SELECT target, amount FROM transfers) s GROUP BY id) m USING (id)
      WHERE a.balance <> coalesce(m.sum, 0)
      """)
    if let first = wrong.first { found.append("\(wrong.count) accounts do not agree with the transfers: \(first)") }
    let sum = try await writer.rows("SELECT count(*), sum(balance)::bigint FROM accounts")
    if sum.first?.values != [.integer(Int64(Self.accounts)), .integer(0)] { found.append("money sums: \(sum)") }
    let notes = try await writer.rows("SELECT id FROM transfers WHERE note NOT LIKE md5(id::text) || '%'")
    if !notes.isEmpty { found.append("\(notes.count) notes are another's") }
    return found
  }
}
