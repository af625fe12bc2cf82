import BorealisCore
import BorealisReplicationPolicy
import BorealisWire
import Testing

@testable import BorealisVolume

/// Drives one group's membership machine against nodes of which only some answer.
private struct MembershipDriver {
  let policy = AuroraPolicy()
  var machine: GroupMembership
  var out: [Outgoing] = []
  var now = Instant.zero
  let envelope = MessageHeader(volume: VolumeID(1), sender: .instance(1), volumeEpoch: VolumeEpoch(5))
  /// Nodes that answer, by number.
  var answering: Set<UInt32>
  /// What each node says of itself; by default complete, and in possession of the truncation list.
  var scls: [UInt32: LSN] = [:]
  var truncationEpochs: [UInt32: VolumeEpoch] = [:]
  var held: [UInt32: GroupConfiguration] = [:]
  var sawDecided: [GroupConfiguration] = []

  init(_ configuration: GroupConfiguration, answering: Set<UInt32>, plantedBug: PlantedBug? = nil) {
    machine = GroupMembership(
      configuration, epoch: VolumeEpoch(5), truncationEpoch: VolumeEpoch(4), plantedBug: plantedBug)
    self.answering = answering
    for member in configuration.members { held[member.node.value] = configuration }
  }
  mutating func propose(_ plan: MembershipPlan, pgcl: LSN = LSN(100)) throws(VolumeError) {
    try machine.propose(plan, policy: policy, pgcl: pgcl, envelope: envelope, now: now, into: &out)
  }
  mutating func run(rounds: Int = 12) {
    for _ in 0..<rounds {
      now = now.advanced(byMilliseconds: 60)
      machine.tick(envelope: envelope, now: now, into: &out)
      while !out.isEmpty {
        let messages = out
        out.removeAll()
        for sent in messages { answer(sent) }
      }
    }
  }
  private mutating func answer(_ sent: Outgoing) {
    guard let node = sent.to.node, answering.contains(node.value),
      let (header, message) = try? Message.decode(sent.bytes)
    else { return }
    let before = machine.decided
    switch message {
    case .configure(let new):
      if held[node.value].map({ new.supersedes($0) }) ?? true { held[node.value] = new }
      if let mine = held[node.value] {
        _ = machine.configured(mine, by: node, envelope: envelope, now: now, into: &out)
      }
    case .statusRequest:
      guard let mine = held[node.value] else { return }
      #expect(header.membershipEpoch <= machine.counted.epoch)
      let status = SegmentStatus(
        scl: scls[node.value] ?? LSN(100), gcPoint: .zero, knownVDL: .zero, minReadPoint: .zero,
        truncationEpoch: truncationEpochs[node.value] ?? VolumeEpoch(4))
      _ = machine.heard(status, from: node, at: mine.epoch, envelope: envelope, now: now, into: &out)
    default: Issue.record("unexpected \(message)")
    }
    if machine.decided != before { sawDecided.append(machine.decided) }
  }
}

struct MembershipTests {
  static let policy = AuroraPolicy()
  /// Nodes 0...5 are A...F, two in each zone; 6 and up are spares.
  static let six: GroupConfiguration = {
    let members = (0..<6).map { SegmentMember(node: NodeID(UInt32($0)), zone: ZoneID(UInt8($0 / 2))) }
    return GroupConfiguration(
      group: ProtectionGroupID(0), epoch: MembershipEpoch(1), proposedBy: VolumeEpoch(4), members: members,
      rule: policy.rule(members: members), geometry: 1)
  }()
  static func newcomer(_ node: UInt32, for old: UInt32) -> SegmentMember {
    SegmentMember(node: NodeID(node), zone: ZoneID(UInt8(old / 2)))
  }
  static func subset(_ bits: Int, of count: Int) -> Set<UInt32> {
    Set((0..<UInt32(count)).filter { bits >> Int($0) & 1 == 1 })
  }

  @Test("replace each of six: whoever answers, the change ends exactly when both rules and the newcomer have it")
  func replaceEachOfSix() throws {
    for old in UInt32(0)..<6 {
      for bits in 0..<128 {
        let answering = Self.subset(bits, of: 7)
        var driver = MembershipDriver(Self.six, answering: answering)
        try driver.propose(.replace(NodeID(old), with: Self.newcomer(6, for: old)))
        // Counted by both rules from now on (M2).
        #expect(driver.machine.counted.pending != nil && driver.machine.counted.hydrationTarget == LSN(100))
        driver.run()
        let oldVotes = answering.filter { $0 < 6 }.count
        let newVotes = answering.filter { $0 != old }.count
        let canDecide = oldVotes >= 4 && newVotes >= 4
        let machine = driver.machine
        if canDecide, answering.contains(6) {
          #expect(machine.phase == .stable && machine.decided.pending == nil)
          #expect(machine.decided.index(of: NodeID(old)) == nil && machine.decided.index(of: NodeID(6)) != nil)
          #expect(machine.decided.epoch == MembershipEpoch(4) && machine.decided.geometry == 1)
          #expect(driver.sawDecided.map { $0.pending != nil } == [true, true, false])
        } else {
          #expect(machine.phase == (canDecide ? .hydrating : .proposing))
          #expect(machine.decided.rule.members.count == 6 && machine.counted.pending != nil)
        }
      }
    }
  }

