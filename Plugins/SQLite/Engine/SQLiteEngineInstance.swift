public import BorealisClusterModel
public import BorealisComputeEngine
import BorealisCore
import BorealisRuntime
import Synchronization

/// An instance of SQLite on a cluster's volume, in this process.
public final class SQLiteEngineInstance: EngineInstance {
  /// What an instance works on; replaced as a whole by `attach`.
  struct Attachment: Sendable {
    let storage: EngineStorage
    let vfs: SQLiteVFS
    /// The connection of health checks.
    let probe: SQLiteConnection
    /// Counts attachments.
    let generation: UInt64
    /// Counts changes of the role: connections of an earlier one are lost.
    let roleGeneration: UInt64
  }
  private struct State: Sendable {
    var attachment: Attachment?
    var capacity: InstanceCapacity
    var isTerminated = false
    var isIsolated = false
    var isDraining = false
    var armed = false
    /// Connections that run a statement or are within a transaction.
    var busy = 0
    var statistics = EngineStatistics()
  }
  /// The instance's name.
  public let identifier: InstanceIdentifier
  let engine: SQLiteEngine
  /// The database's path on the volume.
  public var databasePath: String { engine.path }
  private let state: Mutex<State>

  init(engine: SQLiteEngine, _ start: InstanceStart) {
    self.engine = engine
    identifier = start.instance
    state = Mutex(State(capacity: start.capacity))
  }
  deinit { terminate() }

  /// What it does now.
  public var role: InstanceRole { state.withLock { $0.attachment?.storage.role ?? .reader } }
  /// nil: it is in this process.
  public var address: EngineAddress? { nil }
  /// The database files as this instance has them now; nil when it has ended.
  ///
  /// For what opens databases by itself, such as GRDB. It belongs to the role that the instance has now: after a failover
  /// ask again.
  public var vfs: SQLiteVFS? { state.withLock { $0.isTerminated ? nil : $0.attachment?.vfs } }
  /// What it has done.
  public var statistics: EngineStatistics {
    state.withLock { state in
      var all = state.statistics
      all.commits += state.attachment?.vfs.commits ?? 0
      all.commitNanoseconds += state.attachment?.vfs.commitNanoseconds ?? 0
      return all
    }
  }

  /// The VDL that it shows.
  public var position: LSN? {
    switch state.withLock({ $0.attachment?.storage }) {
    case .writer(let volume): volume.vdl
    case .reader(let reader, _): reader.appliedVDL
    case nil: nil
    }
  }
  /// Waits until it shows everything up to `lsn`; whether it does.
  public func waitUntilVisible(_ lsn: LSN, timeoutMilliseconds: UInt64) async -> Bool {
    let deadline = SystemClock.now.advanced(byMilliseconds: timeoutMilliseconds)
    while let position, position < lsn {
      if isTerminated || SystemClock.now >= deadline { return false }
      try? await Task.sleep(for: .milliseconds(1))
    }
    return true
  }

  // MARK: Life

  /// Runs a statement of its own, on a connection of its own, and looks whether the volume was taken.
  public func checkHealth(timeoutMilliseconds: UInt64) async throws(EngineError) {
    let (attachment, isTerminated, isIsolated) = state.withLock { ($0.attachment, $0.isTerminated, $0.isIsolated) }
    guard let attachment, !isTerminated else { throw ended }
    if case .writer(let volume) = attachment.storage, volume.isFenced {
      throw EngineError(.fenced, identifier, "another writer has opened the volume")
    }
    let probe = attachment.probe
    let answered = await withTimeLimit(milliseconds: timeoutMilliseconds) {
      if isIsolated {
        try? await Task.sleep(for: .milliseconds(timeoutMilliseconds))
        return false
      }
      // No page is read: storage that is out of reach is no fault of the instance.
      return (try? await probe.rows("SELECT 1")) != nil
    }
    if state.withLock({ $0.isTerminated }) { throw ended }
    guard answered == true else {
      throw EngineError(.unresponsive, identifier, "no answer within \(timeoutMilliseconds) ms")
    }
  }
  private var ended: EngineError { EngineError(.terminated, identifier, "the instance has ended") }

