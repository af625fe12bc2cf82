import Borealis
import Testing

@Suite("Volume in memory")
struct VolumeTests {
  @Test("what was written is read back, durable, at the head and at a read point")
  func writeAndRead() throws {
    let fleet = try StorageFleet.inMemory()
    defer { fleet.stop() }
    let volume = try Volume.create(on: fleet)
    let first = try volume.write {
      $0.write(page(3), at: 10, [1, 2, 3])
      $0.write(page(4), at: 0, [9])
    }
    try volume.waitUntilDurable(first)
    #expect(volume.vdl >= first)
    let then: [UInt8] = try volume.withReadPoint { (point) throws(VolumeError) in
      let second = try volume.write { $0.write(page(3), at: 10, [4, 5, 6]) }
      try volume.waitUntilDurable(second)
      return try volume.bytes(page(3), at: point)
    }
    #expect(Array(then[9...13]) == [0, 1, 2, 3, 0])
    #expect(Array(try volume.bytes(page(3))[9...13]) == [0, 4, 5, 6, 0])
    #expect(try volume.bytes(page(4))[0] == 9)
    #expect(try volume.bytes(page(5)).allSatisfy { $0 == 0 }, "a page never written is zeros")
    let gone = try volume.write { $0.discard(page(3)) }
    try volume.waitUntilDurable(gone)
    #expect(try volume.bytes(page(3)).allSatisfy { $0 == 0 }, "a discarded page is zeros")
    #expect(volume.checkInvariants() == [])
  }

  @Test("tasks suspend instead of blocking")
  func asynchronous() async throws {
    let fleet = try StorageFleet.inMemory()
    defer { fleet.stop() }
    let volume = try Volume.create(on: fleet)
    try await withThrowingTaskGroup(of: Void.self) { group in
      for client in 0..<16 {
        group.addTask {
          for i in 0..<20 {
            var transaction = MiniTransaction(pageSize: volume.metadata.pageSize)
            transaction.write(page(UInt64(client)), at: i, [UInt8(i)])
            let lsn = try await volume.commit(transaction)
            try await volume.durable(lsn)
          }
          let image = try await volume.read(page(UInt64(client)))
          #expect(Array(image.bytes[0..<20]) == (0..<20).map { UInt8($0) })
        }
      }
      try await group.waitForAll()
    }
  }

