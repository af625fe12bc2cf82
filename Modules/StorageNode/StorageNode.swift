import BorealisCore
import BorealisStorageBackend
import BorealisWire

/// A storage node: one log shared by the segments that it holds, at most one of each protection group.
///
/// Foreground: take records in, make them durable, ack with SCL. Background: gossip, fold the log into pages, copy
/// baselines, scrub, repair. A pure machine: messages and outcomes of jobs come in, messages and jobs come out.
///
/// What the protocol decides, and where:
///
///     volume epochs, prepare, truncate, catchUp   StorageNode+Recovery     P18 §2.4, protocol §5.6
///     append, advance, ack                        StorageNode+Append       P18 §2.3, protocol §5.3
///     page reads                                  StorageNode+Reads        P18 §3.1, protocol §5.5
///     gossip, pull                                StorageNode+Gossip       protocol §5.9
///     baseline copies                             StorageNode+Baseline     P18 §4.2, protocol §5.9
///     membership, retention                       StorageNode+Membership   P18 §4.1, protocol §5.8, §5.12
///     folding, garbage collection                 StorageNode+Coalesce     protocol §5.11
///     damage                                      StorageNode+Scrub
///
/// A fact that the node acts on (epoch, truncation list, configuration, retention) holds in memory at once, and goes to
/// the journal; every answer and ack that depends on it waits until the journal is durable up to `barrier`.
///
/// Invariants are numbered in `StorageNode+Invariants`.
public struct StorageNode: ~Copyable, Sendable {
  /// This node.
  public let id: NodeID
  /// The volume whose segments it holds.
  public let volume: VolumeID
  let configuration: StorageNodeConfiguration
  var store: NodeStore
  /// By group, ascending.
  var segments: [Segment] = []

  // MARK: Volume-wide facts

  /// The volume epoch promised: requests with a lower one are refused.
  var volumeEpoch: VolumeEpoch
  /// The highest epoch for which an opener was told what this node holds.
  var sampledEpoch: VolumeEpoch
  var truncation: TruncationList
  var retention: Retention
  /// Highest VDL heard of.
  var knownVDL: LSN
  /// The same without what only the log's blocks tell of: those may be durable before the journal has the volume epoch of
  /// the writer whose VDL it was.
  var settledVDL = LSN.zero

  // MARK: Waiting for the journal

  /// Ticket of the last fact that acks and answers depend on.
  var barrier: UInt64 = 0
  var replies: [Reply] = []

  // MARK: Waiting for the log

  var staged: [PendingBatch] = []
  var stagedBytes = 0
  /// Bytes staged since the last tick, and a decaying sum of those before: how busy the foreground is.
  var appendedBytes = 0
  var appendPressure = 0
  /// Load-shy: commits first, unless the log is filling up (P17 §3.3).
  var letsCommitsGoFirst: Bool {
    appendPressure + appendedBytes > configuration.busyBytes && store.log.fullness < 50
  }
  /// Groups whose SCL may have moved in the flush just ended; kept for its storage.
  var touched: [Int] = []

  // MARK: Jobs

  var jobNumber: UInt64 = 0
  var logJob: UInt64?
  var backgroundJob: UInt64?
  /// Whether the segments' facts were recorded for the chunk that waits to be sealed.
  var hasFactsForSealing = false
  var fold: Fold?
  var canFold = false
  var incoming: IncomingBaseline?
  /// The configurations that left this node out, of groups that it holds no segment of: see `receiveConfigure`.
  var departures: [GroupConfiguration] = []
  /// Groups whose pages are being given back.
  var dropping: [ProtectionGroupID] = []

  // MARK: Disk

  /// Of the log: appends are refused.
  var diskTrouble: DiskTrouble?
  /// Of journal and pages: work there waits, and so do answers that depend on it.
  var backgroundTrouble: DiskTrouble?

  // MARK: Damage

  var damages: [Damage] = []
  var pageScrubCursor = 0
  var logScrubSegment = 0
  var logScrubLSN = LSN.zero
  var pruneCursor = 0

  // MARK: Time

  var nextGossip: Instant
  var nextScrub: Instant
  var nextRequest: UInt64 = 1

  // MARK: Kept for their storage

  var entries: [RecordEntry] = []
  var foldEntries: [RecordEntry] = []
  var page: [UInt8]
  var record: [UInt8] = []

  var counters = StorageNodeStatistics()

