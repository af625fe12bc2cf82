import BorealisCore
import BorealisWire

/// What a policy withstands, found by enumeration.
public struct QuorumFacts: Sendable, Hashable {
  /// Any so many members may be lost, and the group still takes writes.
  public var writesSurvive: Int
  /// Any so many members may be lost, and the group can still be recovered.
  public var readsSurvive: Int
  /// Whether writes go on without any one zone.
  public var writesSurviveZone: Bool
  /// Whether the group can be recovered without any one zone and any one member more.
  public var readsSurviveZoneAndOne: Bool
  /// Number of smallest write quorums.
  public var minimalWriteQuorums: Int
  /// Number of smallest read quorums.
  public var minimalReadQuorums: Int
  /// Makes facts.
  public init(
    writesSurvive: Int, readsSurvive: Int, writesSurviveZone: Bool, readsSurviveZoneAndOne: Bool,
    minimalWriteQuorums: Int, minimalReadQuorums: Int
  ) {
    self.writesSurvive = writesSurvive
    self.readsSurvive = readsSurvive
    self.writesSurviveZone = writesSurviveZone
    self.readsSurviveZoneAndOne = readsSurviveZoneAndOne
    self.minimalWriteQuorums = minimalWriteQuorums
    self.minimalReadQuorums = minimalReadQuorums
  }
}

extension ReplicationPolicy {
  /// Checks by enumeration that no two quorums that have to meet can miss each other, in any membership.
  ///
  /// Covered: the steady state; the replacement of each member, of each two at once, and of each while another
  /// replacement is under way; each zone lost, replacements while it is lost, and its return; a zone lost during a
  /// replacement. Of each transition: before, during (writes by both rules, reads by the old one), handed over,
  /// committed, reverted.
  /// Members are named A, B, C... in slot order; those that replace them get the letters after.
  ///
  /// Takes about 2^(copies + 2) · copies² / 2 steps: a few milliseconds for six copies.
  /// - Throws: `.readMissesWrite` or `.writeMissesWrite` with the two sets and the step, `.malformedRule`,
  ///   `.malformedSlots`.
  public func validate() throws(ReplicationPolicyError) {
    try checkSlots()
    let members = slots.enumerated().map { index, slot in
      SegmentMember(node: NodeID(UInt32(index)), zone: ZoneID(UInt8(slot.zone)), kind: slot.kind)
    }
    let rule = rule(members: members)
    try checkWellFormed(rule, over: .first(copies), step: "steady")
    try checkSteady(rule, count: copies, step: "steady")
    let first = GroupConfiguration(
      group: ProtectionGroupID(0), epoch: MembershipEpoch(1), proposedBy: VolumeEpoch(1), members: members, rule: rule)
    try validateReplacements(from: first, prefix: "")
    for zone in 0..<zones where !members.allSatisfy({ Int($0.zone.value) == zone }) {
      try validateLoss(of: ZoneID(UInt8(zone)), from: first)
    }
  }

  /// Facts for documentation and for people; checks nothing.
  public var facts: QuorumFacts {
    let members = slots.enumerated().map { index, slot in
      SegmentMember(
        node: NodeID(UInt32(index)), zone: ZoneID(UInt8(truncatingIfNeeded: slot.zone)), kind: slot.kind)
    }
    let rule = rule(members: members)
    let writes = SubsetTable.writes(rule, count: copies)
    let reads = SubsetTable.reads(rule, count: copies)
    func survives(_ table: SubsetTable) -> Int {
      // The most losses of which none ends the quorum; -1 where there is no quorum at all.
      let fatal = table.isQuorum.indices.filter { !table.isQuorum[$0] }
      return (fatal.map { copies - $0.nonzeroBitCount }.min() ?? copies + 1) - 1
    }
    var zoneWrites = true
    var zoneReads = true
    for zone in 0..<zones {
      let left = MemberSet.first(copies).filter(members) { Int($0.zone.value) != zone }
      if !writes.contains(left) { zoneWrites = false }
      for member in 0..<copies where left.contains(MemberSet(member: member)) {
        if !reads.contains(left.subtracting(MemberSet(member: member))) { zoneReads = false }
      }
      if left.isEmpty { zoneReads = false }
    }
    return QuorumFacts(
      writesSurvive: survives(writes), readsSurvive: survives(reads), writesSurviveZone: zoneWrites,
      readsSurviveZoneAndOne: zoneReads, minimalWriteQuorums: writes.minimal.count,
      minimalReadQuorums: reads.minimal.count)
  }

