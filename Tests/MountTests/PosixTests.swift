import Borealis
import BorealisMount
import Foundation
import Testing

/// What processes see in a mount is what they see in a directory of this machine.
@Suite("Mount: POSIX", .serialized)
struct PosixTests {
  @Test(
    arguments: [
      "unlinked", "removed-directory", "renamed-over", "locks", "direct", "mapped", "limits", "groups", "times",
    ]) func behaves(_ name: String) throws
  {
    let mounted = try Mounted()
    try mounted.check(name)
    try mounted.unmount()
    try mounted.expectSound()
  }

  /// The same calls in a mount and in a local directory, line by line; remounted in between.
  @Test(arguments: 0..<environment("BOREALIS_MOUNT_SEEDS", default: 6))
  func likeALocalDirectory(seed: Int) throws {
    let mounted = try Mounted { if seed % 3 == 2 { $0.bypassesKernelCache = true } }
    let local = try mounted.directory.make("local")
    for part in 0..<3 {
      let arguments = ["sequence", "\(seed * 3 + part)", "1500"]
      let expected = try Programs.probe(local, arguments[0], arguments[1], arguments[2])
      let got = try Programs.probe(mounted.point, arguments[0], arguments[1], arguments[2])
      #expect(expected.status == 0 && got.status == 0)
      if let difference = firstDifference(expected.text, got.text) {
        Issue.record("seed \(seed), part \(part): \(difference)")
        return
      }
      try mounted.unmount()
      #expect(mounted.files.statistics.inodesInMemory < 200)
      try mounted.expectSound()
      try mounted.mountAgain()
      #expect(try Programs.probe(mounted.point, "tree").text == Programs.probe(local, "tree").text)
    }
  }
  private func firstDifference(_ a: String, _ b: String) -> String? {
    let (left, right) = (a.split(separator: "\n"), b.split(separator: "\n"))
    for (x, y) in zip(left, right) where x != y { return "local `\(x)`, mount `\(y)`" }
    return left.count == right.count ? nil : "\(left.count) lines and \(right.count)"
  }

  @Test(arguments: 0..<environment("BOREALIS_MOUNT_SEEDS", default: 4))
  func oneFileIsWhatWasWritten(seed: Int) throws {
    let mounted = try Mounted()
    let outcome = try Programs.probe(mounted.point, "file", "fsx", "\(seed)", "1500")
    #expect(outcome.status == 0, "\(outcome.text)")
    // And it has all come here, what was written through mappings too.
    let size = try mounted.files.attributes(at: "/fsx").size
    let bytes = try mounted.files.read(try mounted.files.file(at: "/fsx"), at: 0, count: Int(size))
    let sum = bytes.reduce(UInt32(2_166_136_261)) { ($0 ^ UInt32($1)) &* 16_777_619 }
    #expect(outcome.text.contains("\(size) bytes, sum \(sum)\n"), "\(outcome.text)")
    try mounted.expectSound()
  }

  @Test func severalProcessesAtOnce() throws {
    let mounted = try Mounted()
    let outcome = try Programs.probe(mounted.point, "crowd", "6", "1", "400")
    #expect(outcome.status == 0 && outcome.text.contains("6 processes, 2400 records"), "\(outcome.text)")
    try mounted.unmount()
    try mounted.expectSound()
  }

  @Test func directoriesWithManyEntries() throws {
    let mounted = try Mounted()
    let outcome = try Programs.probe(
      mounted.point, "many", "\(environment("BOREALIS_MOUNT_ENTRIES", default: 20_000))")
    #expect(outcome.status == 0, "\(outcome.text)")
  }

  /// Names that share a hash, so that a listing stops between them.
  @Test func namesThatShareACookieAreAllListed() throws {
    let mounted = try Mounted()
    var options = FileSystemOptions()
    options.nameHash = { UInt64($0.count) << 10 }
    let files = try VolumeFileSystem.format(on: InMemoryPageSpace(), options: options)
    let point = try mounted.directory.make("same")
    let mount = try FUSEMounter().mount(files, at: point, options: MountOptions())
    defer { mount.abort() }
    for i in 0..<40 { try files.create(FileName(String(repeating: "n", count: 20) + "\(10 + i)"), in: .root) }
    let outcome = try Programs.run(["ls", "-U", point])
    #expect(Set(outcome.text.split(separator: "\n")).count == 40, "\(outcome.text)")
  }

  @Test func writesOfAPageArriveWhole() throws {
    for isDirect in [false, true] {
      let mounted = try Mounted { $0.bypassesKernelCache = isDirect }
      try mounted.check("pages")
      let statistics = mounted.mount.statistics
      #expect(statistics.writes == 2000)
      #expect(statistics.bytesWritten == 2000 * 8192)
    }
  }

  @Test func whatIsReadTwiceIsReadOnce() throws {
    let mounted = try Mounted()
    let size = 1 << 20
    let file = try mounted.files.file(at: "/data", .exclusive)
    try mounted.files.write(file, at: 0, [UInt8](repeating: 7, count: size))
    for _ in 0..<3 {
      let outcome = try Programs.run(["cksum", mounted.path("data")])
      #expect(outcome.text.contains("\(size)"))
    }
    #expect(mounted.mount.statistics.bytesRead == UInt64(size))
  }
}
