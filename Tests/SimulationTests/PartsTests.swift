import BorealisCore
import BorealisSimulation
import Testing

@Suite struct PartsTests {
  @Test("the event queue orders by time, then by the order of scheduling")
  func queueOrders() {
    var queue = EventQueue<Int>()
    var generator = DeterministicGenerator(seed: 5)
    var expected: [(UInt64, Int)] = []
    for i in 0..<500 {
      let time = generator.below(40)
      expected.append((time, i))
      queue.push(i, at: Instant(nanoseconds: time))
    }
    expected.sort { $0.0 == $1.0 ? $0.1 < $1.1 : $0.0 < $1.0 }
    for (time, i) in expected {
      let next = queue.pop()
      #expect(next?.time.nanoseconds == time)
      #expect(next?.payload == i)
    }
    #expect(queue.pop() == nil)
  }

  @Test("the oracle keeps one history")
  func oracleForgetsVoid() {
    let oracle = Oracle(objects: 1, pagesPerObject: 2, pageSize: 512)
    func write(_ byte: UInt8) -> [Oracle.Write] {
      [Oracle.Write(page: 0, offset: 4, bytes: [byte], isDiscard: false)]
    }
    func holds(_ byte: UInt8, at lsn: UInt64) -> Bool {
      var page = [UInt8](repeating: 0, count: 512)
      page[4] = byte
      return page.withUnsafeBytes { oracle.matches(0, at: LSN(lsn), $0) }
    }
    _ = oracle.commit(first: LSN(1), lsn: LSN(2), epoch: VolumeEpoch(1), writes: write(7))
    _ = oracle.commit(first: LSN(3), lsn: LSN(3), epoch: VolumeEpoch(1), writes: write(8))
    #expect(holds(0, at: 1) && holds(7, at: 2) && holds(8, at: 3))
    let lost = oracle.open(epoch: VolumeEpoch(2), vdl: LSN(2)) { $0.lsn == LSN(3) }
    #expect(lost.map(\.lsn) == [LSN(3)])
    #expect(holds(7, at: 3))
    // The fenced writer does not know yet.
    _ = oracle.commit(first: LSN(4), lsn: LSN(4), epoch: VolumeEpoch(1), writes: write(9))
    _ = oracle.commit(first: LSN(90), lsn: LSN(90), epoch: VolumeEpoch(2), writes: write(10))
    #expect(holds(7, at: 4) && holds(10, at: 90))
  }

  @Test("names of fault classes are read and written")
  func faultNames() {
    #expect(FaultClass.parse("all") == .all)
    #expect(FaultClass.parse("none") == [])
    #expect(FaultClass.parse("loss,node-crash") == [.loss, .nodeCrash])
    #expect(FaultClass.parse("fire") == nil)
    #expect(FaultClass.parse(FaultClass.all.names) == .all)
  }
}
