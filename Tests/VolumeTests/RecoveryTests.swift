import BorealisCore
import BorealisReplicationPolicy
import BorealisWire
import Testing

@testable import BorealisVolume

/// A few nodes, one group, no faults but those asked for.
final class SmallCluster {
  static let volume = VolumeID(3)
  var nodes: [RecoveryNode]
  var network: [Outgoing] = []
  var now = Instant.zero
  let configuration: GroupConfiguration

  init(policy: any ReplicationPolicy, groups: Int = 1) throws {
    let topology = (0..<policy.copies).map {
      NodePlacement(node: NodeID(UInt32($0)), zone: ZoneID(UInt8($0 % policy.zones)))
    }
    nodes = topology.map { RecoveryNode(id: $0.node, volume: SmallCluster.volume, groups: groups) }
    let first = try (0..<groups).map {
      try policy.firstConfiguration(group: ProtectionGroupID(UInt32($0)), over: topology, proposedBy: VolumeEpoch(1))
    }
    configuration = first[0]
    for i in nodes.indices {
      for (id, var configuration) in first.enumerated() {
        configuration.geometry = id == 0 ? UInt32(groups) : 0
        nodes[i].segments[id] = RecoveryNode.Segment(configuration: configuration)
      }
      nodes[i].epoch = VolumeEpoch(1)
    }
  }
  /// Puts records 1...n of group 0 on the nodes up to the SCL that `scls` names; even LSNs are consistency points.
  func fill(_ scls: [Int], knownVDL: [Int] = []) {
    for (node, scl) in scls.enumerated() {
      for lsn in 1..<max(1, scl + 1) { put(lsn, on: node) }
    }
    for (node, vdl) in knownVDL.enumerated() { nodes[node].knownVDL = LSN(UInt64(vdl)) }
  }
  func put(_ lsn: Int, on node: Int) {
    nodes[node].segments[0]?.records.append(
      RecordHeader(
        lsn: LSN(UInt64(lsn)), previousInVolume: LSN(UInt64(lsn - 1)), previousInGroup: LSN(UInt64(lsn - 1)),
        previousOfPage: .zero, page: PageID(object: ObjectID(1), index: 0), group: ProtectionGroupID(0),
        epoch: VolumeEpoch(1), kind: .discard, isConsistencyPoint: lsn % 2 == 0, payloadSize: 0))
  }
  func recovery(_ epoch: UInt32, rebuild: VolumeRecovery.Rebuild? = nil) -> RecoveryWorld.RecoveryBox {
    var machine = VolumeRecovery(
      volume: SmallCluster.volume, epoch: VolumeEpoch(epoch), instance: .instance(epoch), nodes: nodes.map(\.id),
      allocationLimit: 40, rebuild: rebuild, now: now)
    machine.start(now: now, into: &network)
    return RecoveryWorld.RecoveryBox(machine, epoch: VolumeEpoch(epoch))
  }
  func run(_ box: RecoveryWorld.RecoveryBox, milliseconds: Int = 600, until phase: VolumeRecovery.Phase? = nil) {
    for _ in 0..<(milliseconds / 5) {
      deliver(box, until: phase)
      if box.phase == phase || box.outcome != nil { return }
      now = now.advanced(byMilliseconds: 5)
      box.machine.tick(now: now, into: &network)
    }
    deliver(box, until: phase)
  }
  /// Delivers so many messages, with ticks where none is left.
  func run(_ box: RecoveryWorld.RecoveryBox, messages: Int) {
    for _ in 0..<messages {
      if network.isEmpty {
        now = now.advanced(byMilliseconds: 5)
        box.machine.tick(now: now, into: &network)
        continue
      }
      let message = network.removeFirst()
      if let node = message.to.node {
        nodes[Int(node.value)].receive(message.bytes, &network)
      } else if message.to == .instance(box.epoch.value) {
        box.machine.receive(message.bytes, now: now, into: &network)
      }
    }
  }
  private func deliver(_ box: RecoveryWorld.RecoveryBox, until phase: VolumeRecovery.Phase?) {
    while !network.isEmpty, box.phase != phase || phase == nil {
      let message = network.removeFirst()
      if let node = message.to.node {
        nodes[Int(node.value)].receive(message.bytes, &network)
      } else if message.to == .instance(box.epoch.value) {
        box.machine.receive(message.bytes, now: now, into: &network)
      }
    }
  }
}

