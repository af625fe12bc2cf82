import BorealisCore
import BorealisReplicationPolicy
import BorealisVolume
import BorealisWire
import Testing

struct RepairPlannerTests {
  static let second: UInt64 = 1_000_000_000
  let now = Instant(nanoseconds: 1000 * second)
  let planner = RepairPlanner(policy: AuroraPolicy())

  /// Three zones of `perZone` nodes: node n stands in zone n / perZone.
  ///
  /// Those in `down` fell silent `silence` seconds ago.
  func nodes(perZone: Int = 4, down: [Int] = [], silence: UInt64 = 30, upFor: UInt64 = 600) -> [RepairPlanner
    .NodeHealth]
  {
    (0..<(3 * perZone)).map { n in
      let isDown = down.contains(n)
      return RepairPlanner.NodeHealth(
        node: NodeID(UInt32(n)), zone: ZoneID(UInt8(n / perZone)),
        lastHeard: Instant(nanoseconds: now.nanoseconds - (isDown ? silence * Self.second : 0)),
        upSince: Instant(nanoseconds: now.nanoseconds - upFor * Self.second))
    }
  }
  /// Two members in each zone, nodes `first` and `first + 1` of it.
  func configuration(_ id: Int, first: Int = 0, perZone: Int = 4) -> GroupConfiguration {
    let members = (0..<3).flatMap { zone in
      (0..<2).map { SegmentMember(node: NodeID(UInt32(zone * perZone + first + $0)), zone: ZoneID(UInt8(zone))) }
    }
    return GroupConfiguration(
      group: ProtectionGroupID(UInt32(id)), epoch: MembershipEpoch(1), proposedBy: VolumeEpoch(1), members: members,
      rule: AuroraPolicy().rule(members: members))
  }
  func health(_ configuration: GroupConfiguration, isProposing: Bool = false) -> RepairPlanner.GroupHealth {
    RepairPlanner.GroupHealth(configuration: configuration, isProposing: isProposing)
  }

  @Test("a group with four healthy copies goes before one with five")
  func priority() {
    // Group 0 has lost one copy, group 1 two, group 2 none.
    let groups = [health(configuration(0)), health(configuration(1, first: 1)), health(configuration(2, first: 2))]
    // Zone a: 0 1 2 3, zone b: 4..., zone c: 8...; group 1 has 1 and 2 of each zone.
    let actions = planner.plan(groups: groups, nodes: nodes(down: [1, 5]), now: now)
    // Nodes 1 and 5 hold copies of groups 0 and 1 alike; node 2 is only group 1's and 2's.
    #expect(actions.map(\.group.value) == [0, 1])
    let more = planner.plan(groups: groups, nodes: nodes(down: [1, 6]), now: now)
    #expect(more.map(\.group.value) == [1, 0, 2])
    #expect(more.map(\.healthyCopies) == [4, 5, 5])
  }

  @Test("a member that is down is replaced in its own zone by the least loaded node that is no member")
  func replacement() {
    // Node 2 is no member of group 0 but holds group 1; node 3 holds nothing.
    let groups = [health(configuration(0)), health(configuration(1, first: 1))]
    let actions = planner.plan(groups: groups, nodes: nodes(down: [0]), now: now)
    #expect(actions.count == 1)
    let expected = SegmentMember(node: NodeID(3), zone: ZoneID(0))
    #expect(actions.first?.plan == .replace(NodeID(0), with: expected))
  }

  @Test("silence counts only after downAfter, and a spare only after backAfter")
  func hysteresis() {
    let groups = [health(configuration(0))]
    #expect(planner.plan(groups: groups, nodes: nodes(down: [0], silence: 9), now: now).isEmpty)
    #expect(planner.plan(groups: groups, nodes: nodes(down: [0], silence: 10), now: now).count == 1)
    #expect(planner.plan(groups: groups, nodes: nodes(down: [0], silence: 30, upFor: 4), now: now).isEmpty)
  }

  @Test("at most so many groups copy at a time, the most urgent ones; those under way count")
  func bound() throws {
    var groups = (0..<6).map { health(configuration($0)) }
    #expect(planner.plan(groups: groups, nodes: nodes(down: [0]), now: now).map(\.group.value) == [0, 1, 2, 3])
    // Group 5 copies already: one place less. That its transition takes in the dead member too copies nothing more at once.
    let hydrating = try AuroraPolicy().replacing(
      NodeID(4), with: SegmentMember(node: NodeID(6), zone: ZoneID(1)), in: configuration(5), target: LSN(5),
      by: VolumeEpoch(1))
    groups[5] = health(hydrating)
    #expect(planner.plan(groups: groups, nodes: nodes(down: [0]), now: now).map(\.group.value) == [0, 1, 2, 5])
  }

