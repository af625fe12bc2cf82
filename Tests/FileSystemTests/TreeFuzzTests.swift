import Borealis
import Testing

@testable import BorealisFileSystem

@Suite("Malformed pages")
struct TreeFuzzTests {
  @Test("random and mutated tree pages are refused or used, never trapped on", arguments: 1...8)
  func pages(seed: UInt64) throws {
    var g = DeterministicGenerator(seed: seed)
    var sound = TreePage(.leaf, level: 0, index: 7, pageSize: 2048)
    for i in 0..<30 {
      let key = TreeKey.entry(InodeNumber(5), hash: UInt64(i), name: Array("n\(i)".utf8))
      sound.insert(at: i, key, [UInt8](repeating: 1, count: 9))
    }
    for _ in 0..<10 { sound.remove(at: g.index(sound.count)) }
    try sound.validate(index: 7)
    var accepted = 0
    for _ in 0..<20_000 {
      var bytes = sound.bytes
      if g.chance(1, in: 10) { bytes = bytes.map { _ in UInt8(truncatingIfNeeded: g.next()) } }
      for _ in 0...g.index(4) {
        bytes[g.chance(1, in: 2) ? g.index(100) : g.index(2048)] = UInt8(truncatingIfNeeded: g.next())
      }
      var page = TreePage(unchecked: bytes)
      guard (try? page.validate(index: 7)) != nil else { continue }
      accepted += 1
      let key = TreeKey.entry(InodeNumber(5), hash: g.below(40), name: [1])
      let (at, found) = page.search(key)
      if !found, page.kind == .leaf, page.hasRoom(key: key.count, value: 9) {
        page.insert(at: at, key, [UInt8](repeating: 2, count: 9))
      }
      if page.count > 0, page.kind == .leaf { page.remove(at: g.index(page.count)) }
      page.compact()
      #expect((try? page.validate(index: 7)) != nil)
    }
    #expect(accepted > 1000)
  }

  @Test("a file system with damaged pages gives errors, never traps", arguments: 1...30)
  func volumes(seed: UInt64) throws {
    var g = DeterministicGenerator(seed: seed)
    let space = InMemoryPageSpace(pageSize: 2048)
    let files = try VolumeFileSystem.format(on: space)
    for i in 0..<200 { try files.create(FileName("file \(i)"), in: .root) }
    let inode = try files.makeDirectory("d", in: .root)
    for i in 0..<20 { try files.unlink(FileName("file \(i)"), in: .root) }
    try files.unmount()
    let pages = UInt64(space.objects[ObjectID(1)] ?? 0)
    for _ in 0..<40 {
      let damaged = OverlaySpace(on: space, limit: .mebibytes(4))
      var transaction = MiniTransaction(pageSize: 2048)
      for _ in 0...g.index(3) {
        let page = PageID(object: ObjectID(1), index: g.below(pages))
        // Where headers, cells and values are, mostly.
        let at = g.chance(1, in: 2) ? g.index(96) : g.index(2040)
        transaction.write(page, at: at, (0...g.index(8)).map { _ in UInt8(truncatingIfNeeded: g.next()) })
      }
      _ = try damaged.commit(transaction)
      var options = FileSystemOptions()
      options.reclaiming = .byHand
      guard let mounted = try? VolumeFileSystem.mount(damaged, options: options) else { continue }
      _ = try? mounted.check()
      _ = try? mounted.list(.root)
      for i in 0..<60 {
        _ = try? mounted.create(FileName("new \(i)"), in: .root)
        _ = try? mounted.unlink(FileName("file \(g.below(200))"), in: .root)
        _ = try? mounted.rename(FileName("file \(g.below(200))"), in: .root, to: FileName("r\(i)"), in: inode)
      }
      _ = try? mounted.reclaim()
    }
  }
}
