import BorealisCoordinator
import BorealisCore
import BorealisTransport
import BorealisVolume
import BorealisWire
import Synchronization

/// A reader instance: sees the volume at the writer's VDL a moment ago, shares its storage, copies nothing.
///
/// It follows the writer's stream and reads pages that it does not have from storage. Mini-transactions appear whole.
public final class VolumeReaderInstance: MessageReceiver {
  /// Bytes of a page.
  public let pageSize: Int
  private let reader: Mutex<VolumeReader>
  private let fleet: StorageFleet
  private let instance: PeerID
  private let reads = PendingReads()
  private let readAhead = ReadAheadThread()
  private let points: Mutex<PointCache>
  private let isClosed = Atomic<Bool>(false)
  private let changed = ThreadSignal()
  private let ticker = ThreadSignal()
  private let thread = Mutex<WorkerThread?>(nil)

  /// One part in so many of the cache's size, besides it, is for pages at read points that have changed since.
  private static let pointShare = 8

  /// Attaches a new reader to `volume`'s writer; returns when the first pages can be read.
  ///
  /// - Throws: `.unavailable` where the writer does not answer in time, or has ended.
  public init(
    of volume: Volume, cacheBytes: ByteCount = .mebibytes(64), timeoutMilliseconds: UInt64 = 10_000
  ) throws(VolumeError) {
    fleet = volume.fleet
    pageSize = volume.metadata.pageSize
    instance = volume.fleet.nextInstance()
    var configuration = VolumeReaderConfiguration()
    configuration.pageSize = volume.metadata.pageSize
    configuration.cacheBytes = Int(clamping: cacheBytes.value)
    configuration.readAheadPages = ReadAheadThread.bytes / configuration.pageSize
    let pointBytes = configuration.cacheBytes / VolumeReaderInstance.pointShare
    points = Mutex(PointCache(capacity: pointBytes / configuration.pageSize))
    reader = Mutex(
      VolumeReader(
        volume: volume.metadata.volume, instance: instance, writer: volume.instance, configuration: configuration,
        now: SystemClock.now))
    fleet.transport.register(instance, self)
    thread.withLock { $0 = WorkerThread { [weak self, ticker] in VolumeReaderInstance.runTicks(ticker) { self } } }
    step { reader, effects in reader.start(now: SystemClock.now, into: &effects) }
    let deadline = SystemClock.now.advanced(byMilliseconds: timeoutMilliseconds)
    while !reader.withLock({ $0.isAttached }) {
      // Who starts readers may be the one who has to replace the writer: that must not wait for an answer that cannot come.
      if volume.hasEnded {
        close()
        throw VolumeError(.unavailable, operation: "attach", detail: "the writer has ended")
      }
      if SystemClock.now >= deadline {
        close()
        throw VolumeError(.unavailable, operation: "attach", detail: "the writer did not answer in time")
      }
      changed.wait(milliseconds: 5)
    }
  }

  deinit { close() }

  /// The VDL up to which this reader shows the volume.
  public var appliedVDL: LSN { reader.withLock { $0.appliedVDL } }

  /// Counters of the reader, and how far it is behind.
  public var statistics: VolumeReaderStatistics { reader.withLock { $0.statistics } }

  /// Blocks until the reader shows everything up to `lsn`, or the time is over; whether it does.
  public func waitUntilApplied(_ lsn: LSN, timeoutMilliseconds: UInt64 = 10_000) -> Bool {
    let deadline = SystemClock.now.advanced(byMilliseconds: timeoutMilliseconds)
    while appliedVDL < lsn {
      if SystemClock.now >= deadline || isClosed.load(ordering: .acquiring) { return false }
      changed.wait(milliseconds: 5)
    }
    return true
  }

  /// Reads a page at the applied VDL, or at a read point that is held open, into `buffer` (whole page).
  @discardableResult
  public func read(
    _ page: PageID, at readPoint: LSN? = nil, into buffer: UnsafeMutableRawBufferPointer
  ) throws(VolumeError) -> LSN {
    let (lsn, wantsAhead) = reader.withLock { reader in
      guard readPoint.map({ reader.isAttached && $0 <= reader.appliedVDL }) ?? true else { return (LSN?.none, false) }
      return (reader.readCached(page, into: buffer), reader.takeReadAheadWish())
    }
    if wantsAhead { readAhead.wake { [weak self] in self?.askAhead() ?? false } }
    if let lsn, isSame(lsn, at: readPoint) { return lsn }
    let image: PageImage
    if let readPoint {
      image = try read(page, at: readPoint, isNewer: lsn.map { $0 > readPoint } ?? false)
    } else {
      image = try reads.wait { begin(page, nil, $0) }
    }
    buffer.copyBytes(from: image.bytes)
    return image.lsn
  }
  /// Whether a page of the head is what it was at a read point: LSN 0 is one that is absent, since when is not known.
  private func isSame(_ lsn: LSN, at readPoint: LSN?) -> Bool { readPoint.map { lsn > .zero && lsn <= $0 } ?? true }
  /// A page at a read point that the head's cache has not, or (`isNewer`) has as it is since.
  ///
  /// Most pages have not changed since: those come by way of the head, which has a cache and is read ahead.
  private func read(_ page: PageID, at readPoint: LSN, isNewer: Bool) throws(VolumeError) -> PageImage {
    if let known = points.withLock({ $0.find(page, at: readPoint) }) { return known }
    if !isNewer, reader.withLock({ $0.isAttached && readPoint <= $0.appliedVDL }) {
      let head = try reads.wait { begin(page, nil, $0) }
      if isSame(head.lsn, at: readPoint) { return head }
    }
    let image = try reads.wait { begin(page, readPoint, $0) }
    if image.lsn > .zero { points.withLock { $0.insert(page, at: readPoint, image) } }
    return image
  }

