import BorealisCore

/// Sizes, intervals and switches of a storage node.
///
/// Times are nanoseconds.
public struct StorageNodeConfiguration: Sendable, Hashable {
  /// Bytes of a page: the same for the whole volume, fixed when the node is formatted.
  public var pageSize: Int
  /// Bytes of a chunk of the log: what is sealed, folded into pages and retired at once.
  ///
  /// Fixed when formatted.
  public var chunkSize: Int
  /// Bytes that the log may take; appends are refused as `busy` above it.
  public var logLimit: UInt64
  /// Bytes of indexes of sealed chunks kept in memory.
  public var indexMemory: Int
  /// Bytes of records that wait for the log's disk; appends are refused as `busy` above it.
  public var stagedLimit: Int
  /// Whether records are folded into pages and the log is retired.
  public var isCoalescing: Bool
  /// Bytes appended between two ticks above which folding waits, as long as the log is less than half full: commits
  /// first.
  ///
  /// Source of the rule: P17 §3.3.
  public var busyBytes: Int
  /// Between two gossips of a segment.
  public var gossipInterval: UInt64
  /// How long SCL must have stood still before gossip asks for records: what a peer is ahead by is normally under way
  /// from the writer.
  public var pullDelay: UInt64
  /// After which a request for records, a page or a baseline is taken to be lost.
  public var requestTimeout: UInt64
  /// How long the log above a baseline is kept for the peer that copies it, after its last request.
  public var baselineHold: UInt64
  /// Between two steps of the scrub; 0 switches it off.
  public var scrubInterval: UInt64
  /// After which writes are tried again on a disk that was full or failed.
  public var diskRetryInterval: UInt64
  /// A deliberate bug.
  package var plantedBug: PlantedBug?

  /// Makes a configuration with intervals for a local network.
  public init(
    pageSize: Int = 8192, chunkSize: Int = 16 << 20, logLimit: UInt64 = 1 << 30, indexMemory: Int = 8 << 20,
    stagedLimit: Int = 32 << 20, isCoalescing: Bool = true, busyBytes: Int = 64 << 10,
    gossipInterval: UInt64 = 50_000_000,
    pullDelay: UInt64 = 20_000_000, requestTimeout: UInt64 = 250_000_000, baselineHold: UInt64 = 10_000_000_000,
    scrubInterval: UInt64 = 1_000_000_000, diskRetryInterval: UInt64 = 200_000_000
  ) {
    self.pageSize = pageSize
    self.chunkSize = chunkSize
    self.logLimit = logLimit
    self.indexMemory = indexMemory
    self.stagedLimit = stagedLimit
    self.isCoalescing = isCoalescing
    self.busyBytes = busyBytes
    self.gossipInterval = gossipInterval
    self.pullDelay = pullDelay
    self.requestTimeout = requestTimeout
    self.baselineHold = baselineHold
    self.scrubInterval = scrubInterval
    self.diskRetryInterval = diskRetryInterval
  }

  var store: NodeStoreConfiguration {
    NodeStoreConfiguration(
      pageSize: pageSize, chunkSize: chunkSize, logLimit: logLimit, indexMemory: indexMemory, plantedBug: plantedBug)
  }
}
