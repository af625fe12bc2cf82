import BorealisCore
import BorealisStorageBackend
import BorealisWire
import Testing

@testable import BorealisStorageNode

/// Malformed bytes in every structure of the store: refused with an error, never a trap, never taken for good.
@Suite struct StoreFuzzTests {
  private let identity = StoreIdentity(node: NodeID(1), volume: VolumeID(2))

  private func mutate(_ bytes: [UInt8], _ generator: inout DeterministicGenerator) -> [UInt8] {
    var result = bytes
    for _ in 0...generator.index(4) {
      switch generator.index(4) {
      case 0: result[generator.index(result.count)] ^= 1 << UInt8(generator.below(8))
      case 1: result[generator.index(result.count)] = UInt8(truncatingIfNeeded: generator.next())
      case 2 where result.count > 8:
        let at = generator.index(result.count - 8)
        let value: UInt32 = generator.chance(1, in: 2) ? .max : UInt32(truncatingIfNeeded: generator.next())
        result.storeInteger(value, at: at)
      default: result.removeLast(generator.index(min(result.count, 40)))
      }
      if result.isEmpty { return [0] }
    }
    return result
  }

  @Test func flushBlocks() {
    var generator = DeterministicGenerator(seed: 11)
    let block = FlushBlock(
      sequence: 5, number: 2, offset: 1024, recordBytes: 300, recordCount: 3, knownVDL: LSN(4), previousFlushes: 9)
    var bytes = [UInt8](repeating: 3, count: 512)
    block.store(to: &bytes, identity: identity)
    #expect(bytes.withUnsafeBytes { try? FlushBlock.decode($0, identity: identity) }?.0 == block)
    var accepted = 0
    for _ in 0..<200_000 {
      let mutated = mutate(bytes, &generator)
      if let found = mutated.withUnsafeBytes({ try? FlushBlock.decode($0, identity: identity) }) {
        accepted += 1
        if found.0 != block { Issue.record("taken for \(found)") }
      }
    }
    // Mutations after the header do not concern it.
    #expect(accepted > 0)
  }

  @Test func journalFrames() {
    var generator = DeterministicGenerator(seed: 12)
    var entries: [JournalEntry] = [.fact(.volumeEpoch(VolumeEpoch(1))), .slotsFreed([1, 2]), .chunkRetired(4)]
    entries.append(.fact(.retention(Retention(pins: [LSN(4)]))))
    entries.append(
      .chunkSealed(
        SealedChunk(
          sequence: 1, slot: 2, usedBytes: 3, flushCount: 4, recordCount: 5, indexOffset: 6,
          groups: [ChunkGroup(group: ProtectionGroupID(1), minLSN: LSN(1), maxLSN: LSN(2), count: 2, bytes: 2)])))
    var body = JournalFrame.begin()
    for entry in entries { entry.encode(into: &body) }
    var frame = body
    JournalFrame.seal(&frame, count: entries.count, generation: 1, number: 0)
    for _ in 0..<100_000 {
      let mutated = mutate(frame, &generator)
      if let found = mutated.withUnsafeBytes({ JournalFrame.check($0, generation: 1) }), found.number != 0 {
        Issue.record("frame \(found)")
      }
    }
    // With a right checksum over wrong bytes: the entries' own checks must hold.
    for _ in 0..<100_000 {
      var mutated = mutate(body, &generator)
      if mutated.count < JournalFrame.headerSize { continue }
      JournalFrame.seal(&mutated, count: generator.index(8), generation: 1, number: 0)
      mutated.withUnsafeBytes { raw in
        guard let found = JournalFrame.check(raw, generation: 1) else {
          Issue.record("own frame refused")
          return
        }
        _ = try? JournalFrame.entries(raw, count: found.count, end: found.end)
      }
    }
  }

  @Test func pageSlots() {
    var generator = DeterministicGenerator(seed: 13)
    let slot = PageSlot(
      group: ProtectionGroupID(1), page: PageID(object: ObjectID(2), index: 3), lsn: LSN(4), isAbsent: false)
    let image = [UInt8](repeating: 5, count: 256)
    let bytes = image.withUnsafeBytes { slot.encoded($0, pageSize: 256, identity: identity) }
    #expect(bytes.withUnsafeBytes { try? PageSlot.decode($0, pageSize: 256, identity: identity) } == slot)
    for _ in 0..<200_000 {
      let mutated = mutate(bytes, &generator)
      let found = mutated.withUnsafeBytes { try? PageSlot.decode($0, pageSize: 256, identity: identity) }
      if found != nil, mutated != bytes { Issue.record("a mutated slot was taken") }
    }
  }

  @Test func chunkIndexes() throws {
    var generator = DeterministicGenerator(seed: 14)
    var entries: [RecordEntry] = []
    for lsn in 1...UInt64(20) {
      let header = RecordHeader(
        lsn: LSN(lsn), previousInVolume: LSN(lsn - 1), previousInGroup: LSN(lsn - 1), previousOfPage: .zero,
        page: PageID(object: ObjectID(1), index: lsn % 4), group: ProtectionGroupID(0), epoch: VolumeEpoch(1),
        kind: .delta, isConsistencyPoint: false, payloadSize: 20)
      entries.append(RecordEntry(header, position: 65536 + lsn * 100))
    }
    let bytes = IndexBlock.encode(entries, filter: PageFilter(entries), sequence: 8, identity: identity)
    func decode(_ bytes: [UInt8]) -> [RecordEntry]? {
      bytes.withUnsafeBytes {
        try? IndexBlock.decode($0, records: 20, sequence: 8, identity: identity, positions: 65536..<(65536 + 8192)).1
      }
    }
    #expect(decode(bytes) == entries)
    for _ in 0..<50_000 {
      let mutated = mutate(bytes, &generator)
      if let found = decode(mutated), found != entries { Issue.record("a mutated index was taken") }
    }
  }

  /// Whole files full of mutations: opening succeeds or throws, and what it then shows is consistent.
  @Test(arguments: 0..<60) func files(seed: Int) throws {
    let world = try StoreWorld(seed: UInt64(1000 + seed))
    for _ in 0..<300 { try world.step(faults: false) }
    var generator = DeterministicGenerator(seed: UInt64(seed))
    for file in StorageFile.allCases where generator.chance(1, in: 2) {
      let size = try world.disk.size(of: file).value
      if size == 0 { continue }
      for _ in 0...generator.index(6) {
        let at = generator.below(size)
        let junk = (0...generator.index(64)).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
        try world.disk.perform(.write(file, at: at, junk))
      }
    }
    guard
      var store = try? NodeStore(
        node: NodeID(5), volume: VolumeID(77), backend: world.disk, configuration: world.configuration)
    else { return }
    #expect(store.checkInvariants().isEmpty, "seed \(seed)")
    for group in StoreWorld.groups {
      var entries: [RecordEntry] = []
      while true {
        entries.removeAll()
        do throws(StorageBackendError) {
          try store.log.records(of: group, after: .zero, through: .max, limit: .max, into: &entries)
          break
        } catch {
          // An index and records of a chunk are gone: said once, then what is left is given.
          guard store.log.heedLoss() != nil else { throw error }
        }
      }
      for entry in entries {
        var bytes: [UInt8] = []
        guard (try? store.log.read(entry, into: &bytes)) != nil else { continue }
        if bytes != world.issued[RecordKey(group: group, lsn: entry.lsn)] { Issue.record("seed \(seed): \(entry.lsn)") }
      }
    }
  }
}
