import Borealis
import BorealisCore
import Testing

@testable import BorealisFileSystem

/// A view that moves to newer read points while its standby replays, compared block by block with what the log says.
@Suite("File system: views that follow")
struct FollowerTests {
  private static let steps = 3000

  @Test func whatAStandbyReadsIsWhatItsReplaySays() throws {
    var (moves, dropped) = (0, 0)
    for seed in 1...environment("BOREALIS_FS_SEEDS", default: 12) {
      var world = try FollowerWorld(seed: seed)
      do {
        for _ in 0..<Self.steps { try world.step() }
        try world.checkAll()
        try world.settle()
        try world.checkAll()
      } catch {
        Issue.record("seed \(seed): \(error)")
        continue
      }
      #expect(world.moves > 10, "seed \(seed)")
      moves += world.moves
      dropped += world.dropped
    }
    print("\(moves) moves, \(dropped) pages given back")
    #expect(dropped > 200)
  }

  /// The model notices a view that moves before the replay has come so far.
  @Test func aViewThatDoesNotWaitIsNoticed() throws {
    var noticed = 0
    for seed in 1...6 as ClosedRange<UInt64> {
      var world = try FollowerWorld(seed: seed, waits: false)
      do {
        for _ in 0..<Self.steps { try world.step() }
        try world.checkAll()
      } catch { noticed += 1 }
    }
    #expect(noticed > 3)
  }

  @Test func whatBothHaveWrittenIsGivenBack() throws {
    var world = try FollowerWorld(seed: 77)
    for _ in 0..<FollowerTests.steps { try world.step() }
    let before = world.overlay.statistics
    try world.settle()
    let old = world.live.filter { $0 < FollowerWorld.files }
    #expect(!old.isEmpty)
    let root = try world.standby.files.attributes(at: "/rel").inode
    _ = try world.follower.trim(most: .max) { own, below in own.prefix(16).elementsEqual(below.prefix(16)) }
    // Of files that were there when the view was made nothing is left in the overlay.
    for file in old {
      let attributes = try world.standby.files.lookup(FileName("\(file)"), in: root)
      guard let object = attributes.dataObject else { continue }
      for page in world.overlay.changedPages(most: .max) where page.page.object == object {
        Issue.record("block \(file).\(page.page.index) is still there")
      }
    }
    #expect(world.overlay.statistics.dropped > before.dropped)
    try world.checkAll()
  }

  /// A writer, a view of its files as they are after `prepare`, and a follower of one file of them.
  private struct Scene {
    let shared = InMemoryPageSpace(pageSize: 2048)
    let writer: VolumeFileSystem
    let view: VolumeFileSystem
    let follower: ViewFollower

