public import BorealisCore
public import BorealisWire

/// Why a policy, a placement or a change of membership was refused.
public struct ReplicationPolicyError: Error, Sendable, Hashable, CustomStringConvertible {
  /// The kinds of refusal.
  public enum Code: String, Sendable, Hashable {
    /// A read quorum and a write quorum have no member in common: acknowledged data could be missed.
    case readMissesWrite
    /// Two write quorums have no member in common: two writers could both be acknowledged.
    case writeMissesWrite
    /// All members together are no quorum, or a rule names members outside its set or asks for more than there are.
    case malformedRule
    /// No copies, too many of them, or zone indexes with a gap.
    case malformedSlots
    /// The topology cannot hold the copies.
    case tooFewNodes
    /// The topology names a node twice.
    case duplicateNode
    /// The node is not a member of the group.
    case notMember
    /// The node is a member already.
    case alreadyMember
    /// The policy has no rule for this (zone lost), or the members do not fit it.
    case unsupported
    /// There is no transition to commit or to revert.
    case noTransition
    /// More members than a configuration can name.
    case tooManyMembers
    /// The membership epoch cannot be raised further.
    case epochExhausted
  }
  /// The kind of refusal.
  public var code: Code
  /// The step in which it shows (`replacing F by G, committed`); empty where there is none.
  public var step: String
  /// The sets that do not meet (for `readMissesWrite` the reads first, then the writes); empty elsewhere.
  public var sets: [MemberSet]
  /// The zone that has too few nodes.
  public var zone: ZoneID?
  /// Details for people.
  public var detail: String

  /// Makes an error.
  public init(_ code: Code, step: String = "", sets: [MemberSet] = [], zone: ZoneID? = nil, detail: String = "") {
    self.code = code
    self.step = step
    self.sets = sets
    self.zone = zone
    self.detail = detail
  }
  /// Never: the same arguments give the same refusal.
  public var isRetryable: Bool { false }
  /// What to do about it.
  public var hint: String {
    switch code {
    case .readMissesWrite: "raise the read or the write quorum until their sum exceeds the number of copies"
    case .writeMissesWrite: "raise the write quorum above half of the copies"
    case .malformedRule: "use thresholds between 1 and the number of members that they name"
    case .malformedSlots: "give 1 to 14 slots with zone indexes counted from 0"
    case .tooFewNodes: "add storage nodes to the zone, or choose a policy with fewer copies"
    case .duplicateNode: "name each node once"
    case .notMember: "choose a member of the group"
    case .alreadyMember: "choose a node that holds no copy of the group"
    case .unsupported: "choose a policy that has a rule for it"
    case .noTransition: "begin a transition first"
    case .tooManyMembers: "finish the transition under way first"
    case .epochExhausted: "make a new volume"
    }
  }
  /// One line for people: `reads {D,E,F} miss writes {A,B,C} (steady)`.
  public var description: String {
    func list(_ set: MemberSet) -> String {
      "{" + (set.isEmpty ? "" : set.description.map(String.init).joined(separator: ",")) + "}"
    }
    var text: String
    switch code {
    case .readMissesWrite where sets.count == 2: text = "reads \(list(sets[0])) miss writes \(list(sets[1]))"
    case .writeMissesWrite where sets.count == 2: text = "writes \(list(sets[0])) miss writes \(list(sets[1]))"
    default: text = code.rawValue
    }
    if !step.isEmpty { text += " (\(step))" }
    if !detail.isEmpty { text += ": \(detail)" }
    return text + "; " + hint
  }
}
