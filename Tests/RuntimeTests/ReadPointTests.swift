import Borealis
import BorealisRuntime
import Foundation
import Testing

/// Reads of a reader instance at a read point: from memory where that is right, and what was there then, always.
@Suite("Reads at a read point")
struct ReadPointTests {
  private static let pages: UInt64 = 4000

  private func write(_ volume: Volume, _ indices: some Sequence<UInt64>, _ byte: UInt8) throws {
    var last = LSN.zero
    for index in indices {
      var transaction = MiniTransaction(pageSize: volume.pageSize)
      transaction.write(page(index), at: 0, [UInt8](repeating: byte, count: volume.pageSize))
      last = try volume.commit(transaction)
    }
    try volume.waitUntilDurable(last)
  }
  private func discard(_ volume: Volume, _ indices: Range<UInt64>) throws {
    var transaction = MiniTransaction(pageSize: volume.pageSize)
    for index in indices { transaction.discard(page(index)) }
    try volume.waitUntilDurable(try volume.commit(transaction))
  }
  /// Reads pages at a read point; the first byte of each.
  private func scan(_ reader: VolumeReaderInstance, _ point: LSN, _ indices: some Sequence<UInt64>) throws -> Set<UInt8>
  {
    var found: Set<UInt8> = []
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: reader.pageSize, alignment: 16)
    defer { buffer.deallocate() }
    for index in indices {
      try reader.read(page(index), at: point, into: buffer)
      guard buffer.allSatisfy({ $0 == buffer[0] }) else { throw VolumeError(.damaged, operation: "scan") }
      found.insert(buffer[0])
    }
    return found
  }

  @Test func aScanIsReadAheadAndKept() async throws {
    let fleet = try StorageFleet.inMemory()
    defer { fleet.stop() }
    let volume = try Volume.create(on: fleet)
    defer { volume.close() }
    try write(volume, 0..<Self.pages, 1)
    // As it was before: each page from storage, one after the other.
    let before = try VolumeReaderInstance(of: volume)
    let clock = ContinuousClock()
    let old = before.openReadPoint()
    let single = try await clock.measure {
      for index in 0..<Self.pages { _ = try await before.read(page(index), at: old) }
    }
    before.close()

    let reader = try VolumeReaderInstance(of: volume)
    defer { reader.close() }
    let point = reader.openReadPoint()
    var found: [Set<UInt8>] = []
    let first = try clock.measure { found.append(try scan(reader, point, 0..<Self.pages)) }
    let cold = reader.statistics
    let second = try clock.measure { found.append(try scan(reader, point, 0..<Self.pages)) }
    #expect(found == [[1], [1]])
    #expect(cold.pagesAhead > Self.pages / 2)
    #expect(reader.statistics.cacheMisses == cold.cacheMisses, "the second scan asked storage for nothing")
    print("\(Self.pages) pages at a read point: one by one \(single), first scan \(first), second \(second)")

    // What changes afterwards is as it was, and kept too; what does not change still comes from the head's cache.
    let changed = stride(from: UInt64(0), to: Self.pages, by: 20)
    try write(volume, changed, 2)
    #expect(reader.waitUntilApplied(volume.vdl))
    #expect(try scan(reader, point, 0..<Self.pages) == [1])
    let warm = reader.statistics
    #expect(warm.cacheMisses - cold.cacheMisses == UInt64(Array(changed).count))
    #expect(try scan(reader, point, 0..<Self.pages) == [1])
    #expect(reader.statistics.cacheMisses == warm.cacheMisses)
    // A newer one beside it.
    let newer = reader.openReadPoint()
    #expect(try scan(reader, newer, changed) == [2])
    #expect(try scan(reader, point, changed) == [1])
    // Discarded: absent at the head, and there at the read points.
    try discard(volume, 1..<10)
    #expect(reader.waitUntilApplied(volume.vdl))
    #expect(try scan(reader, newer, 1..<10) == [1])
    let last = reader.openReadPoint()
    #expect(try scan(reader, last, 1..<10) == [0])
    for point in [point, newer, last] { reader.closeReadPoint(point) }
    #expect(throws: VolumeError.self) { try scan(reader, LSN(volume.vdl.value + 1000), 0..<1) }
  }

  /// Pages of more than the cache holds: bounded, and right.
  @Test func aSmallCacheIsEnough() throws {
    let fleet = try StorageFleet.inMemory()
    defer { fleet.stop() }
    let volume = try Volume.create(on: fleet)
    defer { volume.close() }
    try write(volume, 0..<600, 1)
    let reader = try VolumeReaderInstance(of: volume, cacheBytes: .mebibytes(1))
    defer { reader.close() }
    let point = reader.openReadPoint()
    try write(volume, 0..<600, 2)
    #expect(reader.waitUntilApplied(volume.vdl))
    for _ in 0..<3 { #expect(try scan(reader, point, 0..<600) == [1]) }
    #expect(try scan(reader, reader.appliedVDL, 0..<600) == [2])
    reader.closeReadPoint(point)
  }
}
