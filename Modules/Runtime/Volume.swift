import BorealisCore
import BorealisCoordinator
import BorealisReplicationPolicy
import BorealisStorageNode
import BorealisTransport
import BorealisVolume
import BorealisWire
import Synchronization

/// A cluster volume, open for writing: pages addressed by object and index, changed by mini-transactions, durable on a
/// write quorum.
///
/// Opening makes this the one writer: an older one, even if it still runs, can get nothing acknowledged any more and
/// fails with `.fenced`. All methods may be called from any thread. The blocking ones are for threads of an engine; a
/// task uses the `async` ones.
///
///     let lsn = try volume.write { $0.write(page, at: 0, bytes) }   // applied and on its way
///     try volume.waitUntilDurable(lsn)                              // survives the loss of a zone and one copy more
public final class Volume: MessageReceiver {
  /// The shape of the volume.
  public let metadata: VolumeMetadata
  /// Bytes of a page, as the volume was created.
  public var pageSize: Int { metadata.pageSize }
  /// The volume epoch at which this writer opened it.
  public let epoch: VolumeEpoch
  let fleet: StorageFleet
  let instance: PeerID
  private let writer: Guarded<VolumeWriter>
  private let reads = PendingReads()
  private let readAhead = ReadAheadThread()
  private let waiters = CommitWaiters()
  private let room = CommitWaiters()
  private let roomQueue = Mutex<[WaiterID]>([])
  private let isClosed = Atomic<Bool>(false)
  private let isOpen = ThreadSignal()
  private let ticker = ThreadSignal()
  /// When the machine asked for an early tick, in nanoseconds; `.max` where it did not.
  private let timerAt = Atomic<UInt64>(.max)
  private let thread = Mutex<WorkerThread?>(nil)
  private let eventHandler = Mutex<(@Sendable (VolumeEvent) -> Void)?>(nil)

  init(
    metadata: VolumeMetadata, opened: OpenedVolume, configuration: VolumeWriterConfiguration, instance: PeerID,
    fleet: StorageFleet, deadline: Instant
  ) throws(VolumeError) {
    self.metadata = metadata
    self.epoch = opened.epoch
    self.fleet = fleet
    self.instance = instance
    writer = Guarded(
      VolumeWriter(opened: opened, configuration: configuration, instance: instance, now: SystemClock.now))
    fleet.transport.register(instance, self)
    thread.withLock { $0 = WorkerThread { [weak self, ticker] in Volume.runTicks(ticker) { self } } }
    step { writer, effects in writer.start(now: SystemClock.now, into: &effects) }
    while true {
      let (open, fenced) = writer.withLock { ($0.isOpen, $0.isFenced) }
      if open { return }
      if fenced || SystemClock.now >= deadline {
        close()
        throw VolumeError(
          fenced ? .fenced : .unavailable, operation: "open",
          detail: fenced ? "another writer opened the volume meanwhile" : "the catalog could not be read in time")
      }
      isOpen.wait(milliseconds: 2)
    }
  }

  deinit { close() }

  // MARK: Writing

  /// Applies a mini-transaction: all of it becomes visible together, or none of it.
  ///
  /// Returns at once with the LSN of its consistency point; it is durable when `waitUntilDurable` says so. Blocks the
  /// thread while there is no room (LSN allocation limit, bytes in flight).
  ///
  /// - Throws: `.fenced` (this writer was replaced; nothing was applied), `.tooLarge`, `.invalidArgument`, `.closed`.
  public func write(_ body: (inout MiniTransaction) -> Void) throws(VolumeError) -> LSN {
    var transaction = MiniTransaction(pageSize: metadata.pageSize)
    body(&transaction)
    return try commit(transaction)
  }

