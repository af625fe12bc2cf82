public import BorealisCore
public import BorealisWire

/// A group as a reader sees it: it knows no SCLs, so any full member may be asked.
struct ReaderGroup: ReadableGroup, Sendable {
  var configuration: GroupConfiguration
  var tail: TailHistory
  func mayServe(member: Int, upTo lsn: LSN) -> Bool { true }
}

/// A reader instance: follows the writer's stream, never ahead of durability, and reads pages from the same segments.
///
/// Invariants, checked by `checkInvariants()` (protocol §5.10):
/// - I8: what is visible is the volume at the *applied VDL*: a consistency point at or below the writer's VDL; whole
///   mini-transactions become visible in one step.
/// - A record for a page in the cache is applied, for a page on its way is queued, for another is dropped.
/// - The lowest read point in use is reported to the writer; where that is not heard for the deadline, reads are refused
///   and the reader attaches anew.
/// Source: P17 §4.2.4, P18 §3.3 and §3.4.
public struct VolumeReader: ~Copyable, Sendable {
  enum Phase: Sendable, Equatable {
    case idle
    /// Waits for `attached`.
    case attaching
    /// Attached; the catalog is being read.
    case loading
    case attached
    /// A newer writer has the volume: this reader has no source any more.
    case fenced
  }
  let configuration: VolumeReaderConfiguration
  let volume: VolumeID
  let instance: PeerID
  let writer: PeerID

  var phase = Phase.idle
  var epoch = VolumeEpoch.zero
  var attachSentAt = Instant.zero
  var reportedAt = Instant.zero
  /// Since when a hole below VDL stands in the way.
  var holeSince: Instant?

  /// VDL up to which the stream has been applied: what reads see.
  public internal(set) var appliedVDL = LSN.zero
  /// The writer's VDL as last heard.
  public internal(set) var knownVDL = LSN.zero
  var lastAppliedIsConsistencyPoint = true
  var buffer = StreamBuffer()
  /// Ready records looked at and at or below the known VDL.
  var scannedCount = 0
  /// Ready records up to the last consistency point among those.
  var applicableCount = 0

  var groups: [ReaderGroup] = []
  var catalog: VolumeCatalog
  var loader = CatalogLoader()
  var cache: PageCache
  var pending = PendingPages()
  var ahead: ReadAhead
  var reads: SegmentReads
  var readPoints = ReadPoints()
  var counters = VolumeReaderStatistics()

  /// A reader named `instance` that will attach to `writer`.
  public init(
    volume: VolumeID, instance: PeerID, writer: PeerID, configuration: VolumeReaderConfiguration, now: Instant
  ) {
    precondition(configuration.pageSize >= 512 && configuration.pageSize <= 65536)
    precondition(configuration.pageSize & (configuration.pageSize - 1) == 0, "a page size is a power of two")
    self.configuration = configuration
    self.volume = volume
    self.instance = instance
    self.writer = writer
    catalog = VolumeCatalog(pageSize: configuration.pageSize, extentPages: 1, groupPages: 1)
    cache = PageCache(pageSize: configuration.pageSize, bytes: configuration.cacheBytes)
    ahead = ReadAhead(window: configuration.readAheadPages, capacity: cache.capacity)
    // Apart for each life of the instance, so that a late answer to an earlier one is not mistaken.
    reads = SegmentReads(
      envelope: MessageHeader(volume: volume, sender: instance, volumeEpoch: .zero),
      timeout: configuration.readTimeout, hedgeAfter: configuration.readHedgeAfter,
      firstRequest: (now.nanoseconds << 12) | 1)
  }

  /// Whether the stream is being followed; reads wait otherwise.
  public var isAttached: Bool { phase == .attached }
  /// Whether a newer writer has taken the volume: make a new reader for that one.
  public var isFenced: Bool { phase == .fenced }
  /// Members and rules of every group as last heard.
  public var configurations: [GroupConfiguration] { groups.map(\.configuration) }

  /// Asks the writer for its stream.
  public mutating func start(now: Instant, into e: inout VolumeEffects) {
    guard phase == .idle else { return }
    phase = .attaching
    sendAttach(now: now, into: &e)
  }

  // MARK: Read points

  /// The applied VDL as a read point, held back from garbage collection until it is closed (or the registration lapses).
  public mutating func openReadPoint() -> LSN {
    readPoints.open(appliedVDL)
    return appliedVDL
  }
  /// Gives a read point back.
  public mutating func closeReadPoint(_ lsn: LSN) { readPoints.close(lsn) }
  /// The lowest read point in use.
  public var lowestReadPoint: LSN { readPoints.lowest.map { min($0, appliedVDL) } ?? appliedVDL }

  // MARK: Pages

  /// The page at the applied VDL out of memory, copied into `buffer`; nil when storage must be asked (`read`).
  public mutating func readCached(_ page: PageID, into buffer: UnsafeMutableRawBufferPointer) -> LSN? {
    guard phase == .attached, buffer.count >= configuration.pageSize else { return nil }
    ahead.note(page)
    guard let frame = cache.find(page) else { return nil }
    buffer.copyMemory(from: UnsafeRawBufferPointer(cache.bytes(frame)))
    counters.cacheHits += 1
    return cache.lsn(frame)
  }

  /// The first pages of `object` from `index` on that may hold data, for the applied VDL and every read point in use.
  public func pagesInUse(of object: ObjectID, from index: UInt64) -> Range<UInt64>? {
    catalog.pagesInUse(of: object, from: index)
  }