  /// Formats an empty backend, else recovers from what is there.
  ///
  /// - Throws: what the backend throws; `.cannotOpen` where it belongs to another node or volume.
  public init(
    id: NodeID, volume: VolumeID, backend: any StorageBackend, configuration: StorageNodeConfiguration, now: Instant
  ) throws(StorageBackendError) {
    self.id = id
    self.volume = volume
    self.configuration = configuration
    store = try NodeStore(node: id, volume: volume, backend: backend, configuration: configuration.store)
    let state = store.state
    let bug = configuration.plantedBug
    volumeEpoch = bug == .forgetEpochOnRestart ? .zero : state.volumeEpoch
    sampledEpoch = volumeEpoch
    truncation = bug == .forgetTruncationOnRestart ? TruncationList() : state.truncation
    retention = state.retention
    knownVDL = store.opening.knownVDL
    page = [UInt8](repeating: 0, count: configuration.pageSize)
    // Nodes that start together do not all gossip at once.
    let stagger = configuration.gossipInterval / 8 * UInt64(id.value % 8)
    nextGossip = now.advanced(byNanoseconds: stagger)
    nextScrub = now.advanced(byNanoseconds: configuration.scrubInterval)
    reopen(state)
  }

  /// Rebuilds the segments from the journal's facts and the log's index.
  ///
  /// Where the log's index cannot be read now, the chain stands at gcPoint and is followed on a later tick; until then
  /// the segment does not say where it stands.
  private mutating func reopen(_ state: JournalState) {
    store.log.truncation = truncation
    store.log.hidesVoidRecords = configuration.plantedBug != .gossipResurrectsVoid
    for c in state.configurations {
      let facts = state.segments.first { $0.group == c.group } ?? SegmentFacts(group: c.group)
      knownVDL = max(knownVDL, facts.knownVDL)
      settledVDL = max(settledVDL, facts.knownVDL)
      // A record that is gone for certain may lie below the SCL that was remembered: follow the chain from its base.
      let base = store.opening.damagedLog.isEmpty ? facts.scl : min(facts.scl, facts.gcPoint)
      var segment = Segment(configuration: c, node: id, base: base, gcPoint: facts.gcPoint)
      segment.isHydrating = facts.flags & SegmentFacts.hydrating != 0
      if c.index(of: id) == nil, facts.flags & SegmentFacts.tail != 0 { segment.kind = .tail }
      segment.recall(facts)
      segments.append(segment)
    }
    segments.sort { $0.group < $1.group }
    departures = state.departures
    dropping = store.pages.table.groups.filter { index(of: $0) == nil }
    lowerVoidVDL()
    for i in segments.indices {
      segments[i].needsRebuild = true
      do throws(StorageBackendError) {
        if let base = try clipped(i) { segments[i].chain.reset(to: base) }
      } catch {
        segments[i].chain.reset(to: segments[i].gcPoint)
      }
      rebuildIfNeeded(i)
    }
  }

  /// Whether `nextJob(.log)` would give a job.
  public var hasLogWork: Bool { logJob == nil && store.hasFlush }
  /// Whether `nextJob(.background)` would (probably) give a job.
  public var hasBackgroundWork: Bool {
    guard backgroundJob == nil else { return false }
    if store.hasBackgroundWork { return true }
    // After a failure everything that would be staged waits for the next try.
    guard backgroundTrouble == nil else { return false }
    let folds = canFold || fold?.isRetiring == false
    return (folds && !letsCommitsGoFirst) || incoming?.isDone == false || hasFetched || !dropping.isEmpty
  }

  /// The next job of a lane; nil when there is nothing to do, or one is under way.
  public mutating func nextJob(_ lane: StorageLane, now: Instant) -> StorageJob? {
    let operations: [StorageOperation]?
    switch lane {
    case .log:
      guard logJob == nil else { return nil }
      operations = store.nextFlush(knownVDL: knownVDL)
    case .background:
      guard backgroundJob == nil else { return nil }
      if store.wantsSealing, !hasFactsForSealing {
        for i in segments.indices { recordFacts(i) }
        hasFactsForSealing = true
      }
      stageIncoming()
      stageFetched()
      if !store.hasBackgroundWork { stageDropping() }
      if !store.hasBackgroundWork { foldStep(now: now) }
      operations = store.nextBackgroundJob(retiring: factsOfRetiring())
    }
    guard let operations else { return nil }
    jobNumber += 1
    switch lane {
    case .log: logJob = jobNumber
    case .background: backgroundJob = jobNumber
    }
    return StorageJob(id: jobNumber, lane: lane, operations: operations)
  }

  /// Takes in the outcome of a job: nil for success.
  public mutating func complete(
    _ job: StorageJob, error: StorageBackendError?, now: Instant, into out: inout [Outgoing]
  ) {
    switch job.lane {
    case .log:
      guard logJob == job.id else { return }
      logJob = nil
      if let error { diskTrouble = trouble(error, now: now) }
      endFlush(succeeded: error == nil, now: now, into: &out)
    case .background:
      guard backgroundJob == job.id else { return }
      backgroundJob = nil
      if let error { backgroundTrouble = trouble(error, now: now) }
      let outcome = store.endBackgroundJob(succeeded: error == nil)
      if outcome.sealed != nil { hasFactsForSealing = false }
      store.log.truncation = truncation  // which may be newer than the one that has just become durable
      ended(outcome, now: now, into: &out)
      flushReplies(into: &out)
      sendOwedAcks(into: &out)
    }
  }

