import BorealisCore
import BorealisStorageBackend
import BorealisStorageNode
import BorealisWire
import Testing

@Suite struct RepairNodeTests {
  /// Three nodes with small chunks, the first two with `count` folded records.
  func folded(_ count: Int, pages: UInt64, seed: UInt64, kinds: [SegmentKind] = []) throws -> (TestCluster, TestLog) {
    let c = try TestCluster(3, kinds: kinds) { $0.chunkSize = 16 << 10 }
    c.create()
    c.nodes[2].isDown = true
    var log = TestLog()
    var g = DeterministicGenerator(seed: seed)
    for _ in 0..<count { log.random(pages: pages, using: &g) }
    appendAll(c, log, after: .zero, to: [0, 1])
    c.pass(milliseconds: 100)
    return (c, log)
  }
  func appendAll(_ c: TestCluster, _ log: TestLog, after: LSN, to nodes: [Int]) {
    var from = after
    while from < log.last {
      let through = from.advanced(by: 10)
      for k in nodes {
        c.give(
          .append(vdl: from, minReadPoint: from, log.batch(after: from, through: through)), c.header(), to: k)
        c.runJobs(k)
      }
      from = through
    }
    for k in nodes { c.give(.advance(vdl: log.last, minReadPoint: log.last), c.header(), to: k) }
    c.settle()
  }
  func expectAll(_ c: TestCluster, _ log: TestLog, _ node: Int, pages: UInt64, _ note: String = "") throws {
    for page in 0..<pages {
      let expected = try log.page(page, at: log.last)
      let found = c.read(node, testPage(page), at: log.last, requiredSCL: log.last)
      #expect(found == .page(expected.0, expected.1) || isEmptyPage(found, expected.1), "page \(page) \(note)")
    }
  }
  /// A discarded page may come as an empty image with the LSN of the discard.
  func isEmptyPage(_ found: ReadOutcome, _ expected: [UInt8]) -> Bool {
    if case .page(_, let bytes) = found { return bytes == expected && !bytes.contains { $0 != 0 } }
    return false
  }

  @Test(arguments: UInt64(1)...6)
  func anEmptyNodeCopiesABaselineWhileAppendsGoOn(seed: UInt64) throws {
    var (c, log) = try folded(600, pages: 40, seed: seed)
    #expect(c.nodes[0].machine.statistics.chunksRetired > 0)
    #expect((c.status(0)?.gcPoint ?? .zero) > .zero)
    var g = DeterministicGenerator(seed: seed &* 77)
    c.nodes[2].isDown = false
    for round in 0..<30 {
      let from = log.last
      for _ in 0..<10 { log.random(pages: 40, using: &g) }
      appendAll(c, log, after: from, to: g.chance(1, in: 3) ? [0, 1] : [0, 1, 2])
      c.pass(milliseconds: 20) { _ in g.chance(1, in: 10) }
      if round == 7 || round == 12 { try c.nodes[2].restart(now: c.now, using: &g) }
    }
    c.pass(milliseconds: 1500)
    #expect(c.scl(2) == log.last.value, "seed \(seed)")
    #expect(c.nodes[2].machine.statistics.baselinesFinished > 0 || c.status(2)?.gcPoint != .zero)
    try expectAll(c, log, 2, pages: 40, "seed \(seed)")
    try c.checkChains()
    // It is a source in its turn.
    c.nodes[1].isDown = true
    try c.nodes[2].restart(now: c.now, using: &g)
    try expectAll(c, log, 2, pages: 40, "after a restart, seed \(seed)")
  }

  @Test func aStaleSegmentForgetsPagesThatWereDiscarded() throws {
    var (c, log) = try folded(0, pages: 1, seed: 1)
    c.nodes[2].isDown = false
    for page in UInt64(0)..<30 { log.append(page, .image, [UInt8](repeating: 9, count: 512)) }
    for _ in 0..<100 { log.write(50, at: 0, [UInt8](repeating: 9, count: 300)) }
    appendAll(c, log, after: .zero, to: [0, 1, 2])
    c.pass(milliseconds: 200)
    #expect(c.nodes[2].machine.statistics.chunksRetired > 0)
    c.nodes[2].isDown = true
    let from = log.last
    for page in UInt64(0)..<20 { log.append(page, .discard, []) }
    for _ in 0..<200 { log.write(50, at: 0, [UInt8](repeating: 8, count: 300)) }
    appendAll(c, log, after: from, to: [0, 1])
    c.pass(milliseconds: 200)
    c.nodes[2].isDown = false
    c.pass(milliseconds: 1500)
    #expect(c.scl(2) == log.last.value)
    #expect(c.nodes[2].machine.statistics.baselinesFinished == 1)
    try expectAll(c, log, 2, pages: 51)
  }

