import Borealis
import BorealisPostgreSQL
import BorealisRuntime
import Foundation
import Synchronization

/// Ctrl-C and termination while servers run: what is under way ends, then all is cleaned away.
final class Interruption: Sendable {
  private let flag = Mutex(false)
  var isRaised: Bool { flag.withLock { $0 } }

  init() {
    let signal = StopSignal()
    Task {
      await signal.wait()
      flag.withLock { $0 = true }
    }
  }
  /// Throws where somebody wants the end.
  func check() throws { if isRaised { throw BenchError("interrupted") } }
}

/// Clients of a server: pgbench and psql as they are installed.
struct PGBench: Sendable {
  /// What pgbench tells of a run.
  struct Result: Sendable {
    var tps = 0.0
    var transactions = 0
    var milliseconds = 0.0
  }
  /// What its transactions do.
  enum Workload: String, Sendable {
    case tpcb = "tpcb-like"
    case select = "select-only"
  }
  /// How long it runs.
  enum Length: Sendable {
    case seconds(Int)
    /// For each client.
    case transactions(Int)
  }
  let installation: PostgreSQLInstallation
  let address: EngineAddress
  let password: String
  let interruption: Interruption

  private static let minutes: UInt64 = 60_000
  private var target: String {
    "host=\(address.host) port=\(address.port) user=postgres dbname=postgres sslmode=disable"
  }
  private func run(_ program: String, _ arguments: [String], _ milliseconds: UInt64) async throws -> [String] {
    try interruption.check()
    let result: Swift.Result<[String], any Error> = await onThread {
      Swift.Result {
        try installation.run(program, arguments, password: password, milliseconds: milliseconds) {
          !interruption.isRaised
        }
      }
    }
    return try result.get()
  }

  /// Runs a statement with psql; its rows as text.
  @discardableResult
  func sql(_ text: String) async throws -> [String] {
    try await run("psql", ["-X", "-A", "-t", "-q", "-c", text, target], 10 * Self.minutes)
  }
  /// Fills the tables.
  func prepare(scale: Int) async throws {
    tell("pgbench -i -s \(scale) on \(address)")
    _ = try await run("pgbench", ["-i", "-s", "\(scale)", "-q", target], 60 * Self.minutes)
    try await sql("CHECKPOINT")
    try await settle()
  }
  /// Waits until this process, and so the storage nodes in it, is through with what was loaded: a minute at most.
  ///
  /// Else the first run would pay for the load. Servers on directories have nothing to do here, and wait for a second.
  private func settle() async throws {
    var before = Self.processorSeconds
    for _ in 0..<60 {
      try interruption.check()
      try await Task.sleep(for: .seconds(1))
      let now = Self.processorSeconds
      if now - before < 0.1 { return }
      before = now
    }
    tell("note: the storage nodes are still busy with what was loaded")
  }
  /// POSIX has a million ticks a second, on every system.
  private static var processorSeconds: Double { Double(clock()) / 1_000_000 }

  /// Has everything in memory that fits: a scan by the index goes through all of shared_buffers, a plain one does not.
  func warmUp() async throws {
    try await sql(
      "SET enable_seqscan = off; SET enable_bitmapscan = off; SELECT sum(abalance) FROM pgbench_accounts WHERE aid > 0")
    _ = try await run(.select, clients: 8, .seconds(1))
  }
  /// Runs transactions, after a checkpoint.
  func run(_ workload: Workload, clients: Int, _ length: Length) async throws -> Result {
    try await sql("CHECKPOINT")
    // Of what ran before, nothing is still to be written.
    await onThread { sync() }
    var arguments = ["-M", "prepared", "-n", "-j", "2", "-c", "\(clients)", "-b", workload.rawValue]
    var limit = 60 * Self.minutes
    switch length {
    case .seconds(let seconds):
      arguments += ["-T", "\(seconds)"]
      limit = UInt64(seconds) * 1000 + 2 * Self.minutes
    case .transactions(let count): arguments += ["-t", "\(count)"]
    }
    let lines = try await run("pgbench", arguments + [target], limit)
    let result = try Self.parse(lines)
    tell("  \(workload.rawValue), \(clients) clients: \(Int(result.tps)) tps")
    return result
  }
  static func parse(_ lines: [String]) throws -> Result {
    var result = Result()
    for line in lines {
      let words = line.split(separator: " ")
      if line.hasPrefix("tps = "), words.count > 2 { result.tps = Double(words[2]) ?? 0 }
      if line.hasPrefix("latency average = "), words.count > 3 { result.milliseconds = Double(words[3]) ?? 0 }
      if line.hasPrefix("number of transactions actually processed: "), let last = words.last {
        result.transactions = Int(last.prefix { $0.isNumber }) ?? 0
      }
      if line.hasPrefix("number of failed transactions: "), words.count > 4, words[4] != "0" {
        throw BenchError("pgbench: \(line)")
      }
    }
    guard result.tps > 0, result.transactions > 0 else {
      throw BenchError("pgbench told no figures: \(lines.suffix(4).joined(separator: "; "))")
    }
    return result
  }
  /// Bytes of write-ahead log so far.
  func logPosition() async throws -> Double {
    guard let text = try await sql("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn").first, let bytes = Double(text)
    else { throw BenchError("no position of the log") }
    return bytes
  }
}

/// Progress, for people.
func tell(_ text: String) { FileHandle.standardError.write(Data("\(text)\n".utf8)) }