  @Test("a second writer fences the first: waiters fail, commits fail, nothing acknowledged is lost")
  func fencing() throws {
    let fleet = try StorageFleet.inMemory()
    defer { fleet.stop() }
    let old = try Volume.create(on: fleet)
    try old.waitUntilDurable(try old.write { $0.write(page(1), at: 0, [7]) })
    let new = try Volume.open(on: fleet)
    #expect(new.epoch > old.epoch)
    #expect(try new.bytes(page(1))[0] == 7)
    let error = #expect(throws: VolumeError.self) {
      // The first commit may still be taken; its wait can never end well.
      let lsn = try old.write { $0.write(page(1), at: 0, [8]) }
      try old.waitUntilDurable(lsn)
    }
    #expect(error?.code == .fenced)
    #expect(old.isFenced)
    try new.waitUntilDurable(try new.write { $0.write(page(1), at: 1, [9]) })
    #expect(Array(try new.bytes(page(1))[0...1]) == [7, 9])
    #expect(throws: VolumeError.self) { try old.write { $0.write(page(1), at: 0, [8]) } }
  }

  @Test("with a zone lost commits go on; with one copy more they wait, and go on when it is back")
  func zoneLostAndOneMore() throws {
    let fleet = try StorageFleet.inMemory()
    defer { fleet.stop() }
    let volume = try Volume.create(on: fleet)
    fleet.stopZone(ZoneID(2))
    try volume.waitUntilDurable(try volume.write { $0.write(page(1), at: 0, [1]) })
    fleet.stop(NodeID(0))
    let stuck = try volume.write { $0.write(page(1), at: 1, [2]) }
    #expect(volume.vdl < stuck)
    #expect(try volume.bytes(page(1))[0] == 1, "reads go on")
    try fleet.start(NodeID(0))
    try volume.waitUntilDurable(stuck)
    try fleet.startZone(ZoneID(2))
    #expect(
      eventually {
        fleet.topology.allSatisfy { node in
          (fleet.host(node.node)?.status(of: ProtectionGroupID(0))?.scl ?? .zero) >= stuck
        }
      }, "the zone that was away heals by gossip")
  }

  @Test("three copies of six are enough to open, two are not, and the error says what is missing")
  func openingWithLosses() throws {
    let fleet = try StorageFleet.inMemory()
    defer { fleet.stop() }
    let volume = try Volume.create(on: fleet)
    try volume.waitUntilDurable(try volume.write { $0.write(page(1), at: 0, [5]) })
    volume.close()
    for node in 0..<4 { fleet.stop(NodeID(UInt32(node))) }
    let error = #expect(throws: VolumeError.self) { try Volume.open(on: fleet, timeoutMilliseconds: 300) }
    #expect(error?.code == .unavailable)
    #expect(error?.detail.contains("pg0") == true, "\(String(describing: error))")
    for node in 0..<2 { try fleet.start(NodeID(UInt32(node))) }
    let again = try Volume.open(on: fleet)
    #expect(try again.bytes(page(1))[0] == 5)
  }

  @Test("a reader of a writer that has ended is refused at once, however long it would wait", .timeLimit(.minutes(1)))
  func readerOfAnEndedWriter() throws {
    let fleet = try StorageFleet.inMemory()
    defer { fleet.stop() }
    let volume = try Volume.create(on: fleet)
    volume.close()
    #expect(throws: VolumeError.self) { try VolumeReaderInstance(of: volume, timeoutMilliseconds: 600_000) }
  }

  @Test("a reader sees whole mini-transactions, shares the storage, and outlives a new writer by attaching anew")
  func reader() throws {
    let fleet = try StorageFleet.inMemory()
    defer { fleet.stop() }
    let volume = try Volume.create(on: fleet)
    try volume.waitUntilDurable(try volume.write { $0.write(page(1), at: 0, [1, 1]) })
    let reader = try VolumeReaderInstance(of: volume)
    #expect(try reader.prefix(page(1), 2, pageSize: volume.metadata.pageSize) == [1, 1])
    for i in 2...50 {
      let lsn = try volume.write {
        $0.write(page(1), at: 0, [UInt8(i)])
        $0.write(page(2), at: 0, [UInt8(i)])
      }
      try volume.waitUntilDurable(lsn)
      #expect(reader.waitUntilApplied(lsn))
      #expect(try reader.prefix(page(1), 1, pageSize: volume.metadata.pageSize) == [UInt8(i)])
      #expect(try reader.prefix(page(2), 1, pageSize: volume.metadata.pageSize) == [UInt8(i)])
    }
    #expect(reader.checkInvariants() == [])
    reader.close()
  }

  @Test("bad arguments are refused with what would be right")
  func badArguments() throws {
    let odd = try StorageFleet.inMemory(configuration: StorageNodeConfiguration(pageSize: 1000))
    let size = #expect(throws: VolumeError.self) { try Volume.create(on: odd) }
    #expect(size?.code == .invalidArgument)
    odd.stop()
    let fleet = try StorageFleet.inMemory()
    defer { fleet.stop() }
    var options = VolumeOptions()
    options.extentPages = 0
    #expect(throws: VolumeError.self) { try Volume.create(on: fleet, options: options) }
    let missing = #expect(throws: VolumeError.self) { try Volume.open(on: fleet) }
    #expect(missing?.code == .notFound)
    let volume = try Volume.create(on: fleet)
    let twice = #expect(throws: VolumeError.self) { try Volume.create(on: fleet) }
    #expect(twice?.code == .conflict)
    options = VolumeOptions()
    options.policy = MajorityPolicy()
    let policy = #expect(throws: VolumeError.self) { try Volume.open(on: fleet, options: options) }
    #expect(policy?.code == .invalidArgument)
    volume.close()
    let closed = #expect(throws: VolumeError.self) {
      try volume.waitUntilDurable(try volume.write { $0.write(page(1), at: 0, [1]) })
    }
    #expect(closed?.code == .closed)
  }

  @Test(
    "every built-in policy carries a volume",
    arguments: ["aurora", "full-and-tail", "zone-lost", "majority", "single", "mirrored-pages"])
  func policies(name: String) throws {
    let policy = try #require(BuiltInPolicies.named(name))
    let fleet = try StorageFleet.inMemory(policy: policy)
    defer { fleet.stop() }
    var options = VolumeOptions()
    options.policy = policy
    let volume = try Volume.create(on: fleet, options: options)
    for i in 0..<50 {
      try volume.waitUntilDurable(try volume.write { $0.write(page(UInt64(i)), at: i, [UInt8(i + 1)]) })
    }
    volume.close()
    let again = try Volume.open(on: fleet, options: options)
    for i in 0..<50 { #expect(try again.bytes(page(UInt64(i)))[i] == UInt8(i + 1)) }
  }

  @Test("the volume grows by protection groups while it is written")
  func growth() throws {
    let fleet = try StorageFleet.inMemory(configuration: StorageNodeConfiguration(pageSize: 512))
    defer { fleet.stop() }
    var options = VolumeOptions()
    options.extentPages = 4
    options.groupBytes = ByteCount(512 * 16)
    let volume = try Volume.create(on: fleet, options: options)
    var last = LSN.zero
    for i in 0..<200 { last = try volume.write { $0.write(page(UInt64(i)), at: 0, [UInt8(i)]) } }
    try volume.waitUntilDurable(last)
    #expect(volume.configurations.count >= 12)
    volume.close()
    let again = try Volume.open(on: fleet, options: options)
    for i in 0..<200 { #expect(try again.bytes(page(UInt64(i)))[0] == UInt8(i)) }
    #expect(again.checkInvariants() == [])
  }

  @Test("a discarded object reads as zeros and its room is used again: the volume does not grow")
  func discard() throws {
    let fleet = try StorageFleet.inMemory(configuration: StorageNodeConfiguration(pageSize: 512))
    defer { fleet.stop() }
    var options = VolumeOptions()
    options.extentPages = 4
    options.groupBytes = ByteCount(512 * 32)
    let volume = try Volume.create(on: fleet, options: options)
    var groups: [Int] = []
    for round in 1...6 {
      let object = UInt64(round)
      var last = LSN.zero
      for i in 0..<40 { last = try volume.write { $0.write(page(UInt64(i), object: object), at: 0, [UInt8(round)]) } }
      try volume.waitUntilDurable(last)
      groups.append(volume.configurations.count)
      let gone = try #require(try volume.discard(ObjectID(object)))
      try volume.waitUntilDurable(gone)
      #expect(try volume.bytes(page(3, object: object)).allSatisfy { $0 == 0 })
      #expect(try volume.discard(ObjectID(object)) == nil)
    }
    #expect((groups.last ?? 0) <= groups[0] + 1, "\(groups)")
    #expect(volume.checkInvariants() == [])
  }
}
