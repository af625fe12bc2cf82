import ArgumentParser
import Foundation

/// `borealis bench`.
struct BenchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench", abstract: "Measure on this machine, beside a peer in the same run.",
    subcommands: [BenchVolumeCommand.self])
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
    #if DEBUG
      FileHandle.standardError.write(Data("note: this is a debug build; its figures mean nothing\n".utf8))
    #endif
    let work = directory + "/borealis-bench-\(getpid())"
    try FileManager.default.createDirectory(atPath: work, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: work) }
    let wanted = only?.split(separator: ",").map(String.init)
    let slow = ["open-1m", "repair-256m", "rss-4g"]
    for benchmark in VolumeBenchmark.all {
      let isWanted = benchmark.names.contains { name in
        guard let wanted else { return !(quick && slow.contains(name)) }
        return wanted.contains { name.hasPrefix($0) }
      }
      guard isWanted else { continue }
      FileHandle.standardError.write(Data("... \(benchmark.names.joined(separator: ", "))\n".utf8))
      for measurement in try benchmark.run(work) { print(json ? Measurement.json(measurement) : measurement.row) }
      fflush(nil)
    }
  }
}

/// One benchmark of the volume: the names it yields and how it runs in a directory of its own.
struct VolumeBenchmark: Sendable {
  let names: [String]
  let run: @Sendable (String) throws -> [Measurement]

  static let all: [VolumeBenchmark] = [
    VolumeBenchmark(names: ["commit-1", "commit-32"]) { try CommitBenchmark.run(in: $0 + "/commit") },
    VolumeBenchmark(names: ["append-memory"]) { _ in try AppendBenchmark.run() },
    VolumeBenchmark(names: ["read-segment", "read-cache"]) { try ReadBenchmark.run(in: $0 + "/read") },
    VolumeBenchmark(names: ["open-10k"]) { try OpenBenchmark.run("open-10k", records: 10_000, in: $0 + "/open10k") },
    VolumeBenchmark(names: ["open-100k"]) {
      try OpenBenchmark.run("open-100k", records: 100_000, in: $0 + "/open100k")
    },
    VolumeBenchmark(names: ["open-1m"]) { try OpenBenchmark.run("open-1m", records: 1_000_000, in: $0 + "/open1m") },
    VolumeBenchmark(names: ["repair-256m"]) { try RepairBenchmark.run(in: $0 + "/repair") },
    VolumeBenchmark(names: ["rss-4g"]) { try ResidentBenchmark.run(in: $0 + "/rss") },
  ]
}
