import Borealis
import BorealisRuntime
import BorealisSQLite
import Foundation
import Synchronization

/// SQLite on a volume of six nodes on files beside SQLite on a local file: the same library, directory and SQL.
final class SQLiteBench {
  let directory: String
  let fleet: StorageFleet
  let volume: Volume
  let files: VolumeFileSystem
  let vfs: SQLiteVFS

  init(in directory: String, cache: ByteCount = .mebibytes(64)) throws {
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    self.directory = directory
    fleet = try StorageFleet.files(at: directory + "/volume")
    var options = VolumeOptions()
    options.cacheBytes = cache
    volume = try Volume.create(on: fleet, options: options)
    files = try VolumeFileSystem.format(on: volume)
    vfs = try SQLiteVFS(writer: files)
  }
  func remove() {
    volume.close()
    fleet.stop()
    try? FileManager.default.removeItem(atPath: directory)
  }

  /// A session on the volume.
  func ours(_ name: String) throws -> SQLiteSession { try SQLiteSession(vfs, "/" + name) }
  /// A session on a local file, as durable as SQLite can be.
  func local(_ name: String, _ journal: String) throws -> SQLiteSession {
    let session = try SQLiteSession(localFile: directory + "/" + name, busyTimeoutMilliseconds: 60_000)
    try session.execute("PRAGMA page_size = 8192")
    try session.execute("PRAGMA journal_mode = \(journal)")
    try session.execute("PRAGMA synchronous = FULL")
    return session
  }
  static func seconds(_ body: () throws -> Void) rethrows -> Double {
    let start = ContinuousClock.now
    try body()
    return (ContinuousClock.now - start).seconds
  }
  /// Commits of one row each, one after the other: latencies in nanoseconds.
  static func commits(_ count: Int, _ session: SQLiteSession) throws -> [UInt64] {
    var latencies: [UInt64] = []
    for i in 0..<count {
      let start = SystemClock.now
      try session.execute("INSERT INTO t (k, v) VALUES (?, ?)", i, "a row of a hundred bytes or so, as a program has")
      latencies.append(SystemClock.now.nanoseconds(since: start))
    }
    return latencies
  }
  static let table = "CREATE TABLE t (id INTEGER PRIMARY KEY, k INTEGER, v TEXT)"

  /// `clients` threads, each with a session of its own, for `commits` commits each: commits a second.
  static func concurrent(
    _ clients: Int, _ commits: Int, _ open: @escaping @Sendable () throws -> SQLiteSession
  ) throws -> Double {
    let failure = Mutex<String?>(nil)
    let elapsed = seconds {
      let threads = (0..<clients).map { _ in
        WorkerThread {
          do { _ = try SQLiteBench.commits(commits, try open()) } catch { failure.withLock { $0 = "\(error)" } }
        }
      }
      for thread in threads { thread.join() }
    }
    if let failure = failure.withLock({ $0 }) { throw BenchError(failure) }
    return Double(clients * commits) / elapsed
  }
}

