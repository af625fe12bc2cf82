import BorealisCore
import BorealisReplicationPolicy
import BorealisWire
import Testing

@testable import BorealisVolume

/// A writer that looks after its groups, with model nodes: in virtual time.
///
/// Nodes 1 to 6 are members, node n of zone (n - 1) mod 3; those above are spares.
struct WriterRepairTests {
  static func volume(
    spares: Int = 3, groups: Int = 1, isOn: Bool = true, _ change: (inout RepairPlanner.Settings) -> Void = { _ in }
  ) -> TestVolume {
    var options = TestVolume.Options()
    options.groups = groups
    options.spares = spares
    var settings = RepairPlanner.Settings()
    change(&settings)
    options.writer.repair = isOn ? settings : nil
    options.writer.topology = (0..<(6 + spares)).map {
      NodePlacement(node: NodeID(UInt32($0 + 1)), zone: ZoneID(UInt8($0 % 3)))
    }
    return TestVolume(options)
  }
  /// Lets time pass in steps of 50 ms, all messages delivered in each.
  static func pass(_ volume: TestVolume, seconds: Double, _ each: () -> Void = {}) {
    for _ in 0..<Int(seconds * 20) {
      volume.tick(milliseconds: 50)
      volume.settle()
      each()
    }
  }
  static func repairs(_ volume: TestVolume) -> [RepairPlanner.Action] {
    volume.events.compactMap { event in
      if case .repair(let action) = event { return action }
      return nil
    }
  }
  static func refusals(_ volume: TestVolume) -> Int {
    volume.events.count { event in
      if case .repairRefused = event { return true }
      return false
    }
  }
  static func nodes(_ volume: TestVolume, of group: Int = 0) -> [UInt32] {
    volume.writer.configurations[group].members.map(\.node.value)
  }
  static func write(_ volume: TestVolume) throws -> LSN {
    var transaction = MiniTransaction(pageSize: volume.options.pageSize)
    transaction.write(page(1, 1), at: 0, [UInt8(truncatingIfNeeded: volume.writer.nextLSN.value)])
    return try volume.commit(transaction)
  }

  @Test("a node that is silent for downAfter is replaced by the spare of its zone, and not before")
  func replaces() throws {
    let volume = Self.volume()
    Self.pass(volume, seconds: 20)
    #expect(Self.repairs(volume).isEmpty)
    let lsn = try Self.write(volume)
    Self.pass(volume, seconds: 1)
    volume.down = [NodeID(2)]
    Self.pass(volume, seconds: 8.5)
    #expect(Self.repairs(volume).isEmpty)
    Self.pass(volume, seconds: 3)
    let action = try #require(Self.repairs(volume).first)
    #expect(action.plan == .replace(NodeID(2), with: SegmentMember(node: NodeID(8), zone: ZoneID(1))))
    #expect(action.group == ProtectionGroupID(0) && action.reason.contains("down"))
    #expect(volume.writer.configurations[0].isHydrating)
    volume.hydrate(NodeID(8), from: NodeID(1))
    Self.pass(volume, seconds: 2)
    #expect(Set(Self.nodes(volume)) == [1, 3, 4, 5, 6, 8])
    #expect(volume.writer.configurations[0].pending == nil)
    #expect(volume.writer.vdl >= lsn)
    // The old node is a spare when it is back, and is told that it is no member.
    volume.down = []
    Self.pass(volume, seconds: 20)
    #expect(Self.repairs(volume).count == 1 && Self.refusals(volume) == 0)
    #expect(volume.nodes[1].segments[ProtectionGroupID(0)]?.configuration == volume.writer.configurations[0])
    #expect(volume.complaints.isEmpty)
  }

  @Test("a node that comes back while its successor copies keeps its place, decided once")
  func takesBack() throws {
    let volume = Self.volume()
    Self.pass(volume, seconds: 8)
    _ = try Self.write(volume)
    volume.down = [NodeID(2)]
    Self.pass(volume, seconds: 12)
    #expect(Self.repairs(volume).count == 1)
    volume.down = []
    Self.pass(volume, seconds: 10)
    #expect(Self.repairs(volume).map(\.plan).last == .revert)
    #expect(Self.repairs(volume).count == 2 && Self.refusals(volume) == 0)
    #expect(Set(Self.nodes(volume)) == [1, 2, 3, 4, 5, 6])
  }

  @Test("a node that flaps faster than downAfter is not replaced")
  func flapping() {
    let volume = Self.volume()
    for _ in 0..<10 {
      volume.down = [NodeID(2)]
      Self.pass(volume, seconds: 8)
      volume.down = []
      Self.pass(volume, seconds: 1)
    }
    #expect(Self.repairs(volume).isEmpty)
    #expect(volume.writer.statistics.repairs == 0)
  }

  @Test("a pause of the whole process is no silence of the nodes")
  func pause() {
    let volume = Self.volume()
    Self.pass(volume, seconds: 10)
    volume.tick(milliseconds: 3_600_000)
    Self.pass(volume, seconds: 30)
    #expect(Self.repairs(volume).isEmpty)
  }

  @Test("with repair off nobody is asked and nothing is changed")
  func off() {
    let volume = Self.volume(isOn: false)
    volume.down = [NodeID(2), NodeID(3), NodeID(6)]
    Self.pass(volume, seconds: 120)
    #expect(volume.events.isEmpty)
    #expect(Self.nodes(volume) == [1, 2, 3, 4, 5, 6])
  }

