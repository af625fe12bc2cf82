import BorealisCore
import BorealisReplicationPolicy
import BorealisWire
import Testing

@testable import BorealisVolume

/// A zone and one copy more are lost for good: three of six are left.
struct RebuildTests {
  static func lost(_ nodes: [UInt32], _ policy: any ReplicationPolicy = AuroraPolicy()) -> VolumeRecovery.Rebuild {
    VolumeRecovery.Rebuild(lost: nodes.map { NodeID($0) }, policy: policy)
  }
  /// Nodes 2 and 5 are zone c; 1 is in zone b.
  ///
  /// Record 6 was acknowledged on 1, 2, 5 and 0: only 0 is left of those.
  static func cluster(_ policy: any ReplicationPolicy = AuroraPolicy()) throws -> SmallCluster {
    let cluster = try SmallCluster(policy: policy)
    cluster.fill([6, 6, 6, 2, 4, 6])
    for node in [1, 2, 5] { cluster.nodes[node].isUp = false }
    return cluster
  }

  @Test("opens with the three that are left, everything acknowledged on all of them, and writes by 3/4")
  func opens() throws {
    let cluster = try RebuildTests.cluster()
    let box = cluster.recovery(2, rebuild: RebuildTests.lost([1, 2, 5]))
    cluster.run(box)
    let opened = try #require(box.outcome, "\(box.progress)")
    #expect(opened.vdl == LSN(6))
    let configuration = opened.groups[0].configuration
    #expect(configuration.members.map(\.node.value).sorted() == [0, 1, 3, 4])
    #expect(configuration.pending == nil && configuration.proposedBy == VolumeEpoch(2))
    let left = configuration.set { [0, 3, 4].contains($0.value) }
    #expect(configuration.rule.isWriteQuorum(left))
    #expect(!configuration.rule.isWriteQuorum(configuration.set { [0, 3].contains($0.value) }))
    for node in [0, 3, 4] {
      #expect(cluster.nodes[node].scl(0) == LSN(6))
      #expect(cluster.nodes[node].segments[0]?.configuration.isSameProposal(as: configuration) == true)
    }
    // The next opener knows nothing of the loss and opens all the same.
    let next = cluster.recovery(3)
    cluster.run(next)
    #expect(next.outcome?.vdl == LSN(6))
  }

  @Test("without that word, or with less of it, it waits")
  func waits() throws {
    for rebuild in [nil, RebuildTests.lost([2, 5]), RebuildTests.lost([1, 2]), RebuildTests.lost([])] {
      let cluster = try RebuildTests.cluster()
      let box = cluster.recovery(2, rebuild: rebuild)
      cluster.run(box, milliseconds: 2000)
      #expect(box.outcome == nil)
      for node in cluster.nodes {
        #expect(node.segments[0]?.configuration.isSameProposal(as: cluster.configuration) == true)
      }
    }
  }

  @Test("three lost in three zones, or four: there is no rule for it, it waits")
  func noRule() throws {
    for lost in [[0, 1, 2], [1, 2, 4, 5]] {
      let cluster = try SmallCluster(policy: AuroraPolicy())
      cluster.fill([6, 6, 6, 6, 6, 6])
      for node in lost { cluster.nodes[node].isUp = false }
      let box = cluster.recovery(2, rebuild: RebuildTests.lost(lost.map { UInt32($0) }))
      cluster.run(box, milliseconds: 2000)
      #expect(box.outcome == nil)
    }
  }

  @Test("where a write quorum answers, the word changes nothing")
  func notNeeded() throws {
    let cluster = try SmallCluster(policy: AuroraPolicy())
    cluster.fill([6, 6, 6, 6, 6, 6])
    for node in [2, 5] { cluster.nodes[node].isUp = false }
    let box = cluster.recovery(2, rebuild: RebuildTests.lost([2, 5]))
    cluster.run(box)
    #expect(box.outcome?.groups[0].configuration.members.count == 6)
  }

  @Test(
    "interrupted at any message, the next attempt finds the same end of the log",
    arguments: ["aurora", "full-and-tail"])
  func interrupted(name: String) throws {
    let policy = try #require(BuiltInPolicies.named(name))
    var opened = 0
    for stop in 0..<80 {
      let cluster = try RebuildTests.cluster(policy)
      let first = cluster.recovery(2, rebuild: RebuildTests.lost([1, 2, 5], policy))
      cluster.run(first, messages: stop)
      if first.outcome != nil { opened += 1 }
      cluster.network.removeAll()
      let second = cluster.recovery(3, rebuild: RebuildTests.lost([1, 2, 5], policy))
      cluster.run(second, milliseconds: 2000)
      #expect(second.outcome?.vdl == LSN(6), "\(name), interrupted after \(stop): \(second.progress)")
    }
    #expect(opened > 0, "some attempts were left to end")
  }
}
