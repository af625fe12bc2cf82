import ArgumentParser
import Borealis
import Foundation

/// `borealis fs put`.
struct PutCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "put", abstract: "Copy a file of the host to the volume; durable when it returns.")
  @Argument(help: "The volume's directory.") var directory: String
  @Argument(help: "A file of the host.") var source: String
  @Argument(help: "A path on the volume; a file there is replaced at once, when all is written.") var path: String

  func run() throws {
    guard let handle = FileHandle(forReadingAtPath: source) else { throw ValidationError("\(source) cannot be read") }
    try MountedDirectory.with(directory) { files in
      // Under another name first, so that nobody sees half of it.
      let (parent, name) = try files.parent(of: path)
      let temporary = FileName(bytes: Array(".put.".utf8) + name.bytes.prefix(200))
      let file = try files.open(try files.create(temporary, in: parent, .openExisting))
      try files.truncate(file, to: 0)
      var at: UInt64 = 0
      while let part = try handle.read(upToCount: VolumeFileSystem.copyBytes), !part.isEmpty {
        try files.write(file, at: at, Array(part))
        at += UInt64(part.count)
      }
      try files.rename(temporary, in: parent, to: name, in: parent)
      try files.close(file)
    }
  }
}

/// `borealis fs rm`.
struct RemoveCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rm", abstract: "Remove a file, a symbolic link or an empty directory.")
  @Argument(help: "The volume's directory.") var directory: String
  @Argument(help: "A path on the volume.") var path: String
  @Flag(name: .shortAndLong, help: "With everything below.") var recursive = false

  func run() throws {
    try MountedDirectory.with(directory) { files in
      let (parent, name) = try files.parent(of: path)
      try remove(name, in: parent, files)
      try files.reclaim()
    }
  }
  private func remove(_ name: FileName, in parent: InodeNumber, _ files: VolumeFileSystem) throws {
    let found = try files.lookup(name, in: parent)
    guard found.type == .directory else { return try files.unlink(name, in: parent) }
    if recursive { try files.forEachEntry(of: found.inode) { try remove($0.name, in: found.inode, files) } }
    try files.removeDirectory(name, in: parent)
  }
}

/// `borealis fs mkdir`.
struct MakeDirectoryCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "mkdir", abstract: "Make a directory, and those above it that are not there.")
  @Argument(help: "The volume's directory.") var directory: String
  @Argument(help: "A path on the volume.") var path: String

  func run() throws {
    try MountedDirectory.with(directory) { files in try files.makeDirectories(at: path) }
  }
}