struct RecoveryTests {
  @Test(
    "all 64 survivor sets: opens exactly with a write quorum, waits with a read quorum, never guesses with less",
    arguments: ["aurora", "full-and-tail"])
  func survivors(name: String) throws {
    let policy = try #require(BuiltInPolicies.named(name))
    for bits in 0..<64 {
      let cluster = try SmallCluster(policy: policy)
      let rule = cluster.configuration.rule
      let set = MemberSet(rawValue: UInt16(bits))
      // Record 6 was acknowledged: on ABCD, and on all full members where there are fewer.
      var scls = [6, 7, 6, 6, 2, 0]
      for member in cluster.configuration.members where name == "full-and-tail" && member.kind == .full {
        scls[Int(member.node.value)] = max(6, scls[Int(member.node.value)])
      }
      cluster.fill(scls)
      for i in 0..<6 {
        let index = cluster.configuration.members.firstIndex { $0.node == NodeID(UInt32(i)) } ?? 0
        cluster.nodes[i].isUp = set.contains(MemberSet(member: index))
      }
      let box = cluster.recovery(2)
      cluster.run(box)
      if rule.isWriteQuorum(set) {
        let opened = try #require(box.outcome, "\(set): \(box.progress)")
        #expect(opened.vdl == LSN(6) && opened.groups[0].tail == LSN(6) && opened.nextLSN == LSN(47))
        #expect(opened.truncation.ranges == [LSNRange(after: LSN(6), through: LSN(46))])
        #expect(!opened.isNew)
        continue
      }
      #expect(box.outcome == nil && box.failure == nil)
      if set.isEmpty {
        #expect(box.phase == .learning)
      } else if rule.isReadQuorum(set) {
        #expect(box.phase == .repairing || box.phase == .truncating, "\(set)")
      } else {
        #expect(box.phase == .preparing, "\(set)")
        #expect(box.progress.contains("read quorum"))
      }
      // Nobody has been told to void anything below what a repaired write quorum holds; and when all come back, it opens.
      for i in 0..<6 { cluster.nodes[i].isUp = true }
      cluster.run(box, milliseconds: 1000)
      #expect(box.outcome?.vdl == LSN(6), "\(set): \(box.progress)")
    }
  }

  @Test("a record found on one segment only is kept only once it is on a write quorum")
  func repairsBeforeOpening() throws {
    let cluster = try SmallCluster(policy: AuroraPolicy())
    cluster.fill([4, 4, 4, 4, 2, 8])
    let box = cluster.recovery(2)
    cluster.run(box)
    let opened = try #require(box.outcome)
    #expect(opened.vdl == LSN(8))
    #expect(cluster.nodes.count { $0.scl(0) == LSN(8) } >= 4)
    #expect(opened.groups[0].scls.count { $0 == LSN(8) } >= 4)
  }

  @Test("a node that alone has the end of the log answers, and dies: the volume opens without it")
  func lastOneDies() throws {
    let cluster = try SmallCluster(policy: AuroraPolicy())
    cluster.fill([4, 4, 4, 4, 2, 8])
    let box = cluster.recovery(2)
    cluster.run(box, until: .repairing)
    #expect(box.phase == .repairing)
    cluster.network.removeAll()
    cluster.nodes[5].isUp = false
    cluster.run(box, milliseconds: 4000)
    let opened = try #require(box.outcome, "\(box.progress)")
    #expect(opened.vdl == LSN(4))
    #expect(opened.truncation.isVoid(LSN(8)))
  }

