import BorealisCore
import BorealisStorageBackend
import BorealisWire

/// Sizes of a node's durable structures.
package struct NodeStoreConfiguration: Sendable, Hashable {
  /// Bytes of a page, the same for the whole volume.
  package var pageSize: Int
  /// Bytes of a chunk of the log; raised to what the largest record needs, rounded up to 4 KiB.
  ///
  /// Fixed when the backend is formatted.
  package var chunkSize: Int
  /// Bytes that the log may take; at least four chunks.
  ///
  /// A further eighth (at least two chunks) is kept for `.repair`.
  package var logLimit: UInt64
  /// Bytes of indexes of sealed chunks kept in memory.
  package var indexMemory: Int
  /// The journal is compacted when it is above this and above twice its live size.
  package var journalLimit: Int
  /// A deliberate bug: `tornTailAccepted` lives here.
  package var plantedBug: PlantedBug?
  /// Makes a configuration.
  package init(
    pageSize: Int, chunkSize: Int = 16 << 20, logLimit: UInt64 = 1 << 30, indexMemory: Int = 8 << 20,
    journalLimit: Int = 1 << 20, plantedBug: PlantedBug? = nil
  ) {
    self.pageSize = pageSize
    self.chunkSize = chunkSize
    self.logLimit = logLimit
    self.indexMemory = indexMemory
    self.journalLimit = journalLimit
    self.plantedBug = plantedBug
  }
}

/// What opening found out of the ordinary.
package struct OpeningReport: Sendable, Hashable {
  /// Whether the backend was empty and has been formatted.
  package var wasFormatted = false
  /// Parts of the log that are damaged for certain (not a torn tail): their records must come from peers again.
  package var damagedLog: [DamagedRange] = []
  /// Whether the log's last flush was torn and has been cut.
  package var cutTornTail = false
  /// Highest VDL that a flush block of the unsealed chunks carries.
  package var knownVDL = LSN.zero
  /// Records indexed by scanning unsealed chunks.
  package var scannedRecords = 0
}

/// A damaged part of the log file.
package struct DamagedRange: Sendable, Hashable {
  /// The chunk.
  package var chunk: UInt64
  /// Bytes of the log file.
  package var range: Range<UInt64>
}

/// Why bytes are added to the log: decides how full it may be.
package enum StagePurpose: Sendable, Hashable {
  /// From the writer: up to `logLimit`.
  case append
  /// From a peer, filling a gap just above SCL: may use the room kept for it, else a full log could never drain.
  case repair
}

/// What a background job did, once its outcome is known.
package struct BackgroundOutcome: Sendable, Hashable {
  /// Which work it was.
  package enum Kind: UInt8, Sendable, Hashable, CaseIterable {
    /// Facts into the journal.
    case facts
    /// Space for the log, ahead of need.
    case reserve
    /// A full chunk's index to its end.
    case seal
    /// Page versions, and chunks retired with them.
    case pages
    /// A step of the journal's compaction.
    case compaction
    /// Space given back.
    case release
    /// The journal's last frame once more, after a failure (with the facts that wait).
    case repair
  }
  /// Which work it was.
  package var kind: Kind
  /// Whether it succeeded.
  ///
  /// Failed facts stay queued and seals are tried again; page installs and retirements of a
  /// failed job are forgotten: stage them again (installs are idempotent).
  package var succeeded: Bool
  /// Pages installed, replaced or dropped.
  package var pages = 0
  /// The chunk that was sealed, if so.
  package var sealed: UInt64?
  /// The chunks that were retired, if so.
  package var retired: [UInt64] = []
}

