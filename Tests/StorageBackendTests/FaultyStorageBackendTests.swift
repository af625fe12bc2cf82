import BorealisCore
import BorealisStorageBackend
import Testing

private typealias Faulty = FaultyStorageBackend<InMemoryStorageBackend>

@Suite struct FaultyStorageBackendTests {
  /// A random change of a file of up to 100,000 bytes.
  private func change(_ backend: Faulty, _ generator: inout DeterministicGenerator) throws {
    let offset = generator.below(100_000)
    switch generator.index(10) {
    case 0...5: try backend.put(.pages, at: offset, generator.bytes(1 + generator.index(5_000)))
    case 6: try backend.truncate(.pages, to: ByteCount(offset))
    case 7: try backend.reserve(.pages, upTo: ByteCount(offset))
    default: try backend.release(.pages, from: offset, length: ByteCount(generator.below(40_000)))
    }
  }

  @Test(arguments: UInt64(1)...60)
  func droppingAllGoesBackToTheLastSync(seed: UInt64) throws {
    var generator = DeterministicGenerator(seed: seed)
    let backend = Faulty(InMemoryStorageBackend())
    for round in 0..<6 {
      for _ in 0..<generator.index(8) { try change(backend, &generator) }
      try backend.sync(.pages)
      let synced = try backend.contents(.pages)
      for _ in 0..<generator.index(12) { try change(backend, &generator) }
      backend.crash(using: &generator, .dropAll)
      #expect(try backend.contents(.pages) == synced, "seed \(seed), round \(round)")
      #expect(!backend.hasUnsyncedChanges(.pages))
      // Bytes beyond the end that came and went must not come back.
      try backend.truncate(.pages, to: ByteCount(120_000))
      let tail = try backend.bytes(.pages, at: UInt64(synced.count), count: 120_000 - synced.count)
      #expect(tail.allSatisfy { $0 == 0 }, "seed \(seed), round \(round): beyond the end")
    }
  }

  @Test(arguments: UInt64(1)...20)
  func keepingAllChangesNothing(seed: UInt64) throws {
    var generator = DeterministicGenerator(seed: seed)
    let backend = Faulty(InMemoryStorageBackend())
    for _ in 0..<30 { try change(backend, &generator) }
    let before = try backend.contents(.pages)
    let report = backend.crash(using: &generator, .keepAll)
    #expect(try backend.contents(.pages) == before, "seed \(seed)")
    #expect(report.lostSectors == 0)
  }

  /// Whatever a random crash mixes, every byte is one that stood there since the last sync (or zero where the end moved).
  @Test(arguments: UInt64(1)...40)
  func randomCrashesInventNothing(seed: UInt64) throws {
    var generator = DeterministicGenerator(seed: seed)
    let backend = Faulty(InMemoryStorageBackend())
    for _ in 0..<5 { try change(backend, &generator) }
    try backend.sync(.pages)
    var versions = [try backend.contents(.pages)]
    for _ in 0..<8 {
      try change(backend, &generator)
      versions.append(try backend.contents(.pages))
    }
    backend.crash(using: &generator)
    let found = try backend.contents(.pages)
    let sizes = versions.map(\.count)
    #expect(found.count <= sizes.max() ?? 0 && found.count >= sizes.min() ?? 0, "seed \(seed)")
    let invented = found.indices.first { index in
      found[index] != 0 && !versions.contains { index < $0.count && $0[index] == found[index] }
    }
    #expect(invented == nil, "seed \(seed)")
  }

  @Test func randomCrashesTearWrites() throws {
    var generator = DeterministicGenerator(seed: 5)
    let backend = Faulty(InMemoryStorageBackend())
    try backend.put(.log, at: 0, [UInt8](repeating: 1, count: 512 * 64))
    try backend.sync(.log)
    try backend.put(.log, at: 0, [UInt8](repeating: 2, count: 512 * 64))
    let report = backend.crash(using: &generator)
    let firsts = try (0..<64).map { try backend.bytes(.log, at: UInt64($0) * 512, count: 1)[0] }
    let kept = firsts.count { $0 == 2 }
    #expect(kept > 15 && kept < 49, "\(kept) of 64 sectors kept")
    #expect(report.keptSectors == kept && report.lostSectors == 64 - kept)
  }

