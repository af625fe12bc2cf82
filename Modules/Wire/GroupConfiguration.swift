public import BorealisCore

/// Whether a segment keeps pages or only the log.
///
/// Source: P18 §4.2.
public enum SegmentKind: UInt8, Sendable, Hashable {
  /// Log and materialised pages: serves reads.
  case full = 0
  /// Log only.
  case tail = 1
}

/// One copy of a protection group: the node that holds it, its zone and its kind.
public struct SegmentMember: Hashable, Sendable {
  /// The node that holds the segment.
  public var node: NodeID
  /// The zone of that node.
  public var zone: ZoneID
  /// Whether it keeps pages.
  public var kind: SegmentKind
  /// Makes a member.
  public init(node: NodeID, zone: ZoneID, kind: SegmentKind = .full) {
    self.node = node
    self.zone = zone
    self.kind = kind
  }
}

/// A set of members of a group, one bit for each index into `GroupConfiguration.members`.
public struct MemberSet: OptionSet, Hashable, Sendable, CustomStringConvertible {
  /// Bit `i` is member `i`.
  public var rawValue: UInt16
  /// Makes a set from its bits.
  @inlinable public init(rawValue: UInt16) { self.rawValue = rawValue }
  /// The set of one member.
  @inlinable public init(member: Int) { rawValue = 1 << UInt16(member) }
  /// The first `count` members.
  @inlinable public static func first(_ count: Int) -> MemberSet {
    MemberSet(rawValue: UInt16(truncatingIfNeeded: (UInt32(1) << UInt32(count)) - 1))
  }
  /// Number of members.
  @inlinable public var count: Int { rawValue.nonzeroBitCount }
  /// Letters as in the papers: `ABCD`; `{}` when empty.
  public var description: String {
    let letters = (0..<16).filter { rawValue >> UInt16($0) & 1 == 1 }.map { UInt8(ascii: "A") + UInt8($0) }
    return letters.isEmpty ? "{}" : String(decoding: letters, as: UTF8.self)
  }
}

/// "At least `count` of `members`".
public struct Threshold: Hashable, Sendable, CustomStringConvertible {
  /// How many are needed; at least 1.
  public var count: Int
  /// Out of whom.
  public var members: MemberSet
  /// Makes a threshold.
  @inlinable public init(_ count: Int, of members: MemberSet) {
    self.count = count
    self.members = members
  }
  /// Whether `set` holds enough of the members.
  @inlinable public func isMet(by set: MemberSet) -> Bool { set.intersection(members).count >= count }
  /// `4/ABCDEF`.
  public var description: String { "\(count)/\(members)" }
}

/// Which sets of members form a write quorum and a read quorum.
///
/// `write` is a conjunction of disjunctions (all clauses, in each at least one threshold), `read` a disjunction of
/// conjunctions (one clause, in it every threshold). With full and tail segments: write `[[4/6 any, 3/3 full]]`,
/// read `[[3/6 any, 1/3 full]]`.
public struct QuorumRule: Hashable, Sendable, CustomStringConvertible {
  /// All of these clauses must hold, each by at least one of its thresholds.
  public var write: [[Threshold]]
  /// One of these clauses must hold, by every one of its thresholds.
  public var read: [[Threshold]]
  /// Makes a rule.
  public init(write: [[Threshold]], read: [[Threshold]]) {
    self.write = write
    self.read = read
  }
  /// Whether `set` is (a superset of) a write quorum.
  public func isWriteQuorum(_ set: MemberSet) -> Bool {
    for clause in write {
      var met = false
      for threshold in clause where threshold.isMet(by: set) { met = true }
      if !met { return false }
    }
    return true
  }
  /// Whether `set` is (a superset of) a read quorum.
  public func isReadQuorum(_ set: MemberSet) -> Bool {
    for clause in read {
      var met = true
      for threshold in clause where !threshold.isMet(by: set) { met = false }
      if met { return true }
    }
    return false
  }
  /// For people: `W (4/ABCDEF) R (3/ABCDEF)`.
  public var description: String {
    let w = write.map { "(" + $0.map(\.description).joined(separator: " or ") + ")" }.joined(separator: " and ")
    let r = read.map { "(" + $0.map(\.description).joined(separator: " and ") + ")" }.joined(separator: " or ")
    return "W \(w) R \(r)"
  }
}

/// The members and quorum rules of one protection group at one membership epoch.
///
/// In a transition `pending` is the rule that will replace `rule`: writes need both, reads (at recovery) only `rule`,
/// until the pending rule's own PGCL has reached `hydrationTarget` and the next epoch commits it (protocol §5.8).
public struct GroupConfiguration: Hashable, Sendable {
  /// The most members a configuration can name (old and new ones during a transition).
  public static let membersMax = 16

  /// The group.
  public var group: ProtectionGroupID
  /// The membership epoch.
  public var epoch: MembershipEpoch
  /// The volume epoch of the writer that proposed it: decides between two proposals for one membership epoch.
  public var proposedBy: VolumeEpoch
  /// Members, old and new; a member's index is its bit in a `MemberSet`.
  public var members: [SegmentMember]
  /// The rule in force.
  public var rule: QuorumRule
  /// The rule to come, in a transition.
  public var pending: QuorumRule?
  /// PGCL when the transition began.
  public var hydrationTarget: LSN
  /// The geometry epoch: how many groups the volume has.
  ///
  /// Kept in group 0's configuration only (0 elsewhere), so that a read quorum of group 0 always knows every group that
  /// may hold records.
  public var geometry: UInt32

