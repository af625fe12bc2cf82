import BorealisCore
import BorealisReplicationPolicy
import BorealisWire
import Testing

@testable import BorealisVolume

@Suite("VCL, VDL, waiters, back-pressure, fencing")
struct DurabilityTests {
  static func tiny(groups: Int) -> TestVolume.Options {
    var options = TestVolume.Options(groups: groups)
    options.writer.extentPages = 8
    options.writer.groupPages = 16
    return options
  }
  static func write(_ page: PageID, _ byte: UInt8, at offset: Int = 0, count: Int = 8) -> MiniTransaction {
    var mtr = MiniTransaction(pageSize: 512)
    mtr.write(page, at: offset, [UInt8](repeating: byte, count: count))
    return mtr
  }

  @Test("P18's example: two groups, PGCL 103 and 104, give VCL 104")
  func volumeCompleteExample() throws {
    let volume = TestVolume(DurabilityTests.tiny(groups: 2))
    // Group 0 has room for one extent beside the catalog: the second extent goes to group 1.
    let (odd, even) = (page(5, 0), page(5, 8))
    _ = try volume.commit(DurabilityTests.write(odd, 1))
    _ = try volume.commit(DurabilityTests.write(even, 1))
    var byte: UInt8 = 2
    while volume.writer.nextLSN < LSN(101) {
      _ = try volume.commit(DurabilityTests.write(odd, byte, count: 8))
      byte = byte &+ 1
    }
    for lsn in 101...106 {
      let given = try volume.commit(DurabilityTests.write(lsn % 2 == 1 ? odd : even, UInt8(lsn)))
      #expect(given == LSN(UInt64(lsn)))
    }
    for _ in 0..<10 { volume.tick(milliseconds: 200) }
    for member in 0..<4 { volume.ack(group: 0, member: member, scl: member < 3 ? 105 : 103) }
    for member in 0..<4 { volume.ack(group: 1, member: member, scl: member < 3 ? 106 : 104) }
    #expect(volume.writer.completeLSN(of: ProtectionGroupID(0)) == LSN(103))
    #expect(volume.writer.completeLSN(of: ProtectionGroupID(1)) == LSN(104))
    #expect(volume.writer.vcl == LSN(104))
    #expect(volume.writer.vdl == LSN(104))
    #expect(volume.writer.checkInvariants() == [])
  }

  @Test("P17's example: complete to 1007 with consistency points 900, 1000, 1100 gives VDL 1000")
  func volumeDurableExample() throws {
    let volume = TestVolume()
    var filler = MiniTransaction(pageSize: 512)
    // The catalog's first record is LSN 1; a first touch adds an entry and a superblock.
    for i in 0..<(900 - 3) { filler.write(page(5, UInt64(i)), at: 0, [1]) }
    #expect(try volume.commit(filler) == LSN(900))
    var hundred = MiniTransaction(pageSize: 512)
    for i in 0..<100 { hundred.write(page(5, UInt64(i)), at: 0, [2]) }
    #expect(try volume.commit(hundred) == LSN(1000))
    hundred.removeAll()
    for i in 0..<100 { hundred.write(page(5, UInt64(i)), at: 0, [3]) }
    #expect(try volume.commit(hundred) == LSN(1100))
    for _ in 0..<5 { volume.tick(milliseconds: 200) }
    for member in 0..<3 { volume.ack(group: 0, member: member, scl: 1100) }
    #expect(volume.writer.vdl == .zero, "three of six are no write quorum")
    volume.ack(group: 0, member: 5, scl: 1007)
    #expect(volume.writer.vcl == LSN(1007))
    #expect(volume.writer.vdl == LSN(1000))
    #expect(volume.writer.checkInvariants() == [])
  }

