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
