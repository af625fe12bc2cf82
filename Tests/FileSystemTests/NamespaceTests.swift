import Borealis
import Testing

/// Runs `body` and expects this error.
func expectCode(_ code: FileSystemError.Code, _ body: () throws -> Void) {
  let error = #expect(throws: FileSystemError.self) { try body() }
  #expect(error?.code == code)
}

@Suite("Names, errors and limits")
struct NamespaceTests {
  @Test("every error has its number")
  func numbers() throws {
    let (files, space) = try makeFiles()
    let directory = try files.makeDirectory("d", in: .root)
    let file = try files.open(try files.create("f", in: directory))
    func expect(_ errno: Int32, _ body: () throws -> Void) {
      let error = #expect(throws: FileSystemError.self) { try body() }
      #expect(error?.errno == errno)
    }
    expect(2) { _ = try files.lookup("none", in: .root) }
    expect(2) { _ = try files.attributes(of: InodeNumber(99)) }
    expect(17) { try files.makeDirectory("d", in: .root) }
    expect(20) { _ = try files.lookup("x", in: file.inode) }
    expect(20) { try files.removeDirectory("f", in: directory) }
    expect(21) { try files.unlink("d", in: .root) }
    expect(21) { try files.write(try files.open(directory), at: 0, [1]) }
    expect(21) { _ = try files.read(try files.open(directory), at: 0, count: 0 + 1) }
    expect(39) { try files.removeDirectory("d", in: .root) }
    expect(36) { try files.create(FileName(String(repeating: "n", count: 256)), in: .root) }
    expect(36) { try files.makeSymbolicLink("l", in: .root, target: [UInt8](repeating: 65, count: 4096)) }
    for bad in ["", ".", "..", "a/b", "a\0b"] { expect(22) { try files.create(FileName(bad), in: .root) } }
    expect(22) { _ = try files.readLink(directory) }
    expect(22) { try files.rename("d", in: .root, to: "x", in: directory) }
    expect(27) { try files.write(file, at: 1 << 44, [1]) }
    expect(27) { try files.write(file, at: .max, [1]) }
    expect(27) { try files.truncate(file, to: (1 << 44) + 1) }
    expect(31) { try files.link(directory, as: "x", in: .root) }
    expect(6) { _ = try files.seekData(file, from: 0) }
    try files.makeSymbolicLink("loop", in: .root, target: Array("/loop".utf8))
    expect(40) { _ = try files.attributes(at: "/loop") }
    try files.close(file)
    expect(9) { try files.close(file) }
    expect(9) { try files.write(file, at: 0, [1]) }
    let view = try VolumeFileSystem.readOnly(on: space)
    expect(30) { try view.create("x", in: .root) }
    expect(30) { try view.write(try view.open(file.inode), at: 0, [1]) }
    let full = try VolumeFileSystem.mount(OverlaySpace(on: space, limit: .kibibytes(32)))
    expect(28) { try full.write(try full.open(file.inode), at: 0, [UInt8](repeating: 1, count: 1 << 20)) }
    expect(5) {
      space.failCommits(VolumeError(.fenced, operation: "commit"))
      try files.create("x", in: .root)
    }
    space.failCommits(nil)
    expect(17) { _ = try VolumeFileSystem.format(on: space) }
    expect(2) { _ = try VolumeFileSystem.mount(InMemoryPageSpace()) }
    expect(22) { _ = try VolumeFileSystem.format(on: InMemoryPageSpace(pageSize: 1024)) }
    #expect(FileSystemError.Code.allCases.allSatisfy { FileSystemError($0, operation: "x").errno > 0 })
    #expect(try files.check().problems == [])
  }

  @Test("a commit that fails leaves nothing behind, in memory or on the volume")
  func failedCommits() throws {
    let (files, space) = try makeFiles()
    let file = try files.open(try files.create("f", in: .root))
    try files.write(file, at: 0, [1, 2, 3])
    let before = try files.dump()
    space.failCommits(VolumeError(.unavailable, operation: "commit"))
    let failing: [() throws -> Void] = [
      { try files.create("g", in: .root) }, { try files.unlink("f", in: .root) },
      { try files.rename("f", in: .root, to: "h", in: .root) }, { try files.write(file, at: 0, [9]) },
      { try files.write(file, at: 9, [9]) }, { try files.truncate(file, to: 1) },
      { try files.setAttributes(of: file.inode, AttributeChange(mode: 0o600)) },
      { try files.makeSymbolicLink("l", in: .root, target: [65]) },
    ]
    for operation in failing { expectCode(.volume, operation) }
    space.failCommits(nil)
    #expect(try files.dump() == before)
    try files.create("g", in: .root)
    try files.write(file, at: 3, [4])
    #expect(try files.read(file, at: 0, count: 9) == [1, 2, 3, 4])
    #expect(try files.check().problems == [])
  }

