import BorealisCore
import BorealisWire
import Testing

@testable import BorealisVolume

/// A reader beside a test volume: same nodes, its own messages.
final class TestReader {
  let volume: TestVolume
  let peer: PeerID
  var reader: VolumeReader
  var effects = VolumeEffects()
  /// Messages to the reader, in a pool of their own.
  var inbox: [Outgoing] = []
  var outbox: [Outgoing] = []
  var completed: [ReadID: Result<PageImage, VolumeError>] = [:]
  var events: [VolumeEvent] = []

  init(_ volume: TestVolume, number: UInt32 = 2, bug: PlantedBug? = nil, cachePages: Int = 64, ahead: Int = 0) {
    self.volume = volume
    peer = .instance(number)
    var configuration = VolumeReaderConfiguration()
    configuration.pageSize = 512
    configuration.cacheBytes = cachePages * 512
    configuration.holeTimeout = 100_000_000
    configuration.plantedBug = bug
    configuration.readAheadPages = ahead
    reader = VolumeReader(
      volume: TestVolume.volume, instance: peer, writer: TestVolume.writerPeer, configuration: configuration,
      now: volume.now)
    reader.start(now: volume.now, into: &effects)
    absorb()
  }
  var isAttached: Bool { reader.isAttached }
  func absorb() {
    outbox += effects.sends
    for read in effects.reads { completed[read.id] = read.result }
    events += effects.events
    effects.removeAll()
  }
  func collect() {
    inbox += volume.toReaders.filter { $0.to == peer }
    volume.toReaders.removeAll { $0.to == peer }
  }
  /// Moves one message to or from the reader.
  func deliverOne() {
    collect()
    let count = inbox.count + outbox.count
    guard count > 0 else { return }
    let at = volume.options.network.isOrdered ? 0 : volume.random.index(count)
    let isInbox = at < inbox.count
    let message = isInbox ? inbox.remove(at: at) : outbox.remove(at: at - inbox.count)
    if volume.random.chance(volume.options.network.loss, in: 1000) { return }
    if volume.random.chance(volume.options.network.duplicate, in: 1000) {
      if isInbox { inbox.append(message) } else { outbox.append(message) }
    }
    if isInbox { receive(message.bytes) } else { forward(message) }
  }
  func receive(_ bytes: [UInt8]) {
    reader.receive(bytes, now: volume.now, into: &effects)
    absorb()
  }
  private func forward(_ message: Outgoing) {
    if let node = message.to.node {
      guard let i = volume.nodes.firstIndex(where: { $0.id == node }) else { return }
      if let answer = volume.nodes[i].receive(message.bytes) { inbox.append(answer) }
    } else {
      volume.receive(message.bytes)
    }
  }
  func settle() {
    collect()
    while !inbox.isEmpty || !outbox.isEmpty {
      deliverOne()
      collect()
    }
  }
  func tick() {
    reader.tick(now: volume.now, into: &effects)
    absorb()
  }
}