  // MARK: Transitions

  /// Every single and double replacement that can begin at `steady`, through commit and revert.
  private func validateReplacements(from steady: GroupConfiguration, prefix: String) throws(ReplicationPolicyError) {
    let fresh = UInt32(steady.members.map(\.node.value).max() ?? 0) + 1
    for (i, old) in steady.members.enumerated() {
      let new = SegmentMember(node: NodeID(fresh), zone: old.zone, kind: old.kind)
      let one = try step(prefix + "replacing \(letter(i)) by \(letter(steady.members.count))") {
        () throws(ReplicationPolicyError) in
        try replacing(old.node, with: new, in: steady, target: .zero, by: VolumeEpoch(1))
      }
      for j in (i + 1)..<max(i + 1, steady.members.count) {
        let other = steady.members[j]
        let next = SegmentMember(node: NodeID(fresh + 1), zone: other.zone, kind: other.kind)
        let letters = "\(letter(i)) and \(letter(j)) by \(letter(steady.members.count)) and "
        _ = try step(prefix + "replacing " + letters + letter(steady.members.count + 1)) {
          () throws(ReplicationPolicyError) in
          try replacing(other.node, with: next, in: one, target: .zero, by: VolumeEpoch(1))
        }
      }
    }
  }

  /// `zone` is lost and comes back with other nodes, and with the same; with replacements before, between and during.
  private func validateLoss(of zone: ZoneID, from steady: GroupConfiguration) throws(ReplicationPolicyError) {
    let survivors = steady.activeMembers.filter(steady.members) { $0.zone != zone }
    guard zoneLostRule(for: survivors, of: steady.members) != nil else { return }
    let one = VolumeEpoch(1)
    let name = "zone \(zone) lost"
    let losing = try step(name) { () throws(ReplicationPolicyError) in
      try losingZone(zone, in: steady, target: .zero, by: one)
    }
    let lost = try losing.committing(by: one)
    try validateReplacements(from: lost, prefix: name + ", ")
    let gone = steady.members.filter { $0.zone == zone }
    let fresh = gone.enumerated().map { index, member in
      SegmentMember(node: NodeID(1000 + UInt32(index)), zone: zone, kind: member.kind)
    }
    for members in [fresh, gone] {
      let returning = try step("zone \(zone) returned") { () throws(ReplicationPolicyError) in
        try returningZone(members, in: lost, target: .zero, by: one)
      }
      _ = try step("zone \(zone) returned") { () throws(ReplicationPolicyError) in
        try losingZone(zone, in: returning, target: .zero, by: one)
      }
      try validateReplacements(from: try returning.committing(by: one), prefix: "zone \(zone) returned, ")
    }
    for (i, old) in steady.members.enumerated() {
      let new = SegmentMember(node: NodeID(1000), zone: old.zone, kind: old.kind)
      let letters = "replacing \(letter(i)) by \(letter(steady.members.count)), "
      _ = try step(letters + name) { () throws(ReplicationPolicyError) in
        let replacing = try replacing(old.node, with: new, in: steady, target: .zero, by: one)
        return try losingZone(zone, in: replacing, target: .zero, by: one)
      }
    }
  }

  private func step<R>(
    _ name: String, _ body: () throws(ReplicationPolicyError) -> R
  ) throws(ReplicationPolicyError) -> R {
    do throws(ReplicationPolicyError) { return try body() } catch {
      var named = error
      // "replacing n5 by n6, committed" becomes "replacing F by G, committed".
      let phase = error.step.split(separator: ",").last.map { "," + $0 } ?? ""
      named.step = name + phase
      throw named
    }
  }

