import Borealis
import Testing

@Suite("Cluster: configuration")
struct ConfigurationTests {
  private func problems(_ configuration: ClusterConfiguration) -> [String] {
    do throws(ClusterConfigurationError) {
      try configuration.validate()
      return []
    } catch { return error.problems.map(\.setting) }
  }

  @Test("names and zones are filled in")
  func resolved() {
    let configuration = ClusterConfiguration("orders") {
      Reader(identifier: "orders-2")
      Readers(2)
    }
    let all = configuration.resolvedInstances
    #expect(all.map(\.identifier) == ["orders-1", "orders-2", "orders-3", "orders-4"])
    #expect(all.map(\.role) == [.writer, .reader, .reader, .reader])
    #expect(all.map(\.zone) == ["a", "b", "c", "a"])
    #expect(problems(configuration) == [])
  }

  @Test("parts can be listed with if and for")
  func builder() {
    let large = true
    let configuration = ClusterConfiguration("orders") {
      Zones("x", "y", "z")
      if large { Writer(.provisioned(.r6gLarge)) } else { Writer() }
      for tier in 0..<3 { Reader(tier: PromotionTier(tier)) }
    }
    #expect(configuration.instances.count == 4)
    #expect(configuration.resolvedInstances.map(\.zone) == ["x", "y", "z", "x"])
  }

  @Test("each fault is told with its setting, all together")
  func everyFault() {
    let configuration = ClusterConfiguration("Orders") {
      Zones("a", "a")
      Storage(.inMemory, spares: -1)
      Writer(tier: 16)
      Writer(identifier: "x--y")
      Reader(identifier: "r", zone: "q")
      Reader(InstanceClassWithoutMemory(), identifier: "r")
      CustomEndpoint("reader", .any, .only(["nobody"]))
      CustomEndpoint("empty", .any, .only([]))
    }
    #expect(
      problems(configuration) == [
        "identifier", "zones", "zones", "storage.spares", "instances", "instances[Orders-1].identifier",
        "instances[Orders-1].tier", "instances[x--y].identifier", "instances[r].zone", "instances[r].identifier",
        "instances[r].capacity", "customEndpoints[reader].name", "customEndpoints[reader].members",
        "customEndpoints[empty].members",
      ])
  }
  /// A scaler that gives too little.
  private struct InstanceClassWithoutMemory: CapacityScaler {
    let initial = InstanceCapacity(memory: ByteCount(0), processors: 0)
    var bounds: ClosedRange<InstanceCapacity> { initial...initial }
    mutating func capacity(for _: InstanceLoad, in _: ClusterLoad, now _: Instant) -> InstanceCapacity { initial }
  }

  @Test("sixteen readers are refused")
  func tooManyReaders() { #expect(problems(ClusterConfiguration("o") { Readers(16) }) == ["instances"]) }

  @Test("an error reads as sentences with the setting, the reason and what would be right")
  func text() {
    do throws(ClusterConfigurationError) {
      try ClusterConfiguration("orders") { Writer(tier: 99) }.validate()
    } catch {
      #expect(
        error.description == """
          cluster 'orders' cannot be built:
            - instances[orders-1].tier: is 99; give 0 (promoted first) to 15 (last)
          """)
    }
  }

  @Test("a wrong configuration starts nothing")
  func startRefuses() async {
    let error = await #expect(throws: ClusterError.self) {
      try await Cluster.start(ClusterConfiguration("orders") { Readers(16) })
    }
    guard case .configuration = error else { return #expect(Bool(false), "\(String(describing: error))") }
  }

  @Test(
    "identifiers",
    arguments: [
      ("orders-1", true), ("a", true), ("", false), ("1a", false), ("a-", false), ("a--b", false), ("A", false),
      ("a_b", false), (String(repeating: "a", count: 63), true), (String(repeating: "a", count: 64), false),
    ])
  func identifiers(_ name: String, _ isValid: Bool) { #expect((IdentifierRules.problem(of: name) == nil) == isValid) }

  @Test("the table of classes: names are unique, families grow, connections follow the memory")
  func classes() {
    #expect(Set(InstanceClass.all.map(\.name)).count == InstanceClass.all.count)
    #expect(InstanceClass.named("db.r6g.large") == .r6gLarge)
    #expect(InstanceClass.r6gLarge.capacity.connectionsMax == 1802)
    #expect(InstanceClass.r6g2XLarge.capacity.connectionsMax == 5000)
    #expect(InstanceCapacity(acu: 0.5).memory == .gibibytes(1) && InstanceCapacity(acu: 256).memory == .gibibytes(512))
  }
}
