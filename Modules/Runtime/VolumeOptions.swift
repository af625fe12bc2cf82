import BorealisCore
import BorealisReplicationPolicy
import BorealisVolume

/// The shape of a new volume; fixed at creation, except the cache.
///
/// The page size is the nodes': `StorageNodeConfiguration.pageSize`.
public struct VolumeOptions: Sendable {
  /// Pages of an extent, the unit in which an object's pages are assigned to protection groups.
  public var extentPages = 1024
  /// Pages of an object's first extent, so that a small file takes little of a group's room; 0, or `extentPages` and
  /// more: all extents are equal.
  ///
  /// With the default an object's extents end at its pages 8, 128 and 1024, and then every 1024.
  public var firstExtentPages = 8
  /// Bytes of pages that one protection group holds.
  ///
  /// Source of the default: P18 §2.1, 10 GB.
  public var groupBytes = ByteCount.gibibytes(10)
  /// Copies, placement and quorums.
  public var policy: any ReplicationPolicy = AuroraPolicy()
  /// LSN allocation limit (LAL) in records.
  ///
  /// Source of the default: P17 §4.2.1.
  public var allocationLimit: UInt64 = 10_000_000
  /// Bytes of page cache of the writer.
  public var cacheBytes = ByteCount.mebibytes(64)
  /// When the volume replaces members, and gives up zones and takes them back, by itself; nil: only when told to.
  ///
  /// `Volume.onEvent` tells of each decision. Decided by the writer, as long as it is open.
  public var repair: RepairPlanner.Settings? = RepairPlanner.Settings()

  /// The defaults: six copies in three zones, groups of 10 GiB.
  public init() {}
}
