import BorealisCore
import BorealisStorageNode
import BorealisWire
import Testing

/// Seed 59541: a full member had been away, two others were lost, and the tails had given up what it lacked.
@Suite struct TailRoomNodeTests {
  @Test(
    "a tail segment keeps what a full one lacks as long as its log has room, and no longer",
    arguments: [(logLimit: UInt64(8) << 20, isKept: true), (logLimit: 128 << 10, isKept: false)])
  func tailRoom(logLimit: UInt64, isKept: Bool) throws {
    var g = DeterministicGenerator(seed: 15)
    let c = try TestCluster(4, kinds: [.full, .full, .full, .tail]) {
      $0.chunkSize = 16 << 10
      $0.logLimit = logLimit
    }
    c.create()
    var log = TestLog()
    for _ in 0..<12 {
      let from = log.last
      for _ in 0..<100 { log.random(pages: 24, using: &g) }
      // Node 2 hears of nothing, and says where it stands.
      for k in [0, 1, 3] {
        c.give(.append(vdl: from, minReadPoint: from, log.batch(after: from)), c.header(), to: k)
      }
      c.settle { $0.to == .node(NodeID(2)) }
      c.pass(milliseconds: 50) { $0.to == .node(NodeID(2)) }
    }
    for k in 0..<2 { #expect(c.status(k)?.gcPoint ?? .zero > .zero, "node \(k) has no pages") }
    #expect((c.status(3)?.gcPoint == .zero) == isKept)
    guard isKept else { return }
    // The two others are lost: what node 2 lacks comes from the tail.
    c.pass(milliseconds: 2000) { $0.to == .node(NodeID(0)) || $0.to == .node(NodeID(1)) }
    #expect(c.scl(2) == log.last.value)
  }
}
