import BorealisCore
import BorealisReplicationPolicy
import BorealisVolume
import BorealisWire

// Instances that open the volume for writing.
extension Simulation {
  static let instanceTickInterval: UInt64 = 5_000_000
  static let readerDeadline: UInt64 = 400_000_000

  /// Starts a writer when none is open or opening.
  func supervise() {
    isSupervising = false
    let isAlive = writers.contains { !$0.isDead && !$0.isFenced }
    if !isAlive { startWriter() }
  }

  /// Sees to it that `supervise` runs after a while: how long it takes to notice that the writer is gone.
  func superviseSoon() {
    guard !isSupervising else { return }
    isSupervising = true
    queue.push(.supervise, at: now.advanced(byNanoseconds: clientChance.within(2_000_000...40_000_000)))
  }

  /// Starts an instance, which asks the metadata service for an epoch.
  func startWriter() {
    let writer = SimulatedWriter(peer: .instance(nextInstance), zone: zones[clientChance.index(zones.count)])
    nextInstance += 1
    writers.append(writer)
    digest.event(now.nanoseconds, 110, writer.peer.value)
    story.note(now, "\(writer.peer) in zone \(writer.zone) wants to open the volume")
    askMetadata(writer)
    queue.push(.instanceTick(writer.peer), at: now.advanced(byNanoseconds: Self.instanceTickInterval))
  }

  private func askMetadata(_ writer: SimulatedWriter) {
    let delay = clientChance.within(200_000...4_000_000)
    queue.push(.metadata(writer.peer, read: metadata.epoch), at: now.advanced(byNanoseconds: delay))
  }

  func metadataAnswers(_ peer: PeerID, read: VolumeEpoch) {
    guard let writer = writers.first(where: { $0.peer == peer }), !writer.isDead else { return }
    guard let epoch = metadata.advance(from: read) else {
      story.detail(now, "\(peer) gets no epoch")
      queue.push(.metadata(peer, read: metadata.epoch), at: now.advanced(byMilliseconds: 20))
      return
    }
    writer.epoch = epoch
    digest.event(now.nanoseconds, 111, peer.value, UInt64(epoch.value))
    if metadata.isCreated {
      counts.recoveriesBegun += 1
      story.note(now, "\(peer) got epoch \(epoch) and recovers")
      var machine = VolumeRecovery(
        volume: volume, epoch: epoch, instance: peer, nodes: nodes.map(\.id),
        allocationLimit: options.allocationLimit, now: now)
      machine.plantedBug = options.plantedBug
      machine.start(now: now, into: &outgoing)
      writer.recovery = RecoveryProcess(machine)
    } else {
      story.note(now, "\(peer) got epoch \(epoch) and creates the volume")
      do throws(ReplicationPolicyError) {
        let first = try options.policy.firstConfiguration(
          group: ProtectionGroupID(0), over: topology, geometry: 1, proposedBy: epoch)
        var machine = VolumeCreation(volume: volume, epoch: epoch, instance: peer, groups: [first], now: now)
        machine.start(now: now, into: &outgoing)
        writer.creation = CreationProcess(machine)
      } catch {
        verdicts.report(.machine, "the policy cannot place the first group: \(error)")
      }
    }
    route(&outgoing, from: peer)
    settleOpening(writer)
  }

  func deliver(_ bytes: [UInt8], toWriter writer: SimulatedWriter) {
    if writer.writer != nil {
      stepWriter(writer) { machine, effects, now in machine.receive(bytes, now: now, into: &effects) }
    } else if let recovery = writer.recovery {
      recovery.machine.receive(bytes, now: now, into: &outgoing)
      route(&outgoing, from: writer.peer)
      settleOpening(writer)
    } else if let creation = writer.creation {
      creation.machine.receive(bytes, now: now, into: &outgoing)
      route(&outgoing, from: writer.peer)
      settleOpening(writer)
    }
  }

  func tickInstance(_ peer: PeerID) {
    if let writer = writers.first(where: { $0.peer == peer }) {
      guard !writer.isDead else { return }
      if writer.writer != nil {
        stepWriter(writer) { machine, effects, now in machine.tick(now: now, into: &effects) }
      } else {
        writer.recovery?.machine.tick(now: now, into: &outgoing)
        writer.creation?.machine.tick(now: now, into: &outgoing)
        route(&outgoing, from: peer)
        settleOpening(writer)
      }
    } else if let reader = readers.first(where: { $0.peer == peer }) {
      stepReader(reader) { machine, effects, now in machine.tick(now: now, into: &effects) }
    } else {
      return
    }
    queue.push(.instanceTick(peer), at: now.advanced(byNanoseconds: Self.instanceTickInterval))
  }

  /// Looks whether an opening has come to its end.
  private func settleOpening(_ writer: SimulatedWriter) {
    let outcome = writer.recovery?.machine.outcome ?? writer.creation?.machine.outcome
    if let failure = writer.recovery?.machine.failure ?? writer.creation?.machine.failure {
      story.note(now, "\(writer.peer) gives up opening: \(failure)")
      return end(writer)
    }
    guard let opened = outcome else { return }
    if writer.recovery != nil { counts.recoveries += 1 }
    digest.event(now.nanoseconds, 112, writer.peer.value, opened.vdl.value)
    story.note(
      now,
      "\(writer.peer) opens the volume at epoch \(opened.epoch): VDL \(opened.vdl), first LSN \(opened.nextLSN), void "
        + "\(opened.truncation.ranges.suffix(3)), "
        + opened.groups.map { "\($0.configuration.group) tail \($0.tail)" }.joined(separator: ", "))
    metadata.isCreated = true
    verdicts.require(
      opened.epoch == writer.epoch, .machine, "\(writer.peer) won epoch \(writer.epoch) and opens at \(opened.epoch)")
    for group in opened.groups { seen(group.configuration) }
    ledger.decide(opened.truncation)
    fencing.opened(opened, fleet: fleet, &verdicts)
    durability.opened(opened, oracle: oracle, fleet: fleet, &verdicts)
    writer.recovery = nil
    writer.creation = nil
    writer.base = opened.vdl
    openDatabase(on: writer)
    writer.firstLSN = opened.nextLSN
    writer.nextLSN = opened.nextLSN
    writer.vdl = opened.vdl
    writer.writer = WriterProcess(
      VolumeWriter(opened: opened, configuration: writerConfiguration(), instance: writer.peer, now: now))
    stepWriter(writer) { machine, effects, now in machine.start(now: now, into: &effects) }
  }

