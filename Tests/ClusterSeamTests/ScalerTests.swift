import Borealis
import BorealisConformance
import Synchronization
import Testing

/// The built-in scaler and two as they will come against the suites, and broken ones that these must reject.
@Suite struct ScalerConformanceTests {
  @Test(arguments: CapacityScalerConformance.checks)
  func provisionedConforms(check: CapacityScalerConformance.Check) throws {
    for size in InstanceClass.all { try check.run(ProvisionedScaler(size)) }
  }
  @Test(arguments: CapacityScalerConformance.checks)
  func aServerlessScalerConforms(check: CapacityScalerConformance.Check) throws {
    try check.run(SmallServerlessScaler())
    try check.run(SmallServerlessScaler(2, 2))
    try check.run(SmallServerlessScaler(0, 256))
  }
  @Test(arguments: ReaderScalerConformance.checks)
  func targetTrackingConforms(check: ReaderScalerConformance.Check) throws {
    try check.run(TargetTrackingScaler(0...15, target: 0.6))
    try check.run(TargetTrackingScaler(2...4, target: 0.1))
  }

  @Test("the interface has what Serverless v2 needs: it grows fast, shrinks gradually, and readers follow the writer")
  func serverless() {
    var (scaler, now) = (SmallServerlessScaler(), Instant(nanoseconds: 1_000_000_000))
    func ask(_ share: Double, role: InstanceRole = .writer, tier: PromotionTier = 1, writer: Double? = nil) -> Double {
      let load = InstanceLoad(
        instance: "i", role: role, tier: tier, capacity: InstanceCapacity(acu: 1), processorShare: share)
      var all = [load]
      if let writer {
        all.insert(InstanceLoad(instance: "w", role: .writer, capacity: InstanceCapacity(acu: writer)), at: 0)
      }
      now = now.advanced(byMilliseconds: 1000)
      return scaler.capacity(for: load, in: ClusterLoad(instances: all), now: now).acu
    }
    #expect((0..<6).map { _ in ask(0.95) } == [1, 2, 4, 8, 16, 16])
    // Half an ACU in a minute.
    #expect((0..<120).map { _ in ask(0.1) }.last == 15)
    #expect(ask(0.1, role: .reader, tier: 1, writer: 16) == 16)
    #expect(ask(0.1, role: .reader, tier: 2, writer: 16) == 15)
  }

  @Test("the interface has what target tracking needs")
  func targetTracking() {
    var scaler = TargetTrackingScaler(1...8, target: 0.5)
    func cluster(_ readers: Int, _ share: Double) -> ClusterLoad {
      ClusterLoad(
        instances: [InstanceLoad(instance: "w", role: .writer, capacity: InstanceCapacity(acu: 1))]
          + (0..<readers).map {
            InstanceLoad(
              instance: "r\($0)", role: .reader, capacity: InstanceCapacity(acu: 1), processorShare: share)
          })
    }
    #expect(scaler.readers(for: cluster(1, 1), now: Instant(nanoseconds: 1)) == 2)
    #expect(scaler.readers(for: cluster(2, 1), now: Instant(nanoseconds: 2)) == 4)
    #expect(scaler.readers(for: cluster(4, 0.1), now: Instant(nanoseconds: 3)) == 4)
    #expect(scaler.readers(for: cluster(4, 0.1), now: Instant(nanoseconds: 400_000_000_000)) == 3)
  }

  private func rejected(_ flaw: Flaw) -> [String] {
    CapacityScalerConformance.checks.filter { check in
      do throws(ConformanceFailure) { try check.run(BrokenScaler(flaw)) } catch { return true }
      return false
    }.map(\.name)
  }
  private func rejectedReaders(_ flaw: Flaw) -> [String] {
    ReaderScalerConformance.checks.filter { check in
      do throws(ConformanceFailure) { try check.run(BrokenReaderScaler(flaw)) } catch { return true }
      return false
    }.map(\.name)
  }

