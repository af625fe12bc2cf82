public import BorealisCapacityScaler
import BorealisClusterModel
import BorealisCore

/// The checks that every `CapacityScaler` has to pass; the numbers are those of the protocol's contract.
///
///     @Test(arguments: CapacityScalerConformance.checks)
///     func conforms(check: CapacityScalerConformance.Check) throws { try check.run(MyScaler()) }
public enum CapacityScalerConformance {
  /// One named check.
  public struct Check: Sendable, CustomStringConvertible {
    /// The name, beginning with the number in the contract.
    public let name: String
    let body: @Sendable (any CapacityScaler) throws -> Void

    /// Runs the check on copies of a scaler that was not asked yet.
    ///
    /// - Throws: the reason why `scaler` does not pass.
    public func run(_ scaler: any CapacityScaler) throws(ConformanceFailure) {
      do { try body(scaler) } catch { throw ConformanceFailure(check: name, reason: "\(error)") }
    }
    /// The name.
    public var description: String { name }
  }

  /// All checks.
  public static let checks: [Check] = [
    Check(name: "1 the same value and arguments give the same answers", body: answersRepeat),
    Check(name: "2 the first size lies within the bounds", body: initialIsWithinBounds),
    Check(name: "2 every answer lies within the bounds, which stay", body: answersAreWithinBounds),
    Check(name: "3 asked twice at one moment it says the same", body: answersAreStable),
    Check(name: "4 a load out of range is taken as it comes", body: strangeLoads),
  ]
}

/// Loads of clusters as they may be measured, and as they should not be.
struct LoadGenerator {
  var random: DeterministicGenerator
  private(set) var now = Instant(nanoseconds: 1_000_000_000)
  init(seed: UInt64) { random = DeterministicGenerator(seed: seed) }

  /// From milliseconds to a day later: scalers wait for minutes.
  mutating func passTime() {
    now = now.advanced(byMilliseconds: random.within(1...(random.chance(1, in: 20) ? 86_400_000 : 90_000)))
  }
  /// A cluster of a writer and up to fifteen readers; the first instance has `capacity`.
  mutating func cluster(_ capacity: InstanceCapacity, role: InstanceRole, tier: PromotionTier) -> ClusterLoad {
    let quiet = random.chance(1, in: 3)
    var instances = [instance(0, role, tier, capacity, quiet)]
    if role == .reader { instances.insert(instance(99, .writer, 1, InstanceCapacity(acu: 4), quiet), at: 0) }
    for i in 0..<random.index(15) {
      instances.append(instance(i + 1, .reader, PromotionTier(random.index(16)), InstanceCapacity(acu: 2), quiet))
    }
    return ClusterLoad(instances: instances)
  }
  private mutating func instance(
    _ number: Int, _ role: InstanceRole, _ tier: PromotionTier, _ capacity: InstanceCapacity, _ quiet: Bool
  ) -> InstanceLoad {
    InstanceLoad(
      instance: "i\(number)", role: role, tier: tier, capacity: capacity,
      processorShare: quiet ? 0 : Double(random.below(1200)) / 1000,
      memoryUsed: ByteCount(random.below(capacity.memory.value + 1)), connections: quiet ? 0 : random.index(500),
      idleNanoseconds: quiet ? random.below(3_600_000_000_000) : 0)
  }

  /// Loads that no instance has, and clusters that no cluster is.
  static func strange(_ capacity: InstanceCapacity) -> [(InstanceLoad, ClusterLoad)] {
    let shares: [Double] = [0, -1, 1.5, 1e300, .infinity, -.infinity, .nan]
    let sizes: [InstanceCapacity] = [
      capacity, InstanceCapacity(memory: ByteCount(0), processors: 0),
      InstanceCapacity(memory: ByteCount(.max), processors: .infinity),
      InstanceCapacity(memory: ByteCount(1), processors: .nan),
    ]
    return sizes.flatMap { size in
      shares.flatMap { share in
        [(0, 0), (Int.max, UInt64.max), (Int.min, 1)].flatMap { connections, idle in
          let load = InstanceLoad(
            instance: "strange", role: .reader, tier: 0, capacity: size, processorShare: share,
            memoryUsed: ByteCount(.max), connections: connections, idleNanoseconds: idle)
          var writer = load
          (writer.instance, writer.role) = ("writer", .writer)
          return [[], [load], [writer, load], [writer]].map { (load, ClusterLoad(instances: $0)) }
        }
      }
    }
  }
}

