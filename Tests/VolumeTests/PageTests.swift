import BorealisCore
import BorealisReplicationPolicy
import BorealisWire
import Testing

@testable import BorealisVolume

@Suite("Pages: cache, blind writes, reads, catalog, growth")
struct PageTests {
  /// One random run of writes, discards and reads against a model; what was wrong, nil when nothing.
  static func randomRun(
    seed: UInt64, policy: any ReplicationPolicy = AuroraPolicy(), bug: PlantedBug? = nil, cachePages: Int = 8,
    ahead: Int = 0
  ) -> String? {
    var options = DurabilityTests.tiny(groups: 3)
    options.network = .init(loss: 30, duplicate: 50, isOrdered: false)
    options.writer.policy = policy
    options.writer.plantedBug = bug
    options.writer.cacheBytes = cachePages * 512
    options.writer.readHedgeAfter = 20_000_000
    options.writer.readAheadPages = ahead
    let volume = TestVolume(seed: seed, options)
    if ahead > 0 { for i in volume.nodes.indices { volume.nodes[i].runMax = UInt64(1 + i) } }
    var model = PageModel(pageSize: 512)
    var asked: [ReadID: (page: PageID, point: LSN?, since: Int)] = [:]
    var nextRead: ReadID = 1
    var openPoints: [LSN] = []
    var buffer = [UInt8](repeating: 0xEE, count: 512)
    func somePage() -> PageID { page(1, volume.random.below(32)) }
    /// The head at completion, or any head since the read began.
    func check() -> String? {
      for (id, result) in volume.completed.sorted(by: { $0.key < $1.key }) {
        guard let read = asked.removeValue(forKey: id) else { return "read \(id) ended twice" }
        switch result {
        case .failure(let error): if error.code != .unavailable { return "read \(id) of \(read.page): \(error)" }
        case .success(let image):
          if let point = read.point {
            if image.bytes != model.page(read.page, at: point) { return "I9: page \(read.page) at \(point) is wrong" }
          } else {
            let allowed = model.history[read.since...].contains { entry in
              image.bytes == entry.pages[read.page] ?? [UInt8](repeating: 0, count: 512)
            }
            if !allowed { return "I1: page \(read.page) (LSN \(image.lsn)) is stale" }
          }
        }
      }
      volume.completed.removeAll()
      return volume.complaints.first
    }
    for step in 0..<500 {
      switch volume.random.index(12) {
      case 0...3:
        var mtr = MiniTransaction(pageSize: 512)
        var changes: [(page: PageID, offset: Int, bytes: [UInt8])] = []
        for _ in 0...volume.random.index(3) {
          let target = somePage()
          if volume.random.chance(1, in: 12) {
            mtr.discard(target)
            changes.append((target, 0, []))
            continue
          }
          let isWhole = volume.random.chance(1, in: 4)
          let count = isWhole ? 512 : 1 + volume.random.index(40)
          let bytes = (0..<count).map { _ in UInt8(truncatingIfNeeded: volume.random.below(4)) }
          let offset = isWhole ? 0 : volume.random.index(512 - count)
          mtr.write(target, at: offset, bytes)
          changes.append((target, offset, bytes))
        }
        do throws(VolumeError) {
          let lsn = try volume.commit(mtr)
          model.commit(lsn, changes)
        } catch {
          if error.code != .wouldBlock { return "commit: \(error)" }
        }
      case 4...5:
        // One page, or as a scan.
        let first = somePage()
        for i in 0..<UInt64(ahead == 0 ? 1 : 8) {
          let target = page(1, (first.index + i) % 32)
          let lsn = buffer.withUnsafeMutableBytes { volume.writer.readCached(target, into: $0) }
          if lsn != nil, buffer != model.head(target) { return "step \(step): cached page \(target) is wrong" }
          if lsn == nil {
            nextRead += 1
            asked[nextRead] = (target, nil, model.history.count - 1)
            volume.writer.read(target, at: nil, id: nextRead, now: volume.now, into: &volume.effects)
            volume.absorb()
          }
          guard volume.writer.takeReadAheadWish() else { continue }
          while volume.writer.readAhead(now: volume.now, into: &volume.effects) {}
          volume.absorb()
        }
      case 6:
        if volume.random.chance(1, in: 2) || openPoints.isEmpty {
          openPoints.append(volume.writer.openReadPoint())
        } else if !asked.values.contains(where: { $0.point != nil }) {
          volume.writer.closeReadPoint(openPoints.remove(at: volume.random.index(openPoints.count)))
        }
      case 7:
        guard let point = openPoints.last else { break }
        let target = somePage()
        nextRead += 1
        asked[nextRead] = (target, point, model.history.count - 1)
        volume.writer.read(target, at: point, id: nextRead, now: volume.now, into: &volume.effects)
        volume.absorb()
      case 8: volume.tick(milliseconds: volume.random.below(30))
      default: for _ in 0..<volume.random.index(12) { volume.deliverOne() }
      }
      if let problem = check() { return "step \(step): \(problem)" }
    }
    if !volume.quiesce() { return "it never came to rest" }
    for _ in 0..<100 where !asked.isEmpty {
      volume.tick(milliseconds: 50)
      volume.settle()
      if let problem = check() { return "at rest: \(problem)" }
    }
    if !asked.isEmpty { return "\(asked.count) reads never ended" }
    for index in UInt64(0)..<32 {
      volume.writer.read(page(1, index), at: volume.writer.vdl, id: index, now: volume.now, into: &volume.effects)
      asked[index] = (page(1, index), volume.writer.vdl, 0)
    }
    volume.absorb()
    for _ in 0..<100 where !asked.isEmpty {
      volume.settle()
      volume.tick(milliseconds: 50)
      if let problem = check() { return "at the end: \(problem)" }
    }
    if ahead > 0, volume.writer.statistics.pagesAhead == 0 { return "nothing was read ahead" }
    return asked.isEmpty ? nil : "reads never ended at the end"
  }