  /// The work that comes with time: gossip, repeats of lost requests, scrub, another try on a full disk.
  ///
  /// Call it about every 10 ms.
  public mutating func tick(now: Instant, into out: inout [Outgoing]) {
    appendPressure = (appendPressure + appendedBytes) / 2
    appendedBytes = 0
    if let trouble = diskTrouble, trouble.retryAt <= now {
      // The next write is the probe: if it fails, trouble is back.
      diskTrouble = nil
    }
    if let trouble = backgroundTrouble, trouble.retryAt <= now {
      backgroundTrouble = nil
      store.retryBackground()
    }
    heedLosses()
    if nextGossip <= now {
      nextGossip = now.advanced(byNanoseconds: configuration.gossipInterval)
      for i in segments.indices { gossip(i, into: &out) }
    }
    for i in segments.indices { repeatRequests(i, now: now, into: &out) }
    repairDamage(now: now, into: &out)
    if configuration.scrubInterval > 0, nextScrub <= now {
      nextScrub = now.advanced(byNanoseconds: configuration.scrubInterval)
      scrub()
    }
    canFold = fold == nil && !letsCommitsGoFirst && chunkToFold(now: now) != nil
    flushReplies(into: &out)
  }

  /// Where the segment of a group stands; nil where this node holds none.
  public func status(of group: ProtectionGroupID) -> SegmentStatus? {
    index(of: group).map { status(of: segments[$0]) }
  }

  /// What the node has done, and what it holds.
  public var statistics: StorageNodeStatistics {
    var s = counters
    s.isFull = diskTrouble?.isFull == true || backgroundTrouble?.isFull == true
    s.isFailed = diskTrouble?.isFull == false || backgroundTrouble?.isFull == false
    s.logBytes = store.log.usedBytes
    for segment in segments { s.pageBytes += store.pages.bytes(of: segment.group) }
    return s
  }

  private mutating func trouble(_ error: StorageBackendError, now: Instant) -> DiskTrouble {
    counters.storageFailures += 1
    return DiskTrouble(
      isFull: error.code == .noSpace, retryAt: now.advanced(byNanoseconds: configuration.diskRetryInterval))
  }

  // MARK: Facts

  /// Records a fact that acks and answers depend on.
  mutating func journal(_ fact: JournalFact) { barrier = store.record(fact) }

  /// Records what a segment must remember; nothing waits for it.
  mutating func recordFacts(_ i: Int) { _ = store.record(.segment(facts(of: segments[i]))) }

  /// Records what a segment must remember; acks and answers wait for it.
  mutating func journalFacts(_ i: Int) { journal(.segment(facts(of: segments[i]))) }

  func facts(of segment: Segment) -> SegmentFacts {
    SegmentFacts(
      group: segment.group, gcPoint: segment.gcPoint, scl: segment.scl, knownVDL: knownVDL,
      minReadPoint: segment.minReadPoint, flags: SegmentFacts.flags(of: segment),
      mark: LSN(UInt64(segment.readPointEpoch.value) << 32 | UInt64(segment.oldestEpoch.value)),
      logEnd: store.log.end)
  }
}

extension Segment {
  /// Takes from the facts what `facts(of:)` put into `mark`: the epochs of the oldest record and of PGMRPL.
  fileprivate mutating func recall(_ facts: SegmentFacts) {
    guard facts.mark != .zero else { return }
    oldestEpoch = VolumeEpoch(UInt32(truncatingIfNeeded: facts.mark.value))
    let epoch = VolumeEpoch(UInt32(facts.mark.value >> 32))
    if epoch > .zero { raise(minReadPoint: facts.minReadPoint, of: epoch) }
  }
}

extension SegmentFacts {
  /// Flag: a baseline copy was begun and has not ended; pages are a mixture.
  static let hydrating: UInt32 = 1
  /// Flag: the segment keeps no pages.
  ///
  /// For configurations that do not name the node.
  static let tail: UInt32 = 2

  static func flags(of segment: Segment) -> UInt32 {
    (segment.isHydrating ? hydrating : 0) | (segment.kind == .tail ? tail : 0)
  }
}

/// What a disk last failed with, and when it is tried again.
struct DiskTrouble: Sendable, Equatable {
  var isFull: Bool
  var retryAt: Instant
}
