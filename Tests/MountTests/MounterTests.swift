import Borealis
import BorealisMount
import Foundation
import Testing

/// Mounting and unmounting.
@Suite("Mount: mounter", .serialized)
struct MounterTests {
  private func failure(_ body: () throws -> Void) -> MountError? {
    do { try body() } catch { return error as? MountError }
    return nil
  }
  private func memory() throws -> VolumeFileSystem { try VolumeFileSystem.format(on: InMemoryPageSpace()) }

  @Test func directoriesThatCannotBeUsed() throws {
    let mounted = try Mounted()
    let mounter = FUSEMounter()
    let full = try mounted.directory.make("full/below")
    let folder = mounted.directory.path
    for path in [folder + "/full", folder + "/none", mounted.point, "/proc", "/dev/null"] {
      let error = failure { _ = try mounter.mount(try memory(), at: path, options: MountOptions()) }
      #expect(error?.code == .unusableDirectory, "\(path): \(String(describing: error))")
    }
    #expect(mounted.mount.isMounted)
    let below = try mounter.mount(try memory(), at: full + "/", options: MountOptions())
    #expect(below.path == full)
    try below.unmount(timeoutMilliseconds: 1000)
    #expect(!below.isMounted)
  }
  @Test func withoutTheDeviceItSaysWhatToDo() throws {
    let directory = try TemporaryDirectory()
    let error = failure {
      _ = try FUSEMounter(device: "/dev/no-such-fuse").mount(
        try memory(), at: directory.path, options: MountOptions())
    }
    #expect(error?.code == .notPossible)
    #expect(error?.detail.contains("modprobe fuse") == true)
    #expect(error?.detail.contains("--device") == true)
  }
  @Test func somebodyElseUnmounts() throws {
    let mounted = try Mounted()
    try mounted.check("mark")
    #expect(try Programs.run(["umount", mounted.point]).status == 0)
    try mounted.unmount()
    #expect(!mounted.mount.isMounted)
    try mounted.mountAgain()
    #expect(try mounted.files.lookup("mark", in: .root).size == 1)
  }
  @Test func readOnly() throws {
    let mounted = try Mounted { $0.isReadOnly = true }
    try mounted.check("read-only")
  }
  @Test func mountsComeAndGo() throws {
    let mounted = try Mounted()
    for _ in 0..<20 {
      try mounted.check("mark")
      try mounted.unmount()
      try mounted.mountAgain()
    }
    #expect(mounted.mount.statistics.failures == 0)
  }

  /// An ordinary user mounts through fusermount3, and unmounts; or ends it while a file is open.
  @Test(arguments: [true, false]) func anOrdinaryUser(unmounts: Bool) throws {
    try Mounted.requireDevice()
    var numbers = stat()
    try #require(
      stat("/dev/fuse", &numbers) == 0 && numbers.st_mode & 0o666 == 0o666,
      "ordinary users may not open /dev/fuse: `chmod 666 /dev/fuse` (`make setup` does it)")
    let directory = try TemporaryDirectory()
    // Where the tests are built may be closed to others.
    let programs = try directory.make("programs")
    for name in [Programs.tool, Programs.probe] {
      try FileManager.default.copyItem(atPath: try Programs.path(name), toPath: programs + "/" + name)
    }
    let (tool, probe) = (programs + "/" + Programs.tool, programs + "/" + Programs.probe)
    let point = try directory.make("point")
    let user = getuid() == 0 ? ["runuser", "-u", "nobody", "--"] : []
    if getuid() == 0 { #expect(try Programs.run(["chown", "-R", "nobody", directory.path]).status == 0) }
    #expect(try Programs.run(user + [tool, "format", directory.path + "/volume"]).status == 0)
    let server = try Started(user + [tool, "mount", directory.path + "/volume", point, "--unmount-timeout", "300"])
    let line = try #require(server.line(with: "mounted at"))
    let outcome = try Programs.run(user + [probe, point, "check", "unlinked"])
    #expect(outcome.text.contains("unlinked: done"), "\(outcome.text)")
    if unmounts {
      #expect(try Programs.run(user + ["fusermount3", "-u", point]).status == 0)
    } else {
      let holder = try Started(user + [probe, point, "check", "hold"])
      #expect(holder.line(with: "open") != nil)
      // The server itself: runuser passes no signal on to whom it runs.
      kill(try #require(line.split(separator: " ").last.flatMap { Int32($0) }), SIGTERM)
      #expect(server.line(with: "busy") != nil)
      // The directory is free while the file is still open.
      let text = server.readAll()
      #expect(text.contains("everything is durable"), "\(text)")
      #expect(try FileManager.default.contentsOfDirectory(atPath: point) == [])
      holder.input.fileHandleForWriting.write(Data("x".utf8))
      let failed = holder.readAll()
      #expect(failed.contains("write: ENOTCONN") || failed.contains("write: ECONNABORTED"), "\(failed)")
      return
    }
    #expect(server.readAll().contains("everything is durable"))
    #expect(server.wait() == 0)
  }
}
