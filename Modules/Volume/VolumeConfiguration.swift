import BorealisCore
public import BorealisReplicationPolicy

/// Limits and intervals of a volume's writer.
///
/// Times are in nanoseconds.
public struct VolumeWriterConfiguration: Sendable {
  /// Bytes of a page: a power of two from 512 to 65,536.
  ///
  /// The catalog of an existing volume must agree.
  public var pageSize = 4096
  /// Pages of an object that are given to a group together.
  public var extentPages: UInt64 = 1024
  /// Pages of an object's first extent: a part of `extentPages`, or 0 where all extents are equal.
  ///
  /// The next extents end at sixteen times that, and so on. The catalog of an existing volume counts.
  public var firstExtentPages: UInt64 = 0
  /// Pages of one protection group (10 GiB with pages of 4 KiB).
  public var groupPages: UInt64 = 2_621_440
  /// Bytes of pages kept in memory.
  public var cacheBytes = 64 << 20
  /// LAL: no LSN above VDL + this is issued.
  ///
  /// Source: P17 §4.2.1 (10,000,000). Counted from the end of the void range until VDL has passed it.
  public var allocationLimit: UInt64 = 10_000_000
  /// A batch is sent when it has this many bytes, even while another of its group is under way.
  public var batchBytesMax = 256 << 10
  /// Whether open batches wait a moment for clients that were just woken: see `CommitHold`.
  public var holdsForWoken = true
  /// Bytes of records above VDL; a commit beyond it is refused with `.wouldBlock`.
  ///
  /// A single mini-transaction may be larger, up to `transactionBytesMax`: then nothing else is accepted until it is
  /// durable.
  public var bytesInFlightMax = 16 << 20
  /// Bytes of records of one mini-transaction; beyond it a commit is refused with `.tooLarge`.
  ///
  /// It must fit the log of each node beside what cannot be folded into pages yet, since nothing of it can be folded
  /// before all of it is durable: half of a node's `logLimit`, by default 1 GiB.
  public var transactionBytesMax = 512 << 20
  /// Bytes of batches of a group that were sent and have no write quorum; what comes on top waits in the writer.
  ///
  /// Below a node's `stagedLimit`, 4 MiB by default, above which it refuses, and half of it, so that a node may be late.
  public var sendWindowBytes = 2 << 20
  /// A member that has not acked for this long is sent its missing batches again.
  public var resendAfter: UInt64 = 100_000_000
  /// A page read that has not been answered for this long is given up as `.unavailable`.
  public var readTimeout: UInt64 = 5_000_000_000
  /// A page read that has not been answered for this long is also sent to the next segment.
  public var readHedgeAfter: UInt64 = 20_000_000
  /// An idle writer tells VDL and PGMRPL to the nodes this often.
  public var heartbeatInterval: UInt64 = 50_000_000
  /// How long a reader's read point holds back PGMRPL without being renewed.
  public var readerDeadline: UInt64 = 10_000_000_000
  /// Copies, quorums and placement of groups that the volume grows by.
  public var policy: any ReplicationPolicy = AuroraPolicy()
  /// The nodes that new groups, and new copies in place of lost ones, may be placed on; with none the volume does not grow.
  public var topology: [NodePlacement] = []
  /// When members are replaced, and zones given up and taken back, without anybody asking; nil: never.
  public var repair: RepairPlanner.Settings?
  /// What records carry: changes, or whole pages (always whole where the page is in the cache).
  public var payload: ReplicationPayload { policy.payload }
  /// Pages that may be asked for before anybody wants them, where a reader reads one after the other; 0: none.
  ///
  /// At most an eighth of the cache.
  public var readAheadPages = 0
  /// A fault to plant.
  package var plantedBug: PlantedBug?

  /// The defaults.
  public init() {}
}

/// Limits and intervals of a reader instance.
///
/// Times are in nanoseconds.
public struct VolumeReaderConfiguration: Sendable {
  /// Bytes of a page, as the volume has it.
  public var pageSize = 4096
  /// Bytes of pages kept in memory.
  public var cacheBytes = 64 << 20
  /// Bytes of stream records that wait for VDL or for a hole to fill; beyond it the reader attaches anew.
  public var streamBytesMax = 64 << 20
  /// A hole in the stream below VDL for longer than this makes the reader attach anew.
  public var holeTimeout: UInt64 = 500_000_000
  /// How often the lowest read point is reported.
  public var reportInterval: UInt64 = 100_000_000
  /// An attach that has not been answered is sent again after this.
  public var attachRetryAfter: UInt64 = 200_000_000
  /// A page read that has not been answered for this long is given up as `.unavailable`.
  public var readTimeout: UInt64 = 5_000_000_000
  /// A page read that has not been answered for this long is also sent to the next segment.
  public var readHedgeAfter: UInt64 = 20_000_000
  /// Pages that may be asked for before anybody wants them, where a reader reads one after the other; 0: none.
  ///
  /// At most an eighth of the cache.
  public var readAheadPages = 0
  /// A fault to plant.
  package var plantedBug: PlantedBug?

  /// The defaults.
  public init() {}
}
