import Borealis
import Foundation

/// The live picture: copies by zone with their SCL, the writer's LSNs and epochs, commits a second as a curve.
///
/// On a terminal it is drawn over itself; elsewhere (a log, CI) each act leaves its last picture.
final class VolumeDemoScreen {
  private let fleet: StorageFleet
  private let load: VolumeDemoLoad
  private let isTerminal = isatty(1) == 1
  private var drawn = 0
  private var rates: [Double] = []
  private var slowest: [(String, Double, Double)] = []

  init(fleet: StorageFleet, load: VolumeDemoLoad) {
    self.fleet = fleet
    self.load = load
  }

  func play(_ title: String, seconds: Double, volume: Volume) {
    _ = load.takeLatencies()
    var all: [UInt64] = []
    let before = load.acknowledged
    let frames = max(1, Int(seconds / 0.1))
    for frame in 1...frames {
      let start = load.acknowledged
      Thread.sleep(forTimeInterval: 0.1)
      rates.append(Double(load.acknowledged - start) * 10)
      all += load.takeLatencies()
      if isTerminal || frame == frames { draw(title, volume) }
    }
    if !isTerminal { drawn = 0 }
    slowest.append((title, Double(load.acknowledged - before) / seconds, Latencies(all).microseconds(0.99)))
  }

  func close() { drawn = 0 }

  /// A row for each act.
  var summary: String {
    slowest.map { title, rate, p99 in note("  %6.0f commits/s, p99 %7.0f us   ", rate, p99) + title }.joined(
      separator: "\n")
  }

  private func draw(_ title: String, _ volume: Volume) {
    var lines = ["", "  \(title)", ""]
    let vdl = volume.vdl
    lines.append("  writer   epoch \(volume.epoch)   VDL \(vdl)   groups \(volume.configurations.count)")
    for zone in 0..<3 {
      var line = "  zone \(ZoneID(UInt8(zone)))  "
      for node in fleet.topology where node.zone == ZoneID(UInt8(zone)) { line += "  " + cell(node.node, vdl) }
      lines.append(line)
    }
    lines.append("")
    lines.append("  commits/s  \(curve()) \(note("%.0f", rates.last ?? 0))")
    if isTerminal, drawn > 0 { print("\u{1B}[\(drawn)A", terminator: "") }
    for line in lines { print(isTerminal ? "\u{1B}[2K\(line)" : line) }
    fflush(nil)
    drawn = lines.count
  }

  private func cell(_ node: NodeID, _ vdl: LSN) -> String {
    guard let status = fleet.host(node)?.status(of: ProtectionGroupID(0)) else {
      return "\(node) down".padding(toLength: 26, withPad: " ", startingAt: 0)
    }
    let behind = vdl.value > status.scl.value ? " (\(vdl.value - status.scl.value) behind)" : ""
    return "\(node) SCL \(status.scl)\(behind)".padding(toLength: 26, withPad: " ", startingAt: 0)
  }

  private func curve() -> String {
    let marks = Array(" ▁▂▃▄▅▆▇█")
    let shown = rates.suffix(64)
    let top = max(1, shown.max() ?? 1)
    return String(shown.map { marks[Int(($0 / top * 8).rounded())] })
  }
}
