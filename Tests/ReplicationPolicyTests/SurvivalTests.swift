import BorealisReplicationPolicy
import Testing

@Suite struct SurvivalTests {
  @Test("what the built-in policies survive is what their papers and names say")
  func builtIn() {
    let all = BuiltInPolicies.all.map { policy in
      let survival = PolicySurvival(policy)
      return "\(policy.name): \(survival.ofWrites) / \(survival.ofReads)"
    }
    #expect(
      all == [
        "aurora: 2 nodes, a zone / 3 nodes, a zone and 1", "full-and-tail: 2 nodes, a zone / 2 nodes, a zone and 1",
        "zone-lost: 1 node / 2 nodes, a zone", "majority: 1 node, a zone / 1 node, a zone",
        "single: nothing / nothing", "mirrored-pages: 2 nodes, a zone / 3 nodes, a zone and 1",
      ])
  }
}
