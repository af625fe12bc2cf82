import BorealisCore

/// Collects violations; the run ends at the first few.
struct Verdicts {
  /// Violations beyond this many are not kept.
  static let violationsMax = 16
  private(set) var violations: [Violation] = []
  /// Virtual now.
  var now: Instant = .zero
  private let ignored: Set<Invariant>

  init(ignored: Set<Invariant>) { self.ignored = ignored }

  /// Reports that `invariant` does not hold.
  mutating func report(_ invariant: Invariant, _ text: @autoclosure () -> String) {
    guard !ignored.contains(invariant), violations.count < Self.violationsMax else { return }
    violations.append(Violation(invariant: invariant, nanoseconds: now.nanoseconds, text: text()))
  }
  /// Reports unless `condition` holds.
  @inline(__always)
  mutating func require(_ condition: Bool, _ invariant: Invariant, _ text: @autoclosure () -> String) {
    if !condition { report(invariant, text()) }
  }
  /// Reports what a machine says of itself; a text that begins with an invariant's number counts as that one.
  mutating func report(machine name: String, _ texts: [String]) {
    for text in texts {
      let word = text.prefix { $0.isLetter || $0.isNumber }
      report(Invariant(rawValue: String(word)) ?? .machine, "\(name): \(text)")
    }
  }
  /// Whether there is any.
  var isEmpty: Bool { violations.isEmpty }
}
