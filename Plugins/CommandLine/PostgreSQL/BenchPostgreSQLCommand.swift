import ArgumentParser
import Foundation

/// `borealis bench postgresql`.
struct BenchPostgreSQLCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "postgresql", abstract: "Measure a PostgreSQL cluster beside PostgreSQL on a local directory.",
    discussion: """
      Runs the installed pgbench (-M prepared, TPC-B-like and -S) against a cluster of six copies on files, then against \
      plain local PostgreSQL (one copy), then against a primary with five synchronous standbys (ANY 3: the same \
      durability), one after the other on the same disk, with the same memory, connections and scale. \
      Ctrl-C ends all servers and removes their files.
      """)

  @Flag(help: "Print one JSON object a line.") var json = false
  @Option(help: "Where to put the files; a new directory in it is used and removed.") var directory = "/tmp"
  @Option(
    help: ArgumentHelp("Only these, comma-separated; a name may be a prefix.", valueName: "names")) var only: String?
  @Option(help: "Seconds for each run of pgbench; a checkpoint of the cluster is written every 30.") var seconds = 30
  @Option(help: "pgbench's scale: 15 MB each. The servers' shared_buffers are 256 MB.") var scale = 10
  @Option(help: "Failovers of failover-pg.") var runs = 5

  func validate() throws {
    guard seconds > 0, scale > 0, runs > 0 else {
      throw ValidationError("--seconds, --scale and --runs must be 1 or more")
    }
  }
  func run() throws {
    let path = URL(fileURLWithPath: directory).standardizedFileURL.path
    let wanted = only?.split(separator: ",").map(String.init)
    let options = PGBenchOptions(seconds: seconds, scale: scale, runs: runs, interruption: Interruption()) { name in
      wanted?.contains { name.hasPrefix($0) } ?? true
    }
    try Benchmark.run(Benchmark.postgresql(options), only: only, leavingOut: [], in: path, json: json)
  }
}

/// What the benchmarks with PostgreSQL are asked for.
struct PGBenchOptions: Sendable {
  let seconds: Int
  let scale: Int
  let runs: Int
  let interruption: Interruption
  /// Whether a figure is wanted, by its name.
  let wants: @Sendable (String) -> Bool

  init(
    seconds: Int, scale: Int, runs: Int, interruption: Interruption, wants: @escaping @Sendable (String) -> Bool
  ) {
    self.seconds = seconds
    self.scale = scale
    self.runs = runs
    self.interruption = interruption
    self.wants = wants
  }
}

extension Benchmark {
  static func postgresql(_ options: PGBenchOptions) -> [Benchmark] {
    var all = [
      Benchmark(names: PostgreSQLBenchmarks.comparisonNames) {
        try PostgreSQLBenchmarks.compare(options, in: $0 + "/compare")
      },
      Benchmark(names: ["network-bytes"]) { try PostgreSQLBenchmarks.network(options, in: $0 + "/network") },
      Benchmark(names: ["failover-pg"]) { try PostgreSQLBenchmarks.failover(options, in: $0 + "/failover") },
      Benchmark(names: ["reader-add-pg"]) { try PostgreSQLBenchmarks.readerAdd(options, in: $0 + "/reader") },
    ]
    #if Router
      all.insert(
        Benchmark(names: PostgreSQLBenchmarks.routerNames) {
          try PostgreSQLBenchmarks.router(options, in: $0 + "/router")
        }, at: 1)
    #endif
    return all
  }
}
