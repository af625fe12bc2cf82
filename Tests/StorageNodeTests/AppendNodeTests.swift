import BorealisCore
import BorealisStorageBackend
import BorealisStorageNode
import BorealisWire
import Testing

@Suite struct AppendNodeTests {
  @Test func recordsAreAckedWithSCLOnceDurable() throws {
    let c = try TestCluster(1)
    c.create()
    var log = TestLog()
    for k in 0..<5 { log.write(UInt64(k), at: 0, [1, 2, 3]) }
    c.give(.append(vdl: .zero, minReadPoint: .zero, log.batch()), c.header(), to: 0)
    c.deliver()
    #expect(c.acks(0).isEmpty, "nothing is durable yet")
    c.settle()
    #expect(c.acks(0) == [5])
    #expect(c.nodes[0].machine.statistics.recordsAppended == 5)
  }

  @Test func oneAckForManyBatchesOfOneFlush() throws {
    let c = try TestCluster(1)
    c.create()
    var log = TestLog()
    for _ in 0..<20 {
      let lsn = log.write(0, at: 0, [9])
      c.give(.append(vdl: .zero, minReadPoint: .zero, log.batch(only: lsn)), c.header(), to: 0)
    }
    c.settle()
    #expect(c.acks(0) == [20])
    #expect(c.nodes[0].machine.statistics.flushes == 1)
  }

  @Test func aHoleHoldsBackSCL() throws {
    let c = try TestCluster(1)
    c.create()
    var log = TestLog()
    for _ in 0..<6 { log.write(0, at: 0, [7]) }
    for lsn: UInt64 in [1, 2, 5, 4] {
      c.give(.append(vdl: .zero, minReadPoint: .zero, log.batch(only: LSN(lsn))), c.header(), to: 0)
      c.settle()
    }
    #expect(c.acks(0) == [1, 2, 2, 2], "what is beyond a hole does not count")
    c.give(.append(vdl: .zero, minReadPoint: .zero, log.batch(only: LSN(3))), c.header(), to: 0)
    c.settle()
    #expect(c.acks(0) == [5])
    try c.checkChains()
  }

  @Test func anyOrderWithRepeatsGivesTheSameChain() throws {
    for seed in UInt64(1)...40 {
      var g = DeterministicGenerator(seed: seed)
      let c = try TestCluster(1)
      c.create()
      var log = TestLog()
      let count = 1 + g.index(60)
      for _ in 0..<count { log.random(pages: 4, using: &g) }
      var order = (1...count).map { LSN(UInt64($0)) }
      for k in 0..<count / 3 { order.append(order[k]) }
      for k in order.indices.reversed() { order.swapAt(k, g.index(k + 1)) }
      for lsn in order {
        c.give(.append(vdl: .zero, minReadPoint: .zero, log.batch(only: lsn)), c.header(), to: 0)
        if g.chance(1, in: 4) { c.settle() }
      }
      c.settle()
      #expect(c.scl(0) == UInt64(count), "seed \(seed)")
      #expect(c.nodes[0].machine.statistics.recordsAppended >= UInt64(count))
      try c.checkChains()
    }
  }

  @Test func aRepeatIsAckedAgain() throws {
    let c = try TestCluster(1)
    c.create()
    var log = TestLog()
    log.write(0, at: 0, [1])
    for _ in 0..<3 {
      c.give(.append(vdl: .zero, minReadPoint: .zero, log.batch()), c.header(), to: 0)
      c.settle()
    }
    #expect(c.acks(0) == [1, 1, 1])
    #expect(c.nodes[0].machine.statistics.recordsRepeated == 2)
  }

  @Test func advanceIsAnsweredWithSCL() throws {
    let c = try TestCluster(1)
    c.create()
    var log = TestLog()
    log.write(0, at: 0, [1])
    c.give(.append(vdl: .zero, minReadPoint: .zero, log.batch()), c.header(), to: 0)
    c.settle()
    _ = c.acks(0)
    c.give(.advance(vdl: LSN(1), minReadPoint: LSN(1)), c.header(), to: 0)
    c.deliver()
    #expect(c.acks(0) == [1])
    #expect(c.status(0)?.knownVDL == LSN(1))
    #expect(c.status(0)?.minReadPoint == LSN(1))
    c.give(.advance(vdl: .zero, minReadPoint: .zero), c.header(), to: 0)
    #expect(c.status(0)?.knownVDL == LSN(1), "it only rises")
  }

  @Test func staleAndUnknownAreRefused() throws {
    let c = try TestCluster(2)
    c.create(epoch: 3)
    var log = TestLog()
    log.write(0, at: 0, [1])
    let append = Message.append(vdl: .zero, minReadPoint: .zero, log.batch())
    c.give(append, c.header(epoch: 2), to: 0)
    c.give(append, c.header(epoch: 3, membership: 0), to: 0)
    c.give(append, c.header(epoch: 3, group: ProtectionGroupID(9)), to: 0)
    c.deliver()
    #expect(c.rejects(0) == [.staleVolumeEpoch, .staleMembershipEpoch, .noSuchSegment])
    c.settle()
    #expect(c.scl(0) == 0)
    // A newer membership epoch than the node's is the writer's privilege.
    c.give(append, c.header(epoch: 3, membership: 5), to: 0)
    c.settle()
    #expect(c.acks(0) == [1])
  }

