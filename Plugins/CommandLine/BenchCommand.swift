import ArgumentParser
import Foundation

/// `borealis bench`.
struct BenchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench", abstract: "Measure on this machine, beside a peer in the same run.",
    subcommands: [BenchVolumeCommand.self, BenchSQLiteCommand.self, BenchPostgreSQLCommand.self])
}

/// `borealis bench volume`.
struct BenchVolumeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "volume", abstract: "Measure the cluster volume on real files (use a release build).")

  @Flag(help: "Print one JSON object a line.") var json = false
  @Option(help: "Where to put the files; a new directory in it is used and removed.") var directory = "/tmp"
  @Option(
    help: ArgumentHelp("Only these, comma-separated; a name may be a prefix.", valueName: "names")) var only: String?
  @Flag(help: "Leave out what takes minutes: open-1m, repair-256m, rss-4g.") var quick = false

  func run() throws {
    let slow = ["open-1m", "repair-256m", "rss-4g"]
    try Benchmark.run(Benchmark.volume, only: only, leavingOut: quick ? slow : [], in: directory, json: json)
  }
}

/// `borealis bench sqlite`.
struct BenchSQLiteCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sqlite", abstract: "Measure SQLite on a volume beside SQLite on a local file.")

  @Flag(help: "Print one JSON object a line.") var json = false
  @Option(help: "Where to put the files; a new directory in it is used and removed.") var directory = "/tmp"
  @Option(
    help: ArgumentHelp("Only these, comma-separated; a name may be a prefix.", valueName: "names")) var only: String?
  @Flag(help: "Leave out what takes minutes: scan-1g, reader-add.") var quick = false

  func run() throws {
    let slow = ["scan-1g", "reader-add"]
    try Benchmark.run(Benchmark.sqlite, only: only, leavingOut: quick ? slow : [], in: directory, json: json)
  }
}

/// One benchmark: the names it yields and how it runs in a directory of its own.
struct Benchmark: Sendable {
  let names: [String]
  let run: @Sendable (String) throws -> [Measurement]

  /// Runs those that are wanted, and prints what they yield.
  static func run(
    _ benchmarks: [Benchmark], only: String?, leavingOut slow: [String], in directory: String, json: Bool
  ) throws {
    #if DEBUG
      FileHandle.standardError.write(Data("note: this is a debug build; its figures mean nothing\n".utf8))
    #endif
    let work = directory + "/borealis-bench-\(getpid())"
    try FileManager.default.createDirectory(atPath: work, withIntermediateDirectories: true)
    defer {
      // What is mounted in it is files of a volume, which its end removes.
      let mounts = (try? String(contentsOfFile: "/proc/self/mounts", encoding: .utf8)) ?? ""
      if !mounts.contains(work) { try? FileManager.default.removeItem(atPath: work) }
    }
    let wanted = only?.split(separator: ",").map(String.init)
    for benchmark in benchmarks {
      let isWanted = benchmark.names.contains { name in
        guard let wanted else { return !slow.contains(name) }
        return wanted.contains { name.hasPrefix($0) }
      }
      guard isWanted else { continue }
      FileHandle.standardError.write(Data("... \(benchmark.names.joined(separator: ", "))\n".utf8))
      for measurement in try benchmark.run(work) { print(json ? Measurement.json(measurement) : measurement.row) }
      fflush(nil)
    }
  }

  static let sqlite: [Benchmark] = [
    Benchmark(names: ["commit-1-delete", "commit-1-wal", "commit-8-wal"]) {
      try SQLiteBenchmarks.commit(in: $0 + "/commit")
    },
    Benchmark(names: ["read-warm"]) { try SQLiteBenchmarks.readWarm(in: $0 + "/read") },
    Benchmark(names: ["bulk-1m"]) { try SQLiteBenchmarks.bulk(in: $0 + "/bulk") },
    Benchmark(names: ["reader-lag"]) { try SQLiteBenchmarks.readerLag(in: $0 + "/lag") },
    Benchmark(names: ["failover"]) { try SQLiteBenchmarks.failover(in: $0 + "/failover") },
    Benchmark(names: ["scan-1g", "reader-add"]) { try SQLiteBenchmarks.scan(in: $0 + "/scan") },
  ]

  static let volume: [Benchmark] = [
    Benchmark(names: ["commit-1", "commit-32"]) { try CommitBenchmark.run(in: $0 + "/commit") },
    Benchmark(names: ["append-memory"]) { _ in try AppendBenchmark.run() },
    Benchmark(names: ["read-segment", "read-cache"]) { try ReadBenchmark.run(in: $0 + "/read") },
    Benchmark(names: ["open-10k"]) { try OpenBenchmark.run("open-10k", records: 10_000, in: $0 + "/open10k") },
    Benchmark(names: ["open-100k"]) {
      try OpenBenchmark.run("open-100k", records: 100_000, in: $0 + "/open100k")
    },
    Benchmark(names: ["open-1m"]) { try OpenBenchmark.run("open-1m", records: 1_000_000, in: $0 + "/open1m") },
    Benchmark(names: ["repair-256m"]) { try RepairBenchmark.run(in: $0 + "/repair") },
    Benchmark(names: ["rss-4g"]) { try ResidentBenchmark.run(in: $0 + "/rss") },
  ]
}
