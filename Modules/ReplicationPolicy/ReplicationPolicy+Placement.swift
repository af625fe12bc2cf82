public import BorealisCore
public import BorealisWire

extension ReplicationPolicy {
  /// Round robin: the nodes of a zone take turns, and so do the zones where there are more than the policy needs.
  ///
  /// - Throws: `.tooFewNodes` with the zone that lacks nodes, `.duplicateNode`.
  public func place(
    group: ProtectionGroupID, over nodes: [NodePlacement]
  ) throws(ReplicationPolicyError) -> [SegmentMember] {
    try placeRoundRobin(group: group, over: nodes)
  }

  /// The default of `place`, for policies that wrap it.
  public func placeRoundRobin(
    group: ProtectionGroupID, over nodes: [NodePlacement]
  ) throws(ReplicationPolicyError) -> [SegmentMember] {
    let chosen = try chooseZones(for: group, over: nodes)
    var used = [Int](repeating: 0, count: chosen.count)
    var result: [SegmentMember] = []
    for slot in slots {
      let (zone, available) = chosen[slot.zone]
      let perGroup = slots.count { $0.zone == slot.zone }
      let n = available.count
      // Groups take consecutive nodes. Each time the pattern closes, it is shifted by one, so that the first slot (the
      // full copy, say) does not stay on the same nodes.
      let cycle = n / greatestCommonDivisor(n, perGroup)
      let g = Int(group.value)
      let place = (g * perGroup + g / cycle + used[slot.zone]) % n
      used[slot.zone] += 1
      result.append(SegmentMember(node: available[place], zone: zone, kind: slot.kind))
    }
    return result
  }

  /// For each zone index of the policy, the zone and its nodes in ascending order.
  private func chooseZones(
    for group: ProtectionGroupID, over nodes: [NodePlacement]
  ) throws(ReplicationPolicyError) -> [(zone: ZoneID, nodes: [NodeID])] {
    try checkSlots()
    let sorted = nodes.sorted { ($0.zone, $0.node) < ($1.zone, $1.node) }
    let numbers = nodes.map(\.node).sorted()
    for (a, b) in zip(numbers, numbers.dropFirst()) where a == b {
      throw ReplicationPolicyError(.duplicateNode, detail: "\(a) stands in the topology twice")
    }
    var found: [(zone: ZoneID, nodes: [NodeID])] = []
    for placement in sorted {
      if found.last?.zone != placement.zone { found.append((placement.zone, [])) }
      found[found.count - 1].nodes.append(placement.node)
    }
    let needed = (0..<zones).map { index in slots.count { $0.zone == index } }
    func refuse(_ zone: ZoneID?, has: Int, needs: Int) -> ReplicationPolicyError {
      let place = zone.map { "zone \($0)" } ?? "the topology"
      let unit = zone == nil ? "zones" : "nodes"
      return ReplicationPolicyError(
        .tooFewNodes, zone: zone, detail: "\(place) has \(has) \(unit), policy \(name) needs \(needs)")
    }
    guard found.count >= zones else { throw refuse(nil, has: found.count, needs: zones) }
    if found.count == zones {
      for (index, zone) in found.enumerated() where zone.nodes.count < needed[index] {
        throw refuse(zone.zone, has: zone.nodes.count, needs: needed[index])
      }
      return found
    }
    let most = needed.max() ?? 1
    let eligible = found.filter { $0.nodes.count >= most }
    guard eligible.count >= zones else {
      let short = found.first { $0.nodes.count < most }
      throw refuse(short?.zone, has: short?.nodes.count ?? 0, needs: most)
    }
    return (0..<zones).map { eligible[(Int(group.value) + $0) % eligible.count] }
  }

  /// The configuration with which a new group begins: membership epoch 1.
  ///
  /// - Parameter geometry: the number of groups for group 0, else 0.
  public func firstConfiguration(
    group: ProtectionGroupID, over nodes: [NodePlacement], geometry: UInt32 = 0, proposedBy: VolumeEpoch
  ) throws(ReplicationPolicyError) -> GroupConfiguration {
    let members = try place(group: group, over: nodes)
    return GroupConfiguration(
      group: group, epoch: MembershipEpoch(1), proposedBy: proposedBy, members: members, rule: rule(members: members),
      geometry: geometry)
  }

  /// Refuses slots that no configuration could hold.
  func checkSlots() throws(ReplicationPolicyError) {
    guard slots.count >= 1, slots.count <= GroupConfiguration.membersMax - 2, copies == slots.count else {
      throw ReplicationPolicyError(.malformedSlots, detail: "\(slots.count) slots, \(copies) copies")
    }
    guard slots.allSatisfy({ $0.zone >= 0 && $0.zone < zones }) else {
      throw ReplicationPolicyError(.malformedSlots, detail: "a zone index outside 0..<\(zones)")
    }
    for index in 0..<zones where !slots.contains(where: { $0.zone == index }) {
      throw ReplicationPolicyError(.malformedSlots, detail: "no copy in zone index \(index)")
    }
  }
}

private func greatestCommonDivisor(_ a: Int, _ b: Int) -> Int { b == 0 ? a : greatestCommonDivisor(b, a % b) }
