/// The bounds of a storage node, each with its reason.
enum StorageNodeLimits {
  /// Bytes of records in one answer to a pull: several round trips a second still move tens of MiB/s, and an answer
  /// does not hold up appends on the same connection for long.
  static let pullBytes = 512 << 10
  /// Records in one answer to a pull.
  static let pullRecords = 8192
  /// Records looked at in one step of the search for records that came out of order.
  static let strayRecords = 4096
  /// Bytes of pages in one answer to a baseline request, for the same reason.
  static let baselineBytes = 1 << 20
  /// Pages in one answer to a baseline request: bounds the work of one step where pages are nearly empty.
  static let baselinePages = 256
  /// Pages folded by one job: bounds what the step that prepares it may delay a commit by, and the job the journal.
  static let coalescePages = 48
  /// Replies that wait for the journal: senders repeat, so that what is dropped comes again.
  static let repliesMax = 1024
  /// Requests to catch up that a segment remembers; the openers of at most two epochs ask at once.
  static let catchUpsMax = 4
  /// Damaged things remembered per segment before the rest waits for the next scrub.
  static let damagesMax = 256
  /// Groups that one node may hold segments of: 256 TiB in groups of 10 GiB, all on one node.
  static let segmentsMax = 65536
  /// Links in one `prepared`: 25 bytes each must fit one message.
  static let linksMax = 2_000_000
  /// Slots and log records that one tick of scrubbing reads: a few, so that a tick stays short.
  static let scrubsPerTick = 4
  /// Damaged things asked for in one tick.
  static let repairsPerTick = 8
  /// Slots of older versions looked at in one step of the scrub.
  static let prunesPerTick = 64
  /// Pages in one answer to a read of several: bounds how long the step that makes it may delay a commit.
  static let readRunPages = 64
  /// Bytes of pages in it, for pages that are large.
  static let readRunBytes = 1 << 20
  /// Slots read together: bounds the buffer on the stack's side.
  static let readTogether = 16
  /// How full the log may be, in percent, for a tail segment to keep records that only some full members lack.
  static let tailRoom = 50
  /// Attempts at one source of a baseline before another is tried.
  static let baselineAttempts = 4
  /// Peers that may copy a baseline from one segment at once.
  static let holdsMax = 4
}