  @Test func aTailSegmentTakesOnlyTheBaselineLSN() throws {
    let (c, log) = try folded(600, pages: 10, seed: 3, kinds: [.full, .full, .tail])
    c.nodes[2].isDown = false
    c.pass(milliseconds: 800)
    #expect(c.scl(2) == log.last.value)
    #expect(c.nodes[2].machine.statistics.baselinePagesInstalled == 0)
    #expect(c.nodes[2].machine.statistics.pageBytes == 0)
  }

  /// Seed 90309: the two new members asked each other and the one that was lost, in turn.
  @Test func newMembersDoNotAskEachOtherForEver() throws {
    let c = try TestCluster(5, kinds: [.full, .tail, .full, .full, .full]) {
      $0.chunkSize = 16 << 10
      $0.logLimit = 128 << 10
    }
    c.create()
    for k in 3..<5 { c.nodes[k].isDown = true }
    var log = TestLog()
    var g = DeterministicGenerator(seed: 16)
    for _ in 0..<500 { log.random(pages: 10, using: &g) }
    appendAll(c, log, after: .zero, to: [0, 1, 2])
    c.pass(milliseconds: 300)
    for k in 0..<2 { #expect(c.status(k)?.gcPoint ?? .zero > .zero) }
    c.nodes[2].isDown = true
    // Member 2 stays away. What member 0 says of itself comes only while a copy is under way, and is not heeded then.
    for k in 3..<5 { c.nodes[k].isDown = false }
    var heard = 0
    c.pass(milliseconds: 8000) { message in
      guard let decoded = try? Message.decode(message.bytes), case .gossip = decoded.message,
        decoded.header.sender == .node(NodeID(0)), message.to == .node(NodeID(3)) || message.to == .node(NodeID(4))
      else { return false }
      heard += 1
      return heard > 2
    }
    for k in 3..<5 {
      #expect(c.scl(k) == log.last.value)
      try expectAll(c, log, k, pages: 10)
    }
  }

  /// Whoever asked for the copy, a source that is gone is not asked for ever.
  @Test func aSourceThatIsGoneIsPassedOver() throws {
    let c = try TestCluster(5, kinds: [.full, .full, .full, .tail, .tail]) {
      $0.chunkSize = 16 << 10
      // So little that the tails do not keep what member 2 lacks.
      $0.logLimit = 128 << 10
    }
    c.create()
    c.nodes[2].isDown = true
    var log = TestLog()
    var g = DeterministicGenerator(seed: 12)
    for _ in 0..<500 { log.random(pages: 10, using: &g) }
    appendAll(c, log, after: .zero, to: [0, 1, 3, 4])
    c.pass(milliseconds: 300)
    #expect(c.nodes[3].machine.statistics.chunksRetired > 0)
    // Member 0 is gone; members 3 and 4, after which it comes in turn, have no pages. Gossip goes nowhere.
    c.nodes[0].isDown = true
    c.nodes[2].isDown = false
    for _ in 0..<40 where c.scl(2) < log.last.value {
      c.give(.catchUp(target: log.last, source: NodeID(4)), c.header(), to: 2)
      c.pass(milliseconds: 250) { $0.bytes[5] == 20 }
    }
    #expect(c.scl(2) == log.last.value)
  }

  @Test func pinnedVersionsComeWithTheBaseline() throws {
    let c = try TestCluster(3) { $0.chunkSize = 16 << 10 }
    c.create()
    c.nodes[2].isDown = true
    var log = TestLog()
    var g = DeterministicGenerator(seed: 4)
    for _ in 0..<100 { log.random(pages: 6, using: &g) }
    let pin = log.last
    let retention = Retention(epoch: VolumeEpoch(1), sequence: 1, pins: [pin])
    for k in 0..<2 { c.give(.retain(retention), c.header(), to: k) }
    for _ in 0..<500 { log.random(pages: 6, using: &g) }
    appendAll(c, log, after: .zero, to: [0, 1])
    c.pass(milliseconds: 200)
    #expect((c.status(0)?.gcPoint ?? .zero) > pin)
    c.nodes[2].isDown = false
    c.pass(milliseconds: 1500)
    #expect(c.scl(2) == log.last.value)
    for page in UInt64(0)..<6 {
      for k in [0, 2] {
        let expected = try log.page(page, at: pin)
        let found = c.read(k, testPage(page), at: pin, requiredSCL: pin)
        #expect(found == .page(expected.0, expected.1) || isEmptyPage(found, expected.1), "page \(page) of node \(k)")
      }
    }
    try expectAll(c, log, 2, pages: 6)
  }

  @Test func damagedPagesAreRefusedAndRepaired() throws {
    let (c, log) = try folded(600, pages: 20, seed: 5)
    c.nodes[2].isDown = false
    c.pass(milliseconds: 1500)
    var g = DeterministicGenerator(seed: 5)
    let size = try c.nodes[0].backend.size(of: .pages).value
    #expect(c.nodes[0].backend.flipBits(.pages, in: 0..<size, count: 200, using: &g).count == 200)
    var refused = 0
    for page in UInt64(0)..<20 {
      let expected = try log.page(page, at: log.last)
      switch c.read(0, testPage(page), at: log.last, requiredSCL: log.last) {
      case .page(_, let bytes): #expect(bytes == expected.1, "page \(page)")
      case .refused(let reason):
        #expect(reason == .damaged)
        refused += 1
      case .silence: Issue.record("no answer")
      }
    }
    #expect(refused > 0)
    // A run ends before the first page that is damaged.
    for (page, found) in c.readRun(0, testPage(0), count: 20, at: log.last, requiredSCL: log.last).enumerated() {
      let expected = try log.page(UInt64(page), at: log.last)
      #expect(found == .page(expected.0, expected.1) || found == .refused(.damaged), "page \(page)")
    }
    #expect(c.status(0)?.isDamaged == true)
    c.pass(milliseconds: 2000)
    #expect(c.status(0)?.isDamaged == false)
    try expectAll(c, log, 0, pages: 20)
    #expect(c.nodes[0].machine.statistics.damageRepaired >= UInt64(refused))
  }

  @Test func damagedRecordsAreRefusedAndRepaired() throws {
    let c = try TestCluster(3)
    c.create()
    var log = TestLog()
    var g = DeterministicGenerator(seed: 6)
    for _ in 0..<200 { log.random(pages: 10, using: &g) }
    for k in 0..<3 { c.give(.append(vdl: log.last, minReadPoint: .zero, log.batch()), c.header(), to: k) }
    c.settle()
    c.nodes[0].backend.flipBits(.log, in: 1000..<20_000, count: 40, using: &g)
    var refused = 0
    for page in UInt64(0)..<10 {
      if c.read(0, testPage(page), at: log.last, requiredSCL: log.last) == .refused(.damaged) { refused += 1 }
    }
    #expect(refused > 0)
    for _ in 0..<40 {
      c.pass(milliseconds: 300)
      for page in UInt64(0)..<10 { _ = c.read(0, testPage(page), at: log.last, requiredSCL: log.last) }
    }
    #expect(c.status(0)?.isDamaged == false)
    try expectAll(c, log, 0, pages: 10)
    #expect(c.nodes[0].machine.statistics.damageRepaired > 0)
  }

  /// Rot in the log's last block looks like a torn tail; where the SCL in the journal rests on it the node must not go on
  /// as if it had the records. (Found by seed 10629.)
  @Test(arguments: [UInt64(8), 300])
  func rotInTheLastFlushTakesBackWhatTheJournalSays(offset: UInt64) throws {
    var g = DeterministicGenerator(seed: 10)
    let c = try TestCluster(3)
    c.create()
    var log = TestLog()
    for _ in 0..<20 { log.random(pages: 5, using: &g) }
    for k in 0..<3 { c.give(.append(vdl: .zero, minReadPoint: .zero, log.batch()), c.header(), to: k) }
    c.settle()
    for _ in 0..<20 { log.random(pages: 5, using: &g) }
    for k in 0..<3 {
      c.give(.append(vdl: .zero, minReadPoint: .zero, log.batch(after: LSN(20))), c.header(), to: k)
    }
    let job = try #require(c.nodes[0].nextJob(.log, now: c.now))
    guard case .write(.log, let at, _) = job.operations[0] else {
      Issue.record("no block is written")
      return
    }
    c.nodes[0].machine.complete(job, error: c.nodes[0].backend.perform(job), now: c.now, into: &c.wire)
    c.settle()
    // Facts go to the journal with the truncation list.
    let range = LSNRange(after: log.last, through: LSN(100))
    let list = TruncationList(epoch: VolumeEpoch(2), ranges: [range])
    for k in 0..<3 { c.give(.truncate(list, vdl: log.last, tail: log.last), c.header(epoch: 2), to: k) }
    c.settle()
    #expect(c.scl(0) == 40)
    try c.nodes[0].backend.perform(.write(.log, at: at + offset, [1, 2, 3]))
    try c.nodes[0].backend.perform(.sync(.log))
    c.nodes[1].isDown = true
    c.nodes[2].isDown = true
    try c.nodes[0].restart(now: c.now, using: &g)
    #expect(c.scl(0) == 20)
    // The log goes on behind what is missing, and so it is after one more restart.
    log.truncate(range, epoch: 2)
    log.random(pages: 5, using: &g)
    c.give(.append(vdl: LSN(40), minReadPoint: .zero, log.batch(only: log.last)), c.header(epoch: 2), to: 0)
    c.settle()
    try c.nodes[0].restart(now: c.now, using: &g)
    #expect(c.scl(0) == 20)
    try c.checkChains()
    c.nodes[1].isDown = false
    c.give(.append(vdl: LSN(40), minReadPoint: .zero, log.batch(only: log.last)), c.header(epoch: 2), to: 1)
    c.pass(milliseconds: 500)
    #expect(c.scl(0) == log.last.value)
    for page in UInt64(0)..<5 {
      let expected = try log.page(page, at: log.last)
      let found = c.read(0, testPage(page), at: log.last, requiredSCL: log.last, epoch: 2)
      #expect(found == .page(expected.0, expected.1) || isEmptyPage(found, expected.1), "page \(page)")
    }
  }

  @Test func theScrubFindsWhatNobodyReads() throws {
    let (c, log) = try folded(600, pages: 20, seed: 5)
    c.nodes[2].isDown = false
    c.pass(milliseconds: 1500)
    var g = DeterministicGenerator(seed: 9)
    let size = try c.nodes[1].backend.size(of: .pages).value
    c.nodes[1].backend.flipBits(.pages, in: 0..<size, count: 200, using: &g)
    c.pass(milliseconds: 30_000)
    #expect(c.nodes[1].machine.statistics.damageFound > 0)
    #expect(c.nodes[1].machine.statistics.damageRepaired == c.nodes[1].machine.statistics.damageFound)
    try expectAll(c, log, 1, pages: 20)
  }

  /// Crashes at random moments, jobs half done: SCL is never below what was acked, and the model holds.
  @Test(arguments: UInt64(1)...20)
  func restartsKeepWhatWasAcked(seed: UInt64) throws {
    var g = DeterministicGenerator(seed: seed)
    let c = try TestCluster(1) {
      $0.chunkSize = 16 << 10
      $0.logLimit = 1 << 20
    }
    c.create()
    var log = TestLog()
    var acked: UInt64 = 0
    for round in 0..<60 {
      let from = LSN(acked)
      for _ in 0..<g.index(20) { log.random(pages: 8, using: &g) }
      for entry in log.entries where entry.header.lsn > from {
        if g.chance(1, in: 15) { continue }
        c.give(
          .append(vdl: LSN(acked), minReadPoint: LSN(acked), log.batch(only: entry.header.lsn)), c.header(), to: 0)
        guard g.chance(1, in: 3) else { continue }
        let lane: StorageLane = g.chance(1, in: 2) ? .log : .background
        guard let job = c.nodes[0].nextJob(lane, now: c.now) else { continue }
        let error = c.nodes[0].backend.perform(job)
        c.nodes[0].machine.complete(job, error: error, now: c.now, into: &c.wire)
      }
      c.deliver()
      acked = max(acked, c.acks(0).max() ?? 0)
      if g.chance(1, in: 3) {
        for lane in StorageLane.allCases {
          guard let job = c.nodes[0].nextJob(lane, now: c.now) else { continue }
          for operation in job.operations[..<g.index(job.operations.count + 1)] {
            try? c.nodes[0].backend.perform(operation)
          }
        }
        c.wire.removeAll()
        try c.nodes[0].restart(now: c.now, using: &g)
        #expect(c.scl(0) >= acked, "seed \(seed) round \(round)")
        c.check()
        try c.checkChains()
      }
      c.now = c.now.advanced(byMilliseconds: 10)
      c.nodes[0].machine.tick(now: c.now, into: &c.wire)
    }
    c.give(.append(vdl: .zero, minReadPoint: .zero, log.batch()), c.header(), to: 0)
    c.settle()
    #expect(c.scl(0) == log.last.value, "seed \(seed)")
    try expectAll(c, log, 0, pages: 8, "seed \(seed)")
  }
}
