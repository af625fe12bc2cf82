import BorealisCore
import BorealisStorageBackend
import BorealisStorageNode
import BorealisWire
import Testing

@Suite struct CoalesceNodeTests {
  /// Writes at random with random loss and order, folds, restarts, rewinds nothing, pins at random: every read at or above
  /// PGMRPL, and at every pin, is what the dumb model says.
  @Test(arguments: UInt64(1)...8)
  func readsEqualTheModel(seed: UInt64) throws {
    var g = DeterministicGenerator(seed: seed)
    let c = try TestCluster(1) {
      $0.chunkSize = 16 << 10
      $0.logLimit = 1 << 20
      $0.indexMemory = 4 << 10
    }
    c.create()
    var log = TestLog()
    let pages = 1 + g.below(24)
    var minReadPoint = LSN.zero
    var retention = Retention(epoch: VolumeEpoch(1))
    var held: [LSN] = []
    for round in 0..<25 {
      let from = log.last
      for _ in 0..<(10 + g.index(60)) { log.random(pages: pages, using: &g) }
      var order = (from.value + 1...log.last.value).map { LSN($0) } + held
      held.removeAll()
      for k in order.indices.reversed() { order.swapAt(k, g.index(k + 1)) }
      for lsn in order {
        if g.chance(1, in: 20) {
          held.append(lsn)
          continue
        }
        c.give(.append(vdl: .zero, minReadPoint: minReadPoint, log.batch(only: lsn)), c.header(), to: 0)
        if g.chance(1, in: 8) { c.runJobs(0) }
      }
      c.settle()
      let scl = LSN(c.scl(0))
      if scl > minReadPoint, g.chance(2, in: 3) {
        if g.chance(1, in: 2) {
          // A pin must be known before PGMRPL passes it.
          let pin = LSN(g.within(minReadPoint.value...scl.value))
          if pin > retention.pins.last ?? .zero {
            retention.pins.append(pin)
          }
        }
        if retention.pins.count > 4 { retention.pins.removeFirst() }
        retention.sequence += 1
        c.give(.retain(retention), c.header(), to: 0)
        c.settle()
        minReadPoint = LSN(g.within(minReadPoint.value...scl.value))
        c.give(.advance(vdl: scl, minReadPoint: minReadPoint), c.header(), to: 0)
      }
      c.pass(milliseconds: 20)
      if g.chance(1, in: 6) {
        if let job = c.nodes[0].nextJob(.background, now: c.now) {
          // Lost with the power, in part.
          let count = g.index(job.operations.count + 1)
          for operation in job.operations[..<count] { try? c.nodes[0].backend.perform(operation) }
        }
        try c.nodes[0].restart(now: c.now, using: &g)
        #expect(c.scl(0) == scl.value, "seed \(seed) round \(round)")
        c.give(.advance(vdl: scl, minReadPoint: minReadPoint), c.header(), to: 0)
        c.check()
      }
      for page in 0..<pages where g.chance(1, in: 3) {
        let readPoint = LSN(g.within(minReadPoint.value...scl.value))
        for point in [readPoint, scl, minReadPoint] + retention.pins {
          let expected = try log.page(page, at: point)
          let found = c.read(0, testPage(page), at: point, requiredSCL: min(point, scl))
          guard case .page(let lsn, let bytes) = found else {
            Issue.record("seed \(seed) round \(round): page \(page) at \(point): \(found)")
            return
          }
          #expect(bytes == expected.1, "seed \(seed) round \(round): page \(page) at \(point)")
          #expect(lsn == expected.0, "seed \(seed) round \(round): page \(page) at \(point)")
        }
      }
      // The same in runs, of pages that exist and that do not.
      for point in [minReadPoint, scl] + retention.pins {
        let first = g.below(pages)
        let run = c.readRun(0, testPage(first), count: 70, at: point, requiredSCL: min(point, scl))
        #expect(run.count == 64, "seed \(seed) round \(round): the most that a node gives")
        for (i, found) in run.enumerated() {
          let expected = try log.page(first + UInt64(i), at: point)
          #expect(found == .page(expected.0, expected.1), "seed \(seed) round \(round): page \(i) of a run at \(point)")
        }
      }
      try c.checkChains()
    }
    #expect((c.status(0)?.gcPoint ?? .zero) > .zero, "nothing was folded, seed \(seed)")
  }

