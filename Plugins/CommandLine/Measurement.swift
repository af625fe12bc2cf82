import Foundation

/// One measured figure: a line of `--json`, or a row for people.
struct Measurement: Codable {
  /// The name that the documentation uses: `commit-1`.
  var name: String
  /// The figure.
  var value: Double
  /// Its unit: `us`, `1/s`, `s`, `MiB`.
  var unit: String
  /// The peer's figure from the same run, in the same unit.
  var peer: Double?
  /// Ours to the peer's: worse above 1 for times, better above 1 for rates.
  var ratio: Double?
  /// The target, in words.
  var target: String?
  /// More for people: p99, sizes, the peer's name.
  var note: String?

  static func json(_ m: Measurement) -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys]
    return (try? encoder.encode(m)).map { String(decoding: $0, as: UTF8.self) } ?? "{}"
  }

  var row: String {
    func number(_ v: Double) -> String {
      v >= 1000 ? String(format: "%.0f", v) : v >= 10 ? String(format: "%.1f", v) : String(format: "%.3f", v)
    }
    let name = self.name.padding(toLength: max(16, self.name.count), withPad: " ", startingAt: 0)
    var text = "\(name) \(number(value)) \(unit)"
    if let peer { text += "   peer \(number(peer)) \(unit)" }
    if let ratio { text += "   ratio \(number(ratio))" }
    if let target { text += "   target: \(target)" }
    if let note { text += "   (\(note))" }
    return text
  }
}

/// A sorted sample of durations in nanoseconds.
struct Latencies {
  private let sorted: [UInt64]
  init(_ nanoseconds: [UInt64]) { sorted = nanoseconds.sorted() }
  /// The value below which `fraction` of the sample lies, in microseconds; 0 for an empty sample.
  func microseconds(_ fraction: Double) -> Double {
    sorted.isEmpty ? 0 : Double(sorted[min(sorted.count - 1, Int(Double(sorted.count) * fraction))]) / 1000
  }
}