/// The benchmarks of `borealis bench sqlite`.
enum SQLiteBenchmarks {
  static func commit(in directory: String) throws -> [Measurement] {
    let bench = try SQLiteBench(in: directory)
    defer { bench.remove() }
    let ours = try bench.ours("one.db")
    let delete = try bench.local("delete.db", "DELETE")
    let wal = try bench.local("wal.db", "WAL")
    for session in [ours, delete, wal] {
      try session.execute(SQLiteBench.table)
      _ = try SQLiteBench.commits(100, session)
    }
    // In turn, so that all see the same weather.
    var seconds = [0.0, 0.0, 0.0]
    var latencies: [[UInt64]] = [[], [], []]
    var limit: [UInt64] = []
    for _ in 0..<6 {
      limit += try CommitBenchmark.quorumLimit(in: bench.directory, commits: 250)
      for (i, session) in [ours, delete, wal].enumerated() {
        seconds[i] += try SQLiteBench.seconds { latencies[i] += try SQLiteBench.commits(250, session) }
      }
    }
    let rates = seconds.map { 1500 / $0 }
    let p50 = latencies.map { Latencies($0).microseconds(0.5) }
    let p99 = latencies.map { Latencies($0).microseconds(0.99) }
    // Eight clients.
    let vfs = bench.vfs
    let path = bench.directory + "/wal.db"
    let many = try SQLiteBench.concurrent(8, 500) { try SQLiteSession(vfs, "/one.db") }
    let manyWAL = try SQLiteBench.concurrent(8, 250) {
      let session = try SQLiteSession(localFile: path, busyTimeoutMilliseconds: 60_000)
      try session.execute("PRAGMA synchronous = FULL")
      return session
    }
    // What four of six plain flushes take on this disk: says what the machine allows.
    let least = Latencies(limit).microseconds(0.5)
    func one(_ name: String, _ peer: Int, _ target: String) -> Measurement {
      Measurement(
        name: name, value: rates[0], unit: "1/s", peer: rates[peer], ratio: rates[0] / rates[peer], target: target,
        note: note(
          "p50 %.0f us, p99 %.0f us; local file p50 %.0f us, p99 %.0f us; four of six fdatasyncs p50 %.0f us: p50 x %.1f",
          p50[0], p99[0], p50[peer], p99[peer], least, p50[peer] / least))
    }
    return [
      one("commit-1-delete", 1, "ratio >= 3"), one("commit-1-wal", 2, "ratio >= 0.5"),
      Measurement(
        name: "commit-8-wal", value: many, unit: "1/s", peer: manyWAL, ratio: many / manyWAL, target: "ratio > 1",
        note: "8 clients; peer: local WAL, synchronous=FULL"),
    ]
  }

  /// Point queries, everything in SQLite's cache or the volume's.
  static func readWarm(in directory: String) throws -> [Measurement] {
    let bench = try SQLiteBench(in: directory)
    defer { bench.remove() }
    let sessions = [try bench.ours("read.db"), try bench.local("read.db", "WAL")]
    let rows = 50_000
    for session in sessions {
      try session.execute("PRAGMA cache_size = -32768")
      try session.execute(SQLiteBench.table)
      try fill(session, rows: rows)
      _ = try session.query("SELECT sum(length(v)) FROM t")
    }
    var seconds = [0.0, 0.0]
    for round in 0..<6 {
      for (i, session) in sessions.enumerated() {
        seconds[i] += try SQLiteBench.seconds {
          for n in 0..<10_000 {
            _ = try session.query("SELECT v FROM t WHERE id = ?", (n * 7919 + round * 31) % rows + 1)
          }
        }
      }
    }
    return [
      Measurement(
        name: "read-warm", value: 60_000 / seconds[0], unit: "1/s", peer: 60_000 / seconds[1],
        ratio: seconds[1] / seconds[0], target: "ratio >= 0.9", note: "point queries, each a transaction")
    ]
  }
  private static func fill(_ session: SQLiteSession, rows: Int, bytes: Int = 50) throws {
    let part = 100_000
    for first in stride(from: 0, to: rows, by: part) {
      try session.execute(
        "WITH RECURSIVE n(i) AS (SELECT ? UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
          + "INSERT INTO t (id, k, v) SELECT i, i, hex(randomblob(?)) FROM n",
        first + 1, min(first + part, rows), bytes / 2)
    }
  }

  /// A million rows in one transaction.
  static func bulk(in directory: String) throws -> [Measurement] {
    var bench = try SQLiteBench(in: directory)
    var (best, peer) = (Double.infinity, Double.infinity)
    for round in 0..<2 {
      if round > 0 { bench = try SQLiteBench(in: directory) }
      defer { bench.remove() }
      for (isOurs, session) in [(true, try bench.ours("bulk.db")), (false, try bench.local("bulk.db", "DELETE"))] {
        try session.execute(SQLiteBench.table)
        let elapsed = try SQLiteBench.seconds {
          try session.transaction {
            for i in 0..<1_000_000 {
              try session.execute(
                "INSERT INTO t (k, v) VALUES (?, ?)", i, "a row of a hundred bytes or so, as many are")
            }
          }
        }
        if isOurs { best = min(best, elapsed) } else { peer = min(peer, elapsed) }
      }
    }
    return [
      Measurement(
        name: "bulk-1m", value: 1e6 / best, unit: "1/s", peer: 1e6 / peer, ratio: peer / best, target: "ratio >= 0.5",
        note: note("%.2f s, local DELETE %.2f s, one transaction, through prepared statements", best, peer))
    ]
  }
}
