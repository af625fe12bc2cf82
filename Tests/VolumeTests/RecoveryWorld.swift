import BorealisCore
import BorealisReplicationPolicy
import BorealisWire

@testable import BorealisVolume

/// Nodes, writers and recoveries over a network that loses, repeats and reorders, all drawn from one seed; and an oracle
/// that knows every record ever issued, and everything that was ever promised to a client.
final class RecoveryWorld {
  static let volume = VolumeID(7)
  static let allocationLimit: UInt64 = 40
  let policy: any ReplicationPolicy = AuroraPolicy()
  var random: DeterministicGenerator
  var now = Instant.zero
  var nodes: [RecoveryNode]
  var writers: [RecoveryWriter] = []
  var recoveries: [RecoveryBox] = []
  var network: [Outgoing] = []
  var lastEpoch = VolumeEpoch(1)
  let groupCount: Int
  let plantedBug: PlantedBug?
  let changesMembers: Bool
  /// Zone `z` is unreachable.
  var lostZone: Int?
  /// What each opening showed.
  var openings: [OpenedVolume] = []
  var violations: [String] = []

  final class RecoveryBox {
    var machine: VolumeRecovery
    let epoch: VolumeEpoch
    init(_ machine: consuming VolumeRecovery, epoch: VolumeEpoch) {
      self.machine = machine
      self.epoch = epoch
    }
    var phase: VolumeRecovery.Phase { machine.phase }
    var outcome: OpenedVolume? { machine.outcome }
    var failure: VolumeError? { machine.failure }
    var progress: String { machine.progress }
  }

  init(seed: UInt64, groups: Int, plantedBug: PlantedBug? = nil, changesMembers: Bool = false) {
    random = DeterministicGenerator(seed: seed)
    groupCount = groups
    self.plantedBug = plantedBug
    self.changesMembers = changesMembers
    nodes = (0..<9).map { RecoveryNode(id: NodeID(UInt32($0)), volume: RecoveryWorld.volume, groups: groups) }
    let topology = nodes.map { NodePlacement(node: $0.id, zone: ZoneID(UInt8($0.id.value % 3))) }
    let first = (0..<groups).map { id in
      // swift-format-ignore: NeverUseForceTry
      try! policy.firstConfiguration(group: ProtectionGroupID(UInt32(id)), over: topology, proposedBy: lastEpoch)
    }
    var creation = VolumeCreation(
      volume: RecoveryWorld.volume, epoch: lastEpoch, instance: .instance(1), groups: first, now: now)
    creation.start(now: now, into: &network)
    while creation.outcome == nil {
      let message = network.removeFirst()
      if let node = message.to.node {
        nodes[Int(node.value)].receive(message.bytes, &network)
      } else {
        creation.receive(message.bytes, now: now, into: &network)
      }
    }
    if let outcome = creation.outcome { opened(outcome) }
  }

  // MARK: The world's steps