  /// `write` for a mini-transaction that the caller keeps and reuses.
  public func commit(_ transaction: borrowing MiniTransaction) throws(VolumeError) -> LSN {
    try commit(transaction, isAwaited: true)
  }
  /// `commit` for a mini-transaction that nobody waits for yet.
  ///
  /// It is on its way to storage when somebody waits for it or for anything after it, and some milliseconds later anyhow: what
  /// one caller does without waiting goes in few batches, and costs its own thread no wake-ups of others.
  public func commitLater(_ transaction: borrowing MiniTransaction) throws(VolumeError) -> LSN {
    try commit(transaction, isAwaited: false)
  }
  private func commit(_ transaction: borrowing MiniTransaction, isAwaited: Bool) throws(VolumeError) -> LSN {
    while true {
      do throws(VolumeError) { return try tryCommit(transaction, isAwaited: isAwaited) } catch {
        guard error.code == .wouldBlock else { throw error }
      }
      try waitForRoom()
    }
  }

  /// Blocks until there may be room again: a tick at the latest.
  private func waitForRoom() throws(VolumeError) {
    try room.wait { id throws(VolumeError) in
      roomQueue.withLock { $0.append(id) }
      return false
    }
  }

  /// `commit` that suspends instead of blocking.
  public func commit(_ transaction: MiniTransaction) async throws(VolumeError) -> LSN {
    while true {
      do throws(VolumeError) { return try tryCommit(transaction) } catch {
        guard error.code == .wouldBlock else { throw error }
      }
      try await room.value { id in
        self.roomQueue.withLock { $0.append(id) }
        return .success(false)
      }
    }
  }

  private func tryCommit(
    _ transaction: borrowing MiniTransaction, isAwaited: Bool = true
  ) throws(VolumeError) -> LSN {
    var effects = VolumeEffects()
    let timestamp = SystemClock.wallClock
    let now = SystemClock.now
    // `withLock` cannot borrow a parameter that is not copyable into an escaping closure; a typed-throws closure can.
    let lsn = try writer.withLock { writer throws(VolumeError) in
      try writer.commit(transaction, isAwaited: isAwaited, timestamp: timestamp, now: now, into: &effects)
    }
    perform(effects)
    return lsn
  }

  /// Gives back all pages of an object: they read as zeros, and their room is used again once no read point needs it.
  ///
  /// One mini-transaction for each extent, so a crash may leave some of them; blocks while there is no room.
  /// - Returns: the LSN of the last consistency point; nil where the object has no pages.
  /// - Throws: as `commit`.
  @discardableResult
  public func discard(_ object: ObjectID) throws(VolumeError) -> LSN? {
    var last: LSN?
    while true {
      var effects = VolumeEffects()
      let (timestamp, now) = (SystemClock.wallClock, SystemClock.now)
      let lsn: LSN?
      do throws(VolumeError) {
        lsn = try writer.withLock { writer throws(VolumeError) in
          try writer.discardExtent(of: object, timestamp: timestamp, now: now, into: &effects)
        }
      } catch {
        guard error.code == .wouldBlock else { throw error }
        try waitForRoom()
        continue
      }
      perform(effects)
      guard let lsn else { return last }
      last = lsn
    }
  }

  /// Blocks until everything up to `lsn` is durable on a write quorum of every group.
  ///
  /// - Throws: `.fenced` with outcome `.unknown`: the next writer's recovery decides whether it is kept.
  public func waitUntilDurable(_ lsn: LSN) throws(VolumeError) {
    try waiters.wait { id throws(VolumeError) in try beginWait(lsn, id) }
  }

  /// Enters a waiter; true where there is nothing to wait for.
  private func beginWait(_ lsn: LSN, _ id: WaiterID) throws(VolumeError) -> Bool {
    var effects = VolumeEffects()
    let now = SystemClock.now
    let isDurable = try writer.withLock { writer throws(VolumeError) in
      try writer.wait(for: lsn, waiter: id, now: now, into: &effects)
    }
    perform(effects)
    return isDurable
  }

