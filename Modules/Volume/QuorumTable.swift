import BorealisCore
import BorealisWire

/// Whether sets of members are write quorums, looked up by bits: the rules of a configuration, evaluated once.
struct QuorumTable: Sendable {
  private let configuration: GroupConfiguration
  private let memberCount: Int
  private let plantedBug: PlantedBug?
  /// Bit `set` of the table; empty where there are too many members for one.
  private var bits: [UInt64] = []
  private static let tabledMembersMax = 10

  init(_ configuration: GroupConfiguration, plantedBug: PlantedBug?) {
    self.configuration = configuration
    self.plantedBug = plantedBug
    memberCount = configuration.members.count
    guard memberCount <= QuorumTable.tabledMembersMax else { return }
    bits = [UInt64](repeating: 0, count: max(1, (1 << memberCount) / 64))
    for raw in 0..<(1 << memberCount) where evaluate(MemberSet(rawValue: UInt16(raw))) {
      bits[raw >> 6] |= 1 << UInt64(raw & 63)
    }
  }
  private func evaluate(_ set: MemberSet) -> Bool {
    if plantedBug == .quorumThreeOfSix { return set.count >= min(3, memberCount) }
    return configuration.isWriteQuorum(set)
  }
  func isWriteQuorum(_ set: MemberSet) -> Bool {
    bits.isEmpty ? evaluate(set) : bits[Int(set.rawValue) >> 6] >> (UInt64(set.rawValue) & 63) & 1 == 1
  }

  /// PGCL: the highest L such that the members with `SCL >= L` are a write quorum (P18 §2.3).
  func completeLSN(_ scls: [LSN]) -> LSN {
    // Highest SCL first, one member at a time: the one that makes the set a quorum has the answer.
    var set = MemberSet()
    for _ in 0..<memberCount {
      var best = -1
      for i in 0..<memberCount where set.rawValue >> UInt16(i) & 1 == 0 {
        if best < 0 || scls[i] > scls[best] { best = i }
      }
      set.insert(MemberSet(member: best))
      if isWriteQuorum(set) { return scls[best] }
    }
    return .zero
  }
}
