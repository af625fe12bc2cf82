import Borealis
import BorealisRuntime
import Foundation

/// The live picture of the demo, and the two at its end: latency over time, and what happened when.
final class DemoPicture {
  private static let marks = Array(" ▁▂▃▄▅▆▇█")
  private let load: OrderLoad
  private let cluster: Cluster
  private let isTerminal = isatty(1) == 1
  private var drawn = 0
  private var rates: [Double] = []
  private var readRates: [Double] = []
  private let start = SystemClock.now.nanoseconds
  private var acts: [(at: UInt64, title: String)] = []

  init(_ cluster: Cluster, _ load: OrderLoad) {
    self.cluster = cluster
    self.load = load
  }

  /// Something begins: noted for the picture of latencies.
  func begin(_ title: String) { acts.append((SystemClock.now.nanoseconds, title)) }

  /// Shows the cluster for some seconds.
  func play(_ title: String, seconds: Double) async {
    let frames = max(1, Int(seconds / 0.2))
    for frame in 1...frames {
      let (writes, reads) = (load.acknowledged, load.now.reads)
      try? await Task.sleep(for: .milliseconds(200))
      rates.append(Double(load.acknowledged - writes) * 5)
      readRates.append(Double(load.now.reads - reads) * 5)
      if isTerminal || frame == frames { draw(title, await cluster.status()) }
    }
    if isTerminal { print("") }
    drawn = 0
  }

  private func draw(_ title: String, _ status: ClusterStatus) {
    var lines = ["  \(title)", ""]
    for zone in cluster.configuration.zones {
      let instances = status.instances.filter { $0.zone == zone }.map {
        "\($0.identifier) \($0.state == "available" ? $0.role : $0.state.uppercased())"
      }
      let nodes = status.nodes.filter { $0.zone == zone }.map { node in
        node.isRunning
          ? "\(node.identifier)\(node.lagRecords > 500 ? " (\(node.lagRecords) behind)" : "")"
          : "\(node.identifier) DOWN"
      }
      let left = "  zone \(zone)   " + nodes.joined(separator: "  ")
      lines.append(
        left.padding(toLength: max(44, left.count + 2), withPad: " ", startingAt: 0) + instances.joined(separator: ", ")
      )
    }
    lines.append("  volume   epoch \(status.epoch), VDL \(status.vdl)")
    lines.append(
      "  orders/s \(curve(rates)) \(note("%.0f", rates.last ?? 0))   reads/s \(note("%.0f", readRates.last ?? 0))")
    if isTerminal, drawn > 0 { print("\u{1B}[\(drawn)A", terminator: "") }
    for line in lines { print(isTerminal ? "\u{1B}[2K\(line)" : line) }
    if !isTerminal { print("") }
    fflush(nil)
    drawn = lines.count
  }
  private func curve(_ values: [Double]) -> String {
    let shown = values.suffix(48)
    let top = max(1, shown.max() ?? 1)
    return String(shown.map { DemoPicture.marks[Int(($0 / top * 8).rounded())] })
  }

  /// The slowest commit of each moment, on a logarithmic scale, with what happened below.
  var latencies: String {
    let writes = load.now.writes
    let end = SystemClock.now.nanoseconds
    let columns = 90
    let width = max(1, (end - start) / UInt64(columns) + 1)
    var slowest = [UInt64](repeating: 0, count: columns)
    for write in writes {
      // A commit covers the time from its begin to its end: an outage shows where it was, not only where it ended.
      let (first, last) = (max(start, write.at - min(write.at, write.took)), write.at)
      for column in Int((first - start) / width)...Int((last - start) / width) where column < columns {
        slowest[column] = max(slowest[column], write.took)
      }
    }
    // Rows: powers of about 3 from 1 ms to 1 s.
    let levels: [(name: String, least: UInt64)] = [
      ("1 s", 1_000_000_000), ("300 ms", 300_000_000), ("100 ms", 100_000_000), ("30 ms", 30_000_000),
      ("10 ms", 10_000_000), ("3 ms", 3_000_000), ("1 ms", 1_000_000),
    ]
    var lines = ["  slowest commit, from its begin to its acknowledgement (retries included):", ""]
    for level in levels {
      let row = slowest.map { $0 >= level.least ? "█" : " " }.joined()
      lines.append("  \(String(repeating: " ", count: 6 - level.name.count))\(level.name) │\(row)")
    }
    var axis = [Character](repeating: "─", count: columns)
    for (i, act) in acts.enumerated() {
      let column = min(columns - 1, Int((act.at - start) / width))
      axis[column] = Character(UnicodeScalar(UInt8(ascii: "A") + UInt8(i % 26)))
    }
    lines.append("         └" + String(axis))
    for (i, act) in acts.enumerated() {
      let letter = Character(UnicodeScalar(UInt8(ascii: "A") + UInt8(i % 26)))
      lines.append("          \(letter)  \(note("%5.1f s", Double(act.at - start) / 1e9))  \(act.title)")
    }
    return lines.joined(separator: "\n")
  }
}
