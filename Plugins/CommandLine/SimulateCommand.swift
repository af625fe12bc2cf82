import ArgumentParser
import Borealis
import BorealisRuntime
import BorealisSimulation
import Foundation
import Synchronization

/// `borealis sim`.
struct SimulateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sim",
    abstract: "Run the volume's own machines in a deterministic simulator, with faults, and check every invariant.",
    discussion: """
      Each seed decides everything: configuration, load, network, disks, crashes. The same seed gives the same trace
      digest on any machine. A failing seed prints what was violated and its story; replay it with --seed.
      """)

  @Option(help: "How many seeds to run.") var seeds: UInt64 = 1
  @Option(help: "The first seed.") var seed: UInt64 = 1
  @Option(help: "Run all seeds with this policy: \(BuiltInPolicies.all.map(\.name).joined(separator: ", ")).")
  var policy: String?
  @Option(
    help:
      "Run all seeds with these faults: all, none, network, or a list of \(FaultClass.named.map(\.name).joined(separator: ", "))."
  )
  var faults: String?
  @Option(help: "What clients do: \(SimulationOptions.Workload.allCases.map(\.rawValue).joined(separator: ", ")).")
  var workload: String = SimulationOptions.Workload.pages.rawValue
  @Option(help: "Go on with further seeds for this many minutes instead of --seeds.") var minutes: Double?
  @Option(help: "Threads; each runs whole seeds.") var threads = max(1, ProcessInfo.processInfo.activeProcessorCount)
  @Flag(help: "Print one JSON object a line: one for each failure, one for the sum.") var json = false
  @Flag(help: "Print the story of every run (with one seed).") var verbose = false
  @Flag(help: "Plant each known bug in turn and show which checker finds it.") var plantedBugs = false
  @Option(help: "Seeds to try for each planted bug.") var hunt = 500
  @Option(help: "Write the table of planted bugs here.") var output: String?

  func run() throws {
    if plantedBugs { return try huntBugs() }
    var chosen: (any ReplicationPolicy)?
    if let policy {
      guard let found = BuiltInPolicies.named(policy) else {
        throw ValidationError(
          "no policy '\(policy)'; there are \(BuiltInPolicies.all.map(\.name).joined(separator: ", "))")
      }
      chosen = found
    }
    var trouble: FaultClass?
    if let faults {
      guard let found = FaultClass.parse(faults) else {
        throw ValidationError(
          "unknown fault in '\(faults)'; there are all, none, network, \(FaultClass.named.map(\.name).joined(separator: ", "))"
        )
      }
      trouble = found
    }
    guard let load = SimulationOptions.Workload(rawValue: workload) else {
      throw ValidationError("there is no workload '\(workload)'")
    }
    let result = campaign(policy: chosen, faults: trouble, workload: load)
    if json {
      print(line(result.summary, seconds: result.seconds))
    } else {
      if seeds == 1, minutes == nil, result.summary.failures.isEmpty, let report = result.last {
        print(verbose ? report.explanation : report.description)
      }
      print(result.summary.description)
      print(
        note(
          "%.1f s, %.1f seeds/s on %d threads", result.seconds, Double(result.summary.runs) / result.seconds, threads))
    }
    if !result.summary.failures.isEmpty { throw ExitCode.failure }
  }

  /// Failures whose whole story is printed; of the others one line.
  private static let storiesMax = 5

  private struct Result {
    var summary: SimulationCampaign.Summary
    var seconds: Double
    var last: SimulationReport?
  }

  private func campaign(
    policy: (any ReplicationPolicy)?, faults: FaultClass?, workload: SimulationOptions.Workload
  ) -> Result {
    let start = ContinuousClock.now
    let deadline = minutes.map { start + .milliseconds(Int64($0 * 60_000)) }
    let next = Atomic<UInt64>(0)
    let (count, first, isVerbose) = (seeds, seed, verbose && seeds == 1)
    let width = minutes == nil ? min(threads, Int(clamping: seeds)) : threads
    let progress = CampaignProgress(total: minutes == nil ? count : nil) { report, number in
      // Told as it comes; the digest is summed in the order of the seeds, at the end.
      if json {
        print(line(report))
      } else if number <= Self.storiesMax {
        print(report.explanation)
      } else {
        print("seed \(report.seed): \(report.violations.first?.description ?? "failed")")
      }
      fflush(nil)
    }
    let workers = (0..<max(1, width)).map { _ in
      WorkerThread {
        while true {
          let i = next.wrappingAdd(1, ordering: .relaxed).oldValue
          if let deadline { if ContinuousClock.now >= deadline { return } } else if i >= count { return }
          var options = SimulationOptions(seed: first + i)
          if let policy { options.policy = policy }
          if let faults { options.faults = faults }
          options.workload = workload
          options.isVerbose = isVerbose
          var report = Simulation.run(options)
          if report.passed, count > 1 { report.story = [] }
          progress.add(report)
        }
      }
    }
    for worker in workers { worker.join() }
    let reports = progress.finish()
    var summary = SimulationCampaign.Summary()
    let all = reports.sorted { $0.seed < $1.seed }
    for report in all { summary.add(report) }
    return Result(summary: summary, seconds: (ContinuousClock.now - start).seconds, last: all.last)
  }

  private func huntBugs() throws {
    let (text, found) = PlantedBugCampaign.table(seedsMax: hunt) { line in
      print(line)
      fflush(nil)
    }
    if let output {
      try text.write(toFile: output, atomically: true, encoding: .utf8)
      print("\(found) found; the table is in \(output)")
    } else {
      print(text)
    }
  }

  private func line(_ report: SimulationReport) -> String {
    struct Line: Codable {
      var seed: UInt64
      var digest: String
      var violations: [String]
      var summary: String
    }
    return encode(
      Line(
        seed: report.seed, digest: hexadecimal(report.digest, digits: 16),
        violations: report.violations.map(\.description),
        summary: report.options.summary))
  }

  private func line(_ s: SimulationCampaign.Summary, seconds: Double) -> String {
    struct Line: Codable {
      var seeds: Int
      var failed: Int
      var digest: String
      var commits: Int
      var acknowledged: Int
      var reads: Int
      var faults: Int
      var recoveries: Int
      var events: Int
      var seconds: Double
    }
    return encode(
      Line(
        seeds: s.runs, failed: s.failures.count, digest: hexadecimal(s.digest, digits: 16),
        commits: s.counts.transactions,
        acknowledged: s.counts.acknowledged, reads: s.counts.reads, faults: s.counts.faults,
        recoveries: s.counts.recoveries, events: s.counts.events, seconds: seconds))
  }

  private func encode(_ value: some Codable) -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys]
    return (try? encoder.encode(value)).map { String(decoding: $0, as: UTF8.self) } ?? "{}"
  }
}