  @Test func sameSeedSameDisk() throws {
    func run() throws -> ([UInt8], StorageCounters) {
      var generator = DeterministicGenerator(seed: 99)
      let backend = Faulty(InMemoryStorageBackend(), seed: 3)
      backend.inject(.tearWrite("torn", file: .pages, nth: 4))
      for round in 0..<10 {
        for _ in 0..<5 { try? change(backend, &generator) }
        if round % 3 == 0 { try backend.sync(.pages) }
        backend.crash(using: &generator)
        backend.flipBits(.pages, in: 0..<100_000, count: 3, using: &generator)
      }
      return (try backend.contents(.pages), backend.counters)
    }
    let (first, second) = (try run(), try run())
    #expect(first.0 == second.0)
    #expect(first.1 == second.1)
  }

  @Test func aCrashWithNothingUnsyncedDrawsNothing() throws {
    var generator = DeterministicGenerator(seed: 1)
    let backend = Faulty(InMemoryStorageBackend())
    try backend.put(.log, at: 0, [1])
    try backend.sync(.log)
    let before = generator
    #expect(backend.crash(using: &generator) == StorageCrashReport())
    #expect(generator == before)
  }

  @Test func failsTheNthWriteOfAFile() throws {
    let backend = Faulty(InMemoryStorageBackend())
    backend.inject(.failWrite("third", file: .log, nth: 3, code: .inputOutput))
    try backend.put(.log, at: 0, [1])
    try backend.put(.pages, at: 0, [1])
    try backend.put(.log, at: 1, [2])
    #expect(code { () throws(StorageBackendError) in try backend.put(.log, at: 2, [3]) } == .inputOutput)
    #expect(backend.firings(of: "third") == 1)
    #expect(try backend.contents(.log) == [1, 2])
    try backend.put(.log, at: 2, [3])
    #expect(backend.counters(of: .log).writes == 4)
    #expect(backend.counters(of: .log).failures == 1)
    #expect(backend.counters.writes == 5)
  }

  @Test func tearsAWriteAtSectors() throws {
    let backend = Faulty(InMemoryStorageBackend())
    try backend.put(.log, at: 0, [UInt8](repeating: 1, count: 2_048))
    backend.inject(.tearWrite("torn", file: .log, sectors: 2))
    let bytes = [UInt8](repeating: 2, count: 1_500)
    #expect(code { () throws(StorageBackendError) in try backend.put(.log, at: 100, bytes) } == .injected)
    let expected = [UInt8](repeating: 1, count: 100) + [UInt8](repeating: 2, count: 924)
    #expect(try backend.contents(.log) == expected + [UInt8](repeating: 1, count: 1_024))
    // Never the whole write, however many sectors are asked for.
    backend.inject(.tearWrite("torn", file: .log, sectors: 100))
    #expect(code { () throws(StorageBackendError) in try backend.put(.log, at: 0, [9]) } == .injected)
    #expect(try backend.bytes(.log, at: 0, count: 1) == [1])
  }

  @Test func aFailedSyncLeavesWritesUnsyncedAndALaterOneSavesThem() throws {
    var generator = DeterministicGenerator(seed: 1)
    let backend = Faulty(InMemoryStorageBackend())
    backend.inject(.failSync("sync", file: .log))
    try backend.put(.log, at: 0, [1])
    #expect(code { () throws(StorageBackendError) in try backend.sync(.log) } == .inputOutput)
    #expect(backend.hasUnsyncedChanges(.log))
    try backend.sync(.log)
    backend.crash(using: &generator, .dropAll)
    #expect(try backend.contents(.log) == [1])
  }

  @Test func aForgottenSyncLosesWritesThatLaterSyncsSeemToSave() throws {
    var generator = DeterministicGenerator(seed: 1)
    let backend = Faulty(InMemoryStorageBackend())
    try backend.put(.log, at: 0, [UInt8](repeating: 1, count: 1_536))
    try backend.sync(.log)
    backend.inject(StorageFault("gone", file: .log, operation: .sync, effect: .failAndForget))
    try backend.put(.log, at: 0, [UInt8](repeating: 2, count: 2_048))
    #expect(code { () throws(StorageBackendError) in try backend.sync(.log) } == .inputOutput)
    // Written again: the second sector. Only that one is durable; a later unsynced write changes nothing about it.
    try backend.put(.log, at: 512, [UInt8](repeating: 3, count: 512))
    try backend.sync(.log)
    #expect(try backend.bytes(.log, at: 0, count: 1) == [2], "the cache still shows it")
    try backend.put(.log, at: 512, [UInt8](repeating: 4, count: 512))
    backend.crash(using: &generator, .dropAll)
    let expected = [1, 3, 1].flatMap { [UInt8](repeating: $0, count: 512) }
    #expect(try Array(backend.contents(.log).prefix(1_536)) == expected)
    #expect(try backend.bytes(.log, at: 1_536, count: 512).allSatisfy { $0 == 0 })
  }

