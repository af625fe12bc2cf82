import BorealisCore
import BorealisReplicationPolicy
import BorealisStorageBackend
import BorealisVolume
import BorealisWire

// Trouble: what may strike, when, and within which budget. `Documentation/FaultModel.md` says why.
extension Simulation {
  /// One fault begins, and the next one is scheduled.
  func beginFault() {
    guard phase == .safety else { return }
    let pause = faultChance.within(options.faultInterval / 4...options.faultInterval * 7 / 4)
    queue.push(.fault, at: now.advanced(byNanoseconds: pause))
    var kinds: [FaultClass] = []
    let striking: [FaultClass] = [
      .partition, .nodeCrash, .nodeCrash, .zoneOutage, .writerCrash, .twoWriters, .readerCrash, .slowDisk, .fullDisk,
      .bitRot, .lostDisk, .membership, .metadata, .maintenance,
    ]
    for kind in striking where options.faults.contains(kind) { kinds.append(kind) }
    guard !kinds.isEmpty else { return }
    let kind = kinds[faultChance.index(kinds.count)]
    if strike(kind) {
      counts.faults += 1
      digest.event(now.nanoseconds, 140, UInt64(kind.rawValue))
    }
  }

  private func strike(_ kind: FaultClass) -> Bool {
    switch kind {
    case .partition: beginPartition()
    case .nodeCrash: strikeNode()
    case .zoneOutage: beginZoneOutage()
    case .writerCrash: crashWriter()
    case .twoWriters: startSecondWriter()
    case .readerCrash: crashReader()
    case .slowDisk: beginDiskTrouble(full: false)
    case .fullDisk: beginDiskTrouble(full: true)
    case .bitRot: rot()
    case .lostDisk: loseDisk()
    case .membership: changeMembership()
    case .metadata: beginMetadataOutage()
    case .maintenance: beginMaintenance()
    default: false
    }
  }

  /// How long a fault lasts: mostly short, sometimes long.
  private func duration() -> UInt64 {
    faultChance.chance(1, in: 4)
      ? faultChance.within(150_000_000...900_000_000) : faultChance.within(5_000_000...150_000_000)
  }

  // MARK: network

  private func beginPartition() -> Bool {
    guard network.cuts.count < 3 else { return false }
    var side: [PeerID] = []
    let instances = writers.map { (peer: $0.peer, zone: $0.zone) } + readers.map { (peer: $0.peer, zone: $0.zone) }
    switch faultChance.below(4) {
    case 0:
      let zone = zones[faultChance.index(zones.count)]
      side = nodes.filter { $0.zone == zone }.map(\.peer)
      if faultChance.chance(1, in: 2) { side += instances.filter { $0.zone == zone }.map(\.peer) }
    case 1 where !instances.isEmpty: side = [instances[faultChance.index(instances.count)].peer]
    case 2:
      // Any split at all.
      side = nodes.map(\.peer).filter { _ in faultChance.chance(1, in: 2) }
      side += instances.map(\.peer).filter { _ in faultChance.chance(1, in: 2) }
    default: side = [nodes[faultChance.index(nodes.count)].peer]
    }
    let oneWay = faultChance.chance(1, in: 4)
    let cut = network.cut(side, oneWay: oneWay)
    queue.push(.heal(.mend(cut: cut)), at: now.advanced(byNanoseconds: duration()))
    story.note(now, "cut \(cut)\(oneWay ? " (outward)" : "") around \(side.map(\.description).joined(separator: " "))")
    return true
  }

  private func beginMetadataOutage() -> Bool {
    guard metadata.isAvailable else { return false }
    metadata.isAvailable = false
    queue.push(.heal(.metadata), at: now.advanced(byNanoseconds: duration()))
    story.note(now, "the metadata service is away")
    return true
  }

  // MARK: nodes

  private func strikeNode() -> Bool {
    let up = nodes.indices.filter { nodes[$0].isUp }
    guard !up.isEmpty else { return false }
    let i = up[faultChance.index(up.count)]
    crashNode(i, powerLoss: faultChance.chance(3, in: 4), restartAfter: duration())
    return true
  }

  private func beginZoneOutage() -> Bool {
    guard !nodes.contains(where: \.isHeldDown) else { return false }
    let zone = zones[faultChance.index(zones.count)]
    story.note(now, "zone \(zone) loses power")
    let time = duration()
    for i in nodes.indices where nodes[i].zone == zone && nodes[i].isUp {
      crashNode(i, powerLoss: true, restartAfter: time + faultChance.within(0...20_000_000))
    }
    // AZ+1.
    let others = nodes.indices.filter { nodes[$0].zone != zone && nodes[$0].isUp }
    if faultChance.chance(1, in: 3), !others.isEmpty {
      crashNode(others[faultChance.index(others.count)], powerLoss: true, restartAfter: time)
    }
    for writer in writers where writer.zone == zone { end(writer) }
    for reader in readers where reader.zone == zone { end(reader) }
    if options.faults.contains(.membership), faultChance.chance(1, in: 2), let writer = newestWriter {
      for group in configurations(of: writer) { _ = change(group.group, .loseZone(zone), by: writer) }
    }
    return true
  }