  @Test("§5.6: the straggler that holds a superseded list gets the later one, and voids nothing that was kept")
  func straggler() throws {
    let cluster = try SmallCluster(policy: AuroraPolicy())
    // 5 and 6 were never acknowledged: they are on F alone.
    cluster.fill([4, 4, 4, 4, 4, 6])
    cluster.nodes[5].isUp = false
    let first = cluster.recovery(2)
    cluster.run(first, until: .truncating)
    #expect(first.phase == .truncating)
    // Its list reaches A only, and then it dies.
    let truncates = cluster.network.filter { (try? Message.decode($0.bytes))?.message.kind == 9 }
    #expect(truncates.count == 6)
    for message in truncates where message.to == .node(NodeID(0)) {
      var ignored: [Outgoing] = []
      cluster.nodes[0].receive(message.bytes, &ignored)
    }
    cluster.network.removeAll()
    #expect(cluster.nodes[0].list.epoch == VolumeEpoch(2))
    // The next attempt does not see A, but F: it keeps 5 and 6.
    cluster.nodes[0].isUp = false
    cluster.nodes[5].isUp = true
    let second = cluster.recovery(3)
    cluster.run(second)
    let opened = try #require(second.outcome)
    #expect(opened.vdl == LSN(6))
    #expect(
      opened.truncation == TruncationList(epoch: VolumeEpoch(3), ranges: [LSNRange(after: LSN(6), through: LSN(46))]))
    // A comes back, hears of the list by gossip, and catches up with what it had held void.
    cluster.nodes[0].isUp = true
    #expect(cluster.nodes[0].list.isVoid(LSN(5)))
    for _ in 0..<3 {
      cluster.nodes[1].gossip(0, to: NodeID(0), &cluster.network)
      cluster.run(second, milliseconds: 10)
      while !cluster.network.isEmpty {
        let message = cluster.network.removeFirst()
        if let node = message.to.node { cluster.nodes[Int(node.value)].receive(message.bytes, &cluster.network) }
      }
    }
    #expect(!cluster.nodes[0].list.isVoid(LSN(5)))
    #expect(cluster.nodes[0].scl(0) == LSN(6))
  }

  @Test("an interrupted attempt's list that is found is honoured, even when more of the log is found with it")
  func honoursFoundList() throws {
    let cluster = try SmallCluster(policy: AuroraPolicy())
    cluster.fill([4, 4, 4, 4, 4, 6])
    for i in 0..<4 {
      cluster.nodes[i].adopt(TruncationList(epoch: VolumeEpoch(2), ranges: [LSNRange(after: LSN(4), through: LSN(44))]))
    }
    let box = cluster.recovery(3)
    cluster.run(box)
    let opened = try #require(box.outcome)
    #expect(opened.vdl == LSN(4))
    // I16: a writer that opened above 44 may have issued up to LAL more while its VDL was still 4.
    #expect(opened.truncation.ranges == [LSNRange(after: LSN(4), through: LSN(84))])
    #expect(opened.nextLSN == LSN(85))
  }

  @Test("a node that promised a newer epoch ends the attempt")
  func superseded() throws {
    let cluster = try SmallCluster(policy: AuroraPolicy())
    cluster.nodes[4].epoch = VolumeEpoch(9)
    let box = cluster.recovery(3)
    cluster.run(box)
    #expect(box.failure?.code == .fenced && box.phase == .failed)
  }

  @Test("a transition found is completed under a new ballot, its hydration begins anew")
  func completesTransition() throws {
    let cluster = try SmallCluster(policy: AuroraPolicy())
    cluster.fill([4, 4, 4, 4, 4, 4])
    let spare = RecoveryNode(id: NodeID(6), volume: SmallCluster.volume, groups: 1)
    cluster.nodes.append(spare)
    let mine = try #require(cluster.nodes[0].segments[0]?.configuration)
    let zone = try #require(mine.members.first { $0.node == NodeID(5) }?.zone)
    let next = try AuroraPolicy().replacing(
      NodeID(5), with: SegmentMember(node: NodeID(6), zone: zone), in: mine, target: LSN(2), by: VolumeEpoch(1))
    // On one node only: not decided.
    cluster.nodes[3].adopt(next)
    cluster.nodes[5].isUp = false
    let box = cluster.recovery(2)
    cluster.run(box)
    let opened = try #require(box.outcome, "\(box.progress)")
    let found = opened.groups[0].configuration
    #expect(found.epoch == next.epoch && found.proposedBy == VolumeEpoch(2) && found.pending == next.pending)
    #expect(found.hydrationTarget == LSN(4))
    #expect(cluster.nodes.count { $0.segments[0]?.configuration.isSameProposal(as: found) == true } >= 4)
  }

  @Test("a straggler of an earlier writer does not take back what a later one decided, however high its number")
  func stragglerOfAnEarlierBallot() throws {
    let cluster = try SmallCluster(policy: AuroraPolicy())
    cluster.fill([4, 6, 6, 4, 4, 4])
    for node in [6, 7] {
      cluster.nodes.append(RecoveryNode(id: NodeID(UInt32(node)), volume: SmallCluster.volume, groups: 1))
    }
    let base = try #require(cluster.nodes[0].segments[0]?.configuration)
    let policy = AuroraPolicy()
    // Writer 3 replaces 5 by 6, then 4 by 7; each time by way of a handover.
    var steps = [base]
    for (old, new) in [(5, 6), (4, 7)] as [(UInt32, UInt32)] {
      let last = try #require(steps.last)
      let zone = try #require(last.members.first { $0.node == NodeID(old) }?.zone)
      let begun = try policy.replacing(
        NodeID(old), with: SegmentMember(node: NodeID(new), zone: zone), in: last, target: LSN(2), by: VolumeEpoch(3))
      var handover = begun
      handover.epoch = begun.epoch.next
      handover.rule = try #require(begun.pending)
      handover.pending = begun.rule
      handover.hydrationTarget = GroupConfiguration.handedOver
      steps += [begun, handover, try handover.reverting(by: VolumeEpoch(3))]
    }
    // Writer 2 had sent something to node 0 alone, which has been cut off since.
    var stray = base
    stray.epoch = MembershipEpoch(20)
    stray.proposedBy = VolumeEpoch(2)
    cluster.nodes[0].segments[0]?.configuration = stray
    cluster.nodes[3].segments[0]?.configuration = steps[5]
    cluster.nodes[4].segments[0]?.configuration = steps[3]
    for node in [1, 2] { cluster.nodes[node].segments[0]?.configuration = steps[6] }
    for node in [6, 7] {
      cluster.nodes[node].segments[0] = RecoveryNode.Segment(configuration: steps[6])
      for lsn in 1...6 { cluster.put(lsn, on: node) }
    }
    // 1, 2, 6 and 7 hold what was acknowledged last; the others are a read quorum of writer 2's.
    for node in [1, 2, 6, 7] { cluster.nodes[node].isUp = false }
    let box = cluster.recovery(4)
    cluster.run(box)
    #expect(box.outcome == nil && box.phase == .preparing, "\(box.progress)")
    for node in [1, 2, 7] { cluster.nodes[node].isUp = true }
    cluster.run(box, milliseconds: 3000)
    let opened = try #require(box.outcome, "\(box.progress)")
    #expect(opened.vdl == LSN(6))
    #expect(Set(opened.groups[0].configuration.members.map(\.node.value)) == [0, 1, 2, 3, 6, 7])
  }

  @Test("a member that was down when the group was made is given its segment, and repaired before opening")
  func missedCreation() throws {
    let cluster = try SmallCluster(policy: AuroraPolicy())
    cluster.fill([4, 4, 4, 4, 4, 4])
    cluster.nodes[2].segments[0] = nil
    for i in [4, 5] { cluster.nodes[i].isUp = false }
    let box = cluster.recovery(2)
    cluster.run(box)
    #expect(box.outcome?.vdl == LSN(4), "\(box.progress)")
    #expect(cluster.nodes[2].segments[0] != nil)
  }

  @Test("two holders and two members that were down when the group was made are enough")
  func missedCreationOfHalf() throws {
    let cluster = try SmallCluster(policy: AuroraPolicy())
    cluster.fill([4, 4, 0, 0, 4, 4])
    for i in [2, 3] { cluster.nodes[i].segments[0] = nil }
    for i in [4, 5] { cluster.nodes[i].isUp = false }
    let box = cluster.recovery(2)
    cluster.run(box, milliseconds: 2000)
    #expect(box.outcome?.vdl == LSN(4), "\(box.progress)")
    for i in 0..<4 { #expect(cluster.nodes[i].scl(0) == LSN(4)) }
  }

  @Test("every group below the geometry must be known")
  func waitsForGroups() throws {
    let cluster = try SmallCluster(policy: AuroraPolicy(), groups: 3)
    for i in cluster.nodes.indices { cluster.nodes[i].segments[2] = nil }
    let box = cluster.recovery(2)
    cluster.run(box)
    #expect(box.phase == .learning && box.progress.contains("pg2"))
  }

  // MARK: The chain

  private func link(_ lsn: UInt64, volume: UInt64, group: UInt64, _ isConsistencyPoint: Bool = true) -> RecordLink {
    RecordLink(
      lsn: LSN(lsn), previousInVolume: LSN(volume), previousInGroup: LSN(group), isConsistencyPoint: isConsistencyPoint)
  }
  private func answer(
    _ node: UInt32, scl: UInt64, knownVDL: UInt64 = 0, gcPoint: UInt64 = 0, links: [RecordLink] = []
  ) -> RecoveryAnswer {
    RecoveryAnswer(
      node: NodeID(node),
      status: SegmentStatus(
        scl: LSN(scl), gcPoint: LSN(gcPoint), knownVDL: LSN(knownVDL), minReadPoint: .zero, truncationEpoch: .zero),
      truncation: TruncationList(), retention: Retention(), configuration: MembershipTests.six, links: links)
  }
  private func chain(
    _ samples: [[RecoveryAnswer]], list: TruncationList = TruncationList(), quorum: [NodeID]? = nil
  ) throws -> RecoveredChain {
    try RecoveredChain(samples: samples, list: list) { _, nodes in nodes == quorum }
  }

  @Test("P17 §4.1: complete to 1007 with consistency points 900, 1000, 1100: VDL is 1000")
  func paperExample() throws {
    let links: [RecordLink] = (UInt64(901)...1008).map { link($0, volume: $0 - 1, group: $0 - 1, $0 == 1000) }
    let found = try chain([[answer(0, scl: 1007, knownVDL: 900, links: links), answer(1, scl: 950, knownVDL: 900)]])
    #expect(found.vcl == LSN(1007) && found.vdl == LSN(1000) && found.tails == [LSN(1000)])
  }

  @Test("P18 §2.3: odd LSNs to one group, even to the other, 103 and 104 complete: VCL is 104")
  func paperFigure() throws {
    let all: [RecordLink] = (UInt64(101)...107).map { link($0, volume: $0 - 1, group: $0 - 2) }
    let odd = all.filter { $0.lsn.value % 2 == 1 }
    let even = all.filter { $0.lsn.value % 2 == 0 }
    let found = try chain([
      [answer(0, scl: 103, knownVDL: 100, links: odd)], [answer(1, scl: 104, knownVDL: 100, links: even)],
    ])
    #expect(found.vcl == LSN(104) && found.vdl == LSN(104) && found.tails == [LSN(103), LSN(104)])
  }

  @Test(
    "the tail of a group with nothing above the known VDL is its SCL; where that is void it is walked to, or awaited")
  func tails() throws {
    let idle = try chain([[answer(0, scl: 7, knownVDL: 20), answer(1, scl: 5, knownVDL: 3)]])
    #expect(idle.vdl == LSN(20) && idle.tails == [LSN(7)])

    // (10, 50] is void; segment 0 has not heard of it and stands at 12, which links back over 11 to 9.
    let list = TruncationList(epoch: VolumeEpoch(2), ranges: [LSNRange(after: LSN(10), through: LSN(50))])
    let links = [
      link(9, volume: 8, group: 8), link(11, volume: 10, group: 9, false), link(12, volume: 11, group: 11, false),
    ]
    let walked = try chain(
      [[answer(0, scl: 12, knownVDL: 8, links: links), answer(1, scl: 8, knownVDL: 10)]], list: list)
    #expect(walked.vdl == LSN(10) && walked.tails == [LSN(9)])

    // The same with the log cut: those that can name a record must be a read quorum.
    let cut = [[answer(0, scl: 12, knownVDL: 60), answer(1, scl: 9, knownVDL: 60)]]
    #expect(throws: RecoveredChain.Obstacle.self) { try chain(cut, list: list) }
    #expect(try chain(cut, list: list, quorum: [NodeID(1)]).tails == [LSN(9)])

    // The most complete segment's log begins above the known VDL: nothing can be walked.
    let high = [[answer(0, scl: 30, knownVDL: 3, gcPoint: 20)]]
    #expect(throws: RecoveredChain.Obstacle.self) { try chain(high) }
  }

  // MARK: Creation

  @Test("creation: group 0 comes last; another configuration in place is a conflict")
  func creation() throws {
    let policy = AuroraPolicy()
    let topology = (0..<6).map { NodePlacement(node: NodeID(UInt32($0)), zone: ZoneID(UInt8($0 / 2))) }
    let groups = try (0..<3).map {
      try policy.firstConfiguration(group: ProtectionGroupID(UInt32($0)), over: topology, proposedBy: VolumeEpoch(1))
    }
    func make(_ epoch: UInt32) -> VolumeCreation {
      VolumeCreation(
        volume: VolumeID(3), epoch: VolumeEpoch(epoch), instance: .instance(1), groups: groups, now: .zero)
    }
    var nodes = topology.map { RecoveryNode(id: $0.node, volume: VolumeID(3), groups: 3) }
    var creation = make(1)
    var network: [Outgoing] = []
    creation.start(now: .zero, into: &network)
    let progress = creation.progress
    #expect(progress.contains("pg1"))
    while creation.outcome == nil, !network.isEmpty {
      let message = network.removeFirst()
      if let node = message.to.node {
        if nodes[Int(node.value)].segments[0] == nil, (try? Message.decode(message.bytes))?.header.group.value == 0 {
          for id in 1..<3 { #expect(nodes.count { $0.segments[id] != nil } >= 4) }
        }
        nodes[Int(node.value)].receive(message.bytes, &network)
      } else {
        creation.receive(message.bytes, now: .zero, into: &network)
      }
    }
    let made = creation.outcome
    let opened = try #require(made)
    #expect(opened.isNew && opened.groups.count == 3 && opened.groups[0].configuration.geometry == 3)
    #expect(opened.nextLSN == LSN(1))

    var other = groups[0]
    other.epoch = MembershipEpoch(2)
    nodes[0].adopt(other)
    var again = make(2)
    network.removeAll()
    again.start(now: .zero, into: &network)
    while again.failure == nil, again.outcome == nil, !network.isEmpty {
      let message = network.removeFirst()
      if let node = message.to.node {
        nodes[Int(node.value)].receive(message.bytes, &network)
      } else {
        again.receive(message.bytes, now: .zero, into: &network)
      }
    }
    let refusal = again.failure
    #expect(refusal?.code == .conflict)
  }
}
