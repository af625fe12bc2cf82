import BorealisCore
import BorealisStorageBackend
import BorealisWire

/// What a chunk of the log holds.
package struct ChunkSummary: Hashable, Sendable {
  /// Its number in the order of the log.
  package var sequence: UInt64
  /// Number of records.
  package var recordCount: Int
  /// What it holds, by group, ascending. `maxLSN` of a group whose highest records are void is lowered to the beginning
  /// of the void range.
  package var groups: [ChunkGroup]
}

/// The records of one durable flush block, in the order they were staged.
///
///     var cursor = block.start
///     while let record = block.next(&cursor) { ... store.log.insert(record.header, position: record.position) }
///     store.log.recycle(block)
package struct FlushedBlock: Sendable {
  /// One record of the block.
  package struct Record: Sendable {
    /// Its header.
    package var header: RecordHeader
    /// Where it stands in the log file: for `insert`.
    package var position: UInt64
    /// The ticket that `stage` returned for it.
    package var ticket: UInt64
  }
  /// Where `next` is.
  package struct Cursor: Sendable { var offset = 0, batch = 0 }
  /// Whether it is durable. When not there is nothing to iterate.
  package let succeeded: Bool
  /// Every ticket up to here is wholly in this or an earlier block (or was dropped by a failure).
  package let completedTicket: UInt64
  /// Number of records.
  package let count: Int
  /// Before the first record.
  package var start: Cursor { fatalError() }
  /// The next record, nil at the end.
  package func next(_ cursor: inout Cursor) -> Record? { fatalError() }
}

/// The log of a node: chunks of flush blocks, and the indexes of their records.
///
/// Look-ups see records that were `insert`ed (and not void by `truncation`), in whatever chunk they are; indexes of
/// sealed chunks are read when needed, hence `throws`.
package struct LogStore: ~Copyable, Sendable {
  // MARK: Records

  /// Puts a durable record into the index of the active chunk. Returns false when that chunk has it already.
  ///
  /// A record that stands in two chunks (fetched again because the older copy is damaged) is given once, from the newer.
  @discardableResult package mutating func insert(_ header: RecordHeader, position: UInt64) -> Bool { fatalError() }
  /// Gives a block's buffer back.
  package mutating func recycle(_ block: consuming FlushedBlock) { fatalError() }
  /// Records inside these ranges are void: no look-up gives them. A newer list replaces the older one whole. Set this
  /// when the fact is durable, and at opening.
  package var truncation: TruncationList { get { fatalError() } set { fatalError() } }
  /// Off only for planted bugs: look-ups then give void records too.
  package var hidesVoidRecords: Bool { get { fatalError() } set { fatalError() } }

  // MARK: Look-ups

  /// Whether the record is in the log.
  package mutating func contains(_ group: ProtectionGroupID, _ lsn: LSN) throws(StorageBackendError) -> Bool {
    fatalError()
  }
  /// Appends at most `limit` records of the group in `(after, through]`, ascending.
  package mutating func records(
    of group: ProtectionGroupID, after: LSN, through: LSN, limit: Int, into entries: inout [RecordEntry]
  ) throws(StorageBackendError) { fatalError() }
  /// Appends the records of the page in `(after, through]`, ascending.
  package mutating func records(
    of group: ProtectionGroupID, page: PageID, after: LSN, through: LSN, into entries: inout [RecordEntry]
  ) throws(StorageBackendError) { fatalError() }
  /// Whether any record of the page in `(after, through]` stands in a chunk other than `excluding`.
  package mutating func hasRecords(
    of group: ProtectionGroupID, page: PageID, after: LSN, through: LSN, excluding: UInt64?
  ) throws(StorageBackendError) -> Bool { fatalError() }
  /// The last record of the group at or below `lsn`.
  package mutating func last(
    of group: ProtectionGroupID, atOrBelow lsn: LSN
  ) throws(StorageBackendError) -> RecordEntry? { fatalError() }
  /// An upper bound of the LSNs of the group's records; cheap.
  package func highestLSN(of group: ProtectionGroupID) -> LSN { fatalError() }
  /// Bytes of records of the group in the log.
  package func bytes(of group: ProtectionGroupID) -> UInt64 { fatalError() }

  // MARK: Contents

  /// Appends the encoded record to `buffer`, verified. Nothing is appended on failure.
  package mutating func read(_ entry: RecordEntry, into buffer: inout [UInt8]) throws(StoreReadError) { fatalError() }
  /// Appends records in order until `limit` bytes are passed (at least one); neighbours in the file are read together.
  /// Returns how many were appended; stops before a damaged one, throws only when the first is damaged.
  package mutating func read(
    _ entries: ArraySlice<RecordEntry>, limit: Int, into buffer: inout [UInt8]
  ) throws(StoreReadError) -> Int { fatalError() }

  // MARK: Chunks

  /// Sealed chunks, oldest first: what coalescing chooses from.
  package var sealedChunks: [ChunkSummary] { fatalError() }
  /// The oldest sealed chunk; cheap to test each tick.
  package var oldestSealed: ChunkSummary? { fatalError() }
  /// Replaces `entries` by the records of the next page in a sealed chunk, ascending by LSN; false at the end. Begin with
  /// `cursor` 0. Pages come in no meaningful, but always the same, order.
  package mutating func nextPage(
    ofChunk sequence: UInt64, cursor: inout Int, into entries: inout [RecordEntry]
  ) throws(StorageBackendError) -> Bool { fatalError() }
  /// Bytes in use: what the limit is compared with.
  package var usedBytes: UInt64 { fatalError() }
  /// How full the log is, in percent of `logLimit`.
  package var fullness: Int { fatalError() }
}
