import BorealisCore
import BorealisStorageBackend
import Testing

@Suite struct InMemoryStorageBackendTests {
  @Test func reservedSpaceTakesNoMemory() throws {
    let backend = InMemoryStorageBackend()
    try backend.reserve(.log, upTo: .gibibytes(64))
    #expect(backend.used == .gibibytes(64))
    #expect(backend.resident == ByteCount(0))
    try backend.put(.log, at: 40 << 30, [1])
    #expect(backend.resident == .kibibytes(64))
    #expect(try backend.bytes(.log, at: (40 << 30) - 1, count: 3) == [0, 1, 0])
  }

  @Test func releasedBlocksAreFreed() throws {
    let backend = InMemoryStorageBackend()
    try backend.put(.pages, at: 0, [UInt8](repeating: 1, count: 10 * 65_536))
    #expect(backend.resident == .kibibytes(640))
    try backend.release(.pages, from: 1, length: .kibibytes(128))
    #expect(backend.resident == .kibibytes(576), "only whole blocks are freed")
    try backend.truncate(.pages, to: ByteCount(65_536))
    #expect(backend.resident == .kibibytes(64))
    try backend.truncate(.pages, to: ByteCount(0))
    #expect(backend.resident == ByteCount(0))
    #expect(backend.used == ByteCount(0))
  }

  @Test func aWriteThatFindsNoSpaceChangesNothing() throws {
    let backend = InMemoryStorageBackend(capacity: .kibibytes(128))
    try backend.put(.log, at: 0, [UInt8](repeating: 1, count: 1_000))
    // The first of its blocks would still fit.
    #expect(code { try? backend.put(.log, at: 60_000, [2]) } == nil)
    let before = try backend.contents(.log)
    #expect(
      code { () throws(StorageBackendError) in
        try backend.put(.log, at: 500, [UInt8](repeating: 3, count: 200_000))
      } == .noSpace)
    #expect(try backend.contents(.log) == before)
    #expect(backend.used == .kibibytes(64))
    // The capacity is for all files together.
    try backend.put(.journalA, at: 0, [4])
    #expect(code { () throws(StorageBackendError) in try backend.put(.journalB, at: 0, [5]) } == .noSpace)
    try backend.truncate(.journalA, to: ByteCount(0))
    try backend.put(.journalB, at: 0, [5])
  }

  @Test func impossibleOffsetsAreRefused() throws {
    let backend = InMemoryStorageBackend()
    #expect(code { () throws(StorageBackendError) in try backend.put(.log, at: .max - 1, [1, 2, 3]) } == .noSpace)
    #expect(code { () throws(StorageBackendError) in try backend.truncate(.log, to: .tebibytes(17)) } == .noSpace)
    #expect(try backend.bytes(.log, at: .max - 1, count: 5) == [0, 0, 0, 0, 0])
    try backend.release(.log, from: .max - 1, length: ByteCount(.max))
  }
}
