import Borealis
import BorealisFileSystem
import BorealisMount
import Foundation
import Synchronization
import Testing

/// What a mount refuses where it is told that there is little room.
@Suite("Mount: room", .serialized)
struct RoomTests {
  private final class Flag: Sendable { let isShort = Atomic(false) }

  /// Runs `dd` on a file of the mount; what it said where it failed, nil where it did not.
  private static func write(
    _ mounted: Mounted, _ name: String, kibibytes: Int, at offset: Int
  ) throws -> String? {
    let outcome = try Programs.run([
      "dd", "if=/dev/zero", "of=\(mounted.path(name))", "bs=1024", "count=\(kibibytes)", "seek=\(offset)",
      "conv=notrunc", "status=none",
    ])
    return outcome.status == 0 ? nil : outcome.text
  }

  @Test func filesThatAreNotSmallGrowNoMore() throws {
    let flag = Flag()
    let mounted = try Mounted { $0.refusesGrowth = { flag.isShort.load(ordering: .relaxed) } }
    #expect(try Self.write(mounted, "table", kibibytes: 1500, at: 0) == nil)
    flag.isShort.store(true, ordering: .relaxed)
    let refused = try Self.write(mounted, "table", kibibytes: 8, at: 1500)
    #expect(refused?.contains("No space left on device") == true, "\(refused ?? "it was written")")
    let allocated = try Programs.run(["fallocate", "-l", "2M", mounted.path("table")])
    #expect(allocated.status != 0 && allocated.text.contains("No space left on device"), "\(allocated.text)")
    let size = try FileManager.default.attributesOfItem(atPath: mounted.path("table"))[.size] as? NSNumber
    #expect(size?.intValue == 1500 << 10)
    // Within it, in small files, and a new file that gets its size at once, as a segment of a log does.
    #expect(try Self.write(mounted, "table", kibibytes: 1500, at: 0) == nil)
    #expect(try Self.write(mounted, "small", kibibytes: 512, at: 0) == nil)
    #expect(try Self.write(mounted, "log", kibibytes: 1, at: 16383) == nil)
    #expect(try Self.write(mounted, "log", kibibytes: 8, at: 4000) == nil)
    // Room can be made, and comes back.
    #expect(try Mounted.shell("truncate -s 8K \(mounted.path("table")) && rm \(mounted.path("log"))"))
    flag.isShort.store(false, ordering: .relaxed)
    #expect(try Self.write(mounted, "table", kibibytes: 2000, at: 0) == nil)
    #expect(try Self.write(mounted, "table", kibibytes: 8, at: 2000) == nil)
    try mounted.expectSound()
  }
}
