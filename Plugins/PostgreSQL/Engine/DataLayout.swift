import BorealisFileSystem

/// Which files of a data directory are what, by their names.
struct DataLayout {
  /// Main forks of tables and indexes: `base/5/16384`, `base/5/16384.1`, `global/1260`.
  private(set) var relations: Set<InodeNumber> = []
  /// Segments of the write-ahead log, by their 24 digits.
  private var segments: [(name: [UInt8], inode: InodeNumber)] = []

  /// Looks at the data directory in a space.
  init(of space: any PageSpace) throws(FileSystemError) {
    let files = try VolumeFileSystem.readOnly(on: space)
    let data = try files.lookup(ServedDatabase.folder, in: .root).inode
    let base = try files.lookup("base", in: data).inode
    var directories = [try files.lookup("global", in: data).inode]
    for entry in try files.all(of: base) where entry.type == .directory && Self.isNumber(entry.name.bytes[...]) {
      directories.append(entry.inode)
    }
    for directory in directories {
      for entry in try files.all(of: directory) where entry.type == .file && Self.isRelation(entry.name.bytes) {
        relations.insert(entry.inode)
      }
    }
    segments = try files.logSegments()
  }
  private static func isNumber(_ name: ArraySlice<UInt8>) -> Bool {
    !name.isEmpty && name.allSatisfy { (48...57).contains($0) }
  }
  /// A file without a suffix such as `_fsm`: other forks, and whatever else there is, have no LSN at the beginning of each
  /// block, or change without one.
  static func isRelation(_ name: [UInt8]) -> Bool {
    let parts = name.split(separator: 46, maxSplits: 1, omittingEmptySubsequences: false)
    return parts.allSatisfy(isNumber)
  }
  /// Segments of log that end before one.
  func logFiles(before segment: UInt64, segmentSize: UInt64) -> Set<InodeNumber> {
    Set(segments.filter { LogSegment.number($0.name, size: segmentSize).map { $0 < segment } ?? false }.map(\.inode))
  }
}

/// The names of the log's segments.
enum LogSegment {
  /// The number of a segment; nil where that is no name of one.
  ///
  /// The first 8 digits are the timeline.
  static func number(_ name: [UInt8], size: UInt64) -> UInt64? {
    guard name.count == 24, size > 0, let text = String(validating: name, as: UTF8.self),
      let high = UInt64(text.dropFirst(8).prefix(8), radix: 16), let low = UInt64(text.suffix(8), radix: 16)
    else { return nil }
    return high * ((1 << 32) / size) + low
  }
}

/// Takes the contents away from log that the standby has replayed.
///
/// Nobody reads it again, since a reader that ends begins at a fresh read point. The files stay, the server removes them when
/// it wants.
final class LogEmptier {
  private let files: VolumeFileSystem
  private var done: Set<InodeNumber> = []

  init(_ files: VolumeFileSystem) { self.files = files }

  /// Empties the segments before the one that is being replayed; how many.
  func empty(before segment: UInt64, segmentSize: UInt64) throws(FileSystemError) -> Int {
    let all = try files.logSegments()
    done.formIntersection(all.map(\.inode))
    var count = 0
    for (name, inode) in all where !done.contains(inode) {
      guard let number = LogSegment.number(name, size: segmentSize), number < segment else { continue }
      let file: OpenFile
      do throws(FileSystemError) { file = try files.open(inode) } catch {
        // The server was faster.
        guard error.code == .notFound else { throw error }
        continue
      }
      let size = try files.attributes(of: file).size
      try files.punchHole(file, at: 0, count: size)
      try files.close(file)
      done.insert(inode)
      count += 1
    }
    return count
  }
}

extension VolumeFileSystem {
  /// All entries of a directory.
  fileprivate func all(of directory: InodeNumber) throws(FileSystemError) -> [DirectoryEntry] {
    var found: [DirectoryEntry] = []
    while true {
      let more = try list(directory, after: found.last?.cookie ?? 0)
      if more.isEmpty { return found }
      found += more
    }
  }
  /// The files of the log, by their names.
  fileprivate func logSegments() throws(FileSystemError) -> [(name: [UInt8], inode: InodeNumber)] {
    let data = try lookup(ServedDatabase.folder, in: .root).inode
    return try all(of: try lookup("pg_wal", in: data).inode)
      .filter { $0.type == .file && $0.name.bytes.count == 24 }.map { ($0.name.bytes, $0.inode) }
  }
}
