import ArgumentParser
import Borealis
import BorealisMount
import Foundation

/// `borealis mount`.
struct MountCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "mount",
    abstract: "Show the files of a volume as a directory of this machine, until Ctrl-C or `fusermount3 -u POINT`.",
    discussion: """
      Whatever a program does in POINT is on six copies in three zones when its fsync returns. As root, or as an ordinary
      user through fusermount3. A POINT that a killed process left behind is cleaned away first.
      """)
  /// How often it looks whether somebody unmounted.
  private static let lookMilliseconds = 200

  @Argument(help: "The volume's directory.") var directory: String
  @Argument(help: "An empty directory.") var point: String
  @Option(help: "An empty directory for a copy-on-write view of the volume as it is at the start.") var view: String?
  @Option(help: "Mebibytes that the view may change, in memory; thrown away in the end.") var viewLimit: UInt64 = 256
  @Flag(help: "Let other users in.") var allowOther = false
  @Flag(help: "Refuse every change.") var readOnly = false
  @Flag(help: "Have the kernel keep no data: every read comes to the volume, and every write whole.") var direct = false
  @Option(help: "Milliseconds that open files are waited for at the end; then whoever has them open gets errors.")
  var unmountTimeout: UInt64 = 10_000
  @Option(help: "Threads that serve it.") var threads = MountOptions().threads

  func run() async throws {
    let mounted = try MountedDirectory(directory)
    defer { mounted.close() }
    let stop = StopSignal()
    var options = MountOptions()
    options.source = "borealis:" + (directory as NSString).lastPathComponent
    options.allowsOtherUsers = allowOther
    options.isReadOnly = readOnly
    options.bypassesKernelCache = direct
    options.threads = threads
    options.threadsMax = max(options.threadsMax, threads)
    let disk = directory
    options.capacity = { MountCapacity(ofDiskWith: disk) }
    // Whoever mounts blocks for a moment; nothing else runs in this process yet.
    let mount = try FUSEMounter().mount(mounted.files, at: point, options: options)
    var mounts = [mount]
    if let view {
      do { mounts.append(try mountView(of: mounted.volume, at: view, options)) } catch {
        mount.abort()
        throw error
      }
    }
    for mount in mounts { print("mounted at \(mount.path) by process \(getpid())") }
    fflush(nil)
    let watcher = Task { [mounts] in
      while !Task.isCancelled, mounts[0].isMounted {
        try? await Task.sleep(for: .milliseconds(MountCommand.lookMilliseconds))
      }
      stop.raise()
    }
    await stop.wait()
    watcher.cancel()
    for mount in mounts.reversed() {
      do { try mount.unmount(timeoutMilliseconds: unmountTimeout) } catch {
        FileHandle.standardError.write(Data("\(error)\n".utf8))
        mount.abort()
      }
    }
    try mounted.files.unmount()
    print("unmounted; everything is durable")
  }
  private func mountView(of volume: Volume, at path: String, _ options: MountOptions) throws -> any MountedFileSystem {
    var options = options
    options.source += "@view"
    options.capacity = nil
    let overlay = OverlaySpace(on: ReadPointSpace(volume), limit: .mebibytes(viewLimit))
    return try FUSEMounter().mount(try VolumeFileSystem.mount(overlay), at: path, options: options)
  }
}

extension MountCapacity {
  /// What the disk with the nodes' directory has, for six copies.
  init(ofDiskWith directory: String) {
    let copies: UInt64 = 6
    let found = try? FileManager.default.attributesOfFileSystem(forPath: directory)
    let total = (found?[.systemSize] as? NSNumber)?.uint64Value ?? 0
    let free = (found?[.systemFreeSize] as? NSNumber)?.uint64Value ?? 0
    self.init(total: ByteCount(total / copies), free: ByteCount(free / copies))
  }
}