  /// Reads a page at the applied VDL (`readPoint` nil) or at a read point; ends in `VolumeEffects.reads`.
  ///
  /// While the reader is not attached a read waits, up to the time limit. Errors as for the writer.
  public mutating func read(
    _ page: PageID, at readPoint: LSN?, id: ReadID, now: Instant, into e: inout VolumeEffects
  ) {
    if let error = refusal(page, readPoint) {
      e.reads.append(CompletedRead(id: id, result: .failure(error)))
      return
    }
    // LSN 0 is a page that storage said is absent: since when is not known.
    if phase == .attached, let frame = cache.find(page),
      readPoint.map({ cache.lsn(frame) > .zero && cache.lsn(frame) <= $0 }) ?? true
    {
      counters.cacheHits += 1
      finish(id, lsn: cache.lsn(frame), Array(cache.bytes(frame)), into: &e)
      return
    }
    counters.cacheMisses += 1
    if let readPoint {
      guard let group = catalog.group(of: page), Int(group.value) < groups.count else {
        finish(id, lsn: .zero, [UInt8](repeating: 0, count: configuration.pageSize), into: &e)
        return
      }
      beginRead(page, group: group, at: readPoint, purpose: .point(id), now: now, into: &e)
      return
    }
    if pending.join(page, id: id) {
      // Who has caught up with what was asked for ahead asks for more.
      _ = readAhead(now: now, into: &e)
      return
    }
    if phase == .attached, group(forRead: page) != nil, let pages = ahead.follows(page) {
      pending.begin(page, group: ProtectionGroupID(0), needed: .zero, askedAt: appliedVDL, id: id, now: now)
      askForRun(pages, isFirstPending: true, now: now, into: &e)
      return
    }
    pending.begin(page, group: ProtectionGroupID(0), needed: .zero, askedAt: nil, id: id, now: now)
    issueWaitingReads(now: now, into: &e)
  }
  private func refusal(_ page: PageID, _ readPoint: LSN?) -> VolumeError? {
    if phase == .fenced { return VolumeError(.fenced, operation: "read", page: page) }
    guard let readPoint else { return nil }
    if phase != .attached { return VolumeError(.unavailable, operation: "read", lsn: readPoint, page: page) }
    if readPoint > appliedVDL { return VolumeError(.invalidArgument, operation: "read", lsn: readPoint, page: page) }
    if readPoint < lowestReadPoint {
      return VolumeError(.readPointTooOld, operation: "read", lsn: readPoint, page: page)
    }
    return nil
  }
  func finish(_ id: ReadID, lsn: LSN, _ bytes: [UInt8], into e: inout VolumeEffects) {
    e.reads.append(CompletedRead(id: id, result: .success(PageImage(lsn: lsn, bytes: bytes))))
  }
  mutating func beginRead(
    _ page: PageID, group: ProtectionGroupID, at readPoint: LSN, purpose: SegmentReads.Purpose, now: Instant,
    into e: inout VolumeEffects
  ) {
    readPoints.open(readPoint)
    let required = groups[Int(group.value)].tail.required(at: readPoint, points: readPoints)
    reads.begin(
      page, group: group, at: readPoint, requiredSCL: required, purpose: purpose, now: now, groups: groups,
      into: &e.sends)
  }
  /// Asks storage for pages that wait: the page is registered as pending before it is asked for.
  mutating func issueWaitingReads(now: Instant, into e: inout VolumeEffects) {
    guard phase == .attached else { return }
    var cursor = 0
    while let waiting = pending.nextReady(vdl: .max, askingAt: appliedVDL, from: &cursor) {
      if let group = catalog.group(of: waiting.page), Int(group.value) < groups.count {
        beginRead(waiting.page, group: group, at: appliedVDL, purpose: .head, now: now, into: &e)
      } else if let absent = pending.take(waiting.page) {
        let zeros = [UInt8](repeating: 0, count: configuration.pageSize)
        for id in absent.ids { finish(id, lsn: .zero, zeros, into: &e) }
      }
    }
  }
  /// A read of a segment has ended.
  mutating func complete(_ completion: SegmentReads.Completion, now: Instant, into e: inout VolumeEffects) {
    readPoints.close(completion.readPoint)
    switch completion.purpose {
    case .catalog: completeCatalog(completion, now: now, into: &e)
    case .point(let id):
      switch completion.result {
      case .failure(let error): e.reads.append(CompletedRead(id: id, result: .failure(error)))
      case .success(let (lsn, image)): finish(id, lsn: lsn, padded(image), into: &e)
      }
    case .head: completeHead(completion, now: now, into: &e)
    }
  }
  func padded(_ image: [UInt8]) -> [UInt8] {
    image + [UInt8](repeating: 0, count: configuration.pageSize - image.count)
  }
  private mutating func completeHead(
    _ completion: SegmentReads.Completion, now: Instant, into e: inout VolumeEffects
  ) {
    if case .failure(let error) = completion.result, error.code == .readPointTooOld {
      // The writer has given this reader up, or never knew of its read point.
      lose("a read point has expired", now: now, into: &e)
      return
    }
    guard pending.isAwaited(completion.page, at: completion.readPoint),
      let waiting = pending.take(completion.page)
    else { return }
    switch completion.result {
    case .failure(let error):
      for id in waiting.ids { e.reads.append(CompletedRead(id: id, result: .failure(error))) }
    case .success(let (lsn, image)):
      var bytes = padded(image)
      let last = bytes.withUnsafeMutableBytes {
        PendingPages.merge(lsn: lsn, readPoint: completion.readPoint, changes: waiting.changes, into: $0)
      }
      if let frame = cache.insert(completion.page, lsn: last, vdl: appliedVDL, plantedBug: nil) {
        bytes.withUnsafeBytes { cache.bytes(frame).copyMemory(from: $0) }
      }
      for id in waiting.ids { finish(id, lsn: last, bytes, into: &e) }
    }
  }
}
