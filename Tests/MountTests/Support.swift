import Borealis
import BorealisMount
import Foundation
import Synchronization
import Testing

/// What a program that was started said and how it ended.
struct Outcome {
  let status: Int32
  let text: String
}

/// Programs that the tests start: whoever serves a mount must not work in it.
enum Programs {
  static let probe = "CBorealisMountProbe"
  static let tool = "borealis"
  /// A program that takes longer has lost its way.
  static let secondsMax = 120

  /// Where one of this package's programs is: beside the tests.
  static func path(_ name: String) throws -> String {
    var folder = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
    for argument in CommandLine.arguments where argument.contains(".xctest") {
      folder = URL(fileURLWithPath: argument).deletingLastPathComponent()
    }
    for _ in 0..<6 {
      let candidate = folder.appendingPathComponent(name)
      if FileManager.default.isExecutableFile(atPath: candidate.path) { return candidate.path }
      folder.deleteLastPathComponent()
    }
    throw CocoaError(.fileNoSuchFile)
  }
  /// Works in a directory, and waits for the end; killed when it takes too long.
  static func probe(_ directory: String, _ arguments: String...) throws -> Outcome {
    try run(["timeout", "-s", "KILL", "\(secondsMax)", try path(probe), directory] + arguments)
  }
  static func run(_ arguments: [String]) throws -> Outcome {
    let started = try Started(arguments)
    let text = started.readAll()
    return Outcome(status: started.wait(), text: text)
  }
}

/// A program that runs.
final class Started {
  private let process = Process()
  private let output = Pipe()
  let input = Pipe()
  private var pending = Data()

  init(_ arguments: [String]) throws {
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = arguments
    process.standardOutput = output
    process.standardError = output
    process.standardInput = input
    try process.run()
  }
  deinit { if process.isRunning { kill(process.processIdentifier, SIGKILL) } }

  /// Waits for a line that has `text` in it; nil where the program ends without.
  func line(with text: String) -> String? {
    while true {
      while let end = pending.firstIndex(of: 10) {
        let line = String(decoding: pending[pending.startIndex..<end], as: UTF8.self)
        pending = Data(pending[(end + 1)...])
        if line.contains(text) { return line }
      }
      let more = output.fileHandleForReading.availableData
      if more.isEmpty { return nil }
      pending.append(more)
    }
  }
  func readAll() -> String {
    pending.append(output.fileHandleForReading.readDataToEndOfFile())
    return String(decoding: pending, as: UTF8.self)
  }
  /// Waits for its end: the exit code, or the signal.
  func wait() -> Int32 {
    process.waitUntilExit()
    return process.terminationStatus
  }
  /// Whether it ends within that time.
  func ends(within seconds: Double) -> Bool {
    let deadline = Date(timeIntervalSinceNow: seconds)
    while process.isRunning {
      if Date() > deadline { return false }
      usleep(10_000)
    }
    return true
  }
  func signal(_ number: Int32) { kill(process.processIdentifier, number) }
}

/// A directory of its own, removed at the end with what is mounted in it.
final class TemporaryDirectory {
  let path: String

  init() throws {
    let made = NSTemporaryDirectory() + "/borealis-mount-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: made, withIntermediateDirectories: true)
    path = URL(fileURLWithPath: made).resolvingSymlinksInPath().path
    chmod(path, 0o755)
  }
  deinit {
    for line in ((try? String(contentsOfFile: "/proc/self/mounts", encoding: .utf8)) ?? "").split(separator: "\n") {
      let parts = line.split(separator: " ")
      if parts.count > 1, parts[1].hasPrefix(path) { umount2(String(parts[1]), Int32(MNT_FORCE | MNT_DETACH)) }
    }
    try? FileManager.default.removeItem(atPath: path)
  }
  /// A new directory in it.
  func make(_ name: String) throws -> String {
    let below = path + "/" + name
    try FileManager.default.createDirectory(atPath: below, withIntermediateDirectories: true)
    return below
  }
}

/// A volume of nodes in memory, mounted; ended and unmounted with the object.
final class Mounted {
  let directory: TemporaryDirectory
  let fleet: StorageFleet
  let volume: Volume
  let files: VolumeFileSystem
  let point: String
  private(set) var mount: any MountedFileSystem
  private let options: MountOptions

  init(_ change: (inout MountOptions) -> Void = { _ in }) throws {
    try Mounted.requireDevice()
    directory = try TemporaryDirectory()
    fleet = try StorageFleet.inMemory()
    var shape = VolumeOptions()
    // A volume that mends itself would end the waits that tests are about.
    shape.repair = nil
    volume = try Volume.create(on: fleet, options: shape)
    files = try VolumeFileSystem.format(on: volume)
    point = try directory.make("point")
    var options = MountOptions()
    change(&options)
    self.options = options
    mount = try FUSEMounter().mount(files, at: point, options: options)
  }
  deinit {
    mount.abort()
    volume.close()
    fleet.stop()
  }
  /// Without the device nothing here can be tried: a failure, not something to skip.
  static func requireDevice() throws {
    let descriptor = open("/dev/fuse", O_RDWR)
    try #require(
      descriptor >= 0,
      "the tests of the mount need /dev/fuse and fuse3: run them as root, `apt-get install fuse3`, `modprobe fuse`; in a container `--device /dev/fuse --cap-add SYS_ADMIN`"
    )
    close(descriptor)
  }
  /// A directory in the mount, or the mount itself.
  func path(_ name: String) -> String { point + "/" + name }

  func unmount() throws { try mount.unmount(timeoutMilliseconds: 5000) }
  func mountAgain() throws { mount = try FUSEMounter().mount(files, at: point, options: options) }
  /// Runs a command of the shell; whether it succeeded.
  static func shell(_ command: String) throws -> Bool { try Programs.run(["sh", "-c", command]).status == 0 }
  /// Runs a check of the probe in the mount.
  func check(_ name: String, sourceLocation: SourceLocation = #_sourceLocation) throws {
    let outcome = try Programs.probe(point, "check", name)
    let isDone = outcome.status == 0 && outcome.text.hasSuffix("\(name): done\n")
    #expect(isDone, "\(outcome.text)", sourceLocation: sourceLocation)
  }
  /// What `VolumeFileSystem.check` has to say.
  func expectSound(sourceLocation: SourceLocation = #_sourceLocation) throws {
    #expect(try files.check().problems == [], sourceLocation: sourceLocation)
  }
  /// Takes the write quorum away.
  func loseQuorum() { for node in 0..<3 { fleet.stop(NodeID(UInt32(node))) } }
}

/// A number of the environment, so that a longer campaign needs no edit.
func environment(_ name: String, default value: Int) -> Int {
  ProcessInfo.processInfo.environment[name].flatMap { Int($0) } ?? value
}