  @Test func visibleIntervalsAreRespected() throws {
    for folds in [false, true] {
      let c = try TestCluster(1) { $0.chunkSize = 16 << 10 }
      c.create()
      var log = TestLog()
      var g = DeterministicGenerator(seed: 8)
      for _ in 0..<100 { log.random(pages: 3, using: &g) }
      // Back to 60: 61...100 are invisible, history goes on at 101. The floor keeps folding below the rewind.
      var retention = Retention(
        epoch: VolumeEpoch(1), sequence: 1,
        visible: [LSNRange(after: .zero, through: LSN(60)), LSNRange(after: LSN(100), through: .max)], floor: LSN(60))
      c.give(.append(vdl: .zero, minReadPoint: .zero, log.batch()), c.header(), to: 0)
      c.give(.retain(retention), c.header(), to: 0)
      c.settle()
      for _ in 0..<300 { log.random(pages: 3, using: &g) }
      for k in stride(from: UInt64(100), to: 400, by: 20) {
        c.give(
          .append(vdl: .zero, minReadPoint: .zero, log.batch(after: LSN(k), through: LSN(k + 20))), c.header(), to: 0)
        c.settle()
      }
      #expect(c.scl(0) == 400)
      c.give(.advance(vdl: LSN(400), minReadPoint: LSN(400)), c.header(), to: 0)
      c.pass(milliseconds: 100)
      #expect(c.nodes[0].machine.statistics.chunksRetired == 0, "the floor forbids it")
      if folds {
        retention.sequence = 2
        retention.floor = .max
        c.give(.retain(retention), c.header(), to: 0)
        c.pass(milliseconds: 200)
        #expect(c.nodes[0].machine.statistics.chunksRetired > 0)
      }
      for page in UInt64(0)..<3 {
        let expected = try log.page(page, at: LSN(400), retention: retention)
        #expect(c.read(0, testPage(page), at: LSN(400), requiredSCL: LSN(400)) == .page(expected.0, expected.1))
      }
    }
  }