  @Test func theBrokenScalersAreSoundWithoutTheirFlaw() {
    #expect(rejected(.none) == [] && rejectedReaders(.none) == [])
  }
  @Test func brokenScalersAreRejectedByTheCheckForTheirPromise() {
    let repeats = "1 the same value and arguments give the same answers"
    #expect(rejected(.rollsDice).contains(repeats) && rejectedReaders(.rollsDice).contains(repeats))
    #expect(rejected(.sharesState) == [repeats] && rejectedReaders(.sharesState) == [repeats])
    #expect(rejected(.startsOutside) == ["2 the first size lies within the bounds"])
    #expect(rejected(.answersOutside).contains("2 every answer lies within the bounds, which stay"))
    #expect(rejectedReaders(.answersOutside).contains("2 every answer lies within the bounds, which stay"))
    #expect(rejected(.movesBounds) == ["2 every answer lies within the bounds, which stay"])
    #expect(rejected(.stepsWithEachQuestion) == ["3 asked twice at one moment it says the same"])
    #expect(rejectedReaders(.stepsWithEachQuestion) == ["1 asked twice at one moment it says the same"])
    #expect(rejected(.believesAnything) == ["4 a load out of range is taken as it comes"])
    #expect(rejectedReaders(.believesAnything) == ["1 a load out of range is taken as it comes"])
    #expect(rejectedReaders(.startsOutside) == ["2 the bounds lie within 0...15"])
  }
  @Test func everyCheckRejectsSomething() {
    #expect(Set(Flaw.allCases.flatMap { rejected($0) }) == Set(CapacityScalerConformance.checks.map(\.name)))
    #expect(Set(Flaw.allCases.flatMap { rejectedReaders($0) }) == Set(ReaderScalerConformance.checks.map(\.name)))
  }
}

/// What is wrong with a scaler.
private enum Flaw: CaseIterable {
  case none, rollsDice, sharesState, startsOutside, answersOutside, movesBounds, stepsWithEachQuestion, believesAnything
}
private final class SharedCount: Sendable {
  let count = Mutex(0)
  func next() -> Int {
    count.withLock { count in
      count += 1
      return count
    }
  }
}

private struct BrokenScaler: CapacityScaler {
  let flaw: Flaw
  private var asked = 0
  private let shared = SharedCount()
  init(_ flaw: Flaw) { self.flaw = flaw }
  var initial: InstanceCapacity { InstanceCapacity(acu: flaw == .startsOutside ? 0.5 : 1) }
  var bounds: ClosedRange<InstanceCapacity> {
    InstanceCapacity(acu: 1)...InstanceCapacity(acu: flaw == .movesBounds && asked > 100 ? 9 : 8)
  }
  mutating func capacity(for load: InstanceLoad, in _: ClusterLoad, now: Instant) -> InstanceCapacity {
    asked += 1
    let share = load.processorShare.isNaN ? 0 : min(1, max(0, load.processorShare))
    switch flaw {
    case .none, .startsOutside, .movesBounds: return InstanceCapacity(acu: 1 + (share * 14).rounded() / 2)
    case .rollsDice: return InstanceCapacity(acu: Double(Int.random(in: 1...8)))
    // 2000 is a multiple of the four questions that one moment has: it says the same when it is asked again at once.
    case .sharesState: return InstanceCapacity(acu: shared.next() > 2000 ? 2 : 1)
    case .answersOutside: return InstanceCapacity(acu: share * 10)
    case .stepsWithEachQuestion: return InstanceCapacity(acu: Double(asked % 8 + 1))
    // Right for shares up to a few processors; what cannot be leaves the bounds.
    case .believesAnything:
      let memory = UInt64(max(3, min(16, 3 + load.processorShare)))
      return InstanceCapacity(memory: .gibibytes(memory), processors: load.processorShare)
    }
  }
}

private struct BrokenReaderScaler: ReaderScaler {
  let flaw: Flaw
  private var asked = 0
  private let shared = SharedCount()
  init(_ flaw: Flaw) { self.flaw = flaw }
  var bounds: ClosedRange<Int> {
    if flaw == .startsOutside { return 0...16 }
    return 0...(flaw == .movesBounds && asked > 100 ? 9 : 8)
  }
  mutating func readers(for cluster: ClusterLoad, now: Instant) -> Int {
    asked += 1
    switch flaw {
    case .none, .startsOutside, .movesBounds: return min(8, cluster.instances.count)
    case .rollsDice: return Int.random(in: 0...8)
    case .sharesState: return shared.next() > 2000 ? 2 : 1
    case .answersOutside: return cluster.instances.count
    case .stepsWithEachQuestion: return asked % 8
    // As many connections as no cluster has.
    case .believesAnything:
      let connections = cluster.instances.reduce(0) { $0 &+ ($1.connections == .min ? 0 : $1.connections) }
      return connections < 0 || connections > 100_000 ? -1 : min(8, connections / 1000)
    }
  }
}