  /// Goes on with other storage.
  public func attach(_ storage: EngineStorage) async throws(EngineError) {
    let (engine, identifier) = (engine, identifier)
    let opened: Result<SQLiteVFS, EngineError> = await onThread {
      do throws(EngineError) { return .success(try engine.open(storage, for: identifier)) } catch {
        return .failure(error)
      }
    }
    let vfs: SQLiteVFS
    let probe: SQLiteConnection
    do throws(EngineError) {
      vfs = try opened.get()
      do throws(SQLiteError) { probe = try await SQLiteConnection(vfs, engine.path) } catch {
        throw EngineError(error.volumeError != nil ? .volume : .unusableStorage, identifier, "\(error)")
      }
    } catch {
      storage.close()
      throw error
    }
    let (old, isTerminated) = state.withLock { state in
      let old = state.attachment
      guard !state.isTerminated else { return (old, true) }
      let changes = old.map { $0.storage.role != storage.role } ?? false
      state.statistics.commits += old?.vfs.commits ?? 0
      state.statistics.commitNanoseconds += old?.vfs.commitNanoseconds ?? 0
      state.attachment = Attachment(
        storage: storage, vfs: vfs, probe: probe, generation: (old?.generation ?? 0) + 1,
        roleGeneration: (old?.roleGeneration ?? 0) + (changes ? 1 : 0))
      state.isDraining = false
      return (old, false)
    }
    guard !isTerminated else {
      storage.close()
      throw ended
    }
    vfs.onSubmit { [weak self] in self?.submitted() }
    old?.storage.close()
  }

  /// Takes a new limit of connections at once; the cache gets its new size with the next storage that is attached.
  public func resize(to capacity: InstanceCapacity) async { state.withLock { $0.capacity = capacity } }

  /// Lets no transaction begin, and waits for those under way.
  public func drain(timeoutMilliseconds: UInt64) async -> Bool {
    state.withLock { $0.isDraining = true }
    let deadline = SystemClock.now.advanced(byMilliseconds: timeoutMilliseconds)
    while state.withLock({ $0.busy > 0 && !$0.isTerminated }) {
      if SystemClock.now >= deadline { return false }
      try? await Task.sleep(for: .milliseconds(1))
    }
    return true
  }
  /// Ends the instance when its transactions have ended, after a second at the latest.
  public func stop() async {
    _ = await drain(timeoutMilliseconds: 1000)
    terminate()
  }
  /// Ends the instance at once: what was not acknowledged is not.
  public func terminate() {
    let storage = state.withLock { state in
      defer { state.isTerminated = true }
      return state.isTerminated ? nil : state.attachment?.storage
    }
    storage?.close()
  }
  /// Plays a fault.
  public func inject(_ fault: EngineFault) {
    state.withLock { state in
      switch fault {
      case .terminateDuringNextCommit: state.armed = true
      case .isolate: state.isIsolated = true
      }
    }
  }
  /// A transaction was submitted, and nobody was told that it is durable.
  private func submitted() {
    let fires = state.withLock { state in
      defer { state.armed = false }
      return state.armed
    }
    if fires { terminate() }
  }

  // MARK: Connections

  /// A new connection.
  public func connect() async throws(SQLError) -> any SQLConnection {
    let refusal: SQLError? = state.withLock { state in
      if state.isTerminated || state.isIsolated || state.isDraining {
        return SQLError(
          .connectionLost, "the instance takes no connections: it has ended or is ending", instance: identifier.name)
      }
      guard state.statistics.connections < state.capacity.connectionsMax else {
        return SQLError(
          .tooManyConnections, "all \(state.capacity.connectionsMax) connections of its class are in use",
          instance: identifier.name)
      }
      state.statistics.connections += 1
      state.statistics.connectionsOpened += 1
      return nil
    }
    if let refusal { throw refusal }
    let connection = SQLiteEngineConnection(self)
    try await connection.open()
    return connection
  }
  func disconnected() { state.withLock { $0.statistics.connections -= 1 } }

  /// What a connection works on; nil when the instance has ended.
  func attachment() -> Attachment? { state.withLock { $0.isTerminated ? nil : $0.attachment } }
  var isTerminated: Bool { state.withLock { $0.isTerminated } }

  /// A connection wants to run something.
  ///
  /// - Parameter isInTransaction: it has begun a transaction before: that may go on while the instance is drained.
  /// - Returns: whether it may.
  func begin(isInTransaction: Bool) -> Bool {
    state.withLock { state in
      if state.isTerminated || state.isDraining && !isInTransaction { return false }
      if !isInTransaction { state.busy += 1 }
      return true
    }
  }
  /// What a connection has run is over.
  func end(isInTransaction: Bool, isQuery: Bool, failed: Bool) {
    let now = SystemClock.now.nanoseconds
    state.withLock { state in
      if !isInTransaction { state.busy -= 1 }
      if isQuery { state.statistics.queries += 1 }
      if failed { state.statistics.rollbacks += 1 }
      state.statistics.lastUse = now
    }
  }
}
