import BorealisCore
import BorealisVolume

// What clients do: commit, wait, read at the head and at read points, on writers and on readers.
extension Simulation {
  func clientStep(_ client: Int) {
    guard phase == .safety else { return }
    queue.push(.client(client), at: now.advanced(byNanoseconds: clientPause(options.thinkTime)))
    let open = writers.filter(\.isOpen)
    if !open.isEmpty, readers.count < options.readers { superviseReadersSoon() }
    guard !open.isEmpty else { return }
    if database != nil { return databaseStep(open) }
    let writer = open[clientChance.index(open.count)]
    switch clientChance.below(100) {
    case 0..<55: commit(on: writer)
    case 55..<63: glance(writer)
    case 63..<73: readHead(writer)
    case 73..<83: readAtPoint(writer)
    default:
      if readers.isEmpty { commit(on: writer) } else { useReader(readers[clientChance.index(readers.count)]) }
    }
  }

  // MARK: commits

  /// Commits a random mini-transaction; waits for it, or in part not (`commitsLater`).
  private func commit(on writer: SimulatedWriter) {
    let writes = drawWrites()
    _ = commit(writes, on: writer, isAwaited: !options.commitsLater || !clientChance.chance(1, in: 3))
  }

  private func drawWrites() -> [Oracle.Write] {
    let count = clientChance.chance(1, in: 16) ? clientChance.within(7...14) : clientChance.within(1...6)
    var writes: [Oracle.Write] = []
    // Half of the mini-transactions stay among a few hot pages.
    let span = clientChance.chance(1, in: 2) ? min(4, oracle.pageCount) : oracle.pageCount
    for _ in 0..<count {
      let page = clientChance.index(span)
      switch clientChance.below(100) {
      case 0..<7: writes.append(Oracle.Write(page: page, offset: 0, bytes: [], isDiscard: true))
      case 7..<17: writes.append(drawWrite(page, bytes: options.pageSize))
      case 17..<35: writes.append(drawWrite(page, bytes: Int(clientChance.within(33...200))))
      default: writes.append(drawWrite(page, bytes: Int(clientChance.within(1...32))))
      }
    }
    return writes
  }

  /// A write of `bytes` random bytes somewhere in a page.
  func drawWrite(_ page: Int, bytes: Int) -> Oracle.Write {
    let offset = clientChance.index(options.pageSize - bytes + 1)
    var contents: [UInt8] = []
    contents.reserveCapacity(bytes + 8)
    while contents.count < bytes { contents.appendInteger(clientChance.next()) }
    contents.removeLast(contents.count - bytes)
    return Oracle.Write(page: page, offset: offset, bytes: contents, isDiscard: false)
  }

  /// Commits `writes`; false when the writer refused.
  ///
  /// `taken` is told the number and LSN, before anybody else.
  func commit(
    _ writes: [Oracle.Write], on writer: SimulatedWriter, isAwaited: Bool = true,
    taken: (Int, LSN) -> Void = { _, _ in }
  ) -> Bool {
    guard let process = writer.writer else { return false }
    mtr.removeAll()
    for write in writes {
      let page = oracle.page(write.page)
      if write.isDiscard { mtr.discard(page) } else { mtr.write(page, at: write.offset, write.bytes) }
    }
    let first = process.machine.nextLSN
    writer.effects.removeAll()
    var committed: LSN?
    do throws(VolumeError) {
      committed = try process.machine.commit(
        mtr, isAwaited: !options.commitsLater, timestamp: 1_700_000_000_000_000_000 + now.nanoseconds, now: now,
        into: &writer.effects)
    } catch {
      switch error.code {
      case .wouldBlock, .fenced, .closed, .unavailable, .conflict: break
      case .tooLarge, .readPointTooOld, .damaged, .invalidArgument, .notFound:
        verdicts.report(.machine, "\(writer.peer) refuses a commit: \(error)")
      }
      story.detail(now, "\(writer.peer) refuses a commit: \(error.code)")
    }
    if let lsn = committed {
      counts.transactions += 1
      digest.event(now.nanoseconds, 130, writer.peer.value, lsn.value)
      let number = oracle.commit(first: first, lsn: lsn, epoch: writer.epoch, writes: writes)
      writer.taken += 1
      taken(number, lsn)
      story.detail(
        now,
        "\(writer.peer) commits \(lsn): "
          + writes.map { "\(oracle.page($0.page))\($0.isDiscard ? " discarded" : "")" }
          .joined(separator: ", "))
      settleWriter(writer, process)
      // Else a write to a file, perhaps, which nobody has synced yet.
      if isAwaited { awaitDurable(number, lsn, on: writer) }
    } else {
      settleWriter(writer, process)
    }
    return committed != nil
  }