  private func beginDiskTrouble(full: Bool) -> Bool {
    let i = faultChance.index(nodes.count)
    let node = nodes[i]
    guard !node.isLost, node.slowness == 1, !node.disk.backend.isFull else { return false }
    if full { node.disk.setFull(true) } else { node.slowness = faultChance.within(5...200) }
    story.note(now, "the disk of \(node.id) is \(full ? "full" : "\(node.slowness) times slower")")
    queue.push(.heal(.disk(i)), at: now.advanced(byNanoseconds: duration()))
    return true
  }

  /// Budget: one node of a run rots.
  ///
  /// Its log only while every other member of its groups holds all that it holds.
  private func rot() -> Bool {
    let candidates = nodes.indices.filter { fleet[nodes[$0].id].hasRot }
    let i = candidates.first ?? faultChance.index(nodes.count)
    let node = nodes[i]
    guard !node.isLost, options.policy.copies >= 3 else { return false }
    let file: StorageFile = faultChance.chance(1, in: 2) ? .log : .pages
    for group in latestConfigurations where group.index(of: node.id) != nil {
      let mine = fleet[node.id][group.group].highest
      for member in group.members {
        let other = fleet[member.node]
        guard !other.isLost, other[group.group].scl >= mine else { return false }
      }
    }
    let hits = node.disk.rot(file, bits: Int(faultChance.within(1...4)))
    guard !hits.isEmpty else { return false }
    fleet.update(node.id) { $0.hasRot = true }
    story.note(now, "bits of \(node.id) flip in \(file) at \(hits)")
    return true
  }

  /// Budget: the members that are left must be a write quorum of every rule that may be in force, and those of them that
  /// hold the segment at all (a partition may have kept its creation from them) one of the rule in force.
  private func loseDisk() -> Bool {
    let i = faultChance.index(nodes.count)
    let node = nodes[i]
    // A creation that loses its only copy is begun again by its caller (FaultModel.md): not simulated.
    guard metadata.isCreated, !node.isLost, !fleet[node.id].hasRot else { return false }
    for group in recentConfigurations where group.index(of: node.id) != nil {
      let rotten = nodes.filter { fleet[$0.id].hasRot }.map(\.id)
      var left = fleet.existing(group)
      for id in rotten + [node.id] {
        if let member = group.index(of: id) { left.remove(MemberSet(member: member)) }
      }
      guard group.isWriteQuorum(left) else { return false }
      for (k, member) in group.members.enumerated() where !fleet[member.node][group.group].exists {
        left.remove(MemberSet(member: k))
      }
      guard group.rule.isWriteQuorum(left) else { return false }
    }
    crashNode(i, powerLoss: true, restartAfter: nil)
    node.isLost = true
    fleet.update(node.id) { $0.isLost = true }
    let spare = addNode(in: node.zone)
    topology.removeAll { $0.node == node.id }
    topology.append(NodePlacement(node: spare, zone: node.zone))
    story.note(now, "the disk of \(node.id) is lost for ever; \(spare) is bought")
    queue.push(.nodeStart(nodes.count - 1), at: now.advanced(byMilliseconds: 10))
    return true
  }

  private func beginMaintenance() -> Bool {
    let up = nodes.indices.filter { nodes[$0].isUp }
    guard !up.isEmpty else { return false }
    let i = up[faultChance.index(up.count)]
    let node = nodes[i]
    guard maintenance.allows(node.id, configurations: recentConfigurations) else { return false }
    maintenance.began(node.id, configurations: latestConfigurations, &verdicts)
    story.note(now, "maintenance of \(node.id)")
    node.isHeldDown = true
    crashNode(i, powerLoss: false, restartAfter: nil)
    queue.push(.heal(.maintenance(i)), at: now.advanced(byNanoseconds: faultChance.within(10_000_000...150_000_000)))
    return true
  }

  // MARK: instances

  private func crashWriter() -> Bool {
    // The creator of the volume is spared: an unfinished creation is begun again from nothing.
    guard metadata.isCreated, !writers.isEmpty else { return false }
    let writer = writers[faultChance.index(writers.count)]
    story.note(now, "\(writer.peer) crashes")
    counts.writerCrashes += 1
    end(writer)
    return true
  }

  private func startSecondWriter() -> Bool {
    guard metadata.isCreated, writers.count < 3 else { return false }
    startWriter()
    return true
  }

  private func crashReader() -> Bool {
    guard !readers.isEmpty else { return false }
    let reader = readers[faultChance.index(readers.count)]
    story.note(now, "reader \(reader.peer) crashes")
    end(reader)
    return true
  }

  // MARK: the end of a fault

  func heal(_ healing: Healing) {
    switch healing {
    case .mend(let cut):
      story.note(now, "cut \(cut) is mended")
      network.mend(cut)
    case .disk(let i):
      nodes[i].slowness = 1
      nodes[i].disk.setFull(false)
      story.note(now, "the disk of \(nodes[i].id) is well")
    case .metadata:
      if phase == .safety { metadata.isAvailable = true }
    case .network: network.quality = .good
    case .maintenance(let i):
      nodes[i].isHeldDown = false
      maintenance.ended(nodes[i].id)
      startNode(i)
    }
  }
}
