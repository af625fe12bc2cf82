import BorealisCore
import BorealisStorageBackend
import BorealisWire
import Testing

@testable import BorealisStorageNode

@Suite struct PageStoreTests {
  private let group = ProtectionGroupID(2)
  private let pageSize = 4096

  private func open(_ disk: some StorageBackend) throws -> NodeStore {
    try NodeStore(
      node: NodeID(1), volume: VolumeID(2), backend: disk,
      configuration: NodeStoreConfiguration(pageSize: pageSize, chunkSize: 65536, logLimit: 1 << 20))
  }
  private func settle(_ store: inout NodeStore, _ disk: some StorageBackend) throws {
    while let job = store.nextBackgroundJob() {
      for operation in job { try disk.perform(operation) }
      _ = store.endBackgroundJob(succeeded: true)
    }
  }
  private func page(_ index: UInt64) -> PageID { PageID(object: ObjectID(index % 3), index: index) }
  private func image(_ index: UInt64, _ lsn: LSN) -> [UInt8] {
    (0..<pageSize).map { UInt8(truncatingIfNeeded: UInt64($0) &* index &+ lsn.value) }
  }
  private func install(_ store: inout NodeStore, _ disk: some StorageBackend, _ index: UInt64, _ lsn: LSN) throws {
    let bytes = image(index, lsn)
    while true {
      let isStaged = bytes.withUnsafeBytes { store.stagePage(group, page(index), lsn: lsn, image: $0, pins: []) }
      if isStaged { return }
      try settle(&store, disk)
    }
  }

  /// Rot in any slot is found by reads and by the scrub, and mended by staging the version again.
  @Test(arguments: 0..<20) func rotIsFound(seed: Int) throws {
    let disk = FaultyStorageBackend(InMemoryStorageBackend(), seed: UInt64(seed))
    var generator = DeterministicGenerator(seed: UInt64(seed))
    var store = try open(disk)
    for index in 0..<UInt64(30) { try install(&store, disk, index, LSN(index + 1)) }
    try settle(&store, disk)
    let slotSize = UInt64(pageSize + 64)
    let hits = disk.flipBits(.pages, in: 0..<(30 * slotSize), count: 4, using: &generator)
    let damagedSlots = Set(hits.map { Int($0 / slotSize) })
    var buffer = [UInt8](repeating: 0, count: pageSize)
    var damaged: [PageID] = []
    for index in 0..<UInt64(30) {
      do throws(StoreReadError) {
        let stored = try read(store, page(index), &buffer)
        #expect(stored?.lsn == LSN(index + 1))
        #expect(buffer == image(index, LSN(index + 1)))
      } catch { damaged.append(page(index)) }
    }
    #expect(damaged.count == damagedSlots.count)
    var cursor = 0
    var scrubbed: [PageID] = []
    scrub: while true {
      switch try store.pages.scrub(&cursor) {
      case .good: continue
      case .damaged(_, let page, let lsn):
        scrubbed.append(page)
        try install(&store, disk, page.index, lsn)
      case .end: break scrub
      }
    }
    #expect(Set(scrubbed) == Set(damaged))
    try settle(&store, disk)
    for index in 0..<UInt64(30) {
      #expect(try read(store, page(index), &buffer)?.lsn == LSN(index + 1))
      #expect(buffer == image(index, LSN(index + 1)))
    }
    #expect(store.checkInvariants().isEmpty)
  }
  private func read(
    _ store: borrowing NodeStore, _ page: PageID, _ buffer: inout [UInt8]
  ) throws(StoreReadError) -> StoredPage? {
    var copy = buffer
    var result: Result<StoredPage?, StoreReadError> = .success(nil)
    copy.withUnsafeMutableBytes { raw in
      do throws(StoreReadError) {
        result = .success(try store.pages.read(group, page, atOrBelow: .max, into: raw))
      } catch { result = .failure(error) }
    }
    buffer = copy
    return try result.get()
  }

  /// A baseline lists every page of the group once, in order, in pieces.
  @Test func listsInOrder() throws {
    let disk = InMemoryStorageBackend()
    var store = try open(disk)
    for index in 0..<UInt64(100) { try install(&store, disk, index * 7 % 100, LSN(index + 1)) }
    try settle(&store, disk)
    var listed: [PageID] = []
    while true {
      let before = listed.count
      store.pages.pages(of: group, after: listed.last, limit: 9, into: &listed)
      if listed.count == before { break }
    }
    #expect(listed == (0..<UInt64(100)).map(page).sorted())
    #expect(store.pages.pageCount(of: group) == 100)
    #expect(store.pages.bytes(of: group) == 100 * UInt64(pageSize + 64))
  }

  /// Space of dropped pages goes back to the disk, and the index forgets the slots.
  @Test func givesSpaceBack() throws {
    let disk = InMemoryStorageBackend()
    var store = try open(disk)
    for index in 0..<UInt64(600) { try install(&store, disk, index, LSN(index + 1)) }
    try settle(&store, disk)
    let full = disk.resident.value
    for index in 0..<UInt64(600) where index < 200 || index >= 300 {
      while !store.stageDrop(group, page(index)) { try settle(&store, disk) }
    }
    try settle(&store, disk)
    #expect(disk.resident.value < full / 2, "\(disk.resident) of \(ByteCount(full))")
    #expect(store.pages.pageCount(of: group) == 100)
    store = try open(disk)
    var buffer = [UInt8](repeating: 0, count: pageSize)
    for index in 200..<UInt64(300) {
      #expect(try read(store, page(index), &buffer)?.lsn == LSN(index + 1))
      #expect(buffer == image(index, LSN(index + 1)))
    }
    for index in 0..<UInt64(150) { try install(&store, disk, 1000 + index, LSN(5000)) }
    try settle(&store, disk)
    #expect(store.checkInvariants().isEmpty)
    #expect(store.pages.pageCount(of: group) == 250)
  }

  /// The table against a dictionary.
  @Test(arguments: 0..<10) func tableAgreesWithDictionary(seed: Int) {
    var generator = DeterministicGenerator(seed: UInt64(seed))
    var table = PageTable()
    var model: [PageID: [(lsn: LSN, slot: UInt32)]] = [:]
    for _ in 0..<4000 {
      let page = PageID(object: ObjectID(generator.below(3)), index: generator.below(120))
      if generator.chance(3, in: 5) {
        let slot = table.allocate()
        let lsn = LSN(generator.below(1000))
        table.install(InstalledPage(group: group, page: page, lsn: lsn, slot: slot))
        var versions = model[page] ?? []
        versions.insert((lsn, slot), at: versions.firstIndex { $0.lsn <= lsn } ?? versions.count)
        model[page] = versions
      } else if let versions = model[page], !versions.isEmpty {
        let i = generator.index(versions.count)
        table.remove(versions[i].slot)
        table.giveBack(versions[i].slot)
        model[page]?.remove(at: i)
      }
    }
    for (page, versions) in model {
      var slots: [UInt32] = []
      var at = table.head(group, page)
      while let slot = at {
        slots.append(slot)
        at = table.older(slot)
      }
      #expect(slots == versions.map(\.slot), "seed \(seed)")
    }
    #expect(table.checkInvariants().isEmpty)
    #expect(table.pageCount == model.values.filter { !$0.isEmpty }.count)
  }
}