  @Test("M3: nothing comes into force before a write quorum and the newcomer are hydrated and hold the truncation list")
  func hydration() throws {
    for lagging in 0..<128 {
      for lacksList in [false, true] {
        var driver = MembershipDriver(Self.six, answering: Self.subset(127, of: 7))
        for node in Self.subset(lagging, of: 7) {
          if lacksList { driver.truncationEpochs[node] = VolumeEpoch(3) } else { driver.scls[node] = LSN(99) }
        }
        try driver.propose(.replace(NodeID(5), with: Self.newcomer(6, for: 5)))
        driver.run()
        let complete = Self.subset(127 & ~lagging, of: 7)
        let isHydrated = complete.contains(6) && complete.filter { $0 != 5 }.count >= 4
        #expect(driver.machine.phase == (isHydrated ? .stable : .hydrating))
        // Whoever is read by the new rule meets somebody who is complete.
        if isHydrated {
          for read in 0..<128 where Self.subset(read, of: 7).filter({ $0 != 5 }).count == 3 {
            let asked = Self.subset(read, of: 7).filter { $0 != 5 }
            #expect(!asked.isDisjoint(with: complete.filter { $0 != 5 }))
          }
        }
      }
    }
    var bug = MembershipDriver(Self.six, answering: Self.subset(127, of: 7), plantedBug: .countUnhydratedMember)
    bug.scls[6] = .zero
    try bug.propose(.replace(NodeID(5), with: Self.newcomer(6, for: 5)))
    bug.run()
    #expect(bug.machine.phase == .stable)
  }

  /// All configurations that one change goes through.
  static func path(_ plan: MembershipPlan, from: GroupConfiguration) throws -> [GroupConfiguration] {
    let everybody = Set(UInt32(0)..<20)
    var driver = MembershipDriver(from, answering: everybody)
    try driver.propose(plan)
    driver.run()
    #expect(driver.machine.phase == .stable)
    return [from] + driver.sawDecided
  }
  static func sets(_ nodes: Int, _ holds: (Set<UInt32>) -> Bool) -> [Set<UInt32>] {
    (0..<(1 << nodes)).map { subset($0, of: nodes) }.filter(holds)
  }
  static func set(_ nodes: Set<UInt32>, in configuration: GroupConfiguration) -> MemberSet {
    var result = MemberSet()
    for (i, member) in configuration.members.enumerated() where nodes.contains(member.node.value) {
      result.insert(MemberSet(member: i))
    }
    return result
  }

  @Test("I7: on every path, an opener that knows one step finds the next, and finds every write of both")
  func paths() throws {
    func third(_ zone: UInt8) -> [SegmentMember] { Self.six.members.filter { $0.zone.value == zone } }
    var paths: [[GroupConfiguration]] = []
    for old in UInt32(0)..<6 {
      paths.append(try Self.path(.replace(NodeID(old), with: Self.newcomer(6, for: old)), from: Self.six))
    }
    for zone in UInt8(0)..<3 {
      let lost = try Self.path(.loseZone(ZoneID(zone)), from: Self.six)
      #expect(lost.last?.members.count == 4)
      paths.append(lost)
      let four = try #require(lost.last)
      paths.append(try Self.path(.returnZone(third(zone)), from: four))
      let others = [6, 7].map { SegmentMember(node: NodeID($0), zone: ZoneID(zone)) }
      paths.append(try Self.path(.returnZone(others), from: four))
    }
    for path in paths {
      #expect(path.count == 4)
      for (before, after) in zip(path, path.dropFirst()) {
        // An opener that knows `before` reads by it, and must meet whatever made `after` decided: its write quorums,
        // which also take every write that is counted by it.
        let reads = Self.sets(8) { before.isOpeningQuorum(Self.set($0, in: before)) }
        let writes = Self.sets(8) { after.isWriteQuorum(Self.set($0, in: after)) }
        let older = Self.sets(8) { before.isWriteQuorum(Self.set($0, in: before)) }
        let misses = reads.contains { read in
          writes.contains { read.isDisjoint(with: $0) } || older.contains { read.isDisjoint(with: $0) }
        }
        #expect(!misses, "\(before.rule) then \(after.rule)")
      }
      // Writes of one epoch meet those of the next: a fenced writer that still counts by the one cannot go on.
      for (before, after) in zip(path, path.dropFirst()) {
        let a = Self.sets(8) { before.isWriteQuorum(Self.set($0, in: before)) }
        let b = Self.sets(8) { after.isWriteQuorum(Self.set($0, in: after)) }
        #expect(!a.contains { x in b.contains { x.isDisjoint(with: $0) } })
      }
    }
    // M4: in one step it would not hold.
    let path = paths[5]
    let reads = Self.sets(8) { path[1].isReadQuorum(Self.set($0, in: path[1])) }
    let writes = Self.sets(8) { path[3].isWriteQuorum(Self.set($0, in: path[3])) }
    #expect(reads.contains { read in writes.contains { read.isDisjoint(with: $0) } })
  }

