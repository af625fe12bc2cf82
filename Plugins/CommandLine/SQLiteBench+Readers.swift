import Borealis
import BorealisRuntime
import BorealisSQLite
import Foundation
import Synchronization

extension SQLiteBenchmarks {
  /// A full scan of a table of 1 GiB through caches of 64 MiB, then a new reader on that database.
  static func scan(in directory: String) throws -> [Measurement] {
    let bench = try SQLiteBench(in: directory)
    defer { bench.remove() }
    let rows = 1 << 20
    for session in [try bench.ours("scan.db"), try bench.local("scan.db", "WAL")] {
      try session.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB)")
      for first in stride(from: 0, to: rows, by: 16384) {
        try session.execute(
          "WITH RECURSIVE n(i) AS (SELECT ? UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
            + "INSERT INTO t SELECT i, randomblob(980) FROM n", first + 1, first + 16384)
      }
      try session.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    }
    let size = try bench.files.attributes(at: "/scan.db").size
    var best = [Double.infinity, Double.infinity]
    for _ in 0..<3 {
      for i in 0..<2 {
        let session = i == 0 ? try bench.ours("scan.db") : try bench.local("scan.db", "WAL")
        // Local: 64 MiB of SQLite's cache, and the operating system's on top. Ours: 64 MiB of the volume's.
        if i == 1 { try session.execute("PRAGMA cache_size = -65536") }
        best[i] = min(
          best[i], try SQLiteBench.seconds { _ = try session.query("SELECT count(*), sum(length(v)) FROM t") })
      }
    }
    let scan = Measurement(
      name: "scan-1g", value: Double(size) / best[0] / 1_048_576, unit: "MiB/s",
      peer: Double(size) / best[1] / 1_048_576, ratio: best[1] / best[0], target: "ratio >= 0.5",
      note: note("%.2f s, local %.2f s, %.0f MiB", best[0], best[1], Double(size) / 1_048_576))
    return [scan, try readerAdd(bench, size)]
  }
  private static func readerAdd(_ bench: SQLiteBench, _ size: UInt64) throws -> Measurement {
    var times: [Double] = []
    var bytes: UInt64 = 0
    for _ in 0..<5 {
      let before = bench.fleet.transport.statistics.bytes
      times.append(
        try SQLiteBench.seconds {
          let reader = try VolumeReaderInstance(of: bench.volume)
          let session = try SQLiteSession(SQLiteVFS(reader: reader), "/scan.db")
          _ = try session.query("SELECT * FROM t WHERE id = 500000")
          reader.close()
        })
      bytes = bench.fleet.transport.statistics.bytes - before
    }
    return Measurement(
      name: "reader-add", value: times.sorted()[times.count / 2] * 1000, unit: "ms", target: "< 1000 ms",
      note: note(
        "to its first row, of a database of %.0f MiB; %.0f KiB went over the network", Double(size) / 1_048_576,
        Double(bytes) / 1024))
  }

  /// How long after a commit is acknowledged a reader shows it, at 1,000 commits a second.
  static func readerLag(in directory: String) throws -> [Measurement] {
    let bench = try SQLiteBench(in: directory)
    defer { bench.remove() }
    let session = try bench.ours("lag.db")
    try session.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER, at INTEGER)")
    try session.execute("INSERT INTO t VALUES (1, 0, 0)")
    let reader = try VolumeReaderInstance(of: bench.volume)
    defer { reader.close() }
    _ = reader.waitUntilApplied(bench.volume.vdl)
    let isOver = Atomic<Bool>(false)
    let lags = Mutex<[UInt64]>([])
    let failure = Mutex<String?>(nil)
    let thread = WorkerThread {
      do {
        let looking = try SQLiteSession(SQLiteVFS(reader: reader), "/lag.db")
        var last: Int64 = 0
        var found: [UInt64] = []
        while !isOver.load(ordering: .relaxed) {
          let row = try looking.query("SELECT n, at FROM t WHERE id = 1")[0]
          let (n, at): (Int64, Int64) = (try row.get(0), try row.get(1))
          let now = SystemClock.now.nanoseconds
          if n > last {
            last = n
            found.append(now - min(now, UInt64(at)))
          }
          usleep(200)
        }
        lags.withLock { $0 = found }
      } catch { failure.withLock { $0 = "\(error)" } }
    }
    let begin = SystemClock.now
    let count = 5000
    for n in 1...count {
      let due = begin.advanced(byMilliseconds: UInt64(n))
      while SystemClock.now < due { usleep(50) }
      try session.execute("UPDATE t SET n = ?, at = ? WHERE id = 1", n, Int64(SystemClock.now.nanoseconds))
    }
    let rate = Double(count) / (Double(SystemClock.now.nanoseconds(since: begin)) / 1e9)
    isOver.store(true, ordering: .relaxed)
    thread.join()
    if let failure = failure.withLock({ $0 }) { throw BenchError(failure) }
    let found = Latencies(lags.withLock { $0 })
    return [
      Measurement(
        name: "reader-lag", value: found.microseconds(0.95) / 1000, unit: "ms", target: "p95 < 20 ms",
        note: note(
          "p50 %.2f ms, p99 %.2f ms, from before the statement to the row seen; %.0f commits a second",
          found.microseconds(0.5) / 1000, found.microseconds(0.99) / 1000, rate))
    ]
  }
}