  func run(steps: Int) {
    for _ in 0..<steps where violations.isEmpty { step() }
  }
  func step() {
    now = now.advanced(byNanoseconds: random.within(100_000...3_000_000))
    switch random.below(100) {
    case 0..<66: for _ in 0..<(1 + random.below(12)) { deliver() }
    case 66..<76:
      guard !writers.isEmpty else { return }
      // Mostly the newest writer; sometimes one that does not know yet that it is fenced.
      let at = random.chance(3, in: 4) ? writers.count - 1 : random.index(writers.count)
      let groups = (0...random.index(3)).map { _ in random.index(groupCount) }
      writers[at].commit(groups, &network)
    case 76..<84: tick()
    case 84..<88:
      let node = random.index(nodes.count)
      nodes[node].gossip(random.index(groupCount), to: NodeID(UInt32(random.index(nodes.count))), &network)
    case 88..<92: crashOrRestart()
    case 92..<94: if random.chance(1, in: 2) { recover() }
    case 94: if random.chance(1, in: 5), !recoveries.isEmpty { recoveries.remove(at: random.index(recoveries.count)) }
    case 95:
      lostZone = random.chance(1, in: 4) ? random.index(3) : nil
    default: if changesMembers { changeMembers() }
    }
  }
  func deliver(lossless: Bool = false) {
    guard !network.isEmpty else { return }
    // Out of order within a window; a few much later.
    let at = lossless || random.chance(1, in: 20) ? random.index(network.count) : random.index(min(network.count, 24))
    let message = network[at]
    if lossless || !random.chance(1, in: 16) { network.remove(at: at) }
    if !lossless {
      if random.chance(1, in: 16) { return }
      if network.count > 600 { network.removeSubrange(0..<200) }
      if let node = message.to.node, isCut(node) { return }
      if let header = try? Message.decode(message.bytes).header, let node = header.sender.node, isCut(node) { return }
    }
    dispatch(message)
  }
  private func isCut(_ node: NodeID) -> Bool { lostZone.map { Int(node.value % 3) == $0 } ?? false }
  private func dispatch(_ message: Outgoing) {
    if let node = message.to.node {
      nodes[Int(node.value)].receive(message.bytes, &network)
      return
    }
    for i in writers.indices where writers[i].instance == message.to {
      let before = writers[i].nextLSN
      writers[i].receive(message.bytes, now: now, &network)
      precondition(writers[i].nextLSN == before)
    }
    for box in recoveries where PeerID.instance(box.epoch.value) == message.to {
      box.machine.receive(message.bytes, now: now, into: &network)
    }
    collectOutcomes()
  }
  func tick() {
    for i in writers.indices { writers[i].tick(now: now, &network) }
    for box in recoveries {
      box.machine.tick(now: now, into: &network)
      violations += box.machine.checkInvariants()
    }
    collectOutcomes()
  }
  private func crashOrRestart() {
    let node = random.index(nodes.count)
    if nodes[node].isUp {
      if nodes.count(where: { !$0.isUp }) < 3 { nodes[node].isUp = false }
    } else {
      nodes[node].isUp = true
    }
  }
  func recover() {
    lastEpoch = lastEpoch.next
    var machine = VolumeRecovery(
      volume: RecoveryWorld.volume, epoch: lastEpoch, instance: .instance(lastEpoch.value),
      nodes: nodes.map(\.id), allocationLimit: RecoveryWorld.allocationLimit, now: now)
    machine.plantedBug = plantedBug
    machine.start(now: now, into: &network)
    recoveries.append(RecoveryBox(machine, epoch: lastEpoch))
  }
  private func changeMembers() {
    guard !writers.isEmpty else { return }
    let at = writers.count - 1
    let group = random.index(groupCount)
    let configuration = writers[at].memberships[group].counted
    let members = configuration.members
    let plan: MembershipPlan
    switch random.below(8) {
    case 0: plan = .revert
    case 1: plan = .loseZone(ZoneID(UInt8(random.index(3))))
    case 2:
      let active = members.indices.filter { configuration.targetMembers.contains(MemberSet(member: $0)) }
      let present = active.map { members[$0].zone }
      let absent = (0..<3).map { ZoneID(UInt8($0)) }.filter { !present.contains($0) }
      let back = nodes.map(\.id).filter { node in absent.contains(ZoneID(UInt8(node.value % 3))) }.prefix(2)
      plan = .returnZone(back.map { SegmentMember(node: $0, zone: ZoneID(UInt8($0.value % 3))) })
    default:
      let old = members[random.index(members.count)]
      let spares = nodes.map(\.id).filter { node in
        !members.contains { $0.node == node } && UInt8(node.value % 3) == old.zone.value
      }
      guard !spares.isEmpty else { return }
      plan = .replace(old.node, with: SegmentMember(node: spares[random.index(spares.count)], zone: old.zone))
    }
    writers[at].change(group, plan, policy: policy, now: now, &network)
  }
  private func collectOutcomes() {
    for box in recoveries {
      if let outcome = box.machine.outcome { opened(outcome) }
    }
    recoveries.removeAll { $0.machine.outcome != nil || $0.machine.failure != nil }
  }

