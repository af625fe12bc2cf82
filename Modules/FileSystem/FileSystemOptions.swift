public import BorealisCore
import BorealisRuntime

/// How a file system is mounted.
public struct FileSystemOptions: Sendable {
  /// When objects of deleted files are given back.
  public enum Reclaiming: Sendable {
    /// By a thread of the file system, soon.
    case inBackground
    /// When `reclaim` is called.
    case byHand
  }
  /// Bytes of pages of the tree kept in memory; at least 16 pages.
  public var treeCacheBytes = ByteCount.mebibytes(16)
  /// A write is cut into mini-transactions at multiples of this; a multiple of the page size up to 4 MiB.
  public var writeBytesMax = ByteCount.mebibytes(1)
  /// A truncate or hole gives back at most this many pages in one mini-transaction.
  public var discardPagesMax = 4096
  /// A truncate to 0 of a file with more pages than this changes the object instead of giving pages back one by one.
  public var discardPagesSmall = 16
  /// When objects of deleted files are given back.
  public var reclaiming = Reclaiming.inBackground
  /// The time, in nanoseconds since 1970.
  public var clock: @Sendable () -> Int64 = { Int64(bitPattern: SystemClock.wallClock) }
  /// The hash of names, which a test may replace; a volume must always be mounted with the same.
  package var nameHash: @Sendable ([UInt8]) -> UInt64 = { FileName.hash($0) }

  /// The defaults.
  public init() {}
}