  @Test("The same with scans that are read ahead of, by nodes that give parts of runs", arguments: 1...60)
  func modelReadingAhead(seed: Int) {
    #expect(PageTests.randomRun(seed: UInt64(seed), cachePages: 24, ahead: 16) == nil, "seed \(seed)")
  }

  @Test("Every read equals the model with a cache of eight pages and a bad network", arguments: 1...60)
  func model(seed: Int) {
    #expect(PageTests.randomRun(seed: UInt64(seed)) == nil, "seed \(seed)")
  }
  @Test("The same with tail segments, 2/3, and whole pages", arguments: 1...8)
  func modelOfPolicies(seed: Int) {
    for policy in [FullAndTailPolicy(), MajorityPolicy(), MirroredPagesPolicy()] as [any ReplicationPolicy] {
      #expect(PageTests.randomRun(seed: UInt64(seed), policy: policy) == nil, "seed \(seed), \(policy.name)")
    }
  }
  @Test("Evicting a dirty page is seen")
  func plantedBug() {
    #expect((1...20).contains { PageTests.randomRun(seed: UInt64($0), bug: .evictDirtyPage) != nil })
  }

  @Test("I11: no page leaves the cache above VDL; a page more is then not cached, and comes later")
  func eviction() throws {
    var options = TestVolume.Options()
    options.writer.cacheBytes = 8 * 512
    let volume = TestVolume(options)
    for i in 0..<8 { _ = try volume.commit(DurabilityTests.write(page(1, i), 1, count: 512)) }
    #expect(volume.writer.statistics.cachedPages == 8)
    _ = try volume.commit(DurabilityTests.write(page(1, 8), 9, count: 512))
    #expect(volume.writer.statistics.evictions == 0)
    var buffer = [UInt8](repeating: 0, count: 512)
    for i in 0..<8 {
      #expect(buffer.withUnsafeMutableBytes { volume.writer.readCached(page(1, UInt64(i)), into: $0) } != nil)
    }
    // The page above VDL and outside the cache: its read waits for VDL instead of showing an old version.
    volume.writer.read(page(1, 8), at: nil, id: 1, now: volume.now, into: &volume.effects)
    volume.absorb()
    #expect(volume.completed.isEmpty)
    #expect(volume.quiesce())
    volume.settle()
    guard case .success(let image)? = volume.completed[1] else {
      Issue.record("the read did not end")
      return
    }
    #expect(image.bytes == [UInt8](repeating: 9, count: 512))
    #expect(volume.writer.statistics.evictions == 1)
  }