  /// Makes a configuration.
  public init(
    group: ProtectionGroupID, epoch: MembershipEpoch, proposedBy: VolumeEpoch, members: [SegmentMember],
    rule: QuorumRule, pending: QuorumRule? = nil, hydrationTarget: LSN = .zero, geometry: UInt32 = 0
  ) {
    self.group = group
    self.epoch = epoch
    self.proposedBy = proposedBy
    self.members = members
    self.rule = rule
    self.pending = pending
    self.hydrationTarget = hydrationTarget
    self.geometry = geometry
  }

  /// The index of the member on `node`.
  @inlinable public func index(of node: NodeID) -> Int? {
    for i in members.indices where members[i].node == node { return i }
    return nil
  }
  /// Whether `set` is a write quorum now: of the rule, and in a transition of the pending rule too.
  public func isWriteQuorum(_ set: MemberSet) -> Bool {
    rule.isWriteQuorum(set) && (pending?.isWriteQuorum(set) ?? true)
  }
  /// Whether `set` is a read quorum now: of the rule in force only.
  public func isReadQuorum(_ set: MemberSet) -> Bool { rule.isReadQuorum(set) }
  /// Whether this one supersedes `other`: higher proposing volume epoch, then higher membership epoch.
  ///
  /// The volume epoch is the ballot, and comes first: an opener finds whatever an earlier writer has decided and goes on
  /// from there, so what a later writer proposes contains it. What an earlier one proposed besides, under however high a
  /// membership epoch, is not decided and never will be. By membership epoch first, such a straggler on one node that was
  /// cut off would take back what a later writer has decided since under a lower number.
  public func supersedes(_ other: GroupConfiguration) -> Bool {
    proposedBy == other.proposedBy ? epoch > other.epoch : proposedBy > other.proposedBy
  }
}

extension GroupConfiguration {
  func encode(into b: inout [UInt8]) {
    b.appendInteger(group.value)
    b.appendInteger(epoch.value)
    b.appendInteger(proposedBy.value)
    b.append(hydrationTarget)
    b.appendInteger(geometry)
    b.append(UInt8(members.count))
    for m in members {
      b.appendInteger(m.node.value)
      b.append(m.zone.value)
      b.append(m.kind.rawValue)
    }
    rule.encode(into: &b)
    b.append(pending == nil ? 0 : 1)
    pending?.encode(into: &b)
  }

  init(from r: inout ByteReader) throws(DecodeError) {
    group = ProtectionGroupID(try r.u32())
    epoch = MembershipEpoch(try r.u32())
    proposedBy = VolumeEpoch(try r.u32())
    hydrationTarget = try r.lsn()
    geometry = try r.u32()
    let at = r.offset
    let count = Int(try r.u8())
    guard count >= 1, count <= Self.membersMax else {
      throw DecodeError(.invalidField, "configuration.members", offset: at)
    }
    var found: [SegmentMember] = []
    for _ in 0..<count {
      let node = NodeID(try r.u32())
      let zone = ZoneID(try r.u8())
      let kindAt = r.offset
      guard let kind = SegmentKind(rawValue: try r.u8()), !found.contains(where: { $0.node == node }) else {
        throw DecodeError(.invalidField, "configuration.member", offset: kindAt)
      }
      found.append(SegmentMember(node: node, zone: zone, kind: kind))
    }
    members = found
    rule = try QuorumRule(from: &r, memberCount: count)
    let flagAt = r.offset
    switch try r.u8() {
    case 0: pending = nil
    case 1: pending = try QuorumRule(from: &r, memberCount: count)
    default: throw DecodeError(.invalidField, "configuration.pending", offset: flagAt)
    }
  }

  /// The encoded form, as it stands in messages and in a node's journal.
  public func encoded() -> [UInt8] {
    var b: [UInt8] = []
    encode(into: &b)
    return b
  }
  /// Reads the encoded form.
  public static func decode(_ bytes: UnsafeRawBufferPointer) throws(DecodeError) -> GroupConfiguration {
    var r = ByteReader(bytes, structure: "configuration")
    let value = try GroupConfiguration(from: &r)
    try r.finish()
    return value
  }
}

extension QuorumRule {
  func encode(into b: inout [UInt8]) {
    for clauses in [write, read] {
      b.append(UInt8(clauses.count))
      for clause in clauses {
        b.append(UInt8(clause.count))
        for t in clause {
          b.append(UInt8(t.count))
          b.appendInteger(t.members.rawValue)
        }
      }
    }
  }

  init(from r: inout ByteReader, memberCount: Int) throws(DecodeError) {
    func clauses() throws(DecodeError) -> [[Threshold]] {
      var result: [[Threshold]] = []
      let at = r.offset
      let count = Int(try r.u8())
      guard count >= 1 else { throw DecodeError(.invalidField, "rule.clauses", offset: at) }
      for _ in 0..<count {
        var clause: [Threshold] = []
        let n = Int(try r.u8())
        guard n >= 1 else { throw DecodeError(.invalidField, "rule.clause", offset: r.offset) }
        for _ in 0..<n {
          let t = Threshold(Int(try r.u8()), of: MemberSet(rawValue: try r.u16()))
          guard t.count >= 1, t.count <= t.members.count, t.members.isSubset(of: .first(memberCount)) else {
            throw DecodeError(.invalidField, "rule.threshold", offset: r.offset)
          }
          clause.append(t)
        }
        result.append(clause)
      }
      return result
    }
    write = try clauses()
    read = try clauses()
  }
}
