import Borealis
import Foundation

/// Memory: 4 GiB written through a 64 MiB cache, all six nodes in the process.
enum ResidentBenchmark {
  static func run(in directory: String, bytes: UInt64 = 4 << 30) throws -> [Measurement] {
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let start = ContinuousClock.now
    let child = try ChildProcess(["resident", directory, "--bytes", String(bytes)])
    var peak: Double?
    while let line = child.readLine() {
      if line.hasPrefix("peak ") { peak = Double(line.dropFirst(5)) }
    }
    guard child.wait() == 0, let peak else { throw BenchError("the child that writes 4 GiB failed") }
    return [
      Measurement(
        name: "rss-4g", value: peak / 1_048_576, unit: "MiB", target: "< 400",
        note: note("peak resident, six nodes in the process; took %.0f s", (ContinuousClock.now - start).seconds))
    ]
  }
}
