public import BorealisClusterModel
public import BorealisComputeEngine
public import BorealisCore
public import BorealisFileSystem
import BorealisRuntime
import Synchronization

/// An instance of PostgreSQL: a server of its own on a mount of the volume, or on a private view of it.
public final class PostgreSQLEngineInstance: EngineInstance {
  /// What an instance works on; replaced as a whole by `attach`.
  struct Attachment: Sendable {
    let database: ServedDatabase
    /// Counts attachments.
    let generation: UInt64
    /// Counts changes of the role: connections of an earlier one are lost.
    let roleGeneration: UInt64
  }
  struct State: Sendable {
    var attachment: Attachment?
    var capacity: InstanceCapacity
    var role = InstanceRole.reader
    /// Where it listens; kept while it is given other storage.
    var address: EngineAddress?
    var isTerminated = false
    var isChanging = false
    var isIsolated = false
    var isDraining = false
    var isArmed = false
    /// Why a reader has to begin at a fresh read point.
    var staleness: String?
    /// Connections that run a statement or are within a transaction.
    var busy = 0
    var statistics = EngineStatistics()
    /// Clients' connections that are not this process's, at the last health check.
    var otherConnections = 0
    /// The connection of health checks.
    var probe: SessionThread?
  }
  /// The instance's name.
  public let identifier: InstanceIdentifier
  let engine: PostgreSQLEngine
  let cluster: String
  let state: Mutex<State>

  init(engine: PostgreSQLEngine, _ start: InstanceStart) {
    self.engine = engine
    identifier = start.instance
    cluster = start.cluster
    state = Mutex(State(capacity: start.capacity))
  }
  deinit { terminate() }

  // MARK: What it is

  /// What it does now.
  public var role: InstanceRole { state.withLock { $0.role } }
  /// Where clients connect to; the same for as long as the instance has its name, where the port is free.
  public var address: EngineAddress? { state.withLock { $0.address } }
  /// What it has done; transactions are those of connections of this process, connections those of all.
  public var statistics: EngineStatistics {
    state.withLock { state in
      var all = state.statistics
      all.connections += state.otherConnections
      return all
    }
  }
  /// What the server has asked of its mount; nil when the instance has ended.
  public var mountStatistics: MountStatistics? { attachment()?.database.mount.statistics }
  /// A reader's own changes to its view; nil for a writer.
  public var overlayStatistics: OverlaySpace.Statistics? { attachment()?.database.overlay?.statistics }
  /// What was done to keep a reader's view near its writer; nil for a writer.
  public var viewStatistics: ViewStatistics? { attachment()?.database.upkeep?.statistics }
  /// The LSN of the volume at which a reader's view is: what storage keeps for it; nil for a writer.
  public var readPoint: LSN? { attachment()?.database.readPoint }
  /// The last lines of the server's log.
  public var lastLogLines: [String] { attachment()?.database.server.lastLines ?? [] }
  /// What libpq is told to connect as the superuser, without the password: `psql "…"`.
  ///
  /// nil when the instance has ended.
  public var connectionString: String? {
    guard let database = attachment()?.database, let address else { return nil }
    let security =
      database.certificates == nil
      ? "sslmode=disable" : "sslmode=verify-full sslrootcert=\(engine.authorityFile(of: cluster))"
    return "host=\(address.host) port=\(address.port) user=\(engine.options.superuser) dbname=postgres \(security)"
  }

  /// Of the writer, the volume's VDL; nil for a reader.
  ///
  /// What a reader has replayed is counted in PostgreSQL's own LSNs, of which the volume knows nothing.
  public var position: LSN? {
    guard case .writer(let volume) = attachment()?.database.storage else { return nil }
    return volume.vdl
  }

  /// What it works on; nil when it has ended or changes.
  func attachment() -> Attachment? { state.withLock { $0.isTerminated ? nil : $0.attachment } }
  var isTerminated: Bool { state.withLock { $0.isTerminated } }
  var ended: EngineError { EngineError(.terminated, identifier, "the instance has ended") }

  // MARK: Its end

  /// Begins no transaction of this process any more, and waits for those under way, those of other clients too.
  public func drain(timeoutMilliseconds: UInt64) async -> Bool {
    state.withLock { $0.isDraining = true }
    let deadline = SystemClock.now.advanced(byMilliseconds: timeoutMilliseconds)
    while state.withLock({ $0.busy > 0 && !$0.isTerminated }) {
      if SystemClock.now >= deadline { return false }
      try? await Task.sleep(for: .milliseconds(1))
    }
    while !isTerminated, await othersAreBusy() {
      if SystemClock.now >= deadline { return false }
      try? await Task.sleep(for: .milliseconds(5))
    }
    return true
  }
  /// Ends the server in good order when its transactions have ended, after a second at the latest.
  public func stop() async {
    _ = await drain(timeoutMilliseconds: 1000)
    let (attachment, probe) = end()
    probe?.close()
    guard let attachment else { return }
    await onThread {
      attachment.database.stop(milliseconds: PostgreSQLEngineInstance.stopMilliseconds)
      attachment.database.storage.close()
    }
  }
  /// How long a server may take for its last checkpoint, and the mount for its end.
  private static let stopMilliseconds: UInt64 = 5000

  /// Ends the server and all its processes at once, and its mount: what was not acknowledged is not.
  public func terminate() {
    let (attachment, probe) = end()
    // The processes first: none of them may acknowledge anything any more.
    attachment?.database.terminate()
    attachment?.database.storage.close()
    probe?.cutter.cut()
    probe?.close()
  }
  private func end() -> (Attachment?, SessionThread?) {
    state.withLock { state in
      defer {
        state.isTerminated = true
        state.attachment = nil
        state.probe = nil
      }
      return (state.isTerminated ? nil : state.attachment, state.probe)
    }
  }
  /// Plays a fault; the next commit is the next one of a connection of this process.
  public func inject(_ fault: EngineFault) {
    state.withLock { state in
      switch fault {
      case .terminateDuringNextCommit: state.isArmed = true
      case .isolate: state.isIsolated = true
      }
    }
  }
  /// A commit was sent to the server, and its answer not looked at.
  func commitSent() {
    let fires = state.withLock { state in
      defer { state.isArmed = false }
      return state.isArmed
    }
    if fires { terminate() }
  }

  /// Has a new limit of connections for this process at once; the server's memory and its own limit with its next start.
  public func resize(to capacity: InstanceCapacity) async { state.withLock { $0.capacity = capacity } }
}
