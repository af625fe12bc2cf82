public import BorealisWire

/// "At least so many of these copies", before it is known which nodes they are.
public struct QuorumRequirement: Sendable, Hashable {
  /// Which copies count.
  public enum Selection: String, Sendable, Hashable {
    /// Every copy.
    case any
    /// Those that keep pages.
    case full
    /// Those that keep the log only.
    case tail
  }
  /// How many are needed.
  public var count: Int
  /// Out of which.
  public var selection: Selection
  /// Makes a requirement.
  public init(_ count: Int, of selection: Selection = .any) {
    self.count = count
    self.selection = selection
  }
}

/// A policy of one's own, built from numbers: copies, zones and quorums.
///
///     let five = QuorumPolicy(name: "five", slots: CopySlot.full(copiesPerZone: 1, zones: 5), write: 3, read: 3)
///     try five.validate()
///
/// Nothing is checked when it is made: `validate()` does.
public struct QuorumPolicy: ReplicationPolicy {
  /// The name for people and command lines.
  public var name: String
  /// The copies.
  public var slots: [CopySlot]
  /// What each copy is sent.
  public var payload: ReplicationPayload
  /// All of these clauses, each by at least one of its requirements, make a write quorum.
  public var write: [[QuorumRequirement]]
  /// One of these clauses, by every one of its requirements, makes a read quorum.
  public var read: [[QuorumRequirement]]
  /// The write clauses while a zone is lost; empty where the policy has no rule for that.
  public var zoneLostWrite: [[QuorumRequirement]]
  /// The read clauses while a zone is lost.
  public var zoneLostRead: [[QuorumRequirement]]

  /// Makes a policy from clauses.
  public init(
    name: String, slots: [CopySlot], write: [[QuorumRequirement]], read: [[QuorumRequirement]],
    zoneLostWrite: [[QuorumRequirement]] = [], zoneLostRead: [[QuorumRequirement]] = [],
    payload: ReplicationPayload = .logRecords
  ) {
    self.name = name
    self.slots = slots
    self.write = write
    self.read = read
    self.zoneLostWrite = zoneLostWrite
    self.zoneLostRead = zoneLostRead
    self.payload = payload
  }

  /// Makes a policy of plain counts: any `write` copies, any `read` copies.
  ///
  /// - Parameter zoneLost: the counts while a zone is lost.
  public init(
    name: String, slots: [CopySlot], write: Int, read: Int, zoneLost: (write: Int, read: Int)? = nil,
    payload: ReplicationPayload = .logRecords
  ) {
    self.init(
      name: name, slots: slots, write: [[QuorumRequirement(write)]], read: [[QuorumRequirement(read)]],
      zoneLostWrite: zoneLost.map { [[QuorumRequirement($0.write)]] } ?? [],
      zoneLostRead: zoneLost.map { [[QuorumRequirement($0.read)]] } ?? [], payload: payload)
  }

  /// The clauses over the members named.
  public func rule(for active: MemberSet, of members: [SegmentMember]) -> QuorumRule {
    QuorumRule(write: resolve(write, active, members), read: resolve(read, active, members))
  }
  /// The zone-lost clauses over the survivors.
  public func zoneLostRule(for survivors: MemberSet, of members: [SegmentMember]) -> QuorumRule? {
    if zoneLostWrite.isEmpty || zoneLostRead.isEmpty { return nil }
    return QuorumRule(
      write: resolve(zoneLostWrite, survivors, members), read: resolve(zoneLostRead, survivors, members))
  }

  private func resolve(
    _ clauses: [[QuorumRequirement]], _ active: MemberSet, _ members: [SegmentMember]
  ) -> [[Threshold]] {
    clauses.map { clause in
      clause.map { requirement in
        let counted =
          switch requirement.selection {
          case .any: active
          case .full: active.filter(members) { $0.kind == .full }
          case .tail: active.filter(members) { $0.kind == .tail }
          }
        return Threshold(requirement.count, of: counted)
      }
    }
  }
}