    init(_ prepare: (VolumeFileSystem) throws -> Void) throws {
      var options = FileSystemOptions()
      // The least: trees are read again and again.
      options.treeCacheBytes = .kibibytes(1)
      writer = try VolumeFileSystem.format(on: shared, options: options)
      let file = try writer.file(at: "/rel", .exclusive)
      try prepare(writer)
      let overlay = OverlaySpace(on: shared.prefix(upTo: shared.lastLSN), limit: .mebibytes(8))
      view = try VolumeFileSystem.mount(overlay, options: options)
      follower = try #require(ViewFollower(view))
      try follower.begin(following: [file.inode])
    }
    static func fill(_ files: VolumeFileSystem, _ pages: Range<UInt64>, _ byte: UInt8) throws {
      let bytes = [UInt8](repeating: byte, count: pages.count * files.pageSize)
      try files.write(try files.file(at: "/rel"), at: pages.lowerBound * UInt64(files.pageSize), bytes)
    }
    func size(_ pages: UInt64) -> UInt64 { pages * UInt64(view.pageSize) }
    /// The first bytes of the pages of the file in the view.
    func pages() throws -> [UInt8] {
      let all = try view.read(try view.file(at: "/rel"), at: 0, count: .max / 2)
      return stride(from: 0, to: all.count, by: view.pageSize).map { all[$0] }
    }
  }
  /// The writer has logged that it cuts the file, and not done it yet, when the read point is opened; the standby has.
  @Test func whatIsBehindTheEndOfTheViewStaysAway() throws {
    let scene = try Scene { try Scene.fill($0, 0..<2, 1) }
    try Scene.fill(scene.writer, 2..<6, 2)
    let file = try scene.view.file(at: "/rel")
    // What the standby has replayed into these blocks is in its buffers only.
    try scene.view.allocate(file, to: scene.size(6))
    try scene.view.truncate(file, to: scene.size(2))
    try scene.follower.advance(to: scene.shared.prefix(upTo: scene.shared.lastLSN))
    #expect(try scene.pages() == [1, 1])
    try scene.view.allocate(file, to: scene.size(6))
    #expect(try scene.pages() == [1, 1, 0, 0, 0, 0])
  }
  /// The same within the end that the file had when the view was made, where that was a hole.
  @Test func whatWasCutOffTheViewStaysAway() throws {
    let scene = try Scene { files in
      try Scene.fill(files, 0..<2, 1)
      try files.allocate(try files.file(at: "/rel"), to: 6 * UInt64(files.pageSize))
    }
    try Scene.fill(scene.writer, 2..<6, 2)
    let file = try scene.view.file(at: "/rel")
    try scene.view.truncate(file, to: scene.size(3))
    try scene.view.truncate(file, to: scene.size(4))
    try scene.follower.advance(to: scene.shared.prefix(upTo: scene.shared.lastLSN))
    try scene.view.allocate(file, to: scene.size(6))
    #expect(try scene.pages() == [1, 1, 2, 0, 0, 0])
  }
  /// Names and attributes are the view's own, however the writer's change.
  @Test func theTreeOfTheViewIsItsOwn() throws {
    func names(_ kind: String) -> [String] { (0..<300).map { "/\(kind)\($0)" } }
    let scene = try Scene { files in
      try Scene.fill(files, 0..<2, 1)
      for name in names("a") { try files.close(try files.file(at: name, .exclusive)) }
    }
    for name in names("a") {
      let (directory, last) = try scene.writer.parent(of: name)
      try scene.writer.unlink(last, in: directory)
    }
    for name in names("b") { try scene.writer.close(try scene.writer.file(at: name, .exclusive)) }
    try Scene.fill(scene.writer, 1..<2, 3)
    try scene.follower.advance(to: scene.shared.prefix(upTo: scene.shared.lastLSN))
    for name in names("a") { #expect(try scene.view.attributes(at: name).type == .file) }
    for name in names("b") { #expect(throws: FileSystemError.self) { try scene.view.attributes(at: name) } }
    for name in names("c") { try scene.view.close(try scene.view.file(at: name, .exclusive)) }
    #expect(try scene.view.check().problems == [])
    #expect(try scene.pages() == [1, 3])
  }

  /// A limit is kept: what has to be copied leaves room for changes.
  @Test func whatIsCopiedLeavesRoom() throws {
    let shared = InMemoryPageSpace()
    let files = try VolumeFileSystem.format(on: shared)
    let big = try files.file(at: "/big", .exclusive)
    try files.write(big, at: 0, [UInt8](repeating: 7, count: 1 << 20))
    let overlay = OverlaySpace(on: shared.prefix(upTo: shared.lastLSN), limit: .mebibytes(1))
    let view = try VolumeFileSystem.mount(overlay)
    let follower = try #require(ViewFollower(view))
    #expect(throws: FileSystemError.self) { try follower.begin(following: []) }
    #expect(!follower.isFollowing)
    #expect(overlay.statistics.bytes <= (1 << 20) / 4 * 3)
    // As it was: all is still seen in the base.
    #expect(try view.read(try view.file(at: "/big"), at: 0, count: 1 << 20) == [UInt8](repeating: 7, count: 1 << 20))
    let roomy = OverlaySpace(on: shared.prefix(upTo: shared.lastLSN), limit: .mebibytes(1))
    let second = try #require(ViewFollower(try VolumeFileSystem.mount(roomy)))
    try second.begin(following: [big.inode])
    #expect(second.isFollowing)
    #expect(ViewFollower(files) == nil)
  }
}
