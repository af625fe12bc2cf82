import Borealis

// Scalers as they will come: small ones, which show that the seam has what they need.

/// Serverless v2 in small: grows fast, shrinks gradually, and with tier 0 or 1 is never smaller than the writer.
struct SmallServerlessScaler: CapacityScaler {
  /// Above this share of its processors an instance grows.
  static let high = 0.7
  /// Below this share it may shrink.
  static let low = 0.4
  /// Time between two steps down.
  static let shrinkInterval: UInt64 = 60_000_000_000

  let bounds: ClosedRange<InstanceCapacity>
  let initial: InstanceCapacity
  private var halves: Int
  private let range: ClosedRange<Int>
  private var last: Instant?
  private var lastChange = Instant.zero
  private var answer: InstanceCapacity

  /// From `least` to `most` ACU, in steps of 0.5.
  init(_ least: Double = 0.5, _ most: Double = 16) {
    bounds = InstanceCapacity(acu: least)...InstanceCapacity(acu: most)
    range = Int(least * 2)...Int(most * 2)
    initial = bounds.lowerBound
    answer = initial
    halves = range.lowerBound
  }
  mutating func capacity(for load: InstanceLoad, in cluster: ClusterLoad, now: Instant) -> InstanceCapacity {
    if last == now { return answer }
    last = now
    let share = load.processorShare.isNaN ? 0 : min(1, max(0, load.processorShare))
    if share > Self.high {
      halves = min(range.upperBound, halves * 2)
      lastChange = now
    } else if share < Self.low, now.nanoseconds - min(now.nanoseconds, lastChange.nanoseconds) >= Self.shrinkInterval {
      halves = max(range.lowerBound, halves - 1)
      lastChange = now
    }
    answer = InstanceCapacity(acu: Double(halves) / 2)
    // Source: Aurora user guide, "How Aurora Serverless v2 works": readers of tiers 0 and 1 scale with the writer.
    if load.role == .reader, load.tier <= 1, let writer = cluster.writer {
      answer = min(bounds.upperBound, max(answer, writer.capacity))
    }
    return answer
  }
}

/// As many readers as keep their mean load at a target: more at once, fewer after five minutes.
struct TargetTrackingScaler: ReaderScaler {
  static let shrinkInterval: UInt64 = 300_000_000_000
  let bounds: ClosedRange<Int>
  let target: Double
  private var current: Int
  private var last: Instant?
  private var lastChange = Instant.zero

  init(_ bounds: ClosedRange<Int>, target: Double) {
    self.bounds = bounds
    self.target = target
    current = bounds.lowerBound
  }
  mutating func readers(for cluster: ClusterLoad, now: Instant) -> Int {
    if last == now { return current }
    last = now
    // Readers where there are some; else the writer has their load.
    let loads = cluster.readers.isEmpty ? [cluster.writer].compactMap(\.self) : cluster.readers
    let total = loads.reduce(0.0) { $0 + ($1.processorShare.isNaN ? 0 : min(1, max(0, $1.processorShare))) }
    let wanted = min(bounds.upperBound, max(bounds.lowerBound, Int((total / target).rounded(.up))))
    if wanted > current {
      (current, lastChange) = (wanted, now)
    } else if wanted < current,
      now.nanoseconds - min(now.nanoseconds, lastChange.nanoseconds) >= Self.shrinkInterval
    {
      (current, lastChange) = (current - 1, now)
    }
    return current
  }
}
