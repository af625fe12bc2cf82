import BorealisCore
import BorealisFileSystem
import BorealisRuntime
import CBorealisFUSE
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

// Open files and their data.
extension FUSEMount {
  /// Bytes of one read or write at most: what the kernel sends at once, and one mini-transaction takes.
  static let requestBytesMax: UInt32 = 1 << 20

  func file(_ number: UInt64) throws(FileSystemError) -> OpenFile {
    guard let file = handles.withLock({ $0.file(number) }) else {
      throw FileSystemError(.badHandle, operation: "mount", detail: "handle \(number)")
    }
    return file
  }
  func open(_ inode: InodeNumber, _ information: fuse_file_info) throws(FileSystemError) -> Answer {
    let file: OpenFile
    do throws(FileSystemError) { file = try files.open(inode) } catch {
      // Unlinked since the kernel looked the name up: it looks again, and makes a new one where it was to.
      guard error.code == .notFound else { throw error }
      return .error(ESTALE)
    }
    return .opened(try begin(file, try files.attributes(of: file), information))
  }
  /// Gives an open file its number, and empties it where that was asked for.
  func begin(
    _ file: OpenFile, _ attributes: FileAttributes, _ information: fuse_file_info
  ) throws(FileSystemError) -> fuse_file_info {
    var information = information
    if information.flags & O_TRUNC != 0, attributes.size > 0 {
      do throws(FileSystemError) { try files.truncate(file, to: 0) } catch {
        try? files.close(file)
        throw error
      }
    }
    let caching = caching
    information.keep_cache = caching.keepsData ? 1 : 0
    information.direct_io = caching.isDirect ? 1 : 0
    // Nothing is held back until a file is closed.
    information.noflush = 1
    information.fh = handles.withLock { $0.add(file) }
    return information
  }
  /// Closes a file; nobody is there any more to hear of an error.
  func release(_ number: UInt64) {
    guard let file = handles.withLock({ $0.remove(number) }) else { return }
    // It may go with this close, while somebody has it with O_PATH still.
    if removed.attributes(file.inode) != nil, let last = try? files.attributes(of: file) {
      _ = removed.change(file.inode) { $0 = last }
    }
    try? files.close(file)
  }

  func read(
    _ number: UInt64, at offset: UInt64, _ buffer: UnsafeMutableRawBufferPointer
  ) throws(FileSystemError) -> Answer {
    let count = try files.read(try file(number), at: offset, into: buffer)
    counters.read(count)
    return .bytes(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
  }
  func sync(_ number: UInt64, _ kind: VolumeFileSystem.SyncKind) throws(FileSystemError) -> Answer {
    let start = SystemClock.now
    defer { counters.synced(SystemClock.now.nanoseconds &- start.nanoseconds) }
    try files.sync(try file(number), kind)
    return .done
  }
  func syncDirectory(_ inode: InodeNumber) throws(FileSystemError) -> Answer {
    let start = SystemClock.now
    defer { counters.synced(SystemClock.now.nanoseconds &- start.nanoseconds) }
    do throws(FileSystemError) { try files.sync(inode) } catch {
      // A directory that was removed: everything is made durable, its removal too.
      guard error.code == .notFound, removed.attributes(inode) != nil else { throw error }
      try files.syncAll()
    }
    return .done
  }

  // MARK: Room

  /// Refuses the growth of a file that is not small, where little room is left.
  func checkGrowth(of file: OpenFile, to end: UInt64, _ operation: StaticString) throws(FileSystemError) {
    guard let refusesGrowth = options.refusesGrowth else { return }
    let size = try files.attributes(of: file).size
    guard end > size, size >= MountOptions.growingFreely.value, refusesGrowth() else { return }
    throw FileSystemError(.noSpace, operation: operation, inode: file.inode)
  }
  func write(
    _ number: UInt64, at offset: UInt64, _ bytes: UnsafeRawBufferPointer
  ) throws(FileSystemError) -> Answer {
    let file = try file(number)
    try checkGrowth(of: file, to: offset &+ UInt64(bytes.count), "write")
    try files.write(file, at: offset, bytes)
    return .written(bytes.count)
  }
  func allocate(
    _ number: UInt64, _ mode: Int32, at offset: UInt64, count: UInt64
  ) throws(FileSystemError) -> Answer {
    let file = try file(number)
    let (end, overflow) = offset.addingReportingOverflow(count)
    guard !overflow, end <= VolumeFileSystem.fileSizeMax else { return .error(EFBIG) }
    if mode & FALLOC_FL_KEEP_SIZE == 0 { try checkGrowth(of: file, to: end, "allocate") }
    switch mode {
    case 0: try files.allocate(file, to: end)
    case FALLOC_FL_KEEP_SIZE: break  // A volume has no blocks to reserve beyond the end.
    case FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE: try files.punchHole(file, at: offset, count: count)
    case FALLOC_FL_ZERO_RANGE:
      try files.punchHole(file, at: offset, count: count)
      try files.allocate(file, to: end)
    case FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE: try files.punchHole(file, at: offset, count: count)
    default: return .error(EOPNOTSUPP)
    }
    return .done
  }
  func seek(_ number: UInt64, from offset: UInt64, _ whence: Int32) throws(FileSystemError) -> Answer {
    switch whence {
    case SEEK_DATA: .offset(try files.seekData(try file(number), from: offset))
    case SEEK_HOLE: .offset(try files.seekHole(try file(number), from: offset))
    default: .error(EINVAL)
    }
  }

  /// What `statfs` says; takes no lock, so that it answers while everything else waits.
  var numbers: borealis_statvfs {
    let capacity = options.capacity?() ?? ownCapacity
    let unit = UInt64(files.pageSize)
    var s = borealis_statvfs()
    s.f_bsize = UInt(unit)
    s.f_frsize = UInt(unit)
    s.f_blocks = .init(capacity.total.value / unit)
    s.f_bfree = .init(capacity.free.value / unit)
    s.f_bavail = s.f_bfree
    s.f_files = .init(FUSEMount.inodesMax)
    s.f_ffree = s.f_files
    s.f_favail = s.f_files
    s.f_namemax = UInt(FileName.lengthMax)
    return s
  }
  private var ownCapacity: MountCapacity {
    if let overlay = files.space as? OverlaySpace {
      let used = min(overlay.statistics.bytes, overlay.limit.value)
      return MountCapacity(total: overlay.limit, free: ByteCount(overlay.limit.value - used))
    }
    return MountCapacity(total: FUSEMount.volumeBytesMax, free: FUSEMount.volumeBytesMax)
  }
  /// Inode numbers are 64 bits, fewer than this is a number that no program takes for too few.
  private static let inodesMax: UInt64 = 1 << 32
  /// Source: Aurora's limit of a cluster volume, 128 TiB; ours has none before the nodes' disks are full.
  private static let volumeBytesMax = ByteCount.gibibytes(128 << 10)
}
