public import BorealisWire

/// Six copies, two in each of three zones; writes 4/6, reads 3/6; 3/4 and 2/4 while a zone is lost.
///
/// Survives the loss of a zone for writes, of a zone and one more copy for reads. Source: P17 §2.1, P18 §4.1.
public struct AuroraPolicy: ReplicationPolicy {
  /// Makes the policy.
  public init() {}
  /// `aurora`.
  public var name: String { "aurora" }
  /// Two full copies in each of three zones.
  public var slots: [CopySlot] { CopySlot.full(copiesPerZone: 2, zones: 3) }
  /// Writes 4 of 6, reads 3 of 6.
  public func rule(for active: MemberSet, of members: [SegmentMember]) -> QuorumRule {
    QuorumRule(write: [[Threshold(4, of: active)]], read: [[Threshold(3, of: active)]])
  }
  /// Writes 3 of 4, reads 2 of 4; nil unless four copies are left.
  public func zoneLostRule(for survivors: MemberSet, of members: [SegmentMember]) -> QuorumRule? {
    survivors.count == 4 ? ZoneLostPolicy().rule(for: survivors, of: members) : nil
  }
}

/// Three full and three tail copies, one of each in every zone; writes 4/6 or 3/3 full, reads 3/6 with a full one.
///
/// Costs about half the space of six full copies. Source: P18 §4.2.
public struct FullAndTailPolicy: ReplicationPolicy {
  /// Makes the policy.
  public init() {}
  /// `full-and-tail`.
  public var name: String { "full-and-tail" }
  /// A full and a tail copy in each of three zones.
  public var slots: [CopySlot] {
    (0..<3).flatMap { [CopySlot(zone: $0, kind: .full), CopySlot(zone: $0, kind: .tail)] }
  }
  /// Writes 4 of any or all the full ones, reads 3 of any with at least one full.
  public func rule(for active: MemberSet, of members: [SegmentMember]) -> QuorumRule {
    let full = active.filter(members) { $0.kind == .full }
    var write = [Threshold(4, of: active)]
    // All the full copies meet four of six only where there are three or more of them.
    if full.count >= 3 { write.append(Threshold(full.count, of: full)) }
    return QuorumRule(write: [write], read: [[Threshold(3, of: active), Threshold(1, of: full)]])
  }
  /// Writes 3 of 4, reads 2 of 4 with at least one full; nil unless four copies with a full one are left.
  public func zoneLostRule(for survivors: MemberSet, of members: [SegmentMember]) -> QuorumRule? {
    let full = survivors.filter(members) { $0.kind == .full }
    guard survivors.count == 4, full.count >= 1 else { return nil }
    return QuorumRule(
      write: [[Threshold(3, of: survivors)]], read: [[Threshold(2, of: survivors), Threshold(1, of: full)]])
  }
}

/// Four copies, two in each of two zones; writes 3/4, reads 2/4: what a group of six becomes while a zone is lost.
///
/// Source: P18 §4.1 (the write quorum; the read quorum follows).
public struct ZoneLostPolicy: ReplicationPolicy {
  /// Makes the policy.
  public init() {}
  /// `zone-lost`.
  public var name: String { "zone-lost" }
  /// Two full copies in each of two zones.
  public var slots: [CopySlot] { CopySlot.full(copiesPerZone: 2, zones: 2) }
  /// Writes 3 of 4, reads 2 of 4.
  public func rule(for active: MemberSet, of members: [SegmentMember]) -> QuorumRule {
    QuorumRule(write: [[Threshold(3, of: active)]], read: [[Threshold(2, of: active)]])
  }
}

/// Three copies, one in each of three zones; writes 2/3, reads 2/3: the common quorum that P17 §2.1 finds too weak.
public struct MajorityPolicy: ReplicationPolicy {
  /// Makes the policy.
  public init() {}
  /// `majority`.
  public var name: String { "majority" }
  /// A full copy in each of three zones.
  public var slots: [CopySlot] { CopySlot.full(copiesPerZone: 1, zones: 3) }
  /// Writes 2 of 3, reads 2 of 3.
  public func rule(for active: MemberSet, of members: [SegmentMember]) -> QuorumRule {
    QuorumRule(write: [[Threshold(2, of: active)]], read: [[Threshold(2, of: active)]])
  }
}

/// One copy, for development: the loss of its node loses the data.
public struct SingleCopyPolicy: ReplicationPolicy {
  /// Makes the policy.
  public init() {}
  /// `single`.
  public var name: String { "single" }
  /// One full copy.
  public var slots: [CopySlot] { CopySlot.full(copiesPerZone: 1, zones: 1) }
  /// The one copy.
  public func rule(for active: MemberSet, of members: [SegmentMember]) -> QuorumRule {
    QuorumRule(write: [[Threshold(1, of: active)]], read: [[Threshold(1, of: active)]])
  }
}

/// Aurora's quorums, but each changed page is sent whole to every copy: the baseline for comparison of bytes written.
public struct MirroredPagesPolicy: ReplicationPolicy {
  /// Makes the policy.
  public init() {}
  /// `mirrored-pages`.
  public var name: String { "mirrored-pages" }
  /// Two full copies in each of three zones.
  public var slots: [CopySlot] { AuroraPolicy().slots }
  /// Whole pages.
  public var payload: ReplicationPayload { .pageImages }
  /// Writes 4 of 6, reads 3 of 6.
  public func rule(for active: MemberSet, of members: [SegmentMember]) -> QuorumRule {
    AuroraPolicy().rule(for: active, of: members)
  }
  /// Writes 3 of 4, reads 2 of 4.
  public func zoneLostRule(for survivors: MemberSet, of members: [SegmentMember]) -> QuorumRule? {
    AuroraPolicy().zoneLostRule(for: survivors, of: members)
  }
}

extension ReplicationPolicy where Self == AuroraPolicy {
  /// Six copies, 4/6 and 3/6: the default.
  public static var aurora: AuroraPolicy { AuroraPolicy() }
}
extension ReplicationPolicy where Self == FullAndTailPolicy {
  /// Three full and three tail copies.
  public static var fullAndTail: FullAndTailPolicy { FullAndTailPolicy() }
}
extension ReplicationPolicy where Self == ZoneLostPolicy {
  /// Four copies in two zones, 3/4 and 2/4.
  public static var zoneLost: ZoneLostPolicy { ZoneLostPolicy() }
}
extension ReplicationPolicy where Self == MajorityPolicy {
  /// Three copies, 2/3 and 2/3.
  public static var majority: MajorityPolicy { MajorityPolicy() }
}
extension ReplicationPolicy where Self == SingleCopyPolicy {
  /// One copy.
  public static var single: SingleCopyPolicy { SingleCopyPolicy() }
}
extension ReplicationPolicy where Self == MirroredPagesPolicy {
  /// Aurora's quorums with whole pages sent.
  public static var mirroredPages: MirroredPagesPolicy { MirroredPagesPolicy() }
}

/// The policies that come with Borealis.
public enum BuiltInPolicies {
  /// All of them, the default first.
  public static var all: [any ReplicationPolicy] {
    [
      AuroraPolicy(), FullAndTailPolicy(), ZoneLostPolicy(), MajorityPolicy(), SingleCopyPolicy(),
      MirroredPagesPolicy(),
    ]
  }
  /// The one with this name, for command lines.
  public static func named(_ name: String) -> (any ReplicationPolicy)? { all.first { $0.name == name } }
}
