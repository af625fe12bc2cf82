import BorealisCore
import BorealisStorageBackend
import BorealisStorageNode
import BorealisWire
import Testing

@Suite struct RecoveryNodeTests {
  /// Three nodes; the first holds records 1...10, the others 1...8.
  ///
  /// VDL 6 is known.
  func ragged() throws -> (TestCluster, TestLog) {
    let c = try TestCluster(3) { $0.gossipInterval = 1 << 60 }
    c.create()
    var log = TestLog()
    for k in 0..<10 { log.write(UInt64(k % 3), at: k, [UInt8(k + 1)]) }
    for k in 0..<3 {
      let through = k == 0 ? LSN(10) : LSN(8)
      c.give(.append(vdl: LSN(6), minReadPoint: .zero, log.batch(through: through)), c.header(), to: k)
    }
    c.settle()
    c.answers.removeAll()
    return (c, log)
  }
  func prepared(_ c: TestCluster, _ node: Int) -> (SegmentStatus, TruncationList, [RecordLink])? {
    c.take(node) { if case .prepared(let s, let t, _, _, let l) = $0 { (s, t, l) } else { nil } }.first
  }

  @Test func prepareIsAnsweredOnlyWhenThePromiseIsDurable() throws {
    let (c, _) = try ragged()
    c.give(.prepare, c.header(epoch: 2), to: 0)
    c.deliver()
    #expect(prepared(c, 0) == nil)
    c.settle()
    let (status, list, links) = try #require(prepared(c, 0))
    #expect(status.scl == LSN(10) && status.knownVDL == LSN(6))
    #expect(list == TruncationList())
    #expect(links.map(\.lsn.value) == [7, 8, 9, 10])
    #expect(links[0].previousInVolume == LSN(6))
    // Again: the same answer, at once.
    c.give(.prepare, c.header(epoch: 2), to: 0)
    c.deliver()
    #expect(prepared(c, 0)?.2.count == 4)
    c.give(.prepare, c.header(epoch: 1), to: 0)
    c.deliver()
    #expect(c.rejects(0) == [.staleVolumeEpoch])
  }

  @Test func thePromiseOutlivesARestart() throws {
    let (c, log) = try ragged()
    var g = DeterministicGenerator(seed: 1)
    c.give(.prepare, c.header(epoch: 2), to: 0)
    c.settle()
    try c.nodes[0].restart(now: c.now, using: &g)
    c.give(.append(vdl: .zero, minReadPoint: .zero, log.batch()), c.header(epoch: 1), to: 0)
    c.deliver()
    #expect(c.rejects(0) == [.staleVolumeEpoch])
    #expect(c.scl(0) == 10)
  }

  @Test func plantedBugForgetsThePromise() throws {
    let (c, log) = try ragged()
    var g = DeterministicGenerator(seed: 1)
    c.nodes[0].configuration.plantedBug = .forgetEpochOnRestart
    c.give(.prepare, c.header(epoch: 2), to: 0)
    c.settle()
    try c.nodes[0].restart(now: c.now, using: &g)
    c.give(.append(vdl: .zero, minReadPoint: .zero, log.batch()), c.header(epoch: 1), to: 0)
    c.settle()
    #expect(c.acks(0) == [10])
  }

  @Test func aFlushThatThePromiseOutrunsIsDropped() throws {
    var (c, log) = try ragged()
    let lsn = log.write(0, at: 0, [1])
    c.give(.append(vdl: LSN(6), minReadPoint: .zero, log.batch(only: lsn)), c.header(), to: 0)
    let job = try #require(c.nodes[0].nextJob(.log, now: c.now))
    c.give(.prepare, c.header(epoch: 2), to: 0)
    let error = c.nodes[0].backend.perform(job)
    c.nodes[0].machine.complete(job, error: error, now: c.now, into: &c.wire)
    c.settle()
    #expect(c.scl(0) == 10)
    #expect(c.acks(0).isEmpty)
    #expect(prepared(c, 0)?.0.scl == LSN(10))
    #expect(c.nodes[0].machine.statistics.recordsFenced == 1)
  }