  // MARK: One rule, one transition

  /// Checks a configuration in transition: what is to be written and read before, during and after.
  func checkTransition(
    _ c: GroupConfiguration, expecting active: MemberSet, step: String
  ) throws(ReplicationPolicyError) {
    guard let pending = c.pending else { return }
    try checkWellFormed(pending, over: active, step: step + ", begun")
    let count = c.members.count
    let (oldWrites, oldReads) = (SubsetTable.writes(c.rule, count: count), SubsetTable.reads(c.rule, count: count))
    let (newWrites, newReads) = (SubsetTable.writes(pending, count: count), SubsetTable.reads(pending, count: count))
    let both = oldWrites.and(newWrites)
    // Writes before, and the proposal of the transition itself, against recovery that reads by the old rule.
    try meet(reads: oldReads, writes: oldWrites, step + ", begun")
    // Writes during the transition, and its commit or revert, against recovery that still reads by the old rule.
    try meet(reads: oldReads, writes: both, step + ", under way")
    try meet(writes: oldWrites, both, step + ", under way")
    // After the commit: what is written from then on, what hydration brought to a write quorum of the pending rule, and
    // what was written during the transition.
    try meet(reads: newReads, writes: newWrites, step + ", committed")
    try meet(writes: newWrites, newWrites, step + ", committed")
    try meet(reads: newReads, writes: both, step + ", committed")
    try meet(writes: both, newWrites, step + ", committed")
    // The handover (the new rule in force, the old one still written): an opener that finds it reads by both, and must
    // meet what was decided by either.
    let bothReads = oldReads.and(newReads)
    try meet(reads: bothReads, writes: oldWrites, step + ", handed over")
    try meet(reads: bothReads, writes: newWrites, step + ", handed over")
    // After a revert.
    try meet(writes: both, oldWrites, step + ", reverted")
  }

  func checkSteady(_ rule: QuorumRule, count: Int, step: String) throws(ReplicationPolicyError) {
    let (writes, reads) = (SubsetTable.writes(rule, count: count), SubsetTable.reads(rule, count: count))
    try meet(reads: reads, writes: writes, step)
    try meet(writes: writes, writes, step)
  }

  private func checkWellFormed(
    _ rule: QuorumRule, over active: MemberSet, step: String
  ) throws(ReplicationPolicyError) {
    func refuse(_ detail: String) -> ReplicationPolicyError {
      ReplicationPolicyError(.malformedRule, step: step, detail: "\(rule): \(detail)")
    }
    for clauses in [rule.write, rule.read] {
      // Counts and clauses are bytes on the wire.
      guard !clauses.isEmpty, clauses.count <= 255, clauses.allSatisfy({ !$0.isEmpty && $0.count <= 255 }) else {
        throw refuse("an empty clause")
      }
      for threshold in clauses.joined() where threshold.count < 1 || threshold.count > threshold.members.count {
        throw refuse("\(threshold) cannot be met, or always is")
      }
    }
    guard rule.members == active else { throw refuse("names \(rule.members) where the members are \(active)") }
    guard rule.isWriteQuorum(active), rule.isReadQuorum(active) else { throw refuse("all members are no quorum") }
  }
}

private func meet(reads: SubsetTable, writes: SubsetTable, _ step: String) throws(ReplicationPolicyError) {
  // The writes are looked through in order, so that the first ones that fail are named.
  if let (w, r) = writes.miss(reads) { throw ReplicationPolicyError(.readMissesWrite, step: step, sets: [r, w]) }
}

private func meet(writes: SubsetTable, _ others: SubsetTable, _ step: String) throws(ReplicationPolicyError) {
  if let (a, b) = writes.miss(others) { throw ReplicationPolicyError(.writeMissesWrite, step: step, sets: [a, b]) }
}

private func letter(_ index: Int) -> String { MemberSet(member: index).description }
