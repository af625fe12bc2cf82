import BorealisCore
import BorealisVolume
import BorealisWire

// Reader instances.
extension Simulation {
  /// Keeps as many readers as there should be, each following the newest open writer.
  func superviseReaders() {
    isSupervisingReaders = false
    guard let writer = newestWriter else { return }
    for reader in readers where reader.writer != writer.peer { end(reader) }
    while readers.count < options.readers { startReader(following: writer) }
  }

  func superviseReadersSoon() {
    guard !isSupervisingReaders, options.readers > 0 else { return }
    isSupervisingReaders = true
    queue.push(.superviseReaders, at: now.advanced(byNanoseconds: clientChance.within(2_000_000...60_000_000)))
  }

  /// The open writer with the highest epoch.
  var newestWriter: SimulatedWriter? { writers.filter(\.isOpen).max { $0.epoch < $1.epoch } }

  private func startReader(following writer: SimulatedWriter) {
    var c = VolumeReaderConfiguration()
    c.pageSize = options.pageSize
    c.cacheBytes = options.cachePages * options.pageSize
    c.streamBytesMax = 64 << 10
    c.holeTimeout = 60_000_000
    c.reportInterval = 30_000_000
    c.attachRetryAfter = 40_000_000
    c.readTimeout = 1_000_000_000
    c.readHedgeAfter = 10_000_000
    c.plantedBug = options.plantedBug
    let peer = PeerID.instance(nextInstance)
    nextInstance += 1
    let machine = VolumeReader(volume: volume, instance: peer, writer: writer.peer, configuration: c, now: now)
    let reader = SimulatedReader(
      peer: peer, writer: writer.peer, zone: zones[clientChance.index(zones.count)], process: ReaderProcess(machine))
    readers.append(reader)
    digest.event(now.nanoseconds, 120, peer.value, writer.peer.value)
    story.note(now, "reader \(peer) starts and follows \(writer.peer)")
    stepReader(reader) { machine, effects, now in machine.start(now: now, into: &effects) }
    queue.push(.instanceTick(peer), at: now.advanced(byNanoseconds: Self.instanceTickInterval))
  }

  /// The reader's process ends.
  func end(_ reader: SimulatedReader) {
    reader.isDead = true
    readers.removeAll { $0 === reader }
    superviseReadersSoon()
  }

  /// Runs one step of a reader and does what it wants done.
  func stepReader(
    _ reader: SimulatedReader, _ body: (inout VolumeReader, inout VolumeEffects, Instant) -> Void
  ) {
    reader.effects.removeAll()
    body(&reader.process.machine, &reader.effects, now)
    for message in reader.effects.sends { send(message.bytes, from: reader.peer, to: message.to) }
    let applied = reader.process.machine.appliedVDL
    views.applied(applied, by: reader.peer, durable: durability.highest, ledger: ledger, &verdicts)
    if applied != reader.applied {
      reader.applied = applied
      digest.event(now.nanoseconds, 121, reader.peer.value, applied.value)
    }
    for read in reader.effects.reads { completeRead(reader, read) }
    for event in reader.effects.events {
      switch event {
      case .attached, .lostStream: for i in reader.points.indices { reader.points[i].isLive = false }
      default: break
      }
      note(event, by: reader.peer)
    }
    if clientChance.chance(1, in: 4) { glance(reader) }
    if clientChance.chance(1, in: 8) {
      verdicts.report(machine: reader.peer.description, reader.process.machine.checkInvariants())
    }
  }

  /// Looks at pages in the reader's cache: nobody may ever see half a mini-transaction.
  private func glance(_ reader: SimulatedReader) {
    for _ in 0..<2 {
      let page = clientChance.index(oracle.pageCount)
      let lsn = buffer.withUnsafeMutableBytes {
        reader.process.machine.readCached(oracle.page(page), into: $0)
      }
      guard let lsn else { continue }
      counts.reads += 1
      buffer.withUnsafeBytes {
        views.shows(
          page, lsn: lsn, at: reader.applied, by: reader.peer, how: "cache", $0, oracle: oracle, &verdicts)
      }
    }
  }
}