  private func awaitDurable(_ number: Int, _ lsn: LSN, on writer: SimulatedWriter) {
    guard let process = writer.writer else { return }
    let id = WaiterID(number + 1)
    do throws(VolumeError) {
      writer.effects.removeAll()
      let isDurable = try process.machine.wait(for: lsn, waiter: id, now: now, into: &writer.effects)
      if isDurable {
        acknowledge(number, by: writer)
      } else {
        writer.waiters.append(.init(id: id, transaction: number, lsn: lsn))
        if !writer.effects.isEmpty { settleWriter(writer, process) }
      }
    } catch {
      story.detail(now, "\(writer.peer) takes no waiter: \(error.code)")
    }
  }

  // MARK: reads on writers

  /// Reads pages out of the writer's cache.
  func glance(_ writer: SimulatedWriter) {
    guard let process = writer.writer else { return }
    for _ in 0..<3 {
      let page = clientChance.index(oracle.pageCount)
      let lsn = buffer.withUnsafeMutableBytes { process.machine.readCached(oracle.page(page), into: $0) }
      if lsn == nil { continue }
      counts.reads += 1
      buffer.withUnsafeBytes {
        headReads.completed(
          page, base: writer.base, epoch: writer.epoch, $0, how: "cache", oracle: oracle, &verdicts)
      }
    }
  }

  private func readHead(_ writer: SimulatedWriter) { beginRead(writer, clientChance.index(oracle.pageCount), at: nil) }

  private func readAtPoint(_ writer: SimulatedWriter) {
    guard let process = writer.writer else { return }
    let point: LSN
    if !writer.points.isEmpty, clientChance.chance(2, in: 3) {
      point = writer.points[clientChance.index(writer.points.count)]
    } else {
      point = process.machine.openReadPoint()
      writer.points.append(point)
      verdicts.require(point <= writer.vdl, .i8, "\(writer.peer) gives read point \(point) above VDL \(writer.vdl)")
      let held = clientChance.chance(1, in: 3) ? clientChance.within(100_000_000...900_000_000) : 5_000_000
      queue.push(.closePoint(writer.peer, point), at: now.advanced(byNanoseconds: held))
    }
    for _ in 0..<clientChance.within(1...3) { beginRead(writer, clientChance.index(oracle.pageCount), at: point) }
  }

  func beginRead(_ writer: SimulatedWriter, _ page: Int, at point: LSN?, for task: Int? = nil) {
    guard writer.writer != nil else { return }
    let id = nextRead
    nextRead += 1
    writer.reads.append(
      .init(id: id, page: page, point: point, taken: oracle.transactions.count, task: task))
    stepWriter(writer) { machine, effects, now in
      machine.read(oracle.page(page), at: point, id: id, now: now, into: &effects)
    }
  }

  func closePoint(_ peer: PeerID, _ point: LSN) {
    if let writer = writers.first(where: { $0.peer == peer }), let process = writer.writer {
      guard let i = writer.points.firstIndex(of: point) else { return }
      writer.points.remove(at: i)
      process.machine.closeReadPoint(point)
    } else if let reader = readers.first(where: { $0.peer == peer }) {
      guard let i = reader.points.firstIndex(where: { $0.lsn == point }) else { return }
      reader.points.remove(at: i)
      reader.process.machine.closeReadPoint(point)
    }
  }