  @Test("a second failure during a replacement: all four rules hold on ABCD, and both newcomers come into force")
  func doubleReplacement() throws {
    for first in UInt32(0)..<6 {
      for second in UInt32(0)..<6 where second != first {
        let survivors = Set(UInt32(0)..<6).subtracting([first, second])
        var driver = MembershipDriver(Self.six, answering: survivors)
        try driver.propose(.replace(NodeID(first), with: Self.newcomer(6, for: first)))
        driver.run()
        #expect(driver.machine.phase == .hydrating)
        try driver.propose(.replace(NodeID(second), with: Self.newcomer(7, for: second)), pgcl: LSN(150))
        driver.run()
        #expect(driver.machine.phase == .hydrating)
        #expect(driver.machine.counted.hydrationTarget == LSN(150))
        #expect(driver.machine.counted.isWriteQuorum(Self.set(survivors, in: driver.machine.counted)))
        driver.answering.formUnion([6, 7])
        driver.run()
        #expect(driver.machine.phase == .hydrating, "nobody has reached the new target")
        for node in UInt32(0)..<8 { driver.scls[node] = LSN(150) }
        driver.run()
        #expect(driver.machine.phase == .stable)
        let nodes = Set(driver.machine.decided.members.map(\.node.value))
        #expect(nodes == survivors.union([6, 7]))
      }
    }
  }

  @Test("M5: a transition is taken back while proposed and while hydrating, not after its handover is proposed")
  func takingBack() throws {
    let plan = MembershipPlan.replace(NodeID(5), with: Self.newcomer(6, for: 5))
    var proposed = MembershipDriver(Self.six, answering: [0, 1, 2])
    try proposed.propose(plan)
    proposed.run()
    #expect(throws: VolumeError.self) { try proposed.propose(.loseZone(ZoneID(0))) }
    try proposed.propose(.revert)
    proposed.answering = [0, 1, 2, 3]
    proposed.run()
    #expect(proposed.machine.phase == .stable && proposed.machine.decided.members == Self.six.members)
    #expect(proposed.machine.decided.epoch == MembershipEpoch(3))

    var hydrating = MembershipDriver(Self.six, answering: [0, 1, 2, 3, 4, 5])
    try hydrating.propose(plan)
    hydrating.run()
    #expect(throws: VolumeError.self) { try hydrating.propose(.commit) }
    try hydrating.propose(.revert)
    #expect(hydrating.machine.counted.pending != nil, "both rules count until the old one alone is decided")
    hydrating.run()
    #expect(hydrating.machine.phase == .stable && hydrating.machine.decided.rule == Self.six.rule)

    var late = MembershipDriver(Self.six, answering: [0, 1, 2, 3, 6])
    try late.propose(plan)
    late.run(rounds: 2)
    late.answering = []
    late.run()
    if late.machine.phase != .stable {
      #expect(throws: VolumeError.self) { try late.propose(.revert) }
    }
    late.answering = [0, 1, 2, 3, 6]
    late.run()
    #expect(late.machine.phase == .stable && late.machine.decided.index(of: NodeID(6)) != nil)
  }

  @Test("what recovery leaves as a transition goes on; a handover it leaves is settled")
  func afterRecovery() throws {
    var found = try Self.policy.replacing(
      NodeID(5), with: Self.newcomer(6, for: 5), in: Self.six, target: LSN(70), by: VolumeEpoch(5))
    var driver = MembershipDriver(found, answering: Self.subset(127, of: 7))
    driver.held[6] = nil
    driver.run()
    #expect(driver.machine.phase == .stable && driver.machine.decided.index(of: NodeID(6)) != nil)

    (found.rule, found.pending) = (found.pending ?? found.rule, found.rule)
    found.hydrationTarget = GroupConfiguration.handedOver
    driver = MembershipDriver(found, answering: Self.subset(127, of: 7))
    #expect(driver.machine.phase == .handedOver)
    driver.run()
    #expect(driver.machine.phase == .stable && driver.machine.decided.index(of: NodeID(5)) == nil)
    #expect(driver.machine.decided.index(of: NodeID(6)) != nil)
  }
}
