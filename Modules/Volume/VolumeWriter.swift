public import BorealisCore
import BorealisReplicationPolicy
public import BorealisWire

/// The one writer of a volume: gives LSNs, keeps the chains, sends batches, counts quorums, wakes waiters, feeds readers.
///
/// A pure machine (see `Documentation/Architecture.md`): the shell steps it, then performs the effects.
/// Invariants, checked by `checkInvariants()`:
/// - I2: VDL, VCL and PGCL never decrease, and `minReadPoint <= VDL <= VCL`.
/// - I5: no LSN above `VDL + LAL` is issued (counted from the end of the void range until VDL has passed it).
/// - I11: a page leaves the cache only when its LSN is at or below VDL.
/// - VDL is a consistency point, and every record at or below VCL is on a write quorum of its group.
/// Source: P17 §4, P18 §2 and §3.
public struct VolumeWriter: ~Copyable, Sendable {
  /// A record above VDL.
  struct Outstanding: Sendable {
    var lsn: LSN
    var group: UInt32
    /// Encoded bytes; bit 31 marks a consistency point.
    var sizeAndFlag: UInt32
    var size: Int { Int(sizeAndFlag & 0x7FFF_FFFF) }
    var isConsistencyPoint: Bool { sizeAndFlag >> 31 == 1 }
  }
  /// The record whose end is not known yet: sealed when the next one begins.
  struct Unsealed: Sendable {
    var group: Int
    var start: Int
    var lsn: LSN
  }
  struct BlindWrite: Sendable {
    var lsn: LSN
    var page: PageID
  }
  struct ReaderRegistration: Sendable {
    var peer: PeerID
    var lowest: LSN
    var applied: LSN
    var deadline: Instant
  }

  // Identity
  let configuration: VolumeWriterConfiguration
  let volume: VolumeID
  /// The volume epoch won by this opening.
  public let epoch: VolumeEpoch
  let instance: PeerID
  let openedIsNew: Bool
  /// Whether each change is sent as the whole page.
  let wholePages: Bool
  /// No record lies between the last kept one and this LSN: LAL counts from here until VDL has passed it.
  let firstLSN: LSN

  // The log
  /// The LSN that the next record will have.
  public internal(set) var nextLSN: LSN
  /// The last record issued (or kept at opening): where the volume chain goes on.
  var lastRecord: LSN
  /// Volume complete LSN.
  public internal(set) var vcl: LSN
  /// Volume durable LSN.
  public internal(set) var vdl: LSN
  /// PGMRPL: no read below it will be served.
  public internal(set) var minReadPoint: LSN
  var groups: [WriterGroup]
  var outstanding = Ring(filler: Outstanding(lsn: .zero, group: 0, sizeAndFlag: 0), capacity: 1024)
  /// How many at the front of `outstanding` are at or below VCL.
  var coveredCount = 0
  var bytesInFlight = 0
  var unsealed: Unsealed?

  // State
  var fenced = false
  var loader = CatalogLoader()
  var catalog: VolumeCatalog
  /// A commit was refused: tell when there is room.
  var isBlocked = false
  var growth = Growth()
  /// nil where the volume does not heal by itself.
  var repair: VolumeRepair?
  var waiters = WaiterQueue()
  var wakeCount: UInt64 = 0
  var hold = CommitHold()
  /// Something was committed that nobody waited for: the next wait sends it.
  var hasUnsent = false

  // Pages
  var cache: PageCache
  /// Last LSN of pages not in the cache that were written above VDL.
  var blind: [PageID: LSN] = [:]
  var blindQueue = Ring(filler: BlindWrite(lsn: .zero, page: PageID(object: ObjectID(0), index: 0)))
  var pending = PendingPages()
  var ahead: ReadAhead
  /// Pages that were waited for and that the mini-transaction being committed has written whole.
  var landed: [PendingPages.Page] = []
  var reads: SegmentReads
  /// Read points that hold back PGMRPL: the shell's, and those of reads under way.
  var readPoints = ReadPoints()

  // Readers
  var readers: [ReaderRegistration] = []
  /// VDL that readers were told last.
  var streamedVDL: LSN

  // Reused, so that a commit does not allocate.
  var delta = DeltaEncoder()
  var planned: [Int32] = []
  var newEntries: [Int] = []
  var touched: [Int] = []
  var counters = VolumeWriterStatistics()