  /// Reads a page: suspends instead of blocking.
  public func read(_ page: PageID, at readPoint: LSN? = nil) async throws(VolumeError) -> PageImage {
    try await reads.value { id in self.begin(page, readPoint, id) }
  }

  /// Calls `body` with a read point (the applied VDL now) that stays readable until `body` has returned.
  public func withReadPoint<T, E: Error>(_ body: (LSN) throws(E) -> T) throws(E) -> T {
    let point = openReadPoint()
    defer { closeReadPoint(point) }
    return try body(point)
  }
  /// Holds the applied VDL open as a read point, until `closeReadPoint` is called once with it.
  public func openReadPoint() -> LSN { reader.withLock { $0.openReadPoint() } }
  /// Gives back a read point of `openReadPoint`.
  public func closeReadPoint(_ point: LSN) { reader.withLock { $0.closeReadPoint(point) } }

  /// The lowest read point in use, which holds back storage's garbage collection; the applied VDL where none is.
  public var lowestReadPoint: LSN { reader.withLock { $0.lowestReadPoint } }

  /// The first pages of `object` from `index` on that may hold data, by whole extents; nil where there are none.
  public func pagesInUse(of object: ObjectID, from index: UInt64) throws(VolumeError) -> Range<UInt64>? {
    reader.withLock { $0.pagesInUse(of: object, from: index) }
  }

  /// Violated invariants; empty when all hold.
  public func checkInvariants() -> [String] { reader.withLock { $0.checkInvariants() } }

  /// Detaches: its read point no longer holds anything back once its registration has expired.
  public func close() {
    guard !isClosed.exchange(true, ordering: .acquiringAndReleasing) else { return }
    fleet.transport.unregister(instance)
    ticker.raise()
    readAhead.end()
    reads.close(VolumeError(.closed, operation: "read"))
  }

  /// Takes one message from the writer or from storage.
  public func receive(_ bytes: [UInt8]) {
    guard !isClosed.load(ordering: .acquiring) else { return }
    // Decoded before the lock is taken: that goes over all bytes.
    guard let (header, message) = try? Message.decode(bytes) else {
      return step { reader, effects in reader.receive(bytes, now: SystemClock.now, into: &effects) }
    }
    step { reader, effects in reader.receive(header, message, now: SystemClock.now, into: &effects) }
  }

  /// Asks for pages ahead of a reader; whether there may be more.
  private func askAhead() -> Bool {
    guard !isClosed.load(ordering: .acquiring) else { return false }
    var mayGoOn = false
    step { reader, effects in mayGoOn = reader.readAhead(now: SystemClock.now, into: &effects) }
    return mayGoOn
  }

  private func begin(_ page: PageID, _ readPoint: LSN?, _ id: ReadID) {
    step { reader, effects in reader.read(page, at: readPoint, id: id, now: SystemClock.now, into: &effects) }
  }

  private func step(_ body: (inout VolumeReader, inout VolumeEffects) -> Void) {
    var effects = VolumeEffects()
    let advanced = reader.withLock { reader in
      let before = (reader.appliedVDL, reader.isAttached)
      body(&reader, &effects)
      return before != (reader.appliedVDL, reader.isAttached)
    }
    if !effects.sends.isEmpty { fleet.transport.send(effects.sends) }
    if !effects.reads.isEmpty { reads.complete(effects.reads) }
    if advanced { changed.raise() }
  }

  private static func runTicks(_ ticker: ThreadSignal, _ reader: () -> VolumeReaderInstance?) {
    while true {
      ticker.wait(milliseconds: 5)
      guard let reader = reader(), !reader.isClosed.load(ordering: .acquiring) else { return }
      reader.step { reader, effects in reader.tick(now: SystemClock.now, into: &effects) }
    }
  }
}
