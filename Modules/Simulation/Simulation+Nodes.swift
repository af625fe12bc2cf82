import BorealisCore
import BorealisReplicationPolicy
import BorealisStorageBackend
import BorealisStorageNode
import BorealisWire

// Storage nodes: processes, disks, jobs.
extension Simulation {
  static let nodeTickInterval: UInt64 = 10_000_000

  /// Makes the nodes: as many in each zone as the policy's placement needs, then the spares.
  func makeFleet() {
    zones = (0..<options.policy.zones).map { ZoneID(UInt8($0)) }
    for zone in zones {
      let needed = options.policy.slots.count { $0.zone == Int(zone.value) }
      for _ in 0..<max(needed, options.nodesPerZone) {
        topology.append(NodePlacement(node: addNode(in: zone), zone: zone))
      }
    }
    for i in 0..<options.spares { _ = addNode(in: zones[i % zones.count]) }
  }

  /// Adds a node with an empty disk.
  func addNode(in zone: ZoneID) -> NodeID {
    let id = NodeID(UInt32(nodes.count + 1))
    nodes.append(SimulatedNode(id: id, zone: zone, disk: SimulatedDisk(seed: diskChance.next())))
    fleet.add()
    return id
  }

  func nodeConfiguration() -> StorageNodeConfiguration {
    var configuration = StorageNodeConfiguration()
    configuration.pageSize = options.pageSize
    configuration.chunkSize = options.chunkBytes
    // The eighth of the log that is kept for repair must hold what a writer may have in flight.
    configuration.logLimit = max(UInt64(options.chunkBytes) * 24, 512 << 10)
    configuration.stagedLimit = 256 << 10
    configuration.gossipInterval = 25_000_000
    configuration.pullDelay = 8_000_000
    configuration.requestTimeout = 40_000_000
    configuration.baselineHold = 500_000_000
    configuration.scrubInterval = 50_000_000
    configuration.diskRetryInterval = 40_000_000
    configuration.plantedBug = options.plantedBug
    return configuration
  }

  /// Starts a node's process: it recovers from its disk.
  func startNode(_ i: Int) {
    let node = nodes[i]
    guard !node.isUp, !node.isLost, !node.isHeldDown, !node.isKeptDown else { return }
    node.incarnation += 1
    do throws(StorageBackendError) {
      try node.disk.open()
      let machine = try StorageNode(
        id: node.id, volume: volume, backend: node.disk.backend, configuration: nodeConfiguration(), now: now)
      node.process = NodeProcess(machine)
    } catch {
      node.disk.close()
      node.startFailures += 1
      story.note(now, "\(node.id) does not start: \(error)")
      queue.push(.nodeStart(i), at: now.advanced(byMilliseconds: 100))
      return
    }
    digest.event(now.nanoseconds, 100, UInt64(i), UInt64(node.incarnation))
    story.note(now, "\(node.id) in zone \(node.zone) is up, start \(node.incarnation)")
    for group in fleet[node.id].segments.indices {
      let id = ProtectionGroupID(UInt32(group))
      guard let status = node.process?.machine.status(of: id) else { continue }
      monotony.restarted(node.id, id, status, fleet: fleet, &verdicts)
    }
    lookAtSegments(node)
    queue.push(
      .nodeTick(i, incarnation: node.incarnation),
      at: now.advanced(byNanoseconds: diskChance.within(1_000_000...Self.nodeTickInterval)))
    pump(i)
  }

  /// Ends a node's process.
  ///
  /// With loss of power, unsynced sectors are lost or torn at random.
  func crashNode(_ i: Int, powerLoss: Bool, restartAfter delay: UInt64?) {
    let node = nodes[i]
    guard node.isUp else { return }
    node.process = nil
    node.incarnation += 1
    node.lanes = [SimulatedNode.Lane(), SimulatedNode.Lane()]
    let lost = node.disk.crash(powerLoss: powerLoss)
    counts.nodeCrashes += 1
    digest.event(now.nanoseconds, 101, UInt64(i), UInt64(lost))
    story.note(now, "\(node.id) crashes\(powerLoss ? ", \(lost) unsynced sectors are lost" : "")")
    if let delay { queue.push(.nodeStart(i), at: now.advanced(byNanoseconds: delay)) }
  }

