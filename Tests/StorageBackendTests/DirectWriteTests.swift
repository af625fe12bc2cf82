import BorealisCore
import BorealisFileStorageBackend
import BorealisStorageBackend
import Testing

/// Small writes of whole sectors to the log's reserved space go around the page cache: nobody may notice.
@Suite struct DirectWriteTests {
  private static let sector = 512
  private func sectors(_ count: Int, _ value: UInt8) -> [UInt8] {
    [UInt8](repeating: value, count: count * DirectWriteTests.sector)
  }

  /// Both ways of writing side by side, in the same 4 KiB: each sees what the other has written, also when opened again.
  @Test func theyAgreeWithThePageCache() throws {
    let place = try TemporaryDirectory()
    var backend = try FileStorageBackend(directory: place.path)
    try backend.reserve(.log, upTo: .mebibytes(1))
    var model = [UInt8](repeating: 0, count: 1 << 20)
    var g = DeterministicGenerator(seed: 0xD1)
    for round in 0..<600 {
      // Whole sectors, and pieces that have to go through the cache.
      let isWhole = g.chance(2, in: 3)
      let count = isWhole ? (1 + g.index(g.chance(1, in: 8) ? 200 : 16)) * 512 : 1 + g.index(3000)
      let offset = isWhole ? g.index((model.count - count) / 512 + 1) * 512 : g.index(model.count - count + 1)
      let bytes = (0..<count).map { _ in UInt8(truncatingIfNeeded: g.next()) }
      try backend.put(.log, at: UInt64(offset), bytes)
      model.replaceSubrange(offset..<(offset + count), with: bytes)
      if g.chance(1, in: 3) { try backend.sync(.log) }
      if g.chance(1, in: 4) {
        let from = max(0, offset - 5000)
        let end = min(model.count, offset + count + 5000)
        #expect(try backend.bytes(.log, at: UInt64(from), count: end - from) == Array(model[from..<end]), "\(round)")
      }
      if g.chance(1, in: 100) {
        backend.close()
        backend = try FileStorageBackend(directory: place.path)
      }
    }
    #expect(try backend.bytes(.log, at: 0, count: model.count) == model)
  }

  /// One at the end of the reserved space, and one beyond it.
  @Test func theEndOfTheFileMoves() throws {
    let place = try TemporaryDirectory()
    let backend = try FileStorageBackend(directory: place.path)
    try backend.reserve(.log, upTo: ByteCount(8192))
    try backend.put(.log, at: 4096, sectors(8, 1))
    try backend.put(.log, at: 8192 - 512, sectors(2, 2))
    #expect(try backend.size(of: .log) == ByteCount(8192 + 512))
    try backend.sync(.log)
    #expect(try backend.bytes(.log, at: 4096, count: 4608) == sectors(7, 1) + sectors(2, 2))
    try backend.truncate(.log, to: ByteCount(4096 + 1024))
    #expect(try backend.bytes(.log, at: 4096, count: 2048) == sectors(2, 1) + sectors(2, 0))
    try backend.release(.log, from: 0, length: ByteCount(4096 + 512))
    #expect(try backend.bytes(.log, at: 4096, count: 1024) == sectors(1, 0) + sectors(1, 1))
    try backend.sync(.log)
  }

  /// As after a failed flush: the device may not have flushed.
  @Test func afterAFailedOneTheFileRefusesChangesUntilOpenedAgain() throws {
    let place = try FilePlace(onOwnFileSystem: false)
    let backend = try place.open()
    try backend.reserve(.log, upTo: .mebibytes(1))
    try backend.put(.log, at: 0, sectors(2, 1))
    // Where there is no second descriptor, this system has no such writes.
    guard (try? place.setFails(true, of: .log, descriptor: 1)) != nil else { return }
    #expect(code { () throws(StorageBackendError) in try backend.put(.log, at: 0, sectors(1, 2)) } == .inputOutput)
    try place.setFails(false, of: .log, descriptor: 1)
    for _ in 0..<2 {
      #expect(code { () throws(StorageBackendError) in try backend.put(.log, at: 0, sectors(1, 3)) } == .inputOutput)
      #expect(code { () throws(StorageBackendError) in try backend.put(.log, at: 7, [3]) } == .inputOutput)
      #expect(code { () throws(StorageBackendError) in try backend.sync(.log) } == .inputOutput)
    }
    #expect(try backend.bytes(.log, at: 0, count: 1024) == sectors(2, 1), "reads go on")
    backend.close()
    let again = try place.open()
    try again.put(.log, at: 0, sectors(1, 4))
    #expect(try again.bytes(.log, at: 0, count: 1024) == sectors(1, 4) + sectors(1, 1))
  }

  /// What came before a direct write and was not flushed is flushed by `sync` all the same.
  @Test func syncIsNotForgotten() throws {
    let place = try FilePlace(onOwnFileSystem: false)
    let backend = try place.open()
    try backend.reserve(.log, upTo: .mebibytes(1))
    try backend.sync(.log)
    try backend.put(.log, at: 100_000, [1, 2, 3])
    try backend.put(.log, at: 0, sectors(1, 1))
    try place.setSyncsFail(true, of: .log)
    #expect(code { () throws(StorageBackendError) in try backend.sync(.log) } == .inputOutput)
    try place.setSyncsFail(false, of: .log)
  }
}