  @Test("A write while the page is on its way is in what the read gives and in the cache")
  func pendingMiss() throws {
    var options = TestVolume.Options()
    options.writer.cacheBytes = 8 * 512
    let volume = TestVolume(options)
    for i in 0..<40 { _ = try volume.commit(DurabilityTests.write(page(1, i), 1, count: 512)) }
    #expect(volume.quiesce())
    for i in 20..<40 { _ = try volume.commit(DurabilityTests.write(page(1, i), 2, count: 512)) }
    #expect(volume.quiesce())
    volume.writer.read(page(1, 0), at: nil, id: 1, now: volume.now, into: &volume.effects)
    volume.absorb()
    #expect(volume.completed.isEmpty)
    _ = try volume.commit(DurabilityTests.write(page(1, 0), 7, at: 100, count: 10))
    #expect(volume.quiesce())
    guard case .success(let image)? = volume.completed[1] else {
      Issue.record("the read did not end")
      return
    }
    var expected = [UInt8](repeating: 1, count: 512)
    expected.replaceSubrange(100..<110, with: [UInt8](repeating: 7, count: 10))
    #expect(image.bytes == expected)
    var buffer = [UInt8](repeating: 0, count: 512)
    _ = buffer.withUnsafeMutableBytes { volume.writer.readCached(page(1, 0), into: $0) }
    #expect(buffer == expected)
  }

  @Test("An identical write makes one minimal record when alone, none beside others")
  func identicalWrites() throws {
    let volume = TestVolume()
    _ = try volume.commit(DurabilityTests.write(page(1, 0), 5, count: 512))
    let before = volume.writer.nextLSN
    let lsn = try volume.commit(DurabilityTests.write(page(1, 0), 5, count: 512))
    #expect(lsn == before)
    #expect(volume.quiesce())
    #expect(volume.issued[lsn]?.payloadSize == 9)
    #expect(volume.issued[lsn]?.isConsistencyPoint == true)
    var mtr = MiniTransaction(pageSize: 512)
    mtr.write(page(1, 0), at: 0, [UInt8](repeating: 5, count: 512))
    mtr.write(page(1, 0), at: 3, [6])
    let next = volume.writer.nextLSN
    #expect(try volume.commit(mtr) == next)
    #expect(volume.quiesce())
    #expect(volume.issued[next]?.payloadSize == 9)
  }