  @Test func aLyingSyncMakesNothingDurable() throws {
    var generator = DeterministicGenerator(seed: 1)
    let backend = Faulty(InMemoryStorageBackend())
    backend.inject(.lieAboutSync("liar", file: nil))
    try backend.put(.log, at: 0, [1])
    try backend.sync(.log)
    try backend.sync(.log)
    #expect(backend.firings(of: "liar") == 2)
    backend.crash(using: &generator, .dropAll)
    #expect(try backend.size(of: .log) == ByteCount(0))
    backend.removeFaults(labelled: "liar")
    try backend.put(.log, at: 0, [2])
    try backend.sync(.log)
    backend.crash(using: &generator, .dropAll)
    #expect(try backend.contents(.log) == [2])
  }

  @Test func aFullDiskTakesOnlyWhatNeedsNoSpace() throws {
    let backend = Faulty(InMemoryStorageBackend())
    try backend.reserve(.log, upTo: ByteCount(10_000))
    try backend.release(.log, from: 4_000, length: ByteCount(1_000))
    backend.setFull(true)
    try backend.put(.log, at: 0, [1])
    try backend.put(.log, at: 9_999, [1])
    #expect(code { () throws(StorageBackendError) in try backend.put(.log, at: 10_000, [1]) } == .noSpace)
    #expect(code { () throws(StorageBackendError) in try backend.put(.log, at: 4_500, [1]) } == .noSpace)
    #expect(
      code { () throws(StorageBackendError) in try backend.reserve(.log, upTo: ByteCount(10_001)) } == .noSpace)
    try backend.reserve(.log, upTo: ByteCount(10_000))
    #expect(try backend.bytes(.log, at: 0, count: 1) == [1])
    backend.setFull(false)
    try backend.put(.log, at: 4_500, [1])
    try backend.reserve(.log, upTo: ByteCount(10_001))
  }

  @Test func bitsFlipInSyncedSectorsOnly() throws {
    var generator = DeterministicGenerator(seed: 8)
    let backend = Faulty(InMemoryStorageBackend())
    let bytes = [UInt8](repeating: 0x55, count: 8_192)
    try backend.put(.pages, at: 0, bytes)
    try backend.sync(.pages)
    try backend.put(.pages, at: 4_096, bytes)
    let hit = backend.flipBits(.pages, in: 0..<8_192, count: 20, using: &generator)
    #expect(hit.count == 20)
    let found = try backend.bytes(.pages, at: 0, count: 8_192)
    let changed = found.indices.filter { found[$0] != 0x55 }
    #expect(changed == hit.map(Int.init).sorted())
    #expect(changed.allSatisfy { $0 < 4_096 && (found[$0] ^ 0x55).nonzeroBitCount == 1 })
    // Rot is not undone by a crash, and is not looked for beyond the end.
    backend.crash(using: &generator, .dropAll)
    #expect(try backend.bytes(.pages, at: 0, count: 4_096) == Array(found[..<4_096]))
    #expect(backend.flipBits(.pages, in: 50_000..<60_000, count: 5, using: &generator).isEmpty)
  }

  @Test func closesAndOpensAgainAroundACrash() throws {
    var generator = DeterministicGenerator(seed: 2)
    let backend = Faulty(InMemoryStorageBackend())
    try backend.put(.log, at: 0, [1])
    try backend.sync(.log)
    try backend.put(.log, at: 0, [2])
    #expect(code { () throws(StorageBackendError) in try backend.reopen() } == .locked)
    backend.close()
    #expect(code { () throws(StorageBackendError) in try backend.sync(.log) } == .closed)
    backend.crash(using: &generator, .dropAll)
    try backend.reopen()
    #expect(try backend.contents(.log) == [1])
  }

  @Test func slownessIsOnlyTold() {
    let backend = Faulty(InMemoryStorageBackend())
    backend.slowDown = 5_000_000
    #expect(backend.slowDown == 5_000_000)
    backend.heal()
    #expect(backend.slowDown == 0)
  }
}
