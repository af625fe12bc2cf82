public import BorealisCapacityScaler
import BorealisClusterModel
import BorealisCore

/// The checks that every `ReaderScaler` has to pass; the numbers are those of the protocol's contract.
///
///     @Test(arguments: ReaderScalerConformance.checks)
///     func conforms(check: ReaderScalerConformance.Check) throws { try check.run(MyScaler()) }
public enum ReaderScalerConformance {
  /// One named check.
  public struct Check: Sendable, CustomStringConvertible {
    /// The name, beginning with the number in the contract.
    public let name: String
    let body: @Sendable (any ReaderScaler) throws -> Void

    /// Runs the check on copies of a scaler that was not asked yet.
    ///
    /// - Throws: the reason why `scaler` does not pass.
    public func run(_ scaler: any ReaderScaler) throws(ConformanceFailure) {
      do { try body(scaler) } catch { throw ConformanceFailure(check: name, reason: "\(error)") }
    }
    /// The name.
    public var description: String { name }
  }

  /// All checks.
  public static let checks: [Check] = [
    Check(name: "1 the same value and arguments give the same answers", body: answersRepeat),
    Check(name: "1 asked twice at one moment it says the same", body: answersAreStable),
    Check(name: "1 a load out of range is taken as it comes", body: strangeLoads),
    Check(name: "2 the bounds lie within 0...15", body: boundsArePossible),
    Check(name: "2 every answer lies within the bounds, which stay", body: answersAreWithinBounds),
  ]
}

/// Asks a copy of `scaler` many times; the clusters have as many readers as come.
@discardableResult
private func answers(
  _ scaler: any ReaderScaler, seed: UInt64,
  _ look: (inout any ReaderScaler, ClusterLoad, Instant, Int) throws -> Void = { _, _, _, _ in }
) throws -> [Int] {
  var (scaler, loads, result) = (scaler, LoadGenerator(seed: seed), [Int]())
  for _ in 0..<300 {
    loads.passTime()
    let cluster = loads.cluster(InstanceCapacity(acu: 2), role: .writer, tier: 1)
    let answer = scaler.readers(for: cluster, now: loads.now)
    try look(&scaler, cluster, loads.now, answer)
    result.append(answer)
  }
  return result
}

private func answersRepeat(_ scaler: any ReaderScaler) throws {
  let (first, other) = (try answers(scaler, seed: 1), try answers(scaler, seed: 2))
  for _ in 0..<3 {
    try demand(try answers(scaler, seed: 1) == first, "the same questions had other answers the second time")
    try demand(try answers(scaler, seed: 2) == other, "the same questions had other answers the second time")
  }
}

private func answersAreStable(_ scaler: any ReaderScaler) throws {
  for seed in 0..<8 {
    try answers(scaler, seed: UInt64(seed)) { scaler, cluster, now, answer in
      for _ in 0..<3 {
        let again = scaler.readers(for: cluster, now: now)
        try demand(again == answer, "said \(answer), and \(again) when it was asked again at once")
      }
    }
  }
}

private func strangeLoads(_ scaler: any ReaderScaler) throws {
  let bounds = scaler.bounds
  var (scaler, now) = (scaler, Instant.zero)
  for (_, cluster) in LoadGenerator.strange(InstanceCapacity(acu: 2)) {
    now = now.advanced(byMilliseconds: 30_000)
    let answer = scaler.readers(for: cluster, now: now)
    try demand(bounds.contains(answer), "said \(answer), outside of \(bounds), for \(cluster)")
  }
  // More readers than there may be.
  let crowd = (0..<1000).map { InstanceLoad(instance: "i\($0)", role: .reader, capacity: InstanceCapacity(acu: 1)) }
  let answer = scaler.readers(for: ClusterLoad(instances: crowd), now: Instant(nanoseconds: .max))
  try demand(bounds.contains(answer), "said \(answer), outside of \(bounds), for a thousand readers")
}

private func boundsArePossible(_ scaler: any ReaderScaler) throws {
  let bounds = scaler.bounds
  try demand(bounds.lowerBound >= 0 && bounds.upperBound <= 15, "the bounds are \(bounds)")
}

private func answersAreWithinBounds(_ scaler: any ReaderScaler) throws {
  let bounds = scaler.bounds
  for seed in 0..<16 {
    try answers(scaler, seed: UInt64(seed)) { scaler, _, _, answer in
      try demand(bounds.contains(answer), "said \(answer), outside of \(bounds)")
      try demand(scaler.bounds == bounds, "had the bounds \(bounds), now \(scaler.bounds)")
    }
  }
}