  /// Takes an opened volume over, under the name `instance`, to which nodes and readers answer.
  public init(
    opened: OpenedVolume, configuration: VolumeWriterConfiguration, instance: PeerID, now: Instant
  ) {
    precondition(configuration.pageSize >= 512 && configuration.pageSize <= 65536)
    precondition(configuration.pageSize & (configuration.pageSize - 1) == 0, "a page size is a power of two")
    precondition(opened.lastRecord < opened.nextLSN && opened.vdl < opened.nextLSN)
    self.configuration = configuration
    self.instance = instance
    volume = opened.volume
    epoch = opened.epoch
    openedIsNew = opened.isNew
    wholePages = configuration.payload == .pageImages
    firstLSN = opened.nextLSN
    nextLSN = opened.nextLSN
    lastRecord = opened.lastRecord
    vcl = opened.vdl
    vdl = opened.vdl
    minReadPoint = opened.vdl
    streamedVDL = opened.vdl
    groups = opened.groups.map {
      WriterGroup(
        $0, epoch: opened.epoch, truncationEpoch: opened.truncation.epoch, now: now,
        plantedBug: configuration.plantedBug)
    }
    catalog = VolumeCatalog(
      pageSize: configuration.pageSize, extentPages: configuration.extentPages, groupPages: configuration.groupPages,
      firstExtentPages: configuration.firstExtentPages)
    repair = configuration.repair.map {
      VolumeRepair($0, policy: configuration.policy, topology: configuration.topology, now: now)
    }
    cache = PageCache(pageSize: configuration.pageSize, bytes: configuration.cacheBytes)
    ahead = ReadAhead(window: configuration.readAheadPages, capacity: cache.capacity)
    reads = SegmentReads(
      envelope: MessageHeader(volume: opened.volume, sender: instance, volumeEpoch: opened.epoch),
      timeout: configuration.readTimeout, hedgeAfter: configuration.readHedgeAfter,
      firstRequest: UInt64(opened.epoch.value) << 40 | 1)
  }

  /// Begins: writes the catalog of a new volume, or loads that of an existing one; then `isOpen`.
  public mutating func start(now: Instant, into e: inout VolumeEffects) {
    guard loader.phase == .idle, !groups.isEmpty else { return }
    if openedIsNew {
      createCatalog(now: now, into: &e)
    } else {
      loader.start(at: vdl)
      beginRead(
        PageID(object: .catalog, index: 0), group: ProtectionGroupID(0), at: vdl, purpose: .catalog, now: now, into: &e)
    }
  }

  /// Whether commits and reads are accepted.
  public var isOpen: Bool { loader.phase == .done && !fenced }
  /// Whether another writer has taken the volume: nothing can be done with this one any more.
  public var isFenced: Bool { fenced }
  /// Why the volume cannot be opened, where that is so: its catalog is not readable as one.
  public var openFailure: VolumeError? {
    guard loader.phase == .failed else { return nil }
    return VolumeError(.damaged, operation: "open", detail: loader.failure?.description ?? "")
  }
  /// Members and rules of every group, by number.
  public var configurations: [GroupConfiguration] { groups.map(\.configuration) }
  /// PGCL of a group; nil where there is no such group.
  public func completeLSN(of group: ProtectionGroupID) -> LSN? {
    Int(group.value) < groups.count ? groups[Int(group.value)].pgcl : nil
  }
  /// SCL of each member of a group, by its index in the configuration.
  public func segmentLSNs(of group: ProtectionGroupID) -> [LSN] {
    Int(group.value) < groups.count ? groups[Int(group.value)].scls : []
  }

  func checkUsable(_ operation: StaticString) throws(VolumeError) {
    if fenced { throw VolumeError(.fenced, operation: operation) }
    if loader.phase != .done { throw VolumeError(.closed, operation: operation) }
  }

  // MARK: Waiting

  /// Whether `lsn` is durable; where it is not, `VolumeEffects.durable` will name the waiter once.
  ///
  /// - Throws: `.fenced` (outcome unknown), `.invalidArgument` for an LSN that was never issued.
  public mutating func wait(
    for lsn: LSN, waiter: WaiterID, now: Instant, into e: inout VolumeEffects
  ) throws(VolumeError) -> Bool {
    if lsn <= vdl { return true }
    if fenced { throw VolumeError(.fenced, operation: "wait", outcome: .unknown, lsn: lsn) }
    guard lsn <= lastRecord else { throw VolumeError(.invalidArgument, operation: "wait", lsn: lsn) }
    waiters.insert(lsn, id: waiter)
    let isLast = configuration.holdsForWoken && hold.noteReturned(now: now)
    if isLast || hasUnsent {
      hasUnsent = false
      for group in groups.indices { sendIfDue(group, now: now, into: &e) }
    } else if configuration.holdsForWoken, hold.isHolding(now: now) {
      e.timer = e.timer ?? hold.takeTimer()
    }
    return false
  }

  // MARK: Read points

  /// The current VDL as a read point, held back from garbage collection until it is closed.
  public mutating func openReadPoint() -> LSN {
    readPoints.open(vdl)
    return vdl
  }
  /// Gives a read point back.
  public mutating func closeReadPoint(_ lsn: LSN) {
    readPoints.close(lsn)
    updateMinReadPoint()
  }
  mutating func updateMinReadPoint() {
    var lowest = vdl
    if let own = readPoints.lowest { lowest = min(lowest, own) }
    for reader in readers { lowest = min(lowest, reader.lowest) }
    guard lowest > minReadPoint else { return }
    minReadPoint = lowest
    catalog.purge(upTo: lowest)
  }
}
