public import BorealisWire

/// Every set of up to 16 members, and which of them are quorums: what the checks look up instead of asking the rule.
struct SubsetTable {
  /// All members.
  let all: MemberSet
  /// Index: the bits of a set.
  private(set) var isQuorum: [Bool]

  /// Asks `predicate` about every subset of the first `count` members.
  init(count: Int, _ predicate: (MemberSet) -> Bool) {
    all = .first(count)
    isQuorum = (0..<(1 << count)).map { predicate(MemberSet(rawValue: UInt16(truncatingIfNeeded: $0))) }
  }
  /// Write quorums of `rule`.
  static func writes(_ rule: QuorumRule, count: Int) -> SubsetTable { SubsetTable(count: count, rule.isWriteQuorum) }
  /// Read quorums of `rule`.
  static func reads(_ rule: QuorumRule, count: Int) -> SubsetTable { SubsetTable(count: count, rule.isReadQuorum) }
  /// Sets that are quorums in both.
  func and(_ other: SubsetTable) -> SubsetTable {
    var result = self
    for i in isQuorum.indices { result.isQuorum[i] = isQuorum[i] && other.isQuorum[i] }
    return result
  }
  func contains(_ set: MemberSet) -> Bool { isQuorum[Int(set.rawValue)] }

  /// Two disjoint quorums, one of this table and one of `other`, as small as can be; nil when every two meet.
  ///
  /// Rules are monotone, so a quorum misses some other one exactly when the rest of the members is another one: that
  /// takes one look at each set instead of one at each pair.
  func miss(_ other: SubsetTable) -> (MemberSet, MemberSet)? {
    for i in isQuorum.indices where isQuorum[i] {
      let mine = MemberSet(rawValue: UInt16(truncatingIfNeeded: i))
      var theirs = all.subtracting(mine)
      guard other.contains(theirs) else { continue }
      for member in stride(from: 15, through: 0, by: -1) {
        let smaller = theirs.subtracting(MemberSet(member: member))
        if smaller != theirs, other.contains(smaller) { theirs = smaller }
      }
      // Ascending order: the first one found has no smaller quorum inside.
      return (mine, theirs)
    }
    return nil
  }

  /// The quorums that hold no smaller one.
  var minimal: [MemberSet] {
    isQuorum.indices.compactMap { i in
      guard isQuorum[i] else { return nil }
      for member in 0..<16 where i >> member & 1 == 1 && isQuorum[i & ~(1 << member)] { return nil }
      return MemberSet(rawValue: UInt16(truncatingIfNeeded: i))
    }
  }
}

extension QuorumRule {
  /// The members that the rule names.
  public var members: MemberSet {
    var result = MemberSet()
    for clause in write { for threshold in clause { result.formUnion(threshold.members) } }
    for clause in read { for threshold in clause { result.formUnion(threshold.members) } }
    return result
  }
  /// The smallest write quorums, none of which holds another: 2^n steps for n members.
  public var minimalWriteQuorums: [MemberSet] { SubsetTable.writes(self, count: members.highest).minimal }
  /// The smallest read quorums.
  public var minimalReadQuorums: [MemberSet] { SubsetTable.reads(self, count: members.highest).minimal }

  /// The quorum set of P18 §4.1: writes need both rules, reads either.
  ///
  /// Reading by either is safe only once the members that `other` adds are hydrated, so transitions here read by the
  /// old rule alone.
  public func joined(with other: QuorumRule) -> QuorumRule {
    QuorumRule(write: write + other.write, read: read + other.read)
  }
}

extension MemberSet {
  /// One more than the highest member's index.
  var highest: Int { UInt16.bitWidth - rawValue.leadingZeroBitCount }

  /// The bits of this set moved together, for members from which only `kept` are left.
  func compacted(keeping kept: MemberSet) -> MemberSet {
    var result = MemberSet()
    var next = 0
    for i in 0..<16 where kept.contains(MemberSet(member: i)) {
      if contains(MemberSet(member: i)) { result.insert(MemberSet(member: next)) }
      next += 1
    }
    return result
  }
}

extension QuorumRule {
  /// The rule over members from which only `kept` are left.
  func compacted(keeping kept: MemberSet) -> QuorumRule {
    func move(_ clauses: [[Threshold]]) -> [[Threshold]] {
      clauses.map { $0.map { Threshold($0.count, of: $0.members.compacted(keeping: kept)) } }
    }
    return QuorumRule(write: move(write), read: move(read))
  }
}
