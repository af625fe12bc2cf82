import BorealisCore
import BorealisWire

/// What a policy survives, by its quorum rule: looks at every set of copies that can be lost.
///
///     print(PolicySurvival(.aurora).ofWrites)    // 2 nodes, a zone
///     print(PolicySurvival(.aurora).ofReads)     // 3 nodes, a zone and 1
public struct PolicySurvival {
  private let zones: [MemberSet]
  private let rule: QuorumRule
  private let all: MemberSet

  /// Looks at a policy's rule for whole groups; takes 2 to the number of copies steps.
  public init(_ policy: any ReplicationPolicy) {
    let members = policy.slots.enumerated().map { i, slot in
      SegmentMember(node: NodeID(UInt32(i)), zone: ZoneID(UInt8(slot.zone)), kind: slot.kind)
    }
    let all = MemberSet.first(members.count)
    zones = (0..<policy.zones).map { zone in all.filter(members) { Int($0.zone.value) == zone } }
    rule = policy.rule(members: members)
    self.all = all
  }
  /// What may be lost while writes go on: nodes, whichever they are, and a zone with nodes besides.
  public var ofWrites: String { describe(rule.isWriteQuorum) }
  /// What may be lost while what was written can be read and recovered.
  public var ofReads: String { describe(rule.isReadQuorum) }

  /// The most nodes, whichever they are; and a zone, whichever it is, with the most nodes besides.
  private func describe(_ isQuorum: (MemberSet) -> Bool) -> String {
    let sets = (1...all.rawValue).map { MemberSet(rawValue: $0) }
    func survives(_ lost: [MemberSet]) -> Bool { lost.allSatisfy { isQuorum(all.subtracting($0)) } }
    let nodes = (1...all.count).prefix { n in survives(sets.filter { $0.count == n }) }.count
    let zone = (0...all.count).prefix { besides in
      zones.allSatisfy { zone in survives(sets.filter { $0.isSuperset(of: zone) && $0.count == zone.count + besides }) }
    }.count
    let parts = [
      nodes == 0 ? nil : nodes == 1 ? "1 node" : "\(nodes) nodes",
      zone == 0 ? nil : zone == 1 ? "a zone" : "a zone and \(zone - 1)",
    ]
    return nodes == 0 && zone == 0 ? "nothing" : parts.compactMap(\.self).joined(separator: ", ")
  }
}