@Suite("Reader")
struct ReaderTests {
  /// One random run: what the reader shows is compared with the model at its applied VDL, after each step.
  static func randomRun(seed: UInt64, bug: PlantedBug? = nil, ahead: Int = 0) -> String? {
    var options = DurabilityTests.tiny(groups: 3)
    options.network = .init(loss: 10, duplicate: 30, isOrdered: false)
    options.writer.batchBytesMax = 400
    let volume = TestVolume(seed: seed, options)
    let reader = TestReader(volume, bug: bug, cachePages: ahead == 0 ? 64 : 16, ahead: ahead)
    var model = PageModel(pageSize: 512)
    var asked: [ReadID: (page: PageID, point: LSN?, since: LSN)] = [:]
    var nextRead: ReadID = 1
    var lastApplied = LSN.zero
    var attaches = 0
    var buffer = [UInt8](repeating: 0, count: 512)
    func check() -> String? {
      let applied = reader.reader.appliedVDL
      if applied < lastApplied { return "the applied VDL went back from \(lastApplied) to \(applied)" }
      if applied > volume.writer.vdl { return "I8: applied \(applied) above VDL \(volume.writer.vdl)" }
      lastApplied = applied
      if reader.isAttached {
        attaches += 1
        for i in 0..<32 {
          let lsn = buffer.withUnsafeMutableBytes { reader.reader.readCached(page(1, i), into: $0) }
          if lsn != nil, buffer != model.page(page(1, i), at: applied) {
            return "I8: cached page \(i) at \(applied) is wrong"
          }
        }
        if reader.reader.takeReadAheadWish() {
          while reader.reader.readAhead(now: volume.now, into: &reader.effects) {}
          reader.absorb()
        }
      }
      for (id, result) in reader.completed.sorted(by: { $0.key < $1.key }) {
        guard let read = asked.removeValue(forKey: id) else { return "read \(id) ended twice" }
        guard case .success(let image) = result else { continue }
        if let point = read.point {
          if image.bytes != model.page(read.page, at: point) { return "I9: page \(read.page) at \(point) is wrong" }
        } else {
          let allowed = model.history.contains { entry in
            entry.lsn <= applied && image.bytes == entry.pages[read.page] ?? [UInt8](repeating: 0, count: 512)
          }
          if !allowed { return "I8: page \(read.page) is no version up to \(applied)" }
        }
      }
      reader.completed.removeAll()
      return (volume.complaints + reader.reader.checkInvariants()).first
    }
    for step in 0..<500 {
      switch volume.random.index(12) {
      case 0...2:
        var mtr = MiniTransaction(pageSize: 512)
        var changes: [(page: PageID, offset: Int, bytes: [UInt8])] = []
        for _ in 0...volume.random.index(4) {
          let target = page(1, volume.random.below(32))
          let count = volume.random.chance(1, in: 6) ? 512 : 1 + volume.random.index(40)
          let bytes = [UInt8](repeating: UInt8(truncatingIfNeeded: step), count: count)
          let offset = count == 512 ? 0 : volume.random.index(512 - count)
          mtr.write(target, at: offset, bytes)
          changes.append((target, offset, bytes))
        }
        do throws(VolumeError) {
          model.commit(try volume.commit(mtr), changes)
        } catch {
          if error.code != .wouldBlock { return "commit: \(error)" }
        }
      case 3...4:
        nextRead += 1
        let target = page(1, volume.random.below(32))
        asked[nextRead] = (target, nil, lastApplied)
        reader.reader.read(target, at: nil, id: nextRead, now: volume.now, into: &reader.effects)
        reader.absorb()
      case 5:
        volume.tick(milliseconds: volume.random.below(20))
        reader.tick()
      case 6...8: for _ in 0..<volume.random.index(8) { reader.deliverOne() }
      default: for _ in 0..<volume.random.index(12) { volume.deliverOne() }
      }
      if let problem = check() { return "step \(step): \(problem)" }
    }
    // A quiet end: the reader catches up, and every read ends.
    for _ in 0..<300 {
      volume.settle()
      reader.settle()
      volume.tick(milliseconds: 20)
      reader.tick()
      if let problem = check() { return "at rest: \(problem)" }
      if asked.isEmpty, reader.isAttached, volume.writer.statistics.recordsInFlight == 0,
        reader.reader.appliedVDL == volume.writer.vdl
      {
        if ahead > 0, reader.reader.statistics.pagesAhead == 0 { return "nothing was read ahead" }
        return attaches > 0 ? nil : "it never attached"
      }
    }
    return "it never came to rest: applied \(reader.reader.appliedVDL), VDL \(volume.writer.vdl), reads \(asked.count)"
  }