  @Test("listing in batches gives each name once, even where all hashes are equal", arguments: [false, true])
  func listing(collide: Bool) throws {
    let (files, _) = try makeFiles { if collide { $0.nameHash = { UInt64($0.count) << 32 } } }
    let names = Set((0..<500).map { FileName("file \($0)") })
    for name in names { try files.create(name, in: .root) }
    var found: [DirectoryEntry] = []
    while true {
      let batch = try files.list(.root, after: found.last?.cookie ?? 0, limit: 7)
      if batch.isEmpty { break }
      found += batch
      // What comes and goes in between does not matter.
      try files.create(FileName("passing \(found.count)"), in: .root)
      try files.unlink(FileName("passing \(found.count)"), in: .root)
    }
    #expect(found.filter { names.contains($0.name) }.count == names.count)
    #expect(Set(found.map(\.name)).isSuperset(of: names))
    #expect(zip(found, found.dropFirst()).allSatisfy { $0.cookie <= $1.cookie })
    #expect(found.allSatisfy { $0.cookie >= 16 && $0.cookie < 1 << 63 })
  }

  @Test("deep directories, long names, and paths with links")
  func paths() throws {
    let (files, _) = try makeFiles()
    let long = String(repeating: "d", count: 255)
    let path = (0..<100).map { _ in "/" + long }.joined()
    let deep = try files.makeDirectories(at: path)
    #expect(try files.makeDirectories(at: path) == deep)
    let file = try files.file(at: path + "/f", .exclusive)
    try files.write(file, at: 0, Array("deep".utf8))
    try files.makeSymbolicLink("short", in: .root, target: Array(path.dropFirst().utf8.prefix(15 * 256 - 1)))
    #expect(try files.attributes(at: "/short").type == .directory)
    #expect(try files.attributes(at: "/short", followingLastLink: false).type == .symbolicLink)
    #expect(try files.attributes(at: path + "/../" + long + "/f").inode == file.inode)
    #expect(try files.lookup("..", in: .root).inode == .root)
    expectCode(.invalidArgument) { try files.rename(FileName(long), in: .root, to: "x", in: deep) }
    expectCode(.notDirectory) { try files.makeDirectories(at: path + "/f") }
    #expect(try files.check().problems == [])
  }

  @Test("times: lazily written, by sync and by the last close; and set by hand")
  func times() throws {
    let clock = Counter()
    let (files, space) = try makeFiles { $0.clock = { clock.next() } }
    let file = try files.open(try files.create("f", in: .root))
    try files.write(file, at: 0, [1])
    let written = try files.attributes(of: file).modified
    let before = space.lastLSN
    try files.write(file, at: 0, [2])
    #expect(space.lastLSN.value == before.value + 1)
    let lazy = try files.attributes(of: file).modified
    #expect(lazy > written)
    #expect(try VolumeFileSystem.readOnly(on: space).attributes(of: file.inode).modified == written)
    try files.sync(file, .data)
    #expect(try VolumeFileSystem.readOnly(on: space).attributes(of: file.inode).modified == written)
    try files.sync(file)
    #expect(try VolumeFileSystem.readOnly(on: space).attributes(of: file.inode).modified == lazy)
    try files.write(file, at: 0, [3])
    try files.close(file)
    #expect(try VolumeFileSystem.readOnly(on: space).attributes(of: file.inode).modified > lazy)
    #expect(try files.attributes(of: .root).modified > 1_000_000)
    for i in 0..<400 { try files.create("x", in: try files.makeDirectory(FileName("d\(i)"), in: .root)) }
    #expect(files.statistics.inodesInMemory <= 140)
    try files.syncAll()
    let view = try VolumeFileSystem.readOnly(on: space)
    for i in 0..<400 {
      let directory = try files.attributes(at: "/d\(i)")
      #expect(try view.attributes(of: directory.inode) == directory)
    }
  }

  @Test("unlinked while open: data stays until the last close, and goes at the mount after a crash")
  func orphans() throws {
    let (files, space) = try makeFiles()
    let inode = try files.create("f", in: .root)
    let (one, two) = (try files.open(inode), try files.open(inode))
    try files.write(one, at: 0, [UInt8](repeating: 7, count: 100_000))
    try files.unlink("f", in: .root)
    try files.write(two, at: 100_000, [8])
    #expect(try files.read(one, at: 99_999, count: 9) == [7, 8])
    #expect(try files.attributes(of: two).links == 0)
    let crashed = space.prefix(upTo: space.lastLSN)
    try files.close(one)
    #expect(try files.read(two, at: 0, count: 1) == [7])
    try files.close(two)
    expectCode(.notFound) { _ = try files.attributes(of: inode) }
    try files.reclaim()
    #expect(space.objects.count == 1)
    #expect(crashed.objects.count == 2)
    let again = try VolumeFileSystem.mount(crashed)
    #expect(try again.check().orphans == 0)
    try again.reclaim()
    #expect(crashed.objects.count == 1)
  }
}

extension AttributeChange {
  init(mode: UInt16) {
    self.init()
    self.mode = mode
  }
}
