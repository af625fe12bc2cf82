import BorealisCore
import BorealisWire
import Testing

@testable import BorealisVolume

@Suite("Extents of different sizes")
struct ExtentLayoutTests {
  @Test(
    "extents lie side by side, and each page is in its own",
    arguments: [(1024, 8), (1024, 0), (4, 8), (100, 3), (17, 1)])
  func sideBySide(pages: UInt64, first: UInt64) {
    let layout = ExtentLayout(pages: pages, firstPages: first)
    var end: UInt64 = 0
    for extent in 0..<UInt64(40) {
      #expect(layout.start(of: extent) == end)
      #expect(layout.size(of: extent) > 0 && layout.size(of: extent) <= pages)
      end += layout.size(of: extent)
    }
    var random = DeterministicGenerator(seed: pages)
    for _ in 0..<2000 {
      let page = random.below(random.chance(1, in: 2) ? 3000 : 1 << 50)
      let extent = layout.extent(of: page)
      #expect(layout.start(of: extent) <= page && page - layout.start(of: extent) < layout.size(of: extent))
      if layout.firstPages == 0 { #expect(extent == page / pages) }
    }
    #expect(ExtentLayout(pages: 1024, firstPages: 8).start(of: 3) == 1024)
  }

  @Test("450,000 files of one page take three groups of 10 GiB, and are read back")
  func smallFiles() throws {
    var catalog = VolumeCatalog(pageSize: 8192, extentPages: 1024, groupPages: 1_310_720, firstExtentPages: 8)
    for object in 0..<UInt64(450_000) {
      let planned = catalog.plan(PageID(object: ObjectID(object + 2), index: 0), groupCount: 3)
      let entry = try #require(planned)
      catalog.makeLive(entry)
    }
    // Big extents find room beside small ones.
    let planned = catalog.plan(PageID(object: ObjectID(1), index: 5000), groupCount: 3)
    let big = try #require(planned)
    catalog.makeLive(big)
    #expect(catalog.checkInvariants() == [])
    var superblock: [UInt8] = []
    catalog.encodeSuperblock(into: &superblock)
    var bytes: [UInt8] = []
    for number in catalog.entries.indices { catalog.encodeEntry(number, into: &bytes) }
    var copy = VolumeCatalog(pageSize: 8192, extentPages: 1, groupPages: 1)
    _ = try superblock.withUnsafeBytesTyped { raw throws(DecodeError) in try copy.load(superblock: raw) }
    try bytes.withUnsafeBytesTyped { raw throws(DecodeError) in try copy.apply(entries: raw, from: 0, lsn: LSN(1)) }
    #expect(copy.layout == catalog.layout && copy.used == catalog.used)
    #expect(copy.entry(of: PageID(object: ObjectID(1), index: 4097)) == big)
    #expect(copy.pagesInUse(of: ObjectID(1), from: 0) == 4096..<5120)
    #expect(copy.pagesInUse(of: ObjectID(7), from: 3) == 3..<8)
    #expect(copy.pagesInUse(of: ObjectID(7), from: 8) == nil)
  }
}
