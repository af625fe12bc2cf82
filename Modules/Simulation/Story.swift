import BorealisCore

/// What happened, for people: the last notable events, or all of them with every message when replaying a seed.
struct Story {
  /// Whether details are kept too, and nothing is forgotten.
  let isVerbose: Bool
  private let capacity: Int
  private var ring: [String] = []
  private var next = 0
  private(set) var forgotten = 0

  init(capacity: Int, isVerbose: Bool) {
    self.capacity = max(1, capacity)
    self.isVerbose = isVerbose
  }

  /// Notes something notable: a crash, an opening, a fault.
  mutating func note(_ now: Instant, _ text: String) {
    let line = "\(now)  \(text)"
    guard !isVerbose, ring.count == capacity else { return ring.append(line) }
    ring[next] = line
    next = (next + 1) % capacity
    forgotten += 1
  }
  /// Notes something of which there is very much, when verbose.
  mutating func detail(_ now: Instant, _ text: @autoclosure () -> String) {
    if isVerbose { ring.append("\(now)  . \(text())") }
  }
  /// The lines, oldest first.
  var lines: [String] {
    let ordered = Array(ring[next...] + ring[..<next])
    return forgotten == 0 ? ordered : ["(\(forgotten) earlier events left out)"] + ordered
  }
}