  @Test("What it shows equals the model at its applied VDL, on random networks", arguments: 1...60)
  func model(seed: Int) {
    #expect(ReaderTests.randomRun(seed: UInt64(seed)) == nil, "seed \(seed)")
  }
  @Test("The same where pages are read ahead into a cache of sixteen", arguments: 1...60)
  func modelReadingAhead(seed: Int) {
    #expect(ReaderTests.randomRun(seed: UInt64(seed), ahead: 16) == nil, "seed \(seed)")
  }
  @Test("A change that is lost while its page is on its way in a run is seen")
  func plantedBugReadingAhead() {
    #expect(
      (1...60).contains { ReaderTests.randomRun(seed: UInt64($0), bug: .dropPendingMissRecords, ahead: 16) != nil })
  }
  @Test(
    "Planted bugs of the reader are seen",
    arguments: [PlantedBug.readerAppliesAboveVDL, .partialMiniTransactionVisible, .dropPendingMissRecords])
  func plantedBugs(bug: PlantedBug) {
    #expect((1...30).contains { ReaderTests.randomRun(seed: UInt64($0), bug: bug) != nil }, "\(bug) was not seen")
  }

  static func attached() throws -> (TestVolume, TestReader) {
    let volume = TestVolume()
    for i in 0..<20 { _ = try volume.commit(DurabilityTests.write(page(1, i), UInt8(i + 1), count: 512)) }
    #expect(volume.quiesce())
    let reader = TestReader(volume)
    reader.settle()
    #expect(reader.isAttached)
    #expect(reader.reader.appliedVDL == volume.writer.vdl)
    return (volume, reader)
  }

  @Test("Records that arrive while a page is on its way are applied after it lands")
  func pendingMiss() throws {
    let (volume, reader) = try ReaderTests.attached()
    reader.reader.read(page(1, 3), at: nil, id: 1, now: volume.now, into: &reader.effects)
    reader.absorb()
    // The node answers as of the old read point; before the answer arrives, the stream brings a change.
    let question = try #require(reader.outbox.first { $0.to.node != nil })
    reader.outbox.removeAll()
    let node = try #require(volume.nodes.firstIndex { PeerID.node($0.id) == question.to })
    let reply = volume.nodes[node].receive(question.bytes)
    let answer = try #require(reply)
    _ = try volume.commit(DurabilityTests.write(page(1, 3), 99, at: 10, count: 1))
    #expect(volume.quiesce())
    reader.settle()
    #expect(reader.reader.appliedVDL == volume.writer.vdl)
    #expect(reader.completed.isEmpty)
    reader.receive(answer.bytes)
    let image = try #require(try reader.completed[1]?.get())
    #expect(image.bytes[9] == 4 && image.bytes[10] == 99 && image.bytes[11] == 4)
    #expect(image.lsn == volume.writer.vdl)
  }

  @Test("Nothing above VDL is shown, and a mini-transaction only whole")
  func atomicity() throws {
    let (volume, reader) = try ReaderTests.attached()
    for i in 0..<2 {
      reader.reader.read(page(1, i), at: nil, id: UInt64(i), now: volume.now, into: &reader.effects)
      reader.absorb()
    }
    reader.settle()
    let before = reader.reader.appliedVDL
    var mtr = MiniTransaction(pageSize: 512)
    mtr.write(page(1, 0), at: 0, [201])
    mtr.write(page(1, 1), at: 0, [202])
    let lsn = try volume.commit(mtr)
    reader.settle()
    var buffer = [UInt8](repeating: 0, count: 512)
    _ = buffer.withUnsafeMutableBytes { reader.reader.readCached(page(1, 0), into: $0) }
    #expect(buffer[0] == 1 && reader.reader.appliedVDL == before, "a record above VDL is visible")
    #expect(volume.quiesce())
    reader.settle()
    #expect(reader.reader.appliedVDL == lsn)
    for (i, byte) in [(0, UInt8(201)), (1, 202)] {
      _ = buffer.withUnsafeMutableBytes { reader.reader.readCached(page(1, i), into: $0) }
      #expect(buffer[0] == byte)
    }
  }

  @Test("A lost stream message makes it attach anew after the time limit, with an empty cache")
  func hole() throws {
    let (volume, reader) = try ReaderTests.attached()
    reader.reader.read(page(1, 0), at: nil, id: 1, now: volume.now, into: &reader.effects)
    reader.absorb()
    reader.settle()
    #expect(reader.reader.statistics.cachedPages == 1)
    _ = try volume.commit(DurabilityTests.write(page(1, 0), 77, count: 4))
    volume.toReaders.removeAll()
    #expect(volume.quiesce())
    reader.settle()
    #expect(reader.reader.appliedVDL < volume.writer.vdl)
    volume.tick(milliseconds: 200)
    reader.tick()
    #expect(!reader.isAttached)
    #expect(reader.reader.statistics.cachedPages == 0)
    reader.settle()
    #expect(reader.isAttached)
    #expect(reader.reader.appliedVDL == volume.writer.vdl)
  }

  @Test("A reader's read point holds back PGMRPL until it expires; then it is told, and attaches anew")
  func registration() throws {
    let (volume, reader) = try ReaderTests.attached()
    let point = reader.reader.openReadPoint()
    for i in 0..<5 {
      _ = try volume.commit(DurabilityTests.write(page(1, i), 50))
      #expect(volume.quiesce())
      reader.settle()
      volume.tick(milliseconds: 200)
      reader.tick()
      reader.settle()
    }
    #expect(reader.reader.appliedVDL == volume.writer.vdl)
    #expect(volume.writer.minReadPoint == point)
    // The reader falls silent for longer than the deadline.
    for _ in 0..<60 { volume.tick(milliseconds: 200) }
    volume.settle()
    #expect(volume.events.contains(.readerExpired(reader.peer)))
    #expect(volume.writer.minReadPoint == volume.writer.vdl)
    reader.settle()
    #expect(reader.isAttached)
    #expect(reader.reader.statistics.attaches == 2)
    for _ in 0..<20 { volume.tick(milliseconds: 50) }
    volume.settle()
    // The old point is no longer protected: reading there is refused, not answered wrongly.
    reader.reader.read(page(1, 1), at: point, id: 9, now: volume.now, into: &reader.effects)
    reader.absorb()
    reader.settle()
    guard case .failure(let error)? = reader.completed[9] else {
      Issue.record("a read point that expired was served")
      return
    }
    #expect(error.code == .readPointTooOld)
  }

  @Test("A reader follows the catalog and the growth of the volume")
  func catalog() throws {
    let (volume, reader) = try ReaderTests.attached()
    let lsn = try volume.commit(DurabilityTests.write(page(9, 5000), 42))
    #expect(volume.quiesce())
    reader.settle()
    #expect(reader.reader.appliedVDL == lsn)
    reader.reader.read(page(9, 5000), at: nil, id: 1, now: volume.now, into: &reader.effects)
    reader.reader.read(page(9, 9000), at: nil, id: 2, now: volume.now, into: &reader.effects)
    reader.absorb()
    reader.settle()
    #expect(try reader.completed[1]?.get().bytes[0] == 42)
    #expect(try reader.completed[2]?.get().lsn == .zero)
  }
}