  @Test("A new opening finds the catalog and every page; discarded extents are used again")
  func reopening() throws {
    let options = DurabilityTests.tiny(groups: 3)
    let volume = TestVolume(options)
    for i in 0..<24 { _ = try volume.commit(DurabilityTests.write(page(3, i), UInt8(i + 1))) }
    for i in 0..<8 { _ = try volume.commit(DurabilityTests.write(page(4, i), UInt8(i + 101))) }
    #expect(volume.quiesce())
    // Room for five extents beside the catalog: four are taken.
    #expect(volume.writer.statistics.extents == 4)
    var configuration = options.writer
    configuration.pageSize = 512
    configuration.extentPages = 999  // What the volume has counts.
    let opened = volume.reopened(epoch: 2)
    volume.writer = VolumeWriter(
      opened: opened, configuration: configuration, instance: TestVolume.writerPeer, now: volume.now)
    let firstNew = opened.nextLSN
    volume.writer.start(now: volume.now, into: &volume.effects)
    volume.absorb()
    let early = volume.isOpen
    #expect(!early)
    volume.settle()
    let late = volume.isOpen
    #expect(late)
    #expect(volume.writer.statistics.extents == 4)
    for i in 0..<24 {
      volume.writer.read(page(3, i), at: nil, id: UInt64(i), now: volume.now, into: &volume.effects)
      volume.absorb()
      volume.settle()
      guard case .success(let image)? = volume.completed[UInt64(i)] else {
        Issue.record("page \(i) was not read")
        return
      }
      #expect(image.bytes[0] == UInt8(i + 1))
    }
    // LAL counts from the end of the void range.
    #expect(try volume.commit(DurabilityTests.write(page(5, 0), 1)) >= firstNew)
    #expect(volume.writer.statistics.extents == 5)
    do throws(VolumeError) {
      _ = try volume.commit(DurabilityTests.write(page(6, 0), 1))
      Issue.record("a full volume took another extent")
    } catch { #expect(error.code == .wouldBlock || error.code == .unavailable) }
    let point = volume.writer.openReadPoint()
    var discarded = 0
    while try volume.writer.discardExtent(of: ObjectID(3), timestamp: 0, now: volume.now, into: &volume.effects) != nil
    {
      discarded += 1
      volume.absorb()
    }
    #expect(discarded == 3)
    #expect(volume.quiesce())
    volume.writer.read(page(3, 2), at: nil, id: 500, now: volume.now, into: &volume.effects)
    volume.writer.read(page(3, 2), at: point, id: 501, now: volume.now, into: &volume.effects)
    volume.absorb()
    volume.settle()
    #expect((try? volume.completed[500]?.get().bytes) == [UInt8](repeating: 0, count: 512))
    #expect((try? volume.completed[501]?.get().bytes[0]) == 3)
    #expect(volume.writer.statistics.extents == 5, "an extent that a read point needs was forgotten")
    volume.writer.closeReadPoint(point)
    volume.tick()
    #expect(volume.writer.statistics.extents == 2)
    _ = try volume.commit(DurabilityTests.write(page(6, 0), 1))
    #expect(volume.quiesce())
    #expect(volume.complaints == [])
  }

  @Test("The volume grows by groups ahead of need, and readers of group 0's configuration know of them")
  func growth() throws {
    var options = DurabilityTests.tiny(groups: 1)
    options.writer.groupPages = 128
    options.writer.topology = (1...6).map { NodePlacement(node: NodeID(UInt32($0)), zone: ZoneID(UInt8($0 % 3))) }
    let volume = TestVolume(options)
    var model = PageModel(pageSize: 512)
    var blocked = 0
    for i in 0..<62 {
      var isDone = false
      while !isDone {
        do throws(VolumeError) {
          let lsn = try volume.commit(DurabilityTests.write(page(1, UInt64(i) * 8), UInt8(i + 1)))
          model.commit(lsn, [(page(1, UInt64(i) * 8), 0, [UInt8](repeating: UInt8(i + 1), count: 8))])
          isDone = true
        } catch {
          #expect(error.code == .wouldBlock)
          blocked += 1
          volume.tick(milliseconds: 50)
        }
        volume.settle()
      }
      // What a recovery would find: no record of a group before group 0 knows of it on a write quorum.
      for node in volume.nodes {
        for (group, segment) in node.segments where !segment.records.isEmpty && group.value > 0 {
          let holders = volume.nodes.filter {
            ($0.segments[ProtectionGroupID(0)]?.configuration.geometry ?? 0) > group.value
          }
          #expect(holders.count >= 4)
        }
      }
    }
    #expect(volume.quiesce())
    #expect(volume.writer.configurations.count == 5)
    #expect(volume.events.contains(.grown(ProtectionGroupID(4))))
    #expect(volume.complaints == [])
    for i in 0..<62 {
      volume.writer.read(
        page(1, UInt64(i) * 8), at: volume.writer.vdl, id: UInt64(i), now: volume.now, into: &volume.effects)
      volume.absorb()
      volume.settle()
      #expect((try? volume.completed[UInt64(i)]?.get().bytes) == model.head(page(1, UInt64(i) * 8)))
    }
  }

  @Test("A member is replaced under load: the new one ends up complete, and nothing is lost")
  func replacement() throws {
    let volume = TestVolume()
    volume.nodes.append(PerfectNode(id: NodeID(7), pageSize: 512))
    for i in 0..<10 { _ = try volume.commit(DurabilityTests.write(page(1, i), 1)) }
    #expect(volume.quiesce())
    volume.down = [NodeID(6)]
    try volume.writer.change(
      ProtectionGroupID(0),
      to: .replace(NodeID(6), with: SegmentMember(node: NodeID(7), zone: volume.zone(of: NodeID(6)))),
      now: volume.now, into: &volume.effects)
    volume.absorb()
    for i in 0..<40 {
      _ = try volume.commit(DurabilityTests.write(page(1, UInt64(i % 10)), UInt8(i)))
      volume.settle()
      // Hydration is the nodes' own affair; here by hand, after a while.
      if i == 20 { volume.hydrate(NodeID(7), from: NodeID(1)) }
      volume.tick(milliseconds: 60)
      volume.settle()
    }
    #expect(volume.quiesce())
    #expect(volume.writer.isChanging(ProtectionGroupID(0)) == false)
    let nodes = volume.writer.configurations[0].members.map(\.node)
    #expect(nodes.contains(NodeID(7)) && !nodes.contains(NodeID(6)))
    #expect(volume.complaints == [])
  }
}