/// Asks a copy of `scaler` many times, as a cluster would: each load has the capacity answered before.
@discardableResult
private func answers(
  _ scaler: any CapacityScaler, seed: UInt64,
  _ look: (inout any CapacityScaler, InstanceLoad, ClusterLoad, Instant, InstanceCapacity) throws -> Void = {
    _, _, _, _, _ in
  }
) throws -> [InstanceCapacity] {
  var (scaler, loads, result) = (scaler, LoadGenerator(seed: seed), [InstanceCapacity]())
  let role: InstanceRole = seed % 2 == 0 ? .writer : .reader
  let tier = PromotionTier(Int(seed % 16))
  var capacity = scaler.initial
  for _ in 0..<300 {
    loads.passTime()
    let cluster = loads.cluster(capacity, role: role, tier: tier)
    guard let instance = cluster.instances.first(where: { $0.instance == "i0" }) else { continue }
    capacity = scaler.capacity(for: instance, in: cluster, now: loads.now)
    try look(&scaler, instance, cluster, loads.now, capacity)
    result.append(capacity)
  }
  return result
}

private func answersRepeat(_ scaler: any CapacityScaler) throws {
  let (first, other) = (try answers(scaler, seed: 1), try answers(scaler, seed: 2))
  for _ in 0..<3 {
    try demand(try answers(scaler, seed: 1) == first, "the same questions had other answers the second time")
    try demand(try answers(scaler, seed: 2) == other, "the same questions had other answers the second time")
  }
}

private func initialIsWithinBounds(_ scaler: any CapacityScaler) throws {
  try demand(scaler.bounds.contains(scaler.initial), "starts with \(scaler.initial), outside of \(scaler.bounds)")
}

private func answersAreWithinBounds(_ scaler: any CapacityScaler) throws {
  let bounds = scaler.bounds
  for seed in 0..<16 {
    try answers(scaler, seed: UInt64(seed)) { scaler, _, _, _, answer in
      try demand(bounds.contains(answer), "said \(answer), outside of \(bounds)")
      try demand(scaler.bounds == bounds, "had the bounds \(bounds), now \(scaler.bounds)")
    }
  }
}

private func answersAreStable(_ scaler: any CapacityScaler) throws {
  for seed in 0..<8 {
    try answers(scaler, seed: UInt64(seed)) { scaler, instance, cluster, now, answer in
      for _ in 0..<3 {
        let again = scaler.capacity(for: instance, in: cluster, now: now)
        try demand(again == answer, "said \(answer), and \(again) when it was asked again at once")
      }
    }
  }
}

private func strangeLoads(_ scaler: any CapacityScaler) throws {
  let bounds = scaler.bounds
  var (scaler, now) = (scaler, Instant.zero)
  for (load, cluster) in LoadGenerator.strange(scaler.initial) {
    now = now.advanced(byMilliseconds: 30_000)
    let answer = scaler.capacity(for: load, in: cluster, now: now)
    try demand(bounds.contains(answer), "said \(answer), outside of \(bounds), for \(load)")
  }
  let load = InstanceLoad(instance: "i0", role: .writer, capacity: scaler.initial)
  let last = scaler.capacity(for: load, in: ClusterLoad(instances: [load]), now: Instant(nanoseconds: .max))
  try demand(bounds.contains(last), "said \(last), outside of \(bounds), at the end of time")
}