  @Test func malformedMessagesChangeNothing() throws {
    let c = try TestCluster(1)
    c.create()
    var log = TestLog()
    for _ in 0..<3 { log.write(0, at: 0, [1, 2]) }
    let good = Message.append(vdl: .zero, minReadPoint: .zero, log.batch()).encoded(c.header())
    var g = DeterministicGenerator(seed: 5)
    for _ in 0..<2000 {
      var bad = good
      for _ in 0...g.index(3) { bad[g.index(bad.count)] ^= UInt8(1 + g.index(255)) }
      if g.chance(1, in: 4) { bad.removeLast(g.index(bad.count)) }
      c.nodes[0].machine.receive(bad, now: c.now, into: &c.wire)
    }
    // A record whose own checksum is wrong in a message whose checksum is right.
    var batch = log.batch()
    batch.bytes[batch.bytes.count - 1] ^= 1
    c.give(.append(vdl: .zero, minReadPoint: .zero, batch), c.header(), to: 0)
    c.settle()
    #expect(c.scl(0) == 2, "the records before the bad one")
    #expect(c.nodes[0].machine.statistics.messagesMalformed >= 2000)
  }

  @Test func tooMuchStagedIsBusy() throws {
    let c = try TestCluster(1) { $0.stagedLimit = 4096 }
    c.create()
    var log = TestLog()
    for _ in 0..<100 {
      let lsn = log.write(0, at: 0, [UInt8](repeating: 1, count: 100))
      c.give(.append(vdl: .zero, minReadPoint: .zero, log.batch(only: lsn)), c.header(), to: 0)
    }
    c.deliver()
    #expect(c.rejects(0).contains(.busy))
    c.settle()
    let reached = c.scl(0)
    #expect(reached > 0 && reached < 100)
    while c.scl(0) < 100 {
      c.give(
        .append(
          vdl: .zero, minReadPoint: .zero, log.batch(after: LSN(c.scl(0)), through: LSN(c.scl(0) + 10))), c.header(),
        to: 0)
      c.settle()
    }
    try c.checkChains()
  }

  @Test func aLogThatCannotBeFoldedIsBusyAtItsLimit() throws {
    let c = try TestCluster(1) { $0.logLimit = 256 << 10 }
    c.create()
    var log = TestLog()
    var refused = false
    for _ in 0..<2000 where !refused {
      let lsn = log.write(0, at: 0, [UInt8](repeating: 1, count: 400))
      c.give(.append(vdl: .zero, minReadPoint: .zero, log.batch(only: lsn)), c.header(), to: 0)
      c.settle()
      refused = c.rejects(0).contains(.busy)
    }
    #expect(refused)
    // VDL and PGMRPL allow folding: there is room again.
    let top = LSN(c.scl(0))
    c.give(.advance(vdl: top, minReadPoint: top), c.header(), to: 0)
    c.pass(milliseconds: 50)
    c.give(.append(vdl: .zero, minReadPoint: .zero, log.batch(after: top)), c.header(), to: 0)
    c.settle()
    #expect(c.scl(0) == log.last.value)
    #expect(c.nodes[0].machine.statistics.chunksRetired > 0)
  }

  @Test func flushesThatFailAreForgottenAndHealed() throws {
    let c = try TestCluster(1)
    c.create()
    var log = TestLog()
    for _ in 0..<3 { log.write(0, at: 0, [1]) }
    c.nodes[0].backend.inject(.failWrite("disk", file: .log, code: .inputOutput))
    c.give(.append(vdl: .zero, minReadPoint: .zero, log.batch(only: LSN(1))), c.header(), to: 0)
    c.settle()
    #expect(c.acks(0).isEmpty)
    c.give(.append(vdl: .zero, minReadPoint: .zero, log.batch(only: LSN(2))), c.header(), to: 0)
    c.settle()
    #expect(c.rejects(0) == [.diskFailed])
    c.pass(milliseconds: 300)
    c.give(.append(vdl: .zero, minReadPoint: .zero, log.batch()), c.header(), to: 0)
    c.settle()
    #expect(c.acks(0) == [3])
  }

  @Test func aFullDiskRefusesAppendsServesReadsAndHeals() throws {
    let c = try TestCluster(3)
    c.create()
    var log = TestLog()
    log.write(3, at: 1, [1, 2, 3])
    for k in 0..<3 { c.give(.append(vdl: .zero, minReadPoint: .zero, log.batch()), c.header(), to: k) }
    c.settle()
    c.nodes[0].backend.setFull(true)
    c.nodes[0].backend.inject(.failWrite("full", file: .log, times: nil, code: .noSpace))
    let second = log.write(3, at: 1, [4])
    for k in 0..<3 {
      c.give(.append(vdl: LSN(1), minReadPoint: .zero, log.batch(only: second)), c.header(), to: k)
    }
    c.settle()
    #expect(c.scl(0) == 1 && c.scl(1) == 2)
    let third = log.write(4, at: 1, [5])
    for k in 0..<3 {
      c.give(.append(vdl: LSN(1), minReadPoint: .zero, log.batch(only: third)), c.header(), to: k)
    }
    c.settle()
    #expect(c.rejects(0) == [.diskFull])
    #expect(c.nodes[0].machine.statistics.isFull)
    #expect(c.read(0, testPage(3), at: LSN(1), requiredSCL: LSN(1)) == .page(LSN(1), try log.page(3, at: LSN(1)).1))
    c.nodes[0].backend.removeFaults(labelled: "full")
    c.nodes[0].backend.heal()
    c.pass(milliseconds: 600)
    #expect(c.scl(0) == 3, "gossip brings what was refused")
    #expect(!c.nodes[0].machine.statistics.isFull)
    try c.checkChains()
  }
}
