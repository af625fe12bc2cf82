import BorealisFileSystem
import CBorealisFUSE

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// What a request is answered with.
enum Answer {
  case done
  case error(Int32)
  case attributes(FileAttributes)
  /// Nil: there is no such name, which the kernel may remember.
  case entry(FileAttributes?)
  case opened(fuse_file_info)
  case created(FileAttributes, fuse_file_info)
  case bytes(UnsafeRawBufferPointer)
  case target([UInt8])
  case written(Int)
  case offset(UInt64)
  case numbers(borealis_statvfs)
}

/// A request of the kernel's, until it is answered.
struct FUSERequest: Sendable {
  /// The address of libfuse's structure.
  let address: UInt

  init(address: UInt) { self.address = address }
  init(_ request: fuse_req_t?) { address = UInt(bitPattern: request) }

  private var raw: fuse_req_t? { OpaquePointer(bitPattern: address) }

  /// The mount that it was asked of.
  var mount: FUSEMount {
    guard let owner = fuse_req_userdata(raw) else { preconditionFailure("a request without a mount") }
    return Unmanaged<FUSEMount>.fromOpaque(owner).takeUnretainedValue()
  }
  /// The thread that asks; 0 where it is not of our process namespace.
  var caller: Int32 { fuse_req_ctx(raw)?.pointee.pid ?? 0 }
  /// Who a new inode belongs to.
  func owner(mode: UInt32) -> FileOwner {
    let context = fuse_req_ctx(raw)
    return FileOwner(
      mode: UInt16(mode & 0o7777), uid: context?.pointee.uid ?? 0, gid: context?.pointee.gid ?? 0)
  }

  // MARK: Answering

  func none() { fuse_reply_none(raw) }
  /// Answers with an errno; 0: with nothing but that it is done.
  func fail(_ code: Int32) { fuse_reply_err(raw, code) }

  /// Sends an answer; whether its caller was still there.
  @discardableResult
  func send(_ answer: Answer, _ caching: KernelCaching) -> Bool {
    let code: Int32
    switch answer {
    case .done: code = fuse_reply_err(raw, 0)
    case .error(let number): code = fuse_reply_err(raw, number)
    case .attributes(let attributes):
      var numbers = attributes.numbers
      code = fuse_reply_attr(raw, &numbers, caching.seconds)
    case .entry(let attributes):
      var entry = caching.entry(attributes)
      code = fuse_reply_entry(raw, &entry)
    case .opened(var information): code = fuse_reply_open(raw, &information)
    case .created(let attributes, var information):
      var entry = caching.entry(attributes)
      code = fuse_reply_create(raw, &entry, &information)
    case .bytes(let bytes):
      code = fuse_reply_buf(raw, bytes.baseAddress?.assumingMemoryBound(to: CChar.self), bytes.count)
    case .target(let bytes):
      code = (bytes + [0]).withUnsafeBytes {
        fuse_reply_readlink(raw, $0.baseAddress?.assumingMemoryBound(to: CChar.self))
      }
    case .written(let count): code = fuse_reply_write(raw, count)
    case .offset(let offset): code = fuse_reply_lseek(raw, off_t(clamping: offset))
    case .numbers(var numbers): code = fuse_reply_statfs(raw, &numbers)
    }
    return code == 0
  }

  // MARK: Directory entries

  /// Adds an entry without attributes; the bytes that it takes, which may be more than there are: then it was not added.
  func add(
    _ name: UnsafePointer<CChar>, _ inode: InodeNumber, _ type: FileType, next: UInt64,
    to buffer: UnsafeMutableRawBufferPointer
  ) -> Int {
    var numbers = borealis_stat()
    numbers.st_ino = .init(inode.value)
    numbers.st_mode = type.bits
    return fuse_add_direntry(
      raw, buffer.baseAddress?.assumingMemoryBound(to: CChar.self), buffer.count, name, &numbers,
      off_t(clamping: next))
  }
  /// Adds an entry with attributes; nil for them: the kernel asks when it needs them.
  func add(
    _ name: UnsafePointer<CChar>, _ inode: InodeNumber, _ type: FileType, _ attributes: FileAttributes?,
    _ caching: KernelCaching, next: UInt64, to buffer: UnsafeMutableRawBufferPointer
  ) -> Int {
    var entry = caching.entry(attributes)
    entry.attr.st_ino = .init(inode.value)
    entry.attr.st_mode = attributes.map { $0.numbers.st_mode } ?? type.bits
    return fuse_add_direntry_plus(
      raw, buffer.baseAddress?.assumingMemoryBound(to: CChar.self), buffer.count, name, &entry,
      off_t(clamping: next))
  }
}

/// How long the kernel may keep what it was told.
struct KernelCaching: Sendable {
  /// Seconds for names and attributes.
  let seconds: Double
  /// Whether data is kept from one opening to the next.
  let keepsData: Bool
  /// Whether data is not kept at all.
  let isDirect: Bool

  /// A day: nobody but this mount changes the files, so it could be for ever.
  private static let longSeconds = 86400.0

  init(_ options: MountOptions, isStill: Bool) {
    let mayMove = options.contentsMayMove || !isStill
    seconds = mayMove ? 0 : KernelCaching.longSeconds
    keepsData = !mayMove
    isDirect = options.bypassesKernelCache
  }
  func entry(_ attributes: FileAttributes?) -> fuse_entry_param {
    var entry = fuse_entry_param()
    entry.attr_timeout = seconds
    entry.entry_timeout = seconds
    guard let attributes else { return entry }
    entry.ino = attributes.inode.value
    // Numbers of inodes are never used twice.
    entry.generation = 1
    entry.attr = attributes.numbers
    return entry
  }
}

extension FileType {
  var bits: UInt32 {
    switch self {
    case .file: S_IFREG
    case .directory: S_IFDIR
    case .symbolicLink: S_IFLNK
    }
  }
}

extension FileAttributes {
  /// As `stat` has them.
  var numbers: borealis_stat {
    var s = borealis_stat()
    s.st_ino = .init(inode.value)
    s.st_mode = type.bits | UInt32(mode)
    s.st_nlink = .init(links)
    s.st_uid = uid
    s.st_gid = gid
    s.st_size = off_t(clamping: size)
    s.st_blksize = 4096
    // Holes are not looked for: that would cost more than everything else here.
    s.st_blocks = .init((size + 511) / 512)
    s.st_mtim = FileAttributes.time(modified)
    s.st_ctim = FileAttributes.time(changed)
    s.st_atim = FileAttributes.time(accessed)
    return s
  }
  private static func time(_ nanoseconds: Int64) -> timespec {
    let (seconds, rest) = nanoseconds.quotientAndRemainder(dividingBy: 1_000_000_000)
    // Before 1970 the nanoseconds still count forward.
    return rest < 0
      ? timespec(tv_sec: Int(seconds) - 1, tv_nsec: Int(rest) + 1_000_000_000)
      : timespec(tv_sec: Int(seconds), tv_nsec: Int(rest))
  }
}
