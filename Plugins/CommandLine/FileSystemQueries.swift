import ArgumentParser
import Borealis
import Foundation

/// `borealis fs ls`.
struct ListCommand: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "ls", abstract: "List a directory, or one file.")
  @Argument(help: "The volume's directory.") var directory: String
  @Argument(help: "A path on the volume.") var path = "/"

  func run() throws {
    try MountedDirectory.with(directory) { files in
      let found = try files.attributes(at: path)
      guard found.type == .directory else { return print(Self.row(found, path)) }
      var entries: [DirectoryEntry] = []
      try files.forEachEntry(of: found.inode) { entries.append($0) }
      for entry in entries.sorted(by: { $0.name.bytes.lexicographicallyPrecedes($1.name.bytes) }) {
        print(Self.row(try files.attributes(of: entry.inode), entry.name.description))
      }
    }
  }
  static func row(_ a: FileAttributes, _ name: String) -> String {
    let kind =
      switch a.type {
      case .file: "-"
      case .directory: "d"
      case .symbolicLink: "l"
      }
    let date = Date(timeIntervalSince1970: Double(a.modified) / 1e9).formatted(.iso8601)
    let mode = kind + String(a.mode, radix: 8)
    return [right(mode, 5), right(a.links, 3), right(a.uid, 5), right(a.gid, 5), right(a.size, 14), date, name]
      .joined(separator: " ")
  }
  private static func right(_ value: some CustomStringConvertible, _ width: Int) -> String {
    let text = value.description
    return String(repeating: " ", count: max(0, width - text.count)) + text
  }
}

/// `borealis fs cat`.
struct PrintCommand: ParsableCommand {
  static let configuration = CommandConfiguration(commandName: "cat", abstract: "Write a file's bytes to the output.")
  @Argument(help: "The volume's directory.") var directory: String
  @Argument(help: "A path on the volume.") var path: String

  func run() throws {
    try MountedDirectory.with(directory) { files in try copy(path, of: files, to: .standardOutput) }
  }
}

/// `borealis fs get`.
struct GetCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "get", abstract: "Copy a file of the volume to the host.")
  @Argument(help: "The volume's directory.") var directory: String
  @Argument(help: "A path on the volume.") var path: String
  @Argument(help: "A file of the host; it is replaced.") var target: String

  func run() throws {
    try MountedDirectory.with(directory) { files in
      guard FileManager.default.createFile(atPath: target, contents: nil),
        let handle = FileHandle(forWritingAtPath: target)
      else { throw ValidationError("\(target) cannot be written") }
      try copy(path, of: files, to: handle)
      try handle.close()
    }
  }
}

private func copy(_ path: String, of files: VolumeFileSystem, to handle: FileHandle) throws {
  let file = try files.file(at: path)
  var at: UInt64 = 0
  while true {
    let part = try files.read(file, at: at, count: VolumeFileSystem.copyBytes)
    if part.isEmpty { break }
    try handle.write(contentsOf: Data(part))
    at += UInt64(part.count)
  }
  try files.close(file)
}

/// `borealis fs du`.
struct UsageCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "du",
    abstract: "Add up the bytes of a directory's files: their sizes, and what they have on the volume.")
  @Argument(help: "The volume's directory.") var directory: String
  @Argument(help: "A path on the volume.") var path = "/"

  func run() throws {
    try MountedDirectory.with(directory) { files in
      var (size, used, count) = (UInt64(0), UInt64(0), 0)
      var rest = [try files.attributes(at: path)]
      while let found = rest.popLast() {
        count += 1
        size += found.size
        if found.type == .file {
          let file = try files.open(found.inode)
          used += try files.bytesInUse(of: file).value
          try files.close(file)
        }
        if found.type == .directory {
          try files.forEachEntry(of: found.inode) { rest.append(try files.attributes(of: $0.inode)) }
        }
      }
      let s = files.statistics
      print("\(ByteCount(size)) in \(count) files and directories; \(ByteCount(used)) of pages in extents in use")
      print("metadata of the volume: \(ByteCount(s.treePages * UInt64(s.pageSize))) in \(s.treeLevels) levels")
    }
  }
}

/// `borealis fs check`.
struct CheckCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check", abstract: "Check all metadata, and that no data lies beyond the end of a file.")
  @Argument(help: "The volume's directory.") var directory: String

  func run() throws {
    try MountedDirectory.with(directory) { files in
      let report = try files.check()
      for problem in report.problems { print(problem) }
      print("\(report.directories) directories, \(report.files) files, \(report.problems.count) problems")
      if !report.problems.isEmpty { throw ExitCode.failure }
    }
  }
}