  @Test("without a spare, and without a write quorum, nothing is begun")
  func waits() {
    let bare = Self.volume(spares: 0)
    bare.down = [NodeID(2)]
    Self.pass(bare, seconds: 120)
    #expect(Self.repairs(bare).isEmpty)
    let lost = Self.volume()
    Self.pass(lost, seconds: 8)
    lost.down = [NodeID(1), NodeID(2), NodeID(3)]
    Self.pass(lost, seconds: 120)
    #expect(Self.repairs(lost).isEmpty && Self.refusals(lost) == 0)
  }

  @Test("a zone silent for zoneLostAfter is given up, one more loss is borne, and the zone is taken back")
  func zone() throws {
    let volume = Self.volume(spares: 0)
    _ = try Self.write(volume)
    Self.pass(volume, seconds: 8)
    volume.down = [NodeID(3), NodeID(6)]
    Self.pass(volume, seconds: 58)
    #expect(Self.repairs(volume).isEmpty)
    Self.pass(volume, seconds: 5)
    #expect(Self.repairs(volume).map(\.plan) == [.loseZone(ZoneID(2))])
    #expect(Set(Self.nodes(volume)) == [1, 2, 4, 5])
    volume.down.insert(NodeID(1))
    let lsn = try Self.write(volume)
    Self.pass(volume, seconds: 1)
    #expect(volume.writer.vdl >= lsn)
    volume.down = []
    // What the zone held, it was left out of.
    for i in [2, 5] { volume.nodes[i].segments = [:] }
    Self.pass(volume, seconds: 8)
    #expect(volume.writer.configurations[0].isHydrating)
    for node in [3, 6] { volume.hydrate(NodeID(UInt32(node)), from: NodeID(2)) }
    Self.pass(volume, seconds: 3)
    #expect(Set(Self.nodes(volume)) == [1, 2, 3, 4, 5, 6])
    #expect(Self.repairs(volume).count == 2 && Self.refusals(volume) == 0)
  }

  @Test("each node is asked one thing a second, each of its groups in turn")
  func questions() {
    let volume = Self.volume(groups: 3)
    Self.pass(volume, seconds: 5)
    var asked: [NodeID: [String]] = [:]
    for _ in 0..<120 {
      volume.tick(milliseconds: 50)
      for message in volume.inFlight {
        guard let (header, body) = try? Message.decode(message.bytes), let node = message.to.node else { continue }
        switch body {
        case .statusRequest: asked[node, default: []].append("\(header.group)")
        case .inventoryRequest: asked[node, default: []].append("inventory")
        default: break
        }
      }
      volume.settle()
    }
    for node in volume.nodes {
      let questions = asked[node.id] ?? []
      #expect(questions.count == 6)
      #expect(Set(questions) == (node.id.value <= 6 ? ["pg0", "pg1", "pg2"] : ["inventory"]))
    }
    #expect(volume.writer.statistics.messagesDropped == 0)
  }

  @Test("damage that lasts gets a member replaced, damage that is mended does not")
  func damage() throws {
    let volume = Self.volume()
    Self.pass(volume, seconds: 10)
    volume.nodes[0].isDamaged = true
    Self.pass(volume, seconds: 55)
    volume.nodes[0].isDamaged = false
    Self.pass(volume, seconds: 30)
    #expect(Self.repairs(volume).isEmpty)
    volume.nodes[0].isDamaged = true
    Self.pass(volume, seconds: 65)
    let action = try #require(Self.repairs(volume).first)
    #expect(action.plan == .replace(NodeID(1), with: SegmentMember(node: NodeID(7), zone: ZoneID(0))))
    #expect(action.reason.contains("damaged"))
  }

  @Test("a member that answers but stays far behind is replaced; one that was down has time to catch up")
  func lag() throws {
    let volume = Self.volume { $0.lagMax = 5 }
    Self.pass(volume, seconds: 10)
    // Node 1 is away for a while, and loses every record: it answers, and can go on nowhere.
    volume.down = [NodeID(1)]
    for _ in 0..<20 {
      _ = try Self.write(volume)
      Self.pass(volume, seconds: 0.1)
    }
    // VDL has passed those: only gossip, which model nodes have not, would bring them.
    volume.down = []
    Self.pass(volume, seconds: 55)
    #expect(Self.repairs(volume).isEmpty)
    Self.pass(volume, seconds: 10)
    let action = try #require(Self.repairs(volume).first)
    #expect(action.plan == .replace(NodeID(1), with: SegmentMember(node: NodeID(7), zone: ZoneID(0))))
    #expect(action.reason.contains("behind"))
  }

  @Test("what an operator asks for is not taken back because the old member is well")
  func operators() throws {
    let volume = Self.volume()
    Self.pass(volume, seconds: 10)
    _ = try Self.write(volume)
    try volume.writer.change(
      ProtectionGroupID(0), to: .replace(NodeID(1), with: SegmentMember(node: NodeID(7), zone: ZoneID(0))),
      now: volume.now, into: &volume.effects)
    volume.absorb()
    Self.pass(volume, seconds: 30)
    #expect(Self.repairs(volume).isEmpty)
    volume.hydrate(NodeID(7), from: NodeID(2))
    Self.pass(volume, seconds: 2)
    #expect(Set(Self.nodes(volume)) == [2, 3, 4, 5, 6, 7])
  }
}
