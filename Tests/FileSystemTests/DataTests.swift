import Borealis
import Testing

@Suite("Data, sizes and holes")
struct DataTests {
  @Test("files of 16 TiB, sparse, cut both ways")
  func great() throws {
    let (files, space) = try makeFiles()
    let file = try files.open(try files.create("f", in: .root))
    let size = VolumeFileSystem.fileSizeMax
    try files.write(file, at: size - 3, [1, 2, 3])
    try files.write(file, at: 5 << 40, [4])
    #expect(try files.attributes(of: file).size == size)
    #expect(try files.read(file, at: size - 5, count: 100) == [0, 0, 1, 2, 3])
    #expect(try files.seekData(file, from: 0) == 5 << 40)
    #expect(try files.seekHole(file, from: 5 << 40) == 5 << 40 + 8192)
    #expect(try files.seekData(file, from: 6 << 40) == size - 8192)
    #expect(try files.seekHole(file, from: size - 1) == size)
    #expect(try files.bytesInUse(of: file) == .kibibytes(16))
    let before = space.lastLSN.value
    try files.truncate(file, to: (5 << 40) + 1)
    #expect(space.lastLSN.value == before + 1)
    try files.truncate(file, to: size)
    #expect(try files.read(file, at: size - 3, count: 3) == [0, 0, 0])
    #expect(try files.read(file, at: 5 << 40, count: 2) == [4, 0])
    try files.truncate(file, to: 5 << 40)
    try files.allocate(file, to: 6 << 40)
    try files.allocate(file, to: 1)
    #expect(try files.attributes(of: file).size == 6 << 40)
    #expect(try files.read(file, at: 5 << 40, count: 1) == [0])
    #expect(try files.check().problems == [])
  }

  @Test("a write up to writeBytesMax is one mini-transaction, also across a multiple of it; above, one a part")
  func parts() throws {
    let (files, space) = try makeFiles { $0.writeBytesMax = .kibibytes(64) }
    let file = try files.open(try files.create("f", in: .root))
    var before = space.lastLSN.value
    try files.write(file, at: 60_000, [UInt8](repeating: 1, count: 10_000))
    #expect(space.lastLSN.value == before + 1)
    try files.write(file, at: 60_000, [UInt8](repeating: 2, count: 65_536))
    #expect(space.lastLSN.value == before + 2)
    before = space.lastLSN.value
    try files.write(file, at: 60_000, [UInt8](repeating: 3, count: 65_537))
    #expect(space.lastLSN.value == before + 2)
  }

  @Test("cutting a big file to nothing is one mini-transaction; elsewhere, steps from the end")
  func steps() throws {
    let (files, space) = try makeFiles { $0.discardPagesMax = 100 }
    let file = try files.open(try files.create("f", in: .root))
    let data = (0..<(1000 * 8192)).map { UInt8(truncatingIfNeeded: $0 % 251) }
    try files.write(file, at: 0, data)
    var before = space.lastLSN.value
    try files.truncate(file, to: 300 * 8192 + 10)
    #expect(space.lastLSN.value == before + 7)
    #expect(try files.read(file, at: 0, count: 1 << 30) == Array(data.prefix(300 * 8192 + 10)))
    before = space.lastLSN.value
    try files.truncate(file, to: 0)
    #expect(space.lastLSN.value == before + 1)
    try files.truncate(file, to: 10_000)
    #expect(try files.read(file, at: 0, count: 1 << 30) == [UInt8](repeating: 0, count: 10_000))
    try files.write(file, at: 0, [5])
    try files.reclaim()
    #expect(try files.read(file, at: 0, count: 2) == [5, 0])
    #expect(space.objects.count == 2)
    #expect(try files.check().problems == [])
  }

  @Test("a hole of any shape reads as zeros, and only the hole")
  func holes() throws {
    let (files, _) = try makeFiles {
      $0.discardPagesMax = 3
      $0.discardPagesSmall = 3
    }
    let file = try files.open(try files.create("f", in: .root))
    var g = DeterministicGenerator(seed: 4)
    for _ in 0..<200 {
      var data = [UInt8](repeating: 1, count: 1 + g.index(100_000))
      try files.truncate(file, to: 0)
      try files.write(file, at: 0, data)
      let at = g.index(110_000)
      let count = g.chance(1, in: 5) ? Int.max : g.index(60_000)
      try files.punchHole(file, at: UInt64(at), count: UInt64(count))
      for i in data.indices where i >= at && i - at < count { data[i] = 0 }
      #expect(try files.read(file, at: 0, count: 1 << 20) == data)
    }
    #expect(try files.check().problems == [])
  }

  @Test("overwriting a page of an open file is one mini-transaction of one record, and reads no metadata")
  func overwriting() throws {
    let (files, space) = try makeFiles()
    let file = try files.open(try files.create("f", in: .root))
    try files.write(file, at: 0, [UInt8](repeating: 1, count: 1 << 20))
    let reads = files.statistics.treePagesRead
    let objects = space.objects
    for i in 0..<100 { try files.write(file, at: UInt64(i) * 8192, [UInt8](repeating: 2, count: 8192)) }
    #expect(files.statistics.treePagesRead == reads)
    #expect(space.objects == objects)
    #expect(
      space.changes(after: LSN(space.lastLSN.value - 100)).allSatisfy { $0.count == 1 && $0[0].object != ObjectID(1) })
    try files.write(file, at: 1 << 20, [UInt8](repeating: 3, count: 8192))
    let extending = try #require(space.changes(after: LSN(space.lastLSN.value - 1)).first)
    #expect(extending.count == 2 && extending.filter { $0.object == ObjectID(1) }.count == 1)
  }

  @Test("writes of several ranges with a new size are one mini-transaction, or refused whole")
  func atomically() throws {
    let (files, space) = try makeFiles { $0.discardPagesMax = 50 }
    let file = try files.open(try files.create("f", in: .root))
    let before = space.lastLSN.value
    let lsn = try files.writeAtomically(file, [FileWrite(at: 0, [1]), FileWrite(at: 100_000, [2])], size: 50_000)
    #expect(lsn.value == before + 1)
    #expect(try files.lastChange(of: file) == lsn)
    #expect(try files.attributes(of: file).size == 50_000)
    try files.truncate(file, to: 100_001)
    #expect(try files.read(file, at: 100_000, count: 1) == [0])
    try files.write(file, at: 1 << 20, [UInt8](repeating: 1, count: 1 << 20))
    expectCode(.tooLarge) { _ = try files.writeAtomically(file, [FileWrite(at: 0, [9])], size: 5) }
    #expect(try files.read(file, at: 0, count: 1) == [1])
    #expect(try files.check().problems == [])
  }
}
