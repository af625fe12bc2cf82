import BorealisCore
import BorealisStorageNode
import BorealisWire
import Testing

/// What may be folded while a volume is being opened: PGMRPL does not begin anew with the volume epoch.
@Suite struct EpochFoldingNodeTests {
  /// When the member with the full log loses power.
  enum Restart: CaseIterable { case never, beforePrepare, afterPrepare }

  @Test("a log that a fenced reader kept full takes what the opening needs", arguments: Restart.allCases)
  func aFullLogDrainsDuringAnOpening(restart: Restart) throws {
    var g = DeterministicGenerator(seed: 7)
    let c = try TestCluster(2) { $0.logLimit = 256 << 10 }
    var roomy = c.nodes[1].configuration
    roomy.logLimit = 4 << 20
    c.nodes[1] = try TestNode(NodeID(1), roomy)
    c.create()
    var log = TestLog()
    var kept = LSN.zero
    while !c.rejects(0).contains(.busy) {
      let from = log.last
      for _ in 0..<20 {
        log.write(g.below(40), at: 0, [UInt8](repeating: UInt8(truncatingIfNeeded: from.value), count: 400))
      }
      // Somebody holds read point 0.
      let batch = log.batch(after: from)
      for k in 0..<2 { c.give(.append(vdl: from, minReadPoint: .zero, batch), c.header(), to: k) }
      c.settle()
      kept = from
    }
    // Node 0 has nothing above `kept`; more than the room for repair can take follows.
    for _ in 0..<40 {
      let from = log.last
      for _ in 0..<20 { log.write(g.below(40), at: 8, [UInt8](repeating: 9, count: 400)) }
      c.give(.append(vdl: log.last, minReadPoint: .zero, log.batch(after: from)), c.header(), to: 1)
      c.settle()
    }
    #expect(c.scl(0) == kept.value)
    if restart == .beforePrepare { try c.nodes[0].restart(now: c.now, using: &g) }
    for k in 0..<2 { c.give(.prepare, c.header(epoch: 2), to: k) }
    c.settle()
    if restart == .afterPrepare { try c.nodes[0].restart(now: c.now, using: &g) }
    c.give(.catchUp(target: log.last, source: NodeID(1)), c.header(epoch: 2), to: 0)
    c.pass(milliseconds: 2000)
    #expect(c.scl(0) == log.last.value)
    try c.checkChains()
    // The opener's writer reads from its VDL on, and that is served.
    let list = TruncationList(
      epoch: VolumeEpoch(2), ranges: [LSNRange(after: log.last, through: log.last.advanced(by: 64))])
    c.give(.truncate(list, vdl: log.last, tail: log.last), c.header(epoch: 2), to: 0)
    c.settle()
    for page in 0..<UInt64(40) {
      let expected = try log.page(page, at: log.last)
      let found = c.read(0, testPage(page), at: log.last, requiredSCL: log.last, epoch: 2)
      #expect(found == .page(expected.0, expected.1))
    }
  }

  @Test("VDL of a writer whose list is missing here lets nothing be folded, in no later epoch")
  func nothingUnsettledIsFolded() throws {
    var g = DeterministicGenerator(seed: 8)
    let pg1 = ProtectionGroupID(1)
    let c = try TestCluster(1) {
      $0.chunkSize = 16 << 10
      $0.gossipInterval = 1_000_000_000_000
    }
    c.create()
    var log = TestLog()
    for _ in 0..<800 { log.random(pages: 16, using: &g) }
    c.give(.append(vdl: LSN(100), minReadPoint: .zero, log.batch()), c.header(), to: 0)
    c.settle()
    // Epoch 2 voids (100, 2000] and goes on; this node hears of its VDL only, by way of a group that is new to it.
    c.give(.configure(c.group(pg1, proposedBy: 2)), c.header(epoch: 2, group: pg1), to: 0)
    c.settle()
    var other = TestLog(group: pg1)
    other.epoch = 2
    other.next = LSN(2001)
    for _ in 0..<10 { other.random(pages: 4, using: &g) }
    c.give(.append(vdl: .zero, minReadPoint: .zero, other.batch()), c.header(epoch: 2, group: pg1), to: 0)
    c.settle()
    c.give(.advance(vdl: other.last, minReadPoint: other.last), c.header(epoch: 2, group: pg1), to: 0)
    c.settle()
    #expect(c.status(0)?.knownVDL == other.last)
    c.pass(milliseconds: 100)
    for epoch in [3, 4] as [UInt32] {
      c.give(.prepare, c.header(epoch: epoch), to: 0)
      c.pass(milliseconds: 100)
      try #expect(#require(c.status(0)).minReadPoint <= LSN(100))
      try #expect(#require(c.status(0)).gcPoint <= LSN(100))
      try c.nodes[0].restart(now: c.now, using: &g)
    }
    let list = TruncationList(
      epoch: VolumeEpoch(4),
      ranges: [LSNRange(after: LSN(100), through: LSN(2000)), LSNRange(after: other.last, through: LSN(9000))])
    c.give(.truncate(list, vdl: other.last, tail: LSN(100)), c.header(epoch: 4), to: 0)
    c.give(.advance(vdl: other.last, minReadPoint: other.last), c.header(epoch: 4), to: 0)
    c.pass(milliseconds: 100)
    #expect(c.scl(0) == 100)
    for page in 0..<UInt64(16) {
      let expected = try log.page(page, at: LSN(100))
      #expect(
        c.read(0, testPage(page), at: other.last, requiredSCL: LSN(100), epoch: 4) == .page(expected.0, expected.1))
    }
  }
}