  /// Suspends until everything up to `lsn` is durable on a write quorum of every group.
  public func durable(_ lsn: LSN) async throws(VolumeError) {
    try await waiters.value { id in
      do throws(VolumeError) { return .success(try self.beginWait(lsn, id)) } catch { return .failure(error) }
    }
  }

  // MARK: Reading

  /// Reads a page into `buffer` (whole page) and returns the LSN of its last change; a page never written is zeros.
  ///
  /// At the head, or at a read point that is held open. Blocks the thread on a cache miss.
  @discardableResult
  public func read(
    _ page: PageID, at readPoint: LSN? = nil, into buffer: UnsafeMutableRawBufferPointer
  ) throws(VolumeError) -> LSN {
    if readPoint == nil {
      let (lsn, wantsAhead) = writer.withLock { ($0.readCached(page, into: buffer), $0.takeReadAheadWish()) }
      if wantsAhead { readAhead.wake { [weak self] in self?.askAhead() ?? false } }
      if let lsn { return lsn }
    }
    let image = try reads.wait { id in begin(page, readPoint, id) }
    buffer.copyBytes(from: image.bytes)
    return image.lsn
  }

  /// Reads a page: suspends instead of blocking.
  public func read(_ page: PageID, at readPoint: LSN? = nil) async throws(VolumeError) -> PageImage {
    try await reads.value { id in self.begin(page, readPoint, id) }
  }

  private func begin(_ page: PageID, _ readPoint: LSN?, _ id: ReadID) {
    step { writer, effects in writer.read(page, at: readPoint, id: id, now: SystemClock.now, into: &effects) }
  }

  /// Calls `body` with a read point (the VDL now) that stays readable until `body` has returned.
  public func withReadPoint<T, E: Error>(_ body: (LSN) throws(E) -> T) throws(E) -> T {
    let point = openReadPoint()
    defer { closeReadPoint(point) }
    return try body(point)
  }
  /// Holds the VDL now open as a read point, until `closeReadPoint` is called once with it.
  public func openReadPoint() -> LSN { writer.withLock { $0.openReadPoint() } }
  /// Gives back a read point of `openReadPoint`.
  public func closeReadPoint(_ point: LSN) { writer.withLock { $0.closeReadPoint(point) } }

  /// The first pages of `object` from `index` on that may hold data, by whole extents; nil where there are none.
  public func pagesInUse(of object: ObjectID, from index: UInt64) throws(VolumeError) -> Range<UInt64>? {
    writer.withLock { $0.pagesInUse(of: object, from: index) }
  }

  // MARK: Operating

  /// Volume durable LSN: everything at or below is durable and visible.
  public var vdl: LSN { writer.withLock { $0.vdl } }

  /// The configurations of all protection groups.
  public var configurations: [GroupConfiguration] { writer.withLock { $0.configurations } }

  /// Counters of the writer.
  public var statistics: VolumeWriterStatistics { writer.withLock { $0.statistics } }

  /// Violated invariants; empty when all hold.
  public func checkInvariants() -> [String] { writer.withLock { $0.checkInvariants() } }

  /// Whether another writer has taken over.
  public var isFenced: Bool { writer.withLock { $0.isFenced } }

  /// Whether `close` was called.
  package var hasEnded: Bool { isClosed.load(ordering: .acquiring) }

  /// Begins a membership change of a group: replacing a member, losing a zone, returning to full.
  public func change(_ group: ProtectionGroupID, to plan: MembershipPlan) throws(VolumeError) {
    var effects = VolumeEffects()
    let now = SystemClock.now
    try writer.withLock { writer throws(VolumeError) in
      try writer.change(group, to: plan, now: now, into: &effects)
    }
    perform(effects)
  }

  /// Has `handler` called with what happens, on one of the volume's threads; it must not block.
  public func onEvent(_ handler: (@Sendable (VolumeEvent) -> Void)?) { eventHandler.withLock { $0 = handler } }