  @Test func readsAreRefusedByRule() throws {
    let c = try TestCluster(2, kinds: [.full, .tail])
    c.create()
    var log = TestLog()
    for k in 0..<10 { log.write(0, at: k, [1]) }
    for k in 0..<2 {
      c.give(.append(vdl: LSN(10), minReadPoint: LSN(5), log.batch()), c.header(), to: k)
    }
    c.settle()
    let page = testPage(0)
    #expect(c.read(0, page, at: LSN(4), requiredSCL: LSN(4)) == .refused(.readPointTooOld))
    #expect(c.read(0, page, at: LSN(20), requiredSCL: LSN(11)) == .refused(.notComplete))
    #expect(c.read(1, page, at: LSN(10), requiredSCL: LSN(10)) == .refused(.tailSegment))
    #expect(c.read(0, page, at: LSN(10), requiredSCL: LSN(10), membership: 0) == .refused(.staleMembershipEpoch))
    #expect(c.read(0, page, at: LSN(10), requiredSCL: LSN(10), epoch: 0) == .refused(.staleVolumeEpoch))
    #expect(
      c.read(0, testPage(99), at: LSN(10), requiredSCL: LSN(10)) == .page(.zero, [UInt8](repeating: 0, count: 512)))
    // An idle group: the read point is far above its last record.
    #expect(
      c.read(0, page, at: LSN(5000), requiredSCL: LSN(10)) == .page(LSN(10), try log.page(0, at: LSN(10)).1))
  }

  @Test func plantedBugServesIncompleteReads() throws {
    let c = try TestCluster(1) { $0.plantedBug = .serveIncompleteRead }
    c.create()
    var log = TestLog()
    log.write(0, at: 0, [1])
    log.write(0, at: 0, [2])
    c.give(.append(vdl: LSN(2), minReadPoint: .zero, log.batch(through: LSN(1))), c.header(), to: 0)
    c.settle()
    guard case .page(LSN(1), _) = c.read(0, testPage(0), at: LSN(2), requiredSCL: LSN(2)) else {
      Issue.record("the bug is gone")
      return
    }
  }

  @Test(arguments: [nil, PlantedBug.coalesceAboveMinReadPoint, .collectIgnoringReadPoint])
  func foldingStopsAtPGMRPL(bug: PlantedBug?) throws {
    let c = try TestCluster(1) {
      $0.chunkSize = 16 << 10
      $0.plantedBug = bug
    }
    c.create()
    var log = TestLog()
    for k in 0..<400 { log.write(0, at: k, [UInt8(1 + k % 250)]) }
    for k in stride(from: UInt64(0), to: 400, by: 20) {
      c.give(
        .append(vdl: LSN(k), minReadPoint: LSN(10), log.batch(after: LSN(k), through: LSN(k + 20))), c.header(), to: 0)
      c.settle()
    }
    c.give(.advance(vdl: LSN(400), minReadPoint: LSN(10)), c.header(), to: 0)
    c.pass(milliseconds: 100)
    let expected = try log.page(0, at: LSN(20))
    let found = c.read(0, testPage(0), at: LSN(20), requiredSCL: LSN(20))
    #expect((found == .page(expected.0, expected.1)) == (bug == nil))
    #expect((c.nodes[0].machine.statistics.chunksRetired == 0) == (bug == nil))
  }

  @Test func discardedPagesGiveTheirSpaceBack() throws {
    let c = try TestCluster(1) { $0.chunkSize = 16 << 10 }
    c.create()
    var log = TestLog()
    for page in UInt64(0)..<60 { log.append(page, .image, [UInt8](repeating: 3, count: 512)) }
    for _ in 0..<60 { log.write(100, at: 0, [UInt8](repeating: 3, count: 400)) }
    func append() {
      let from = LSN(c.scl(0))
      for entry in log.entries where entry.header.lsn > from {
        c.give(.append(vdl: .zero, minReadPoint: .zero, log.batch(only: entry.header.lsn)), c.header(), to: 0)
        if entry.header.lsn.value % 10 == 0 { c.settle() }
      }
      c.settle()
      c.give(.advance(vdl: log.last, minReadPoint: log.last), c.header(), to: 0)
      c.pass(milliseconds: 100)
    }
    append()
    let before = c.nodes[0].machine.statistics.pageBytes
    #expect(before > 30 * 512)
    for page in UInt64(0)..<60 { log.append(page, .discard, []) }
    for _ in 0..<90 { log.write(100, at: 0, [UInt8](repeating: 4, count: 400)) }
    append()
    #expect(c.nodes[0].machine.statistics.pageBytes < before / 4)
    #expect(
      c.read(0, testPage(7), at: log.last, requiredSCL: log.last) == .page(.zero, [UInt8](repeating: 0, count: 512)))
  }

  @Test func tailSegmentsDropWhatFullOnesHave() throws {
    let c = try TestCluster(4, kinds: [.full, .full, .tail, .tail]) { $0.chunkSize = 16 << 10 }
    c.create()
    var log = TestLog()
    for k in 0..<300 { log.write(UInt64(k % 5), at: 0, [UInt8](repeating: UInt8(k % 200), count: 200)) }
    for from in stride(from: UInt64(0), to: 300, by: 15) {
      for k in 0..<4 {
        c.give(
          .append(vdl: .zero, minReadPoint: .zero, log.batch(after: LSN(from), through: LSN(from + 15))), c.header(),
          to: k)
        c.runJobs(k)
      }
    }
    c.settle()
    // One of the full ones knows of no progress.
    for k in [0, 2, 3] { c.give(.advance(vdl: LSN(300), minReadPoint: LSN(300)), c.header(), to: k) }
    for _ in 0..<5 {
      c.pass(milliseconds: 10) { $0.to == .node(NodeID(1)) }
    }
    #expect(c.nodes[0].machine.statistics.chunksRetired > 0)
    #expect(c.nodes[2].machine.statistics.chunksRetired == 0, "only one full segment has the pages")
    c.give(.advance(vdl: LSN(300), minReadPoint: LSN(300)), c.header(), to: 1)
    c.pass(milliseconds: 200)
    #expect(c.nodes[2].machine.statistics.chunksRetired > 0)
    #expect(c.scl(2) == 300)
    var g = DeterministicGenerator(seed: 1)
    try c.nodes[2].restart(now: c.now, using: &g)
    #expect(c.scl(2) == 300)
  }
}