  @Test("I18: a working member is given up only while all others are healthy and nothing changes")
  func ownMaintenance() {
    var group = health(configuration(0))
    group.members[2].isDamaged = true
    let one = planner.plan(groups: [group], nodes: nodes(), now: now)
    #expect(one.map(\.plan) == [.replace(NodeID(4), with: SegmentMember(node: NodeID(6), zone: ZoneID(1)))])
    group.members[3].lag = 5_000_000
    #expect(planner.plan(groups: [group], nodes: nodes(), now: now).isEmpty)
    group.members[3].lag = 0
    // Another member is down: that one is replaced, not the damaged one.
    let other = planner.plan(groups: [group], nodes: nodes(down: [0]), now: now)
    #expect(other.map(\.plan) == [.replace(NodeID(0), with: SegmentMember(node: NodeID(2), zone: ZoneID(0)))])
    var proposing = group
    proposing.isProposing = true
    #expect(planner.plan(groups: [proposing], nodes: nodes(), now: now).isEmpty)
  }

  @Test("a lost zone is given up after long silence, if the rest can decide it, and taken back when it is steady again")
  func zones() throws {
    let policy = AuroraPolicy()
    let full = configuration(0)
    let zone = [8, 9, 10, 11]
    #expect(planner.plan(groups: [health(full)], nodes: nodes(down: zone, silence: 30), now: now).isEmpty)
    let lost = planner.plan(groups: [health(full)], nodes: nodes(down: zone, silence: 60), now: now)
    #expect(lost.map(\.plan) == [.loseZone(ZoneID(2))])
    // One more copy down: four of six cannot be had, so nothing can be decided, and nothing is proposed.
    let worse = planner.plan(groups: [health(full)], nodes: nodes(down: zone + [0], silence: 60), now: now)
    #expect(worse.isEmpty)

    let losing = try policy.losingZone(ZoneID(2), in: full, target: LSN(9), by: VolumeEpoch(1))
    let back = planner.plan(groups: [health(losing)], nodes: nodes(), now: now)
    #expect(back.map(\.plan) == [.revert])

    let four = try losing.committing(by: VolumeEpoch(1))
    #expect(planner.plan(groups: [health(four)], nodes: nodes(down: zone, silence: 600), now: now).isEmpty)
    let returning = planner.plan(groups: [health(four)], nodes: nodes(), now: now)
    guard case .returnZone(let members)? = returning.first?.plan else {
      Issue.record("no return: \(returning)")
      return
    }
    #expect(members.count == 2 && members.allSatisfy { $0.zone == ZoneID(2) })
    let next = try policy.returningZone(members, in: four, target: LSN(12), by: VolumeEpoch(1))
    // Gone again before it is hydrated: the four go on alone.
    let again = planner.plan(groups: [health(next)], nodes: nodes(down: zone + [0], silence: 20), now: now)
    #expect(again.map(\.plan) == [.revert])
  }

  @Test("a zone lost in the middle of a replacement is given up all the same; a return that fails is taken back")
  func zoneLostInTransition() throws {
    let policy = AuroraPolicy()
    let zone = [8, 9, 10, 11]
    let lost = nodes(down: zone, silence: 60)
    // Node 9 was to be replaced by node 10: of the same zone, so the change cannot end.
    let replacing = try policy.replacing(
      NodeID(9), with: SegmentMember(node: NodeID(10), zone: ZoneID(2)), in: configuration(0), target: LSN(5),
      by: VolumeEpoch(1))
    #expect(planner.plan(groups: [health(replacing)], nodes: nodes(down: zone), now: now).isEmpty)
    #expect(planner.plan(groups: [health(replacing)], nodes: lost, now: now).map(\.plan) == [.loseZone(ZoneID(2))])
    let four = try policy.losingZone(ZoneID(2), in: configuration(0), target: LSN(5), by: VolumeEpoch(1)).committing(
      by: VolumeEpoch(1))
    let third = [8, 9].map { SegmentMember(node: NodeID($0), zone: ZoneID(2)) }
    let returning = try policy.returningZone(third, in: four, target: LSN(6), by: VolumeEpoch(1))
    #expect(planner.plan(groups: [health(returning)], nodes: lost, now: now).map(\.plan) == [.revert])
  }

  @Test("without a zone, a member that is down is replaced; the zone is taken back when that stops no commits")
  func zoneLostAndOneMore() throws {
    let four = try AuroraPolicy().losingZone(ZoneID(2), in: configuration(0), target: LSN(5), by: VolumeEpoch(1))
      .committing(by: VolumeEpoch(1))
    let zone = [8, 9, 10, 11]
    let spares = [2, 3, 6, 7]
    let replaced = planner.plan(groups: [health(four)], nodes: nodes(down: zone + [0]), now: now)
    #expect(replaced.map(\.plan) == [.replace(NodeID(0), with: SegmentMember(node: NodeID(2), zone: ZoneID(0)))])
    #expect(planner.plan(groups: [health(four)], nodes: nodes(down: zone + spares + [0]), now: now).isEmpty)
    // The zone is back, node 0 may come back any moment: three of four and none of the new copies would not be enough.
    #expect(planner.plan(groups: [health(four)], nodes: nodes(down: spares + [0], silence: 30), now: now).isEmpty)
    let late = planner.plan(groups: [health(four)], nodes: nodes(down: spares + [0], silence: 60), now: now)
    guard case .returnZone? = late.first?.plan else {
      Issue.record("no return: \(late)")
      return
    }
  }

