import BorealisCore
import BorealisWire
import Testing

@testable import BorealisVolume

@Suite("Mini-transactions larger than what else may be in flight")
struct GreatTransactionTests {
  private func options() -> TestVolume.Options {
    var options = TestVolume.Options(groups: 2)
    options.writer.extentPages = 64
    options.writer.groupPages = 256
    options.writer.cacheBytes = 16 << 10
    options.writer.bytesInFlightMax = 10_000
    options.writer.transactionBytesMax = 200_000
    options.writer.batchBytesMax = 2000
    options.writer.sendWindowBytes = 5000
    return options
  }
  private func great(_ byte: UInt8, pages: Int = 250) -> MiniTransaction {
    var mtr = MiniTransaction(pageSize: 512)
    for i in 0..<pages { mtr.write(page(1, i), at: 0, [UInt8](repeating: byte, count: 512)) }
    return mtr
  }
  /// Bytes of batches under way to the first node.
  private func underWay(_ volume: TestVolume) -> Int {
    volume.inFlight.reduce(0) { $0 + ($1.to == .node(NodeID(1)) ? $1.bytes.count : 0) }
  }

  @Test("It is sent in windows, is durable as a whole, and nothing else is accepted meanwhile", arguments: 1...4)
  func windows(seed: Int) throws {
    var options = options()
    if seed > 1 { options.network = TestVolume.Network(loss: 30, duplicate: 50, isOrdered: false) }
    let volume = TestVolume(seed: UInt64(seed), options)
    #expect(volume.quiesce(rounds: 4000))
    let before = try volume.commit(DurabilityTests.write(page(2, 0), 1))
    let lsn = try volume.commit(great(7))
    #expect(try volume.wait(for: lsn, waiter: 1) == false)
    #expect(underWay(volume) < 2 * 5000 + 3 * 4000, "more than a window of each group was sent")
    let blocked = #expect(throws: VolumeError.self) { try volume.commit(DurabilityTests.write(page(2, 0), 2)) }
    #expect(blocked?.code == .wouldBlock)
    #expect(volume.writer.checkInvariants() == [])
    var seen: Set<LSN> = []
    for _ in 0..<20_000 where volume.writer.vdl < lsn {
      if volume.inFlight.isEmpty { volume.tick(milliseconds: 50) }
      volume.deliverOne()
      seen.insert(volume.writer.vdl)
    }
    #expect(volume.writer.vdl == lsn)
    #expect(seen.allSatisfy { $0 <= before || $0 == lsn }, "VDL stood inside of it")
    #expect(volume.durable == [1])
    _ = try volume.commit(DurabilityTests.write(page(2, 0), 3))
    #expect(volume.quiesce(rounds: 4000))
    #expect(volume.complaints == [])
    // What the cache could not hold is read from storage.
    for i in [0, 100, 249] {
      volume.writer.read(page(1, i), at: nil, id: UInt64(i) + 1, now: volume.now, into: &volume.effects)
      volume.absorb()
      for _ in 0..<50 where volume.completed[UInt64(i) + 1] == nil {
        volume.settle()
        volume.tick(milliseconds: 20)
      }
      let image = try #require(volume.completed[UInt64(i) + 1]).get()
      #expect(image.bytes == [UInt8](repeating: 7, count: 512))
    }
  }

  @Test("Beyond the limit it is refused, and nothing of it is applied")
  func tooLarge() throws {
    let volume = TestVolume(options())
    #expect(volume.quiesce())
    let next = volume.writer.nextLSN
    let error = #expect(throws: VolumeError.self) { try volume.commit(great(1, pages: 400)) }
    #expect(error?.code == .tooLarge)
    #expect(volume.writer.nextLSN == next)
    #expect(volume.writer.statistics.bytesInFlight == 0)
    _ = try volume.commit(great(2, pages: 100))
    #expect(volume.quiesce())
    #expect(volume.complaints == [])
  }

  @Test("It waits for those before it, up to the ordinary limit, and not for room of its own size")
  func onTop() throws {
    let volume = TestVolume(options())
    #expect(volume.quiesce())
    for i in 0..<8 { _ = try volume.commit(DurabilityTests.write(page(2, i), 1, count: 512)) }
    let lsn = try volume.commit(great(3))
    #expect(volume.writer.statistics.bytesInFlight > 100_000)
    let second = #expect(throws: VolumeError.self) { try volume.commit(great(4)) }
    #expect(second?.code == .wouldBlock)
    #expect(volume.quiesce())
    #expect(volume.writer.vdl == lsn)
    #expect(volume.roomCount == 1)
    _ = try volume.commit(great(4))
    #expect(volume.quiesce())
    #expect(volume.complaints == [])
  }
}
