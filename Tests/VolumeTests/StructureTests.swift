import BorealisCore
import BorealisReplicationPolicy
import BorealisWire
import Testing

@testable import BorealisVolume

@Suite("Structures of the volume against dumb oracles")
struct StructureTests {
  @Test("The cache finds what it holds, keeps its bytes, and evicts nothing above VDL", arguments: 1...20)
  func cache(seed: Int) {
    var random = DeterministicGenerator(seed: UInt64(seed))
    var cache = PageCache(pageSize: 512, bytes: 24 * 512)
    var lsns: [PageID: LSN] = [:]
    var vdl = LSN.zero
    var next: UInt64 = 1
    for _ in 0..<3000 {
      let id = page(1 + random.below(3), random.below(40))
      switch random.index(8) {
      case 0: vdl = LSN(max(vdl.value, next - min(next, random.below(30))))
      case 1:
        cache.remove(id)
        lsns[id] = nil
      default:
        next += 1
        var frame = cache.find(id)
        #expect((frame != nil) == (lsns[id] != nil))
        if frame == nil {
          frame = cache.insert(id, lsn: LSN(next), vdl: vdl, plantedBug: nil)
          if frame == nil { #expect(lsns.count == 24) }
          // What has left had to be durable.
          for (other, lsn) in lsns where cache.find(other) == nil {
            #expect(lsn <= vdl)
            lsns[other] = nil
          }
        }
        guard let frame else { break }
        cache.setLSN(frame, LSN(next))
        cache.bytes(frame).initializeMemory(as: UInt8.self, repeating: UInt8(truncatingIfNeeded: next))
        lsns[id] = LSN(next)
      }
    }
    for (id, lsn) in lsns {
      guard let frame = cache.find(id) else {
        Issue.record("page \(id) is gone, seed \(seed)")
        continue
      }
      #expect(cache.lsn(frame) == lsn)
      #expect(cache.bytes(frame)[511] == UInt8(truncatingIfNeeded: lsn.value))
    }
    #expect(cache.count == lsns.count)
    #expect(cache.checkInvariants(lastIssued: LSN(next)) == [])
  }

  @Test("tail(g, P) is exact for every read point in use and for VDL, and never too low", arguments: 1...30)
  func tails(seed: Int) {
    var random = DeterministicGenerator(seed: UInt64(seed))
    var history = TailHistory(LSN(3))
    var records: [LSN] = [LSN(3)]
    var points = ReadPoints()
    var open: [LSN] = []
    var vdl = LSN(5)
    var longest = 0
    for _ in 0..<500 {
      switch random.index(4) {
      case 0:
        points.open(vdl)
        open.append(vdl)
      case 1:
        if !open.isEmpty { points.close(open.remove(at: random.index(open.count))) }
      default:
        let new = LSN(vdl.value + 1 + random.below(5))
        if random.chance(2, in: 3) {
          for lsn in (vdl.value + 1)...new.value where random.chance(1, in: 2) {
            history.advance(to: LSN(lsn), points: points)
            records.append(LSN(lsn))
          }
        }
        vdl = new
      }
      func tail(_ point: LSN) -> LSN { records.last { $0 <= point } ?? .zero }
      #expect(history.required(at: vdl, points: points) == tail(vdl))
      for point in open { #expect(history.required(at: point, points: points) == tail(point), "seed \(seed)") }
      let any = LSN(5 + random.below(vdl.value - 4))
      #expect(history.required(at: any, points: points) >= tail(any))
      longest = max(longest, history.older.count - 2 * Set(open).count)
    }
    #expect(longest <= 16, "the history is longer than the read points need")
  }

  @Test("The catalog maps as a dictionary does, and reads back what it wrote", arguments: 1...20)
  func catalog(seed: Int) throws {
    var random = DeterministicGenerator(seed: UInt64(seed))
    var catalog = VolumeCatalog(pageSize: 512, extentPages: 4, groupPages: 400)
    var model: [PageID: Int] = [:]
    var lsn: UInt64 = 0
    for _ in 0..<1500 {
      let id = page(1 + random.below(20), random.below(30) * 4)
      lsn += 1
      if let entry = catalog.entry(of: id) {
        #expect(model[id] == entry)
        if catalog.entries[entry].state == .live, random.chance(1, in: 3) {
          catalog.markDying(entry, at: LSN(lsn))
        }
      } else {
        #expect(model[id] == nil)
        guard let entry = catalog.plan(id, groupCount: 4) else { continue }
        if random.chance(1, in: 5) {
          catalog.unplan(entry)
        } else {
          catalog.makeLive(entry)
          model[id] = entry
        }
      }
      if random.chance(1, in: 10) {
        catalog.purge(upTo: LSN(lsn - min(lsn, random.below(20))))
        for (id, _) in model where catalog.entry(of: id) == nil { model[id] = nil }
      }
    }
    catalog.purge(upTo: .max)
    for (id, _) in model where catalog.entry(of: id) == nil { model[id] = nil }
    #expect(catalog.checkInvariants() == [])
    #expect(catalog.mappedCount == model.count)
    var superblock: [UInt8] = []
    catalog.encodeSuperblock(into: &superblock)
    var bytes: [UInt8] = []
    for number in catalog.entries.indices { catalog.encodeEntry(number, into: &bytes) }
    var copy = VolumeCatalog(pageSize: 512, extentPages: 1, groupPages: 1)
    let pages = try superblock.withUnsafeBytesTyped { raw throws(DecodeError) in try copy.load(superblock: raw) }
    #expect(pages == (catalog.entries.count + 15) / 16)
    try bytes.withUnsafeBytesTyped { raw throws(DecodeError) in try copy.apply(entries: raw, from: 0, lsn: LSN(lsn)) }
    #expect(copy.checkInvariants() == [])
    #expect(copy.mappedCount == model.count)
    for (id, entry) in model {
      #expect(copy.group(of: id) == catalog.group(of: id))
      #expect(copy.entry(of: id) == entry)
    }
  }

  @Test("Malformed catalog bytes are refused, never trapped on")
  func malformedCatalog() {
    var random = DeterministicGenerator(seed: 5)
    var refused = 0
    for _ in 0..<2000 {
      var catalog = VolumeCatalog(pageSize: 512, extentPages: 4, groupPages: 400)
      let bytes = (0..<(32 * (1 + random.index(4)))).map { _ in
        random.chance(3, in: 4) ? 0 : UInt8(truncatingIfNeeded: random.below(4))
      }
      do throws(DecodeError) {
        try bytes.withUnsafeBytesTyped { raw throws(DecodeError) in
          try catalog.apply(entries: raw, from: 0, lsn: LSN(1))
        }
      } catch { refused += 1 }
      _ = try? bytes.withUnsafeBytesTyped { raw throws(DecodeError) in try catalog.load(superblock: raw) }
      #expect(catalog.checkInvariants() == [])
    }
    #expect(refused > 1000)
  }

  struct Group: ReadableGroup {
    var configuration: GroupConfiguration
    var scls: [LSN]
    func mayServe(member: Int, upTo lsn: LSN) -> Bool { scls[member] >= lsn }
  }
  @Test("Reads ask only full members that are complete, hedge when late, go round, and give up in time")
  func reads() throws {
    let configuration = TestVolume.configuration(0, policy: FullAndTailPolicy(), geometry: 1)
    let full = configuration.members.indices.filter { configuration.members[$0].kind == .full }
    var scls = [LSN](repeating: LSN(10), count: 6)
    scls[full[0]] = LSN(9)
    let groups = [Group(configuration: configuration, scls: scls)]
    let envelope = MessageHeader(volume: TestVolume.volume, sender: .instance(1), volumeEpoch: VolumeEpoch(1))
    var reads = SegmentReads(envelope: envelope, timeout: 1_000_000_000, hedgeAfter: 10_000_000, firstRequest: 1)
    var sends: [Outgoing] = []
    var ended: [SegmentReads.Completion] = []
    let start = Instant(nanoseconds: 1_000_000)
    reads.begin(
      page(1, 1), group: ProtectionGroupID(0), at: LSN(12), requiredSCL: LSN(10), purpose: .head, now: start,
      groups: groups, into: &sends)
    #expect(sends.count == 1)
    reads.tick(now: start.advanced(byMilliseconds: 9), groups: groups, into: &sends, completions: &ended)
    #expect(sends.count == 1)
    reads.tick(now: start.advanced(byMilliseconds: 10), groups: groups, into: &sends, completions: &ended)
    #expect(sends.count == 2)
    let able = Set(full.dropFirst().map { PeerID.node(configuration.members[$0].node) })
    #expect(Set(sends.map(\.to)) == able)
    // Both were asked and are silent: the next round begins with one of them again.
    reads.tick(now: start.advanced(byMilliseconds: 20), groups: groups, into: &sends, completions: &ended)
    #expect(sends.count == 3)
    #expect(able.contains(sends[2].to))
    let node = try #require(sends[2].to.node)
    let answer = reads.receiveImage(
      request: 1, from: node, lsn: LSN(13), image: [1], pageSize: 512, now: start.advanced(byMilliseconds: 21))
    #expect(answer == nil, "a version above the read point was taken")
    let late = try #require(sends[0].to.node)
    let image = reads.receiveImage(
      request: 1, from: late, lsn: LSN(4), image: [1], pageSize: 512, now: start.advanced(byMilliseconds: 22))
    #expect(image?.page == page(1, 1))
    #expect(reads.count == 0)
    reads.begin(
      page(1, 2), group: ProtectionGroupID(0), at: LSN(12), requiredSCL: LSN(11), purpose: .point(7), now: start,
      groups: groups, into: &sends)
    #expect(sends.count == 3, "nobody is complete")
    reads.tick(now: start.advanced(byMilliseconds: 1000), groups: groups, into: &sends, completions: &ended)
    #expect(ended.count == 1)
    guard case .failure(let error)? = ended.first?.result else {
      Issue.record("a read that nobody can serve did not fail")
      return
    }
    #expect(error.code == .unavailable)
  }

  @Test("PGCL by the table equals its definition on random SCLs", arguments: 1...10)
  func quorums(seed: Int) {
    var random = DeterministicGenerator(seed: UInt64(seed))
    for policy in [AuroraPolicy(), FullAndTailPolicy(), MajorityPolicy(), SingleCopyPolicy()] as [any ReplicationPolicy]
    {
      let configuration = TestVolume.configuration(0, policy: policy, geometry: 1)
      let table = QuorumTable(configuration, plantedBug: nil)
      for _ in 0..<100 {
        let scls = configuration.members.map { _ in LSN(random.below(6)) }
        var expected = LSN.zero
        for candidate in scls {
          var set = MemberSet()
          for (i, scl) in scls.enumerated() where scl >= candidate { set.insert(MemberSet(member: i)) }
          if configuration.isWriteQuorum(set) { expected = max(expected, candidate) }
        }
        #expect(table.completeLSN(scls) == expected)
      }
    }
  }
}
