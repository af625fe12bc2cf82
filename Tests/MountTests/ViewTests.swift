import Borealis
import BorealisMount
import Foundation
import Testing

/// A copy-on-write view of a read point, mounted beside the volume.
@Suite("Mount: views", .serialized)
struct ViewTests {
  @Test func aViewIsPrivateAndOfItsTime() throws {
    let mounted = try Mounted()
    try mounted.check("synced-mark")
    let space = OverlaySpace(on: ReadPointSpace(mounted.volume), limit: .mebibytes(8))
    let view = try VolumeFileSystem.mount(space)
    let point = try mounted.directory.make("view")
    let mount = try FUSEMounter().mount(view, at: point, options: MountOptions())
    defer { mount.abort() }
    let mark = mounted.path("mark")
    #expect(try Mounted.shell("echo later > \(mark) && sync \(mark)"))
    #expect(try Programs.run(["cat", point + "/mark"]).text == "durable")
    // Everything works in it that works in the volume, and the volume sees nothing of it.
    for name in ["unlinked", "renamed-over", "direct", "mapped", "locks"] {
      let outcome = try Programs.probe(point, "check", name)
      #expect(outcome.status == 0, "\(outcome.text)")
    }
    #expect(try Mounted.shell("echo own > \(point)/own && sync \(point)/own"))
    #expect(try Programs.run(["ls", mounted.point]).text == "mark\n")
    #expect(try Programs.run(["cat", mounted.path("mark")]).text == "later\n")
    // Bounded: what does not fit is refused, and the view goes on.
    let full = try Programs.run(["dd", "if=/dev/zero", "of=\(point)/big", "bs=64k", "count=1000"])
    #expect(full.status != 0 && full.text.contains("No space left"), "\(full.text)")
    #expect(try Programs.run(["rm", point + "/big"]).status == 0)
    #expect(try Programs.run(["df", "-B1", "--output=size", point]).text.contains("\(8 << 20)"))
  }
  /// A reader instance moves on: what it shows is followed.
  @Test func aMovingSpaceIsFollowed() throws {
    let mounted = try Mounted()
    try mounted.check("synced-mark")
    let mark = mounted.path("mark")
    let reader = try VolumeReaderInstance(of: mounted.volume)
    defer { reader.close() }
    let point = try mounted.directory.make("reader")
    var options = MountOptions()
    options.contentsMayMove = true
    let mount = try FUSEMounter().mount(try VolumeFileSystem.readOnly(on: reader), at: point, options: options)
    defer { mount.abort() }
    #expect(try Programs.run(["cat", point + "/mark"]).text == "durable")
    for text in ["a", "bb", "cc"] {
      #expect(try Mounted.shell("printf \(text) > \(mark) && sync \(mark)"))
      var got = ""
      for _ in 0..<100 where got != text {
        usleep(10_000)
        got = try Programs.run(["cat", point + "/mark"]).text
      }
      #expect(got == text)
    }
    #expect(try Programs.run(["touch", point + "/new"]).status != 0)
  }
}