  func tickNode(_ i: Int, _ incarnation: UInt32) {
    let node = nodes[i]
    guard let process = node.process, node.incarnation == incarnation else { return }
    process.machine.tick(now: now, into: &outgoing)
    lookAtSegments(node)
    route(&outgoing, from: node.peer)
    checkNode(node)
    queue.push(.nodeTick(i, incarnation: incarnation), at: now.advanced(byNanoseconds: Self.nodeTickInterval))
    pump(i)
  }

  func deliver(_ bytes: [UInt8], _ envelope: Envelope, toNode i: Int) {
    guard i < nodes.count, let process = nodes[i].process else { return }
    let node = nodes[i]
    let promised = fleet[node.id].epochTold
    let isStale = envelope.kind == MessageKind.append && envelope.volumeEpoch < promised
    let hadLogWork = isStale && process.machine.hasLogWork
    process.machine.receive(bytes, now: now, into: &outgoing)
    if isStale, !hadLogWork, process.machine.hasLogWork {
      fencing.took(envelope.volumeEpoch, promised: promised, by: node.id, &verdicts)
    }
    route(&outgoing, from: node.peer)
    checkNode(node)
    pump(i)
  }

  /// Starts the next jobs of lanes that have nothing under way.
  func pump(_ i: Int) {
    let node = nodes[i]
    for lane in StorageLane.allCases {
      guard let process = node.process, node.lanes[Int(lane.rawValue)].job == nil else { continue }
      let hasWork = lane == .log ? process.machine.hasLogWork : process.machine.hasBackgroundWork
      guard hasWork, let job = process.machine.nextJob(lane, now: now) else { continue }
      node.lanes[Int(lane.rawValue)] = SimulatedNode.Lane(job: job, next: 0, isDue: false)
      proceed(i, lane)
    }
  }

  func storageDue(_ i: Int, _ incarnation: UInt32, _ lane: StorageLane) {
    let node = nodes[i]
    guard node.isUp, node.incarnation == incarnation else { return }
    digest.event(now.nanoseconds, 102, UInt64(i) << 1 | UInt64(lane.rawValue), UInt64(incarnation))
    node.lanes[Int(lane.rawValue)].isDue = true
    proceed(i, lane)
  }

  /// Performs operations of the lane's job until one takes time.
  ///
  /// Writes reach the disk's cache at once; a sync takes its time first, so that a crash in between finds the writes
  /// unsynced.
  private func proceed(_ i: Int, _ lane: StorageLane) {
    let node = nodes[i]
    let l = Int(lane.rawValue)
    guard let job = node.lanes[l].job else { return }
    var failure: StorageBackendError?
    while failure == nil, node.lanes[l].next < job.operations.count {
      let operation = job.operations[node.lanes[l].next]
      if case .sync = operation, !node.lanes[l].isDue {
        let time = diskChance.within(60_000...400_000) * node.slowness
        queue.push(.storage(i, incarnation: node.incarnation, lane), at: now.advanced(byNanoseconds: time))
        return
      }
      node.lanes[l].isDue = false
      node.lanes[l].next += 1
      do throws(StorageBackendError) { try node.disk.backend.perform(operation) } catch { failure = error }
    }
    node.lanes[l].job = nil
    guard let process = node.process else { return }
    process.machine.complete(job, error: failure, now: now, into: &outgoing)
    if let failure { story.detail(now, "\(node.id) \(lane): \(failure)") }
    lookAtSegments(node)
    route(&outgoing, from: node.peer)
    checkNode(node)
    pump(i)
  }

  /// Compares where the node's segments stand with what was known before.
  private func lookAtSegments(_ node: SimulatedNode) {
    guard let process = node.process else { return }
    for group in 0..<UInt32(max(1, quorums.groups)) {
      let id = ProtectionGroupID(group)
      let wasReleased = { [self] in
        quorums.configurations.contains { $0.group == id && $0.pending == nil && $0.index(of: node.id) == nil }
      }
      if let status = process.machine.status(of: id) {
        monotony.segment(node.id, id, status, fleet: fleet, wasReleased: wasReleased, &verdicts)
      } else {
        monotony.absent(node.id, id, wasReleased: wasReleased, fleet: fleet, &verdicts)
      }
    }
  }

  /// The machine's own invariants: not after every step, for they cost more than the step.
  private func checkNode(_ node: SimulatedNode) {
    guard let process = node.process, diskChance.chance(1, in: 24) else { return }
    verdicts.report(machine: node.id.description, process.machine.checkInvariants())
  }
}