  @Test("a zone comes back with the kinds of copies that placement gives its nodes, whatever they hold now")
  func returningKinds() throws {
    let policy = FullAndTailPolicy()
    let planner = RepairPlanner(policy: policy)
    let all = nodes(perZone: 2)
    let topology = all.map { NodePlacement(node: $0.node, zone: $0.zone) }
    for number in 0..<4 {
      let full = try policy.firstConfiguration(
        group: ProtectionGroupID(UInt32(number)), over: topology, proposedBy: VolumeEpoch(1))
      for zone in UInt8(0)..<3 {
        let four = try policy.losingZone(ZoneID(zone), in: full, target: LSN(5), by: VolumeEpoch(1)).committing(
          by: VolumeEpoch(1))
        // Another group makes one of the two nodes busier than the other.
        let other = GroupConfiguration(
          group: ProtectionGroupID(9), epoch: MembershipEpoch(1), proposedBy: VolumeEpoch(1),
          members: [0, 2, 4].map { SegmentMember(node: NodeID($0), zone: ZoneID(UInt8($0 / 2))) },
          rule: MajorityPolicy().rule(for: .first(3), of: []))
        let actions = planner.plan(groups: [health(four), health(other)], nodes: all, now: now)
        guard case .returnZone(let members)? = actions.first(where: { $0.group.value == UInt32(number) })?.plan else {
          Issue.record("no return: \(actions)")
          return
        }
        #expect(Set(members) == Set(full.members.filter { $0.zone.value == zone }))
      }
    }
  }

  @Test("an ailing member is given up only after a time without a break; what an operator began is not taken back")
  func patience() throws {
    var group = health(configuration(0))
    group.members[2] = RepairPlanner.MemberHealth(lag: 9_000_000, ailingFor: 59 * Self.second)
    #expect(planner.plan(groups: [group], nodes: nodes(), now: now).isEmpty)
    group.members[2].ailingFor = 60 * Self.second
    #expect(planner.plan(groups: [group], nodes: nodes(), now: now).count == 1)
    let moving = try AuroraPolicy().replacing(
      NodeID(0), with: SegmentMember(node: NodeID(2), zone: ZoneID(0)), in: configuration(0), target: LSN(50),
      by: VolumeEpoch(1))
    var asked = health(moving)
    asked.isRepair = false
    for i in asked.members.indices { asked.members[i].lag = 40 }
    #expect(planner.plan(groups: [asked], nodes: nodes(), now: now).isEmpty)
    asked.isRepair = true
    #expect(planner.plan(groups: [asked], nodes: nodes(), now: now).map(\.plan) == [.revert])
  }

  @Test("a member that comes back while its successor still copies keeps its place")
  func takesBack() throws {
    let policy = AuroraPolicy()
    let next = try policy.replacing(
      NodeID(0), with: SegmentMember(node: NodeID(2), zone: ZoneID(0)), in: configuration(0), target: LSN(50),
      by: VolumeEpoch(1))
    var group = health(next)
    let newcomer = try #require(next.index(of: NodeID(2)))
    group.members[newcomer].lag = 40
    #expect(planner.plan(groups: [group], nodes: nodes(), now: now).map(\.plan) == [.revert])
    // Not if it is down still, nor if the successor has caught up.
    #expect(planner.plan(groups: [group], nodes: nodes(down: [0]), now: now).isEmpty)
    group.members[newcomer].lag = 0
    #expect(planner.plan(groups: [group], nodes: nodes(), now: now).isEmpty)
  }

  @Test("a newcomer that dies is replaced in its turn, and a second failure begins its own replacement")
  func duringTransition() throws {
    let policy = AuroraPolicy()
    let next = try policy.replacing(
      NodeID(0), with: SegmentMember(node: NodeID(2), zone: ZoneID(0)), in: configuration(0), target: LSN(50),
      by: VolumeEpoch(1))
    let newcomerDead = planner.plan(groups: [health(next)], nodes: nodes(down: [0, 2]), now: now)
    #expect(newcomerDead.map(\.plan) == [.replace(NodeID(2), with: SegmentMember(node: NodeID(3), zone: ZoneID(0)))])
    let second = planner.plan(groups: [health(next)], nodes: nodes(down: [0, 5]), now: now)
    #expect(second.map(\.plan) == [.replace(NodeID(5), with: SegmentMember(node: NodeID(6), zone: ZoneID(1)))])
  }
}
