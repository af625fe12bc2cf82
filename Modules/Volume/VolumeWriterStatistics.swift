/// What a writer has done since it was opened: counts, and bytes where the name says so.
public struct VolumeWriterStatistics: Sendable, Hashable {
  /// Mini-transactions committed.
  public var commits: UInt64 = 0
  /// Commits refused for lack of room.
  public var commitsBlocked: UInt64 = 0
  /// Log records issued.
  public var records: UInt64 = 0
  /// Encoded bytes of those records, once (not times copies).
  public var recordBytes: UInt64 = 0
  /// Writes that changed nothing and made no record.
  public var identicalWrites: UInt64 = 0
  /// Records of pages that were not in the cache.
  public var blindWrites: UInt64 = 0
  /// Batches sent, once each.
  public var batches: UInt64 = 0
  /// Batches whose quorum came while none was sent after them, and the nanoseconds that took in all.
  public var quorums: UInt64 = 0
  /// Nanoseconds from sending those batches to their quorum, added up.
  public var quorumNanoseconds: UInt64 = 0
  /// Batches sent again to one member.
  public var batchesResent: UInt64 = 0
  /// Messages sent to nodes.
  public var messagesSent: UInt64 = 0
  /// Bytes of messages sent to nodes.
  public var bytesSent: UInt64 = 0
  /// Acks taken.
  public var acks: UInt64 = 0
  /// Requests that a node refused.
  public var rejects: UInt64 = 0
  /// Messages that could not be decoded or did not belong here.
  public var messagesDropped: UInt64 = 0
  /// Page reads served from the cache.
  public var cacheHits: UInt64 = 0
  /// Page reads that went to storage.
  public var cacheMisses: UInt64 = 0
  /// Pages asked for ahead of a reader who reads one after the other.
  public var pagesAhead: UInt64 = 0
  /// Pages evicted from the cache.
  public var evictions: UInt64 = 0
  /// Reads asked of a second segment because the first was late.
  public var readsHedged: UInt64 = 0
  /// Changes of members that repair has begun or taken back.
  public var repairs: UInt64 = 0
  /// Waiters at the moment.
  public var waiters = 0
  /// Records above VDL at the moment.
  public var recordsInFlight = 0
  /// Bytes of records above VDL at the moment.
  public var bytesInFlight = 0
  /// Readers registered at the moment.
  public var readers = 0
  /// Pages in the cache at the moment.
  public var cachedPages = 0
  /// Protection groups at the moment.
  public var groups = 0
  /// Extents of objects that are mapped at the moment.
  public var extents = 0

  /// All zero.
  public init() {}
}
