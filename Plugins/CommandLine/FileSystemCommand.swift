import ArgumentParser
import Borealis
import Foundation

/// `borealis fs`.
struct FileSystemCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "fs", abstract: "Work with the files on a volume that is kept in a directory.",
    subcommands: [
      FormatCommand.self, ListCommand.self, PrintCommand.self, PutCommand.self, GetCommand.self, UsageCommand.self,
      RemoveCommand.self, MakeDirectoryCommand.self, CheckCommand.self,
    ])
}

/// `borealis format`: the same as `borealis fs format`.
struct FormatCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "format",
    abstract: "Make a volume in a directory, where there is none, and an empty file system on it.")
  @Argument(help: "The volume's directory.") var directory: String

  func run() throws {
    let mounted = try MountedDirectory(directory, format: true)
    defer { mounted.close() }
    if getuid() != 0 {
      // Whoever made it works in it.
      var owner = AttributeChange()
      owner.uid = getuid()
      owner.gid = getgid()
      try mounted.files.setAttributes(of: .root, owner)
      try mounted.files.syncAll()
    }
    print("\(directory): a file system with pages of \(mounted.files.pageSize) bytes, six copies in three zones")
  }
}

/// A volume's directory with its nodes running, and its file system mounted.
///
/// Whoever opens a volume becomes its writer: the directory must not be in use by another process.
struct MountedDirectory {
  let fleet: StorageFleet
  let volume: Volume
  let files: VolumeFileSystem

  init(_ directory: String, format: Bool = false) throws {
    if !format, !FileManager.default.fileExists(atPath: directory + "/volume.meta") {
      throw ValidationError("\(directory) holds no volume; `borealis format \(directory)` makes one")
    }
    fleet = try StorageFleet.files(at: directory)
    do {
      volume = try fleet.coordinator.load() == nil ? try Volume.create(on: fleet) : try Volume.open(on: fleet)
    } catch {
      fleet.stop()
      throw error
    }
    do {
      files = try format ? VolumeFileSystem.format(on: volume) : VolumeFileSystem.mount(volume)
    } catch {
      volume.close()
      fleet.stop()
      throw error
    }
  }
  /// Stops everything; what was not synced may be lost.
  func close() {
    volume.close()
    fleet.stop()
  }
  /// Runs `body`, then makes everything durable.
  static func with(_ directory: String, _ body: (VolumeFileSystem) throws -> Void) throws {
    let mounted = try MountedDirectory(directory)
    defer { mounted.close() }
    try body(mounted.files)
    try mounted.files.unmount()
  }
}

extension VolumeFileSystem {
  /// Bytes moved at once between a file of the host and one of the volume.
  static let copyBytes = 1 << 20

  /// Calls `body` with every entry of a directory.
  func forEachEntry(of directory: InodeNumber, _ body: (DirectoryEntry) throws -> Void) throws {
    var cookie: UInt64 = 0
    while true {
      let batch = try list(directory, after: cookie)
      guard let last = batch.last else { return }
      for entry in batch { try body(entry) }
      cookie = last.cookie
    }
  }
}