  func completeRead(_ writer: SimulatedWriter, _ read: CompletedRead) {
    guard let i = writer.reads.firstIndex(where: { $0.id == read.id }) else {
      return verdicts.report(.machine, "\(writer.peer) completes read \(read.id), which nobody asked for")
    }
    let pending = writer.reads.remove(at: i)
    let page = oracle.page(pending.page)
    if let task = pending.task {
      pageRead(pending.page, try? read.result.get(), for: task, isHead: pending.point == nil)
    }
    switch read.result {
    case .success(let image):
      counts.reads += 1
      digest.event(now.nanoseconds, 131, writer.peer.value, image.lsn.value)
      if let point = pending.point {
        readPoints.completed(pending.page, at: point, by: writer.peer, image.bytes, oracle: oracle, &verdicts)
      } else {
        image.bytes.withUnsafeBytes {
          headReads.completed(
            pending.page, base: writer.base, epoch: writer.epoch, taken: pending.taken, $0, how: "read",
            oracle: oracle, &verdicts)
        }
      }
    case .failure(let error):
      counts.readsFailed += 1
      switch error.code {
      case .readPointTooOld:
        // A point that the client has let go meanwhile may be too old.
        guard let point = pending.point else {
          return verdicts.report(.i10, "\(writer.peer) is refused its head of \(page): \(error)")
        }
        if writer.points.contains(point) { readPoints.tooOld(page, at: point, by: writer.peer, &verdicts) }
      case .unavailable, .fenced, .closed, .damaged: break
      case .wouldBlock, .tooLarge, .invalidArgument, .notFound, .conflict:
        verdicts.report(.machine, "\(writer.peer) ends a read of \(page) with \(error)")
      }
    }
  }

  // MARK: reads on readers

  private func useReader(_ reader: SimulatedReader) {
    guard reader.process.machine.isAttached else { return }
    let page = clientChance.index(oracle.pageCount)
    if clientChance.chance(1, in: 2) { return beginRead(reader, page, at: nil) }
    let point: LSN
    if !reader.points.isEmpty, clientChance.chance(2, in: 3) {
      point = reader.points[clientChance.index(reader.points.count)].lsn
    } else {
      point = reader.process.machine.openReadPoint()
      reader.points.append((point, true))
      let held = clientChance.within(2_000_000...300_000_000)
      queue.push(.closePoint(reader.peer, point), at: now.advanced(byNanoseconds: held))
    }
    beginRead(reader, page, at: point)
  }

  func beginRead(_ reader: SimulatedReader, _ page: Int, at point: LSN?, for task: Int? = nil) {
    let id = nextRead
    nextRead += 1
    reader.reads.append(.init(id: id, page: page, point: point, from: reader.applied, task: task))
    stepReader(reader) { machine, effects, now in
      machine.read(oracle.page(page), at: point, id: id, now: now, into: &effects)
    }
  }

  func completeRead(_ reader: SimulatedReader, _ read: CompletedRead) {
    guard let i = reader.reads.firstIndex(where: { $0.id == read.id }) else {
      return verdicts.report(.machine, "\(reader.peer) completes read \(read.id), which nobody asked for")
    }
    let pending = reader.reads.remove(at: i)
    if let task = pending.task {
      pageRead(pending.page, try? read.result.get(), for: task, isHead: pending.point == nil)
    }
    switch read.result {
    case .success(let image):
      counts.reads += 1
      digest.event(now.nanoseconds, 132, reader.peer.value, image.lsn.value)
      image.bytes.withUnsafeBytes { bytes in
        if let point = pending.point {
          views.shows(
            pending.page, lsn: image.lsn, at: point, by: reader.peer, how: "read", bytes, oracle: oracle, &verdicts)
        } else {
          views.shows(
            pending.page, lsn: image.lsn, from: pending.from, through: reader.applied, by: reader.peer, bytes,
            oracle: oracle, &verdicts)
        }
      }
    case .failure(let error):
      counts.readsFailed += 1
      switch error.code {
      case .unavailable, .closed, .damaged, .fenced: break
      case .readPointTooOld:
        // Not while the reader holds the point, is registered, and its writer is the one.
        guard let point = pending.point, reader.points.contains(where: { $0.lsn == point && $0.isLive }),
          newestWriter?.peer == reader.writer,
          newestWriter?.epoch == metadata.epoch,
          newestWriter?.writer?.machine.readerPositions.contains(where: { $0.reader == reader.peer }) == true,
          now.nanoseconds(since: reader.heardAt) < Self.readerDeadline / 2
        else { return }
        readPoints.tooOld(oracle.page(pending.page), at: point, by: reader.peer, &verdicts)
      case .wouldBlock, .tooLarge, .invalidArgument, .notFound, .conflict:
        verdicts.report(.machine, "\(reader.peer) ends a read of \(oracle.page(pending.page)) with \(error)")
      }
    }
  }
}
