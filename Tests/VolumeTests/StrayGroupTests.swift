import BorealisCore
import BorealisReplicationPolicy
import BorealisWire
import Testing

@testable import BorealisVolume

/// What a writer that died while it grew has left somewhere is never taken for a group (R4, R8; the story of seed 56351).
struct StrayGroupTests {
  /// Five nodes, one copy: group 0 on node 0, group 1 on node 2, decided by writer 6, and a stray of writer 1 on node 1.
  private static func grown(stray ballot: UInt32, decided: UInt32 = 6) throws -> SmallCluster {
    let policy = try #require(BuiltInPolicies.named("single"))
    let cluster = try SmallCluster(policy: policy)
    for node in 1..<5 {
      cluster.nodes.append(RecoveryNode(id: NodeID(UInt32(node)), volume: SmallCluster.volume, groups: 2))
    }
    cluster.fill([2])
    cluster.nodes[0].segments[0]?.configuration.proposedBy = VolumeEpoch(6)
    cluster.nodes[0].segments[0]?.configuration.geometry = 2
    for (node, writer) in [(1, ballot), (2, decided)] {
      var first = cluster.configuration
      first.group = ProtectionGroupID(1)
      first.geometry = 0
      first.members[0].node = NodeID(UInt32(node))
      first.proposedBy = VolumeEpoch(writer)
      cluster.nodes[node].segments[1] = RecoveryNode.Segment(configuration: first)
    }
    for node in cluster.nodes.indices { cluster.nodes[node].epoch = VolumeEpoch(6) }
    return cluster
  }

  @Test("a group's stray first proposal is not opened while those that hold the decided one are silent")
  func waitsForTheDecidedOne() throws {
    let cluster = try Self.grown(stray: 1)
    cluster.nodes[2].isUp = false
    let box = cluster.recovery(8)
    cluster.run(box)
    #expect(box.outcome == nil && box.phase == .learning && box.progress.contains("pg1"), "\(box.progress)")
    #expect(cluster.nodes[1].segments[1]?.configuration.proposedBy == VolumeEpoch(1))
    cluster.nodes[2].isUp = true
    cluster.run(box)
    let opened = try #require(box.outcome, "\(box.progress)")
    #expect(opened.groups[1].configuration.members.map(\.node) == [NodeID(2)])
  }

  @Test("a geometry heard late makes known groups unknown: the opening learns again, and does not hang")
  func learnsAgain() throws {
    let cluster = try Self.grown(stray: 1, decided: 9)
    let news = try #require(cluster.nodes[0].segments[0]?.configuration)
    cluster.nodes[0].segments[0]?.configuration.proposedBy = VolumeEpoch(1)
    cluster.nodes[2].isUp = false
    cluster.nodes[0].isUp = false
    let box = cluster.recovery(10)
    cluster.run(box)
    // An inventory of before the growth, on its way for long.
    var old = news
    old.proposedBy = VolumeEpoch(1)
    let header = MessageHeader(
      volume: SmallCluster.volume, sender: .node(NodeID(0)), volumeEpoch: .zero, group: .init(0), membershipEpoch: .zero
    )
    box.machine.receive(Message.inventory([old]).encoded(header), now: cluster.now, into: &cluster.network)
    cluster.run(box)
    #expect(box.phase == .preparing, "\(box.progress)")
    cluster.nodes[0].segments[0]?.configuration.proposedBy = VolumeEpoch(9)
    cluster.nodes[0].isUp = true
    cluster.run(box)
    #expect(box.phase == .learning && box.progress.contains("pg1"), "\(box.progress)")
    cluster.nodes[2].isUp = true
    cluster.run(box)
    #expect(box.outcome?.groups[1].configuration.members.map(\.node) == [NodeID(2)], "\(box.progress)")
  }

  @Test("every opening decides all configurations under its own ballot, group 0 after all others")
  func firstGroupLast() throws {
    let cluster = try SmallCluster(policy: AuroraPolicy(), groups: 3)
    let box = cluster.recovery(7)
    func holders(of group: Int) -> MemberSet {
      cluster.configuration.set { node in
        cluster.nodes[Int(node.value)].segments[group]?.configuration.proposedBy == VolumeEpoch(7)
      }
    }
    var isFirstSeen = false
    for _ in 0..<5000 where box.outcome == nil {
      cluster.run(box, messages: 1)
      guard !holders(of: 0).isEmpty else { continue }
      isFirstSeen = true
      for group in [1, 2] { #expect(cluster.configuration.isWriteQuorum(holders(of: group))) }
    }
    let opened = try #require(box.outcome, "\(box.progress)")
    #expect(isFirstSeen)
    for group in 0..<3 {
      #expect(opened.groups[group].configuration.proposedBy == VolumeEpoch(7))
      #expect(cluster.configuration.isWriteQuorum(holders(of: group)))
    }
  }
}