  @Test func truncateVoidsClipsAndGoesOn() throws {
    var (c, log) = try ragged()
    let range = LSNRange(after: LSN(8), through: LSN(1008))
    let list = TruncationList(epoch: VolumeEpoch(2), ranges: [range])
    for k in 0..<3 {
      c.give(.prepare, c.header(epoch: 2), to: k)
      c.settle()
      c.give(.truncate(list, vdl: LSN(8), tail: LSN(8)), c.header(epoch: 2), to: k)
    }
    c.settle()
    #expect(c.statuses(0) == [8])
    #expect(c.status(0)?.knownVDL == LSN(8))
    log.truncate(range, epoch: 2)
    let first = log.write(1, at: 0, [99])
    #expect(first == LSN(1009))
    for k in 0..<3 {
      c.give(.append(vdl: LSN(8), minReadPoint: LSN(8), log.batch(only: first)), c.header(epoch: 2), to: k)
    }
    c.settle()
    for k in 0..<3 { #expect(c.scl(k) == 1009) }
    let expected = try log.page(1, at: first)
    #expect(c.read(0, testPage(1), at: first, requiredSCL: first, epoch: 2) == .page(expected.0, expected.1))
    // A late copy of what is void.
    c.give(.records(vdl: .zero, RecordBatch([])), c.header(epoch: 2), to: 0)
    try c.checkChains()
    var g = DeterministicGenerator(seed: 3)
    try c.nodes[0].restart(now: c.now, using: &g)
    #expect(c.scl(0) == 1009)
    #expect(c.status(0)?.truncationEpoch == VolumeEpoch(2))
    #expect(c.read(0, testPage(1), at: first, requiredSCL: first, epoch: 2) == .page(expected.0, expected.1))
  }

  @Test func plantedBugForgetsTheTruncation() throws {
    let (c, _) = try ragged()
    c.nodes[0].configuration.plantedBug = .forgetTruncationOnRestart
    let list = TruncationList(epoch: VolumeEpoch(2), ranges: [LSNRange(after: LSN(8), through: LSN(1008))])
    c.give(.truncate(list, vdl: LSN(8), tail: LSN(8)), c.header(epoch: 2), to: 0)
    c.settle()
    #expect(c.scl(0) == 8)
    var g = DeterministicGenerator(seed: 3)
    try c.nodes[0].restart(now: c.now, using: &g)
    #expect(c.scl(0) == 10, "void records are back")
  }

  @Test func voidRecordsNeverComeBackByGossip() throws {
    for bug in [nil, PlantedBug.gossipResurrectsVoid] {
      let c = try TestCluster(3) { $0.plantedBug = bug }
      c.checksInvariants = bug == nil
      c.create()
      var log = TestLog()
      for k in 0..<10 { log.write(UInt64(k % 3), at: k, [UInt8(k + 1)]) }
      // Node 2 has everything and sleeps through the truncation.
      c.nodes[0].isDown = true
      c.give(.append(vdl: .zero, minReadPoint: .zero, log.batch()), c.header(), to: 2)
      c.settle()
      c.nodes[0].isDown = false
      c.nodes[2].isDown = true
      for k in 0..<2 {
        c.give(.append(vdl: .zero, minReadPoint: .zero, log.batch(through: LSN(8))), c.header(), to: k)
      }
      c.settle()
      let range = LSNRange(after: LSN(8), through: LSN(1008))
      let list = TruncationList(epoch: VolumeEpoch(2), ranges: [range])
      for k in 0..<2 { c.give(.truncate(list, vdl: LSN(8), tail: LSN(8)), c.header(epoch: 2), to: k) }
      c.settle()
      // A peer that does not know sends what is void.
      var peer = c.header(epoch: 1)
      peer.sender = .node(NodeID(2))
      c.give(.records(vdl: .zero, log.batch(after: LSN(8))), peer, to: 0)
      c.settle()
      if bug == nil {
        #expect(c.scl(0) == 8)
        #expect(c.nodes[0].machine.statistics.recordsVoid == 2)
      } else {
        #expect(c.scl(0) == 10)
        #expect(c.nodes[0].machine.checkInvariants().contains { $0.hasPrefix("I4") }, "the bug is there to be found")
        continue
      }
      log.truncate(range, epoch: 2)
      for k in 0..<4 { log.write(UInt64(k), at: 0, [77]) }
      for k in 0..<2 {
        c.give(.append(vdl: LSN(8), minReadPoint: .zero, log.batch(after: LSN(8))), c.header(epoch: 2), to: k)
      }
      c.settle()
      c.nodes[2].isDown = false
      #expect(c.scl(2) == 10)
      c.pass(milliseconds: 200)
      for k in 0..<3 {
        #expect(c.scl(k) == log.last.value)
        #expect(c.status(k)?.truncationEpoch == VolumeEpoch(2))
      }
      try c.checkChains()
    }
  }

  @Test func aListOfASupersededAttemptDoesNotVoidWhatWasSampled() throws {
    let (c, _) = try ragged()
    // Attempt 2 reached only node 2, and thought that VDL was 6.
    let stale = TruncationList(epoch: VolumeEpoch(2), ranges: [LSNRange(after: LSN(6), through: LSN(1006))])
    c.give(.truncate(stale, vdl: LSN(6), tail: LSN(6)), c.header(epoch: 2), to: 2)
    c.settle()
    #expect(c.scl(2) == 6)
    // Attempt 3 samples nodes 0 and 1, then hears of node 2's list by gossip.
    for k in 0..<2 { c.give(.prepare, c.header(epoch: 3), to: k) }
    c.settle()
    var peer = c.header(epoch: 2)
    peer.sender = .node(NodeID(2))
    c.give(
      .gossip(try #require(c.status(2)), stale, configuration: c.group(), retention: Retention()), peer, to: 0)
    c.settle()
    #expect(c.scl(0) == 10)
    // Attempt 3 keeps up to 8; node 2 gets 7 and 8 back.
    let list = TruncationList(epoch: VolumeEpoch(3), ranges: [LSNRange(after: LSN(8), through: LSN(1008))])
    for k in 0..<3 { c.give(.truncate(list, vdl: LSN(8), tail: LSN(8)), c.header(epoch: 3), to: k) }
    c.settle()
    #expect(c.status(2)?.knownVDL == LSN(8))
    c.give(.catchUp(target: LSN(8), source: NodeID(0)), c.header(epoch: 3), to: 2)
    c.settle()
    for k in 0..<3 { #expect(c.scl(k) == 8) }
    #expect(c.statuses(2).last == 8)
  }

  @Test func catchUpPullsAndAnswersWhenThere() throws {
    let (c, _) = try ragged()
    c.give(.catchUp(target: LSN(10), source: NodeID(0)), c.header(), to: 1)
    c.settle()
    #expect(c.scl(1) == 10)
    #expect(c.statuses(1) == [10])
    c.give(.catchUp(target: LSN(4), source: NodeID(0)), c.header(), to: 1)
    c.settle()
    #expect(c.statuses(1) == [10])
  }

  @Test func theFencedWriterIsNotToldOfWhatGossipBrings() throws {
    let (c, _) = try ragged()
    c.give(.prepare, c.header(epoch: 2), to: 1)
    c.settle()
    c.answers.removeAll()
    c.give(.catchUp(target: LSN(10), source: NodeID(0)), c.header(epoch: 2), to: 1)
    c.settle()
    #expect(c.scl(1) == 10)
    #expect(c.acks(1).isEmpty)
  }

  /// A node that has not heard of a truncation must not serve what it voided, nor fold it.
  @Test func withoutTheListOfTheEpochNothingIsServed() throws {
    let (c, log) = try ragged()
    // Epoch 2 kept up to 8; node 0 (with 9 and 10) does not know.
    let header = c.header(epoch: 2)
    c.give(.advance(vdl: LSN(2000), minReadPoint: LSN(2000)), header, to: 0)
    c.settle()
    #expect(c.status(0)?.knownVDL == LSN(6))
    #expect(c.read(0, testPage(0), at: LSN(2000), requiredSCL: LSN(8), epoch: 2) == .refused(.notComplete))
    let range = LSNRange(after: LSN(8), through: LSN(1008))
    c.give(
      .truncate(TruncationList(epoch: VolumeEpoch(2), ranges: [range]), vdl: LSN(8), tail: LSN(8)), header, to: 0)
    c.settle()
    c.give(.advance(vdl: LSN(2000), minReadPoint: LSN(2000)), header, to: 0)
    let expected = try log.page(0, at: LSN(8))
    #expect(
      c.read(0, testPage(0), at: LSN(2000), requiredSCL: LSN(8), epoch: 2) == .page(expected.0, expected.1))
  }

  /// Records that were fenced while they were written stand in the log all the same.
  ///
  /// After a restart they branch off the chain beside the live ones, and must not hide what was acked.
  @Test func aRestartFollowsTheLiveBranch() throws {
    for base in [UInt64(0), 4] {
      var (c, log) = try ragged()
      let old = log
      // Node 2 stands at 8, or at 4 with a hole before 6...8; 9 and 10 are fenced in flight.
      c = try TestCluster(1)
      c.create()
      if base == 0 {
        c.give(.append(vdl: .zero, minReadPoint: .zero, old.batch(through: LSN(8))), c.header(), to: 0)
      } else {
        c.give(.append(vdl: .zero, minReadPoint: .zero, old.batch(through: LSN(4))), c.header(), to: 0)
        c.give(
          .append(vdl: .zero, minReadPoint: .zero, old.batch(after: LSN(5), through: LSN(8))), c.header(), to: 0)
      }
      c.settle()
      c.give(.append(vdl: .zero, minReadPoint: .zero, old.batch(after: LSN(8))), c.header(), to: 0)
      let job = try #require(c.nodes[0].nextJob(.log, now: c.now))
      c.give(.advance(vdl: .zero, minReadPoint: .zero), c.header(epoch: 2), to: 0)
      let error = c.nodes[0].backend.perform(job)
      c.nodes[0].machine.complete(job, error: error, now: c.now, into: &c.wire)
      c.settle()
      #expect(c.nodes[0].machine.statistics.recordsFenced == 2)
      log.truncate(LSNRange(after: LSN(8), through: LSN(1008)), epoch: 2)
      let live = log.write(0, at: 0, [1])
      c.give(.append(vdl: .zero, minReadPoint: .zero, log.batch(only: live)), c.header(epoch: 2), to: 0)
      if base != 0 {
        c.give(.append(vdl: .zero, minReadPoint: .zero, log.batch(only: LSN(5))), c.header(epoch: 2), to: 0)
      }
      c.settle()
      #expect(c.acks(0).last == 1009)
      var g = DeterministicGenerator(seed: 1)
      try c.nodes[0].restart(now: c.now, using: &g)
      #expect(c.scl(0) == 1009, "from \(base)")
    }
  }

  /// An answer speaks of all that the node acts on when it is sent: what came after the question must be durable too.
  @Test func anAnswerDoesNotRunAheadOfTheJournal() throws {
    let (c, _) = try ragged()
    c.give(.prepare, c.header(epoch: 2), to: 0)
    let job = try #require(c.nodes[0].nextJob(.background, now: c.now))
    let list = TruncationList(epoch: VolumeEpoch(2), ranges: [LSNRange(after: LSN(8), through: LSN(1008))])
    c.give(.truncate(list, vdl: LSN(8), tail: LSN(8)), c.header(epoch: 2), to: 0)
    let error = c.nodes[0].backend.perform(job)
    c.nodes[0].machine.complete(job, error: error, now: c.now, into: &c.wire)
    c.deliver()
    #expect(c.answers.isEmpty)
    c.settle()
    #expect(prepared(c, 0)?.1 == list)
    #expect(c.statuses(0) == [8])
  }
}
