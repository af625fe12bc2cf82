/// What a storage node has done since it was opened, and what it holds.
public struct StorageNodeStatistics: Sendable, Hashable {
  /// Messages received, well formed.
  public var messagesReceived: UInt64 = 0
  /// Messages dropped because they were malformed or for another volume.
  public var messagesMalformed: UInt64 = 0
  /// Requests refused, for whatever reason.
  public var rejects: UInt64 = 0
  /// Requests refused because their volume epoch was stale.
  public var staleEpochs: UInt64 = 0
  /// Records accepted into the log, from writers.
  public var recordsAppended: UInt64 = 0
  /// Records accepted into the log, from peers.
  public var recordsPulled: UInt64 = 0
  /// Records dropped because they were held already.
  public var recordsRepeated: UInt64 = 0
  /// Records dropped because a truncation had made them void.
  public var recordsVoid: UInt64 = 0
  /// Records dropped because their volume epoch was outrun while they were written.
  public var recordsFenced: UInt64 = 0
  /// Flushes of the log that succeeded.
  public var flushes: UInt64 = 0
  /// Bytes of records that these flushes made durable.
  public var bytesFlushed: UInt64 = 0
  /// Acks sent.
  public var acks: UInt64 = 0
  /// Pages served.
  public var pagesServed: UInt64 = 0
  /// Records applied in order to serve pages.
  public var recordsApplied: UInt64 = 0
  /// Gossip sent.
  public var gossipSent: UInt64 = 0
  /// Bytes of records sent to peers.
  public var bytesToPeers: UInt64 = 0
  /// Pages sent to peers as baselines.
  public var baselinePagesSent: UInt64 = 0
  /// Pages installed from peers' baselines.
  public var baselinePagesInstalled: UInt64 = 0
  /// Baseline copies finished.
  public var baselinesFinished: UInt64 = 0
  /// Pages written by coalescing.
  public var pagesCoalesced: UInt64 = 0
  /// Chunks of the log retired.
  public var chunksRetired: UInt64 = 0
  /// Slots and records that scrubbing has read.
  public var scrubbed: UInt64 = 0
  /// Damaged slots and records found.
  public var damageFound: UInt64 = 0
  /// Damaged slots and records replaced from a peer.
  public var damageRepaired: UInt64 = 0
  /// Writes and flushes that failed.
  public var storageFailures: UInt64 = 0
  /// Whether the node refuses appends because its disk is full.
  public var isFull = false
  /// Whether the node refuses appends because its disk failed.
  public var isFailed = false
  /// Bytes of the log in use.
  public var logBytes: UInt64 = 0
  /// Bytes of page slots in use.
  public var pageBytes: UInt64 = 0

  /// All zero.
  public init() {}
}