  /// One random run; what was wrong, nil when nothing.
  static func randomRun(seed: UInt64, policy: any ReplicationPolicy = AuroraPolicy(), bug: PlantedBug? = nil) -> String?
  {
    var options = tiny(groups: 3)
    options.network = .init(loss: 30, duplicate: 50, isOrdered: false)
    options.writer.policy = policy
    options.writer.plantedBug = bug
    options.writer.allocationLimit = 60
    options.writer.batchBytesMax = 700
    let volume = TestVolume(seed: seed, options)
    var waiting: [WaiterID: LSN] = [:]
    var woken: Set<WaiterID> = []
    var nextWaiter: WaiterID = 1
    var lastVDL = LSN.zero
    func check() -> String? {
      let oracle = volume.oracle()
      if volume.writer.vcl != oracle.vcl { return "VCL \(volume.writer.vcl), oracle \(oracle.vcl)" }
      if volume.writer.vdl != oracle.vdl { return "VDL \(volume.writer.vdl), oracle \(oracle.vdl)" }
      if volume.writer.vdl < lastVDL { return "VDL went back" }
      lastVDL = volume.writer.vdl
      for id in volume.durable {
        guard let lsn = waiting[id], woken.insert(id).inserted else { return "waiter \(id) woken twice or never known" }
        if lsn > oracle.vdl { return "waiter for \(lsn) woken at VDL \(oracle.vdl)" }
      }
      volume.durable.removeAll()
      if let problem = volume.complaints.first { return problem }
      return nil
    }
    for step in 0..<600 {
      switch volume.random.index(10) {
      case 0...3:
        var mtr = MiniTransaction(pageSize: 512)
        for _ in 0...volume.random.index(4) {
          let count = 1 + volume.random.index(60)
          mtr.write(
            page(1, volume.random.below(32)), at: volume.random.index(512 - count),
            [UInt8](repeating: UInt8(truncatingIfNeeded: step), count: count))
        }
        do throws(VolumeError) {
          let lsn = try volume.commit(mtr)
          nextWaiter += 1
          waiting[nextWaiter] = lsn
          if try volume.wait(for: lsn, waiter: nextWaiter) { woken.insert(nextWaiter) }
        } catch {
          if error.code != .wouldBlock { return "commit: \(error)" }
        }
      case 4: volume.tick(milliseconds: volume.random.below(30))
      default: volume.deliverOne()
      }
      if let problem = check() { return "step \(step): \(problem)" }
    }
    if !volume.quiesce() { return "it never came to rest: VDL \(volume.writer.vdl), next \(volume.writer.nextLSN)" }
    if let problem = check() { return "at rest: \(problem)" }
    if woken.count != waiting.count { return "\(waiting.count - woken.count) waiters were never woken" }
    return nil
  }

  @Test("VCL and VDL equal a dumb oracle, and every waiter is woken once, on random networks", arguments: 1...60)
  func oracle(seed: Int) {
    #expect(DurabilityTests.randomRun(seed: UInt64(seed)) == nil, "seed \(seed)")
  }
  @Test("The same with full and tail segments, 2/3, one copy, and whole pages", arguments: 1...8)
  func oracleOfPolicies(seed: Int) {
    for policy in [FullAndTailPolicy(), MajorityPolicy(), SingleCopyPolicy(), MirroredPagesPolicy()]
      as [any ReplicationPolicy]
    {
      #expect(DurabilityTests.randomRun(seed: UInt64(seed), policy: policy) == nil, "seed \(seed), \(policy.name)")
    }
  }
  @Test(
    "Planted bugs of the writer are seen",
    arguments: [
      PlantedBug.quorumThreeOfSix, .lostCommitWakeUp, .wakeOnVCLNotVDL, .ignoreAllocationLimit,
      .vdlAtNonConsistencyPoint,
    ])
  func plantedBugs(bug: PlantedBug) {
    let found = (1...20).contains { DurabilityTests.randomRun(seed: UInt64($0), bug: bug) != nil }
    #expect(found, "\(bug) was not seen in 20 seeds")
  }

