public import BorealisCore

/// Shows a file system to other processes as a directory of this machine.
///
/// An engine that is a server of its own asks its mounter for its data directory; `BorealisMount` has one on FUSE.
///
/// ## Contract
///
/// 1. `mount` returns when the directory can be used. What an earlier process left mounted there, and no process serves
///    any more, is cleaned away first; a directory that is in use is refused.
/// 2. What a caller of the mount has been told is in the file system, in the order in which it was told; after `fsync`,
///    `fdatasync` (of a file or directory) or a write with `O_SYNC` has returned 0, it is durable on the volume.
/// 3. No call of the mount blocks a thread of Swift's pool.
public protocol FileSystemMounter: Sendable {
  /// Mounts `files` at `path`, an empty directory that is there.
  ///
  /// Blocks for as long as it takes to mount: not for Swift's threads.
  func mount(_ files: VolumeFileSystem, at path: String, options: MountOptions) throws(MountError)
    -> any MountedFileSystem
}

/// How a file system is mounted for other processes.
public struct MountOptions: Sendable {
  /// Shown as the device: `borealis:orders`.
  public var source = "borealis"
  /// Whether processes of other users may use it; as an ordinary user that needs `user_allow_other` in `/etc/fuse.conf`.
  public var allowsOtherUsers = false
  /// Every change is refused with `EROFS`.
  public var isReadOnly = false
  /// Whether pages below may change by other ways than this mount, as those of a view whose read point moves on: the
  /// kernel then keeps no data between two openings of a file.
  public var contentsMayMove = false
  /// Threads that serve it when none of them waits for the volume: 1...`threadsMax`.
  public var threads = 4
  /// The most threads, up to 1024.
  ///
  /// More than `threads` are started while calls wait, since a sync that waits must not hold up a read.
  public var threadsMax = 64
  /// The kernel keeps no data of files: every read comes here, and every write whole.
  ///
  /// Shared mappings are refused then.
  public var bypassesKernelCache = false
  /// What `statfs` says; must not block.
  ///
  /// Nil: the limit of an overlay; else 128 TiB, all free, since a volume grows.
  public var capacity: (@Sendable () -> MountCapacity)?
  /// Whether so little room is left that files should grow no more; must not block.
  ///
  /// Nil: they always may. Asked when a file of `growingFreely` bytes or more is to grow by a write or `fallocate`, which then fails with `ENOSPC`.
  /// Everything else goes on, so that an engine can still write its log, and make room.
  public var refusesGrowth: (@Sendable () -> Bool)?
  /// A file smaller than this may grow however little room is left.
  public static let growingFreely = ByteCount.mebibytes(1)
  /// The defaults.
  public init() {}
}

/// The room that `statfs` tells of.
public struct MountCapacity: Hashable, Sendable {
  /// Bytes of everything.
  public var total: ByteCount
  /// Bytes of `total` that may be written still.
  public var free: ByteCount
  /// Makes a capacity.
  public init(total: ByteCount, free: ByteCount) {
    self.total = total
    self.free = free
  }
}

/// A file system that other processes see.
public protocol MountedFileSystem: AnyObject, Sendable {
  /// Where.
  var path: String { get }
  /// Whether it is still served.
  var isMounted: Bool { get }
  /// What was asked of it.
  var statistics: MountStatistics { get }
  /// Unmounts: waits for calls under way, then ends the threads. The file system stays mounted in the process.
  ///
  /// Nothing happens where it has ended. Blocks: not for Swift's threads.
  /// - Throws: `.busy` where files in it are still open after the time; it stays mounted then.
  func unmount(timeoutMilliseconds: UInt64) throws(MountError)
  /// Ends it as the death of the process would: calls under way and later ones fail with `ENOTCONN` or `ECONNABORTED`, and the
  /// directory is free again, whatever is still open in it.
  func abort()
}

/// What processes have asked of a mount.
public struct MountStatistics: Hashable, Sendable {
  /// Requests to read.
  public var reads: UInt64 = 0
  /// Bytes read.
  public var bytesRead: UInt64 = 0
  /// Requests to write.
  public var writes: UInt64 = 0
  /// Bytes written.
  public var bytesWritten: UInt64 = 0
  /// `fsync`, `fdatasync`, directories too.
  public var syncs: UInt64 = 0
  /// Nanoseconds that those took, added up.
  public var syncNanoseconds: UInt64 = 0
  /// All other requests.
  public var others: UInt64 = 0
  /// Requests answered with an error other than `ENOENT`.
  public var failures: UInt64 = 0
  /// All zero.
  public init() {}
}

/// Why a directory could not be mounted or unmounted.
public struct MountError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The kinds of failure.
  public enum Code: String, Hashable, Sendable, CaseIterable {
    /// This machine or user cannot mount: no `/dev/fuse`, no `fusermount3`, no right to.
    case notPossible
    /// The path is no empty directory, or something is mounted there.
    case unusableDirectory
    /// Files in it are open.
    case busy
    /// The system said no; `detail` says what it said.
    case system
  }
  /// The kind of failure.
  public let code: Code
  /// The directory.
  public let path: String
  /// What happened, and what to do.
  public let detail: String
  /// Makes an error.
  public init(_ code: Code, _ path: String, _ detail: String) {
    self.code = code
    self.path = path
    self.detail = detail
  }
  /// One line for people.
  public var description: String { "mount at \(path): \(code.rawValue): \(detail)" }
}