/// The durable state of one storage node: log, journal, pages.
///
/// Knows nothing of quorums. Reads go to the backend at once; everything written comes out as operations, in two lanes. In each lane at most one
/// job is under way: `next…` gives nil until `end…` has been called for it.
///
///     log lane        nextFlush() -> operations; endFlush(succeeded:) -> FlushedBlock; insert(...) each; recycle(block)
///     background      nextBackgroundJob() -> operations; endBackgroundJob(succeeded:) -> BackgroundOutcome
///
/// After a failed background job that kind of work waits for `retryBackground()`; call it on a tick.
package struct NodeStore: ~Copyable, Sendable {
  /// The log and its indexes: look-ups are methods of this.
  package var log: LogStore
  /// The pages and their index: look-ups are methods of this.
  package var pages: PageStore
  /// The journal; `journal.state` is what is durable.
  var journal: NodeJournal
  /// What opening found.
  package let opening: OpeningReport

  let configuration: NodeStoreConfiguration
  /// Facts that wait for the journal, in order.
  var facts: [JournalFact] = []
  /// Every fact with a ticket up to here is durable.
  package internal(set) var durableTicket: UInt64 = 0
  /// Chunks to retire with the next pages.
  var retires: [UInt64] = []
  /// The background job under way.
  var job: BackgroundJob?
  /// Kinds of work that failed and wait for `retryBackground`.
  var waiting: UInt16 = 0
  var lastKind: BackgroundOutcome.Kind?

  /// Formats an empty backend, else opens what is there: replays the journal, scans the chunks that are not sealed.
  ///
  /// Syncs all files first: what a killed process left in the system's cache must not be counted and then lost.
  /// Throws `.cannotOpen` where the files are another node's, volume's or page size's, `.inputOutput` where the journal is
  /// damaged: then the node must be replaced, because a promise may be lost.
  package init(
    node: NodeID, volume: VolumeID, backend: any StorageBackend, configuration: NodeStoreConfiguration
  ) throws(StorageBackendError) {
    let identity = StoreIdentity(node: node, volume: volume)
    for file in StorageFile.allCases { try backend.sync(file) }
    var pages = PageStore(backend: backend, identity: identity, pageSize: configuration.pageSize)
    var report = OpeningReport()
    let headers = try NodeJournal.headers(backend)
    let journal: NodeJournal
    if let found = try NodeJournal.open(backend, headers, table: &pages.table) {
      guard found.identity == identity, found.pageSize == UInt32(configuration.pageSize) else {
        throw StorageBackendError(
          .cannotOpen, operation: "open", file: found.live,
          detail: "holds \(found.identity.volume) of \(found.identity.node), pages of \(found.pageSize) bytes")
      }
      journal = found
    } else {
      // Formatting writes the header last: without one there is nothing, or there was damage.
      for file in [StorageFile.log, .pages] where try backend.size(of: file).value > 0 {
        throw StorageBackendError(
          .inputOutput, operation: "open", file: .journalA,
          detail: "no journal has a valid header, but \(file) is there")
      }
      report.wasFormatted = true
      journal = try NodeJournal.format(
        backend, identity: identity, pageSize: configuration.pageSize, chunkSize: LogStore.chunkSize(configuration))
    }
    var log = LogStore(
      backend: backend, identity: identity, configuration: configuration, chunkSize: Int(journal.chunkSize))
    try log.open(journal.state, report: &report)
    self.log = log
    self.pages = pages
    self.journal = journal
    self.configuration = configuration
    opening = report
  }

  // MARK: Facts

  /// The facts that are durable: epoch, configurations, truncation list, retention, segment facts.
  package var state: JournalState { journal.state }
  /// Queues a fact for the journal; returns its ticket.
  ///
  /// It is durable when `durableTicket` has reached the ticket, and
  /// only then shows in `state`. All facts queued when a job begins become durable together or not at all. A durable
  /// truncation list becomes `log.truncation` by itself.
  package mutating func record(_ fact: JournalFact) -> UInt64 {
    facts.append(fact)
    return durableTicket + UInt64(facts.count)
  }

  // MARK: Log lane

  /// Copies `count` encoded records of one group into the next flush; returns a ticket, nil when the log is full.
  ///
  /// The records must have been verified and be no longer than `log.recordLengthMax` each (nil is returned otherwise). The
  /// ticket is complete when a `FlushedBlock` says `completedTicket` >= it; a batch may be split over two blocks.
  package mutating func stage(_ bytes: [UInt8], range: Range<Int>, count: Int, purpose: StagePurpose) -> UInt64? {
    log.stage(bytes, range: range, count: count, purpose: purpose)
  }
  /// Whether `nextFlush` has something to do: staged records, or a full chunk's index that waits for a sync.
  package var hasFlush: Bool { log.hasFlush }
  /// Everything staged (as far as it fits in the chunk) as one flush block; nil when nothing is staged, a flush is under
  /// way, or the log has no free slot.
  package mutating func nextFlush(knownVDL: LSN) -> [StorageOperation]? { log.beginFlush(knownVDL: knownVDL) }
  /// Ends the flush.
  ///
  /// On success insert the records that you accept, *then* `recycle` the block, before the next
  /// `nextFlush`. On failure the block's records are dropped (its tickets will never be durable).
  package mutating func endFlush(succeeded: Bool) -> FlushedBlock { log.endFlush(succeeded: succeeded) }

  // MARK: Background lane

  /// Stages a new version of a page for the next background job.
  ///
  /// `image` may leave trailing zeros out; nil: the page is
  /// absent from `lsn` on (a tombstone). Returns false when enough is staged or the pages of a job are under way: then
  /// run the job first. Versions that neither are the newest nor visible at a pin are freed by the same job; a version
  /// of the same LSN is replaced (that is how damage is repaired).
  package mutating func stagePage(
    _ group: ProtectionGroupID, _ page: PageID, lsn: LSN, image: UnsafeRawBufferPointer?, pins: [LSN]
  ) -> Bool { pages.stage(group, page, lsn: lsn, image: image, pins: pins) }
  /// Stages the removal of every version of a page, pinned or not.
  ///
  /// Only correct where no pin needs one and no record of
  /// the page at or below the discard is left in other chunks (see `LogStore.hasRecords`); else stage a tombstone.
  /// Returns false as `stagePage` does.
  package mutating func stageDrop(_ group: ProtectionGroupID, _ page: PageID) -> Bool {
    pages.stageDrop(group, page)
  }
  /// Frees a sealed chunk together with the pages staged so far (one journal append: both or neither).
  ///
  /// Forgotten, like
  /// the pages, when that job or a pages job under way fails.
  package mutating func stageRetire(_ sequence: UInt64) {
    if log.isSealed(sequence), !retires.contains(sequence) { retires.append(sequence) }
  }
  /// Whether a chunk is full and its sealing has not begun: record `.segment` facts now, so that opening need not walk it.
  package var wantsSealing: Bool { log.chunkToSeal != nil }
  /// Lets work that failed be tried again.
  package mutating func retryBackground() { waiting = 0 }

  /// What is wrong in the structures; empty when nothing is.
  ///
  /// Walks everything: for tests and the simulator.
  package func checkInvariants() -> [String] {
    var wrong = log.checkInvariants() + pages.table.checkInvariants()
    let sealed = log.chunks.filter(\.isSealed).map(\.sequence)
    if sealed != journal.state.chunks.map(\.sequence) { wrong.append("store: sealed chunks differ from the journal's") }
    return wrong
  }
}