  private func writerConfiguration() -> VolumeWriterConfiguration {
    var c = VolumeWriterConfiguration()
    c.holdsForWoken = options.holdsForWoken
    c.pageSize = options.pageSize
    c.extentPages = options.extentPages
    c.groupPages = options.groupPages
    c.cacheBytes = options.cachePages * options.pageSize
    c.allocationLimit = options.allocationLimit
    c.batchBytesMax = 4 << 10
    c.bytesInFlightMax = 32 << 10
    c.resendAfter = 30_000_000
    c.readTimeout = 1_000_000_000
    c.readHedgeAfter = 10_000_000
    c.heartbeatInterval = 20_000_000
    c.readerDeadline = Self.readerDeadline
    c.policy = options.policy
    c.topology = topology.filter { !nodes[Int($0.node.value) - 1].isLost }
    c.plantedBug = options.plantedBug
    return c
  }

  /// Runs one step of a writer and does what it wants done.
  func stepWriter(
    _ writer: SimulatedWriter, _ body: (inout VolumeWriter, inout VolumeEffects, Instant) -> Void
  ) {
    guard let process = writer.writer else { return }
    writer.effects.removeAll()
    body(&process.machine, &writer.effects, now)
    settleWriter(writer, process)
  }

  /// Looks at a writer after a step, and performs its effects.
  func settleWriter(_ writer: SimulatedWriter, _ process: WriterProcess) {
    let next = process.machine.nextLSN
    if next > writer.nextLSN {
      let last = LSN(next.value - 1)
      allocation.issued(last, vdl: writer.vdl, firstLSN: writer.firstLSN, epoch: writer.epoch, &verdicts)
      fresh.issued(first: writer.nextLSN, last: last, epoch: writer.epoch, &verdicts)
      writer.nextLSN = next
    }
    for message in writer.effects.sends { send(message.bytes, from: writer.peer, to: message.to) }
    let vdl = process.machine.vdl
    monotony.writer(
      epoch: writer.epoch, vdl: vdl, vcl: process.machine.vcl, base: writer.base, ledger: ledger, &verdicts)
    if vdl > writer.vdl {
      writer.vdl = vdl
      digest.event(now.nanoseconds, 113, writer.peer.value, vdl.value)
      durability.advanced(
        epoch: writer.epoch, to: vdl, configurations: process.machine.configurations, ledger: ledger, fleet: fleet,
        &verdicts)
    }
    for id in writer.effects.durable { acknowledge(writer, id) }
    for id in writer.effects.failedWaiters { writer.waiters.removeAll { $0.id == id } }
    for waiter in writer.waiters where waiter.lsn <= vdl {
      verdicts.report(.liveness, "the waiter for \(waiter.lsn) at \(writer.peer) still waits at VDL \(vdl)")
    }
    for read in writer.effects.reads { completeRead(writer, read) }
    for event in writer.effects.events { note(event, by: writer.peer) }
    if clientChance.chance(1, in: 8) {
      verdicts.report(machine: writer.peer.description, process.machine.checkInvariants())
    }
    if writer.effects.isFenced || process.machine.isFenced, !writer.isFenced {
      writer.isFenced = true
      story.note(now, "\(writer.peer) (epoch \(writer.epoch)) is fenced")
      end(writer)
    }
  }

  func note(_ event: VolumeEvent, by peer: PeerID) {
    switch event {
    case .readerAttached, .attached, .nodeTrouble: story.detail(now, "\(peer): \(event)")
    case .configured(let c): story.note(now, "\(peer): \(c.group) stands at membership epoch \(c.epoch)")
    case .fenced, .grown, .growthStalled, .readerExpired, .lostStream, .repair, .repairRefused:
      story.note(now, "\(peer): \(event)")
    }
  }

  private func acknowledge(_ writer: SimulatedWriter, _ id: WaiterID) {
    guard let i = writer.waiters.firstIndex(where: { $0.id == id }) else {
      return verdicts.report(.machine, "\(writer.peer) wakes waiter \(id), who does not wait")
    }
    acknowledge(writer.waiters.remove(at: i).transaction, by: writer)
  }

  /// A client has been told that its commit is durable.
  func acknowledge(_ transaction: Int, by writer: SimulatedWriter) {
    counts.acknowledged += 1
    oracle.acknowledge(transaction)
    acknowledgeDatabase(transaction, by: writer)
    durability.acknowledged(oracle.transactions[transaction], vdl: writer.vdl, &verdicts)
  }

  /// The instance's process ends: a crash, or it knows that it is fenced.
  func end(_ writer: SimulatedWriter) {
    guard !writer.isDead else { return }
    writer.isDead = true
    writer.writer = nil
    writer.recovery = nil
    writer.creation = nil
    writers.removeAll { $0 === writer }
    superviseSoon()
  }
}