  @Test("A commit above VDL + LAL is refused whole, and goes through when VDL has moved")
  func allocationLimit() throws {
    var options = TestVolume.Options()
    options.writer.allocationLimit = 10
    let volume = TestVolume(options)
    var byte: UInt8 = 1
    _ = try volume.commit(DurabilityTests.write(page(1, 0), byte))
    var refused: VolumeError?
    for _ in 0..<20 where refused == nil {
      byte += 1
      do throws(VolumeError) {
        _ = try volume.commit(DurabilityTests.write(page(1, 0), byte))
      } catch { refused = error }
    }
    let error = try #require(refused)
    #expect(error.code == .wouldBlock)
    #expect(error.outcome == .notApplied)
    #expect(volume.writer.nextLSN == LSN(11))
    var buffer = [UInt8](repeating: 0, count: 512)
    _ = buffer.withUnsafeMutableBytes { volume.writer.readCached(page(1, 0), into: $0) }
    #expect(buffer[0] == byte - 1, "a refused commit changed the cache")
    // A mini-transaction that touches a new extent, refused: the extent must not stay mapped.
    let extents = volume.writer.statistics.extents
    #expect(throws: VolumeError.self) { try volume.commit(DurabilityTests.write(page(2, 0), 1)) }
    #expect(volume.writer.statistics.extents == extents)
    #expect(volume.writer.checkInvariants() == [])
    #expect(volume.roomCount == 0)
    #expect(volume.quiesce())
    #expect(volume.roomCount == 1)
    _ = try volume.commit(DurabilityTests.write(page(1, 0), byte))
    var large = MiniTransaction(pageSize: 512)
    for i in 0..<11 { large.write(page(1, UInt64(i)), at: 0, [9]) }
    do throws(VolumeError) {
      _ = try volume.commit(large)
      Issue.record("more records than LAL were accepted")
    } catch { #expect(error.code == .tooLarge) }
  }

  @Test("Bytes in flight are bounded")
  func bytesInFlight() throws {
    var options = TestVolume.Options()
    options.writer.bytesInFlightMax = 10_000
    options.writer.transactionBytesMax = 10_000
    let volume = TestVolume(options)
    var count = 0
    var refused = false
    while !refused {
      do throws(VolumeError) {
        _ = try volume.commit(DurabilityTests.write(page(1, UInt64(count)), 1, count: 512))
        count += 1
      } catch {
        #expect(error.code == .wouldBlock)
        refused = true
      }
    }
    #expect(count > 10 && count < 20)
    #expect(volume.writer.statistics.bytesInFlight <= 10_000)
    #expect(volume.quiesce())
    #expect(volume.writer.statistics.bytesInFlight == 0)
    var large = MiniTransaction(pageSize: 512)
    for i in 0..<20 { large.write(page(1, UInt64(i)), at: 0, [UInt8](repeating: 3, count: 512)) }
    do throws(VolumeError) {
      _ = try volume.commit(large)
      Issue.record("more bytes than may be in flight were accepted")
    } catch { #expect(error.code == .tooLarge) }
  }

  @Test("A node at a higher volume epoch fences the writer: waiters fail, commits and reads are refused")
  func fencing() throws {
    let volume = TestVolume()
    let lsn = try volume.commit(DurabilityTests.write(page(1, 0), 1))
    #expect(try volume.wait(for: lsn, waiter: 77) == false)
    // A refusal from before this opening is late, not fencing.
    let header = MessageHeader(volume: TestVolume.volume, sender: .node(NodeID(3)), volumeEpoch: VolumeEpoch(1))
    volume.receive(Message.reject(request: 0, reason: .staleVolumeEpoch, configuration: nil).encoded(header))
    #expect(!volume.isFenced)
    volume.nodes[2].epoch = VolumeEpoch(9)
    volume.settle()
    #expect(volume.isFenced)
    #expect(volume.events.contains(.fenced(by: VolumeEpoch(9))))
    // Either the quorum came first or the refusal did: the waiter heard exactly one of both.
    #expect(volume.durable + volume.failed == [77])
    do throws(VolumeError) {
      _ = try volume.commit(DurabilityTests.write(page(1, 0), 2))
      Issue.record("a fenced writer committed")
    } catch { #expect(error.code == .fenced) }
    volume.writer.read(page(1, 0), at: nil, id: 5, now: volume.now, into: &volume.effects)
    volume.absorb()
    guard case .failure(let error)? = volume.completed[5] else {
      Issue.record("a fenced writer read")
      return
    }
    #expect(error.code == .fenced)
  }

  @Test("While a batch is under way the next one fills; it goes out when the first has its quorum")
  func batching() throws {
    let volume = TestVolume()
    #expect(volume.quiesce())
    let before = volume.writer.statistics.batches
    for i in 0..<50 { _ = try volume.commit(DurabilityTests.write(page(1, 0), UInt8(i + 1))) }
    #expect(volume.writer.statistics.batches == before + 1)
    volume.settle()
    #expect(volume.writer.statistics.batches == before + 2)
    #expect(volume.writer.vdl.value + 1 == volume.writer.nextLSN.value)
  }

  @Test("With two members down, VDL goes on; with three it waits, and resends reach them when they are back")
  func resending() throws {
    let volume = TestVolume()
    volume.down = [NodeID(1), NodeID(2)]
    _ = try volume.commit(DurabilityTests.write(page(1, 0), 1))
    #expect(volume.quiesce())
    volume.down.insert(NodeID(3))
    let lsn = try volume.commit(DurabilityTests.write(page(1, 0), 2))
    #expect(!volume.quiesce(rounds: 40))
    #expect(volume.writer.vdl < lsn)
    volume.down = [NodeID(1), NodeID(2)]
    #expect(volume.quiesce())
    #expect(volume.writer.vdl == lsn)
    #expect(volume.writer.statistics.batchesResent > 0)
  }

  @Test("PGMRPL waits for open read points, reaches the nodes of an idle volume, and never goes back")
  func readPoints() throws {
    let volume = TestVolume()
    _ = try volume.commit(DurabilityTests.write(page(1, 0), 1))
    #expect(volume.quiesce())
    let point = volume.writer.openReadPoint()
    #expect(point == volume.writer.vdl)
    _ = try volume.commit(DurabilityTests.write(page(1, 0), 2))
    #expect(volume.quiesce())
    #expect(volume.writer.minReadPoint == point)
    volume.writer.closeReadPoint(point)
    #expect(volume.writer.minReadPoint == volume.writer.vdl)
    for _ in 0..<5 { volume.tick(milliseconds: 50) }
    volume.settle()
    for node in volume.nodes {
      #expect(node.segments[ProtectionGroupID(0)]?.vdl == volume.writer.vdl)
      #expect(node.segments[ProtectionGroupID(0)]?.minReadPoint == volume.writer.vdl)
    }
  }
}