  /// Heals everything and opens once more: must succeed.
  func healAndOpen() {
    lostZone = nil
    for i in nodes.indices { nodes[i].isUp = true }
    recoveries.removeAll()
    for i in writers.indices { writers[i].isFenced = true }
    recover()
    let goal = openings.count + 1
    for round in 0..<4000 where openings.count < goal && violations.isEmpty {
      now = now.advanced(byMilliseconds: 5)
      if round % 8 == 0 { tick() }
      for _ in 0..<min(20, network.count) { deliver(lossless: true) }
    }
    if openings.count < goal, violations.isEmpty {
      violations.append("not opened although all is healed: \(recoveries.last?.machine.progress ?? "no recovery")")
    }
  }

  // MARK: The oracle

  private func opened(_ outcome: OpenedVolume) {
    // A recovery may learn late that it had succeeded, when a newer one has opened already: that one is none of its business.
    let before = writers.filter { $0.opened.epoch < outcome.epoch }
    let issued = before.flatMap(\.issued).map(\.header)
    let list = outcome.truncation
    func complain(_ text: String) { violations.append("epoch \(outcome.epoch): \(text)") }
    for lsn in before.flatMap(\.acked) where lsn > outcome.vdl || list.isVoid(lsn) {
      complain("I1: acknowledged \(lsn) lost; VDL \(outcome.vdl), void \(list.ranges)")
    }
    for header in issued where header.lsn >= outcome.nextLSN {
      complain("I16: next LSN \(outcome.nextLSN), but \(header.lsn) was issued")
    }
    if outcome.vdl != .zero, !issued.contains(where: { $0.lsn == outcome.vdl && $0.isConsistencyPoint }) {
      complain("VDL \(outcome.vdl) is no consistency point")
    }
    if outcome.lastRecord != outcome.vdl { complain("last record \(outcome.lastRecord), VDL \(outcome.vdl)") }
    let kept = issued.filter { $0.lsn <= outcome.vdl && !list.isVoid($0.lsn) }
    for (id, group) in outcome.groups.enumerated() {
      let mine = kept.filter { Int($0.group.value) == id }.map(\.lsn).sorted()
      if group.tail != mine.last ?? .zero { complain("tail of pg\(id) is \(mine.last ?? .zero), found \(group.tail)") }
      var complete = MemberSet()
      for (i, member) in group.configuration.members.enumerated() {
        let node = nodes[Int(member.node.value)]
        let held = node.chain(id)
        if node.segments[id] != nil, held.count >= mine.count, Array(held.prefix(mine.count)) == mine {
          complete.insert(MemberSet(member: i))
        }
      }
      if !mine.isEmpty, !group.configuration.rule.isWriteQuorum(complete) {
        complain("pg\(id) up to \(group.tail) only on \(complete) of \(group.configuration.rule)")
      }
    }
    for other in openings {
      if other.epoch < outcome.epoch { compare(other, with: outcome) } else { compare(outcome, with: other) }
    }
    openings.append(outcome)
    writers.append(
      RecoveryWriter(
        outcome, instance: .instance(outcome.epoch.value), allocationLimit: RecoveryWorld.allocationLimit,
        plantedBug: plantedBug))
    writers.sort { $0.opened.epoch < $1.opened.epoch }
  }
  /// What one opening showed must be there in every later one; what it made void must stay void.
  private func compare(_ earlier: OpenedVolume, with later: OpenedVolume) {
    for header in writers.flatMap(\.issued).map(\.header) where header.epoch < later.epoch {
      if header.lsn <= earlier.vdl, !earlier.truncation.isVoid(header.lsn) {
        if header.lsn > later.vdl || later.truncation.isVoid(header.lsn) {
          violations.append("epoch \(later.epoch): \(header.lsn) was shown at epoch \(earlier.epoch) and has gone")
        }
      } else if earlier.truncation.isVoid(header.lsn), !later.truncation.isVoid(header.lsn) {
        violations.append("epoch \(later.epoch): I4: \(header.lsn), void since epoch \(earlier.epoch), is back")
      }
    }
  }

  /// I16 as it shows in the end: an LSN given twice.
  func checkIssued() {
    var seen: [LSN: VolumeEpoch] = [:]
    for writer in writers {
      for record in writer.issued {
        if let other = seen[record.header.lsn] {
          violations.append("I16: \(record.header.lsn) issued at epochs \(other) and \(writer.opened.epoch)")
        }
        seen[record.header.lsn] = writer.opened.epoch
      }
    }
  }
}