  /// Ends the use of the volume.
  ///
  /// Commits that are not durable yet fail with `.closed`, outcome `.unknown`.
  public func close() {
    guard !isClosed.exchange(true, ordering: .acquiringAndReleasing) else { return }
    fleet.transport.unregister(instance)
    ticker.raise()
    readAhead.end()
    let error = VolumeError(.closed, operation: "commit", outcome: .unknown)
    waiters.close(error)
    room.close(VolumeError(.closed, operation: "commit"))
    reads.close(VolumeError(.closed, operation: "read"))
  }

  // MARK: The shell

  /// Takes one message from storage or from a reader.
  public func receive(_ bytes: [UInt8]) {
    guard !isClosed.load(ordering: .acquiring) else { return }
    // Decoded before the lock is taken: that goes over all bytes.
    guard let (header, message) = try? Message.decode(bytes) else {
      return step { writer, effects in writer.receive(bytes, now: SystemClock.now, into: &effects) }
    }
    step { writer, effects in writer.receive(header, message, now: SystemClock.now, into: &effects) }
  }

  /// Asks for pages ahead of a reader; whether there may be more.
  private func askAhead() -> Bool {
    guard !isClosed.load(ordering: .acquiring) else { return false }
    var mayGoOn = false
    step { writer, effects in mayGoOn = writer.readAhead(now: SystemClock.now, into: &effects) }
    return mayGoOn
  }

  private func step(_ body: (inout VolumeWriter, inout VolumeEffects) -> Void) {
    var effects = VolumeEffects()
    let open = writer.withLock { writer in
      body(&writer, &effects)
      return writer.isOpen
    }
    perform(effects)
    if open { isOpen.raise() }
  }

  private func perform(_ effects: VolumeEffects) {
    if !effects.sends.isEmpty { fleet.transport.send(effects.sends) }
    if !effects.durable.isEmpty { waiters.finish(effects.durable, .durable) }
    if let timer = effects.timer {
      timerAt.store(timer.nanoseconds, ordering: .releasing)
      ticker.raise()
    }
    if !effects.reads.isEmpty { reads.complete(effects.reads) }
    if effects.isFenced {
      let error = VolumeError(.fenced, operation: "commit", outcome: .unknown)
      for id in effects.failedWaiters { waiters.finish(id, .failed(error)) }
      wakeRoom()
    }
    if effects.hasRoom { wakeRoom() }
    if !effects.events.isEmpty, let handler = eventHandler.withLock({ $0 }) {
      for event in effects.events { handler(event) }
    }
  }

  private func wakeRoom() {
    let ids = roomQueue.withLock { queue in
      defer { queue.removeAll(keepingCapacity: true) }
      return queue
    }
    for id in ids { room.finish(id, .durable) }
  }

  private func tick() {
    step { writer, effects in writer.tick(now: SystemClock.now, into: &effects) }
    // A caller may have queued up for room just after the wake-up that was meant for it: each tick lets all try again.
    wakeRoom()
  }

  private static func runTicks(_ ticker: ThreadSignal, _ volume: () -> Volume?) {
    var next = SystemClock.now
    // The volume is held only while it is looked at: nobody else holding it ends the thread.
    while let instant = volume()?.tickIfDue(&next) { ticker.wait(until: instant) }
  }

  /// Ticks when it is time to; when to look again, nil once closed.
  private func tickIfDue(_ next: inout Instant) -> Instant? {
    if isClosed.load(ordering: .acquiring) { return nil }
    let timer = timerAt.load(ordering: .acquiring)
    if SystemClock.now.nanoseconds >= min(next.nanoseconds, timer) {
      // Not a later one, which may have been set since.
      _ = timerAt.compareExchange(expected: timer, desired: .max, ordering: .acquiringAndReleasing)
      tick()
      next = SystemClock.now.advanced(byMilliseconds: 5)
    }
    return Instant(nanoseconds: min(next.nanoseconds, timerAt.load(ordering: .acquiring)))
  }
}
