public import BorealisClusterModel
public import BorealisCore
public import BorealisRuntime

/// A SQL engine: runs the instances of a cluster on its shared volume.
///
/// The cluster decides who writes and opens the volume for it; the engine only uses what it is given. SQLite runs in the
/// process; an engine that is a server of its own is started, watched and stopped behind the same methods.
///
/// ## Contract
///
/// 1. `start` returns when the instance takes connections. On a volume that has never been used, a writer makes what the
///    engine needs. Where it throws, it has closed the storage that it was given and left nothing running.
/// 2. What a commit has acknowledged is durable on the volume. After the volume is fenced or `terminate` was called, no
///    commit is acknowledged any more; those under way fail, with `isOutcomeUnknown` where they may have taken effect.
/// 3. A reader shows committed transactions, whole and in order, and refuses writes with `.readOnly`.
/// 4. `attach` gives an instance other storage: as the new writer (promotion), or as a reader of a new writer. When it
///    returns the instance works on that, and the old storage is closed. Connections are lost when the role changes, and
///    outlast a change of the writer that a reader follows, between their transactions.
/// 5. `checkHealth` returns within its time limit or throws `.unresponsive`; it works on the engine itself, not on a copy of
///    its state.
/// 6. `terminate` returns at once and ends the instance as kill -9 would: nothing is flushed, no transaction ends well.
///    `stop` lets transactions under way end, up to a limit. Both are final, and may be called again.
/// 7. All methods may be called from any task, and none blocks its thread.
///
/// `ComputeEngineConformance` checks these sentences.
public protocol ComputeEngine: Sendable {
  /// The engine's name: `sqlite`, `postgresql`.
  var name: String { get }
  /// Starts an instance.
  func start(_ start: InstanceStart) async throws(EngineError) -> any EngineInstance
}

/// What a new instance is given.
public struct InstanceStart: Sendable {
  /// The cluster's identifier.
  public let cluster: String
  /// The instance.
  public let instance: InstanceIdentifier
  /// Where it runs.
  public let zone: ZoneID
  /// What it may use.
  public let capacity: InstanceCapacity
  /// The volume as this instance has it; owned by the instance from now on.
  public let storage: EngineStorage

  /// Makes the order to start an instance.
  public init(
    cluster: String, instance: InstanceIdentifier, zone: ZoneID, capacity: InstanceCapacity, storage: EngineStorage
  ) {
    self.cluster = cluster
    self.instance = instance
    self.zone = zone
    self.capacity = capacity
    self.storage = storage
  }
}

/// The shared volume, as one instance has it.
public enum EngineStorage: Sendable {
  /// Open for writing: this is the one writer.
  case writer(Volume)
  /// A reader instance on it, and where the writer's engine listens, for engines that stream from it.
  case reader(VolumeReaderInstance, writer: EngineAddress?)

  /// The role that goes with it.
  public var role: InstanceRole {
    switch self {
    case .writer: .writer
    case .reader: .reader
    }
  }
  /// Ends its use.
  public func close() {
    switch self {
    case .writer(let volume): volume.close()
    case .reader(let reader, _): reader.close()
    }
  }
}

/// Where a server listens.
public struct EngineAddress: Hashable, Sendable, CustomStringConvertible {
  /// A name or an address.
  public let host: String
  /// The port.
  public let port: UInt16
  /// Makes an address.
  public init(host: String, port: UInt16) {
    self.host = host
    self.port = port
  }
  /// `host:port`.
  public var description: String { "\(host):\(port)" }
}

/// A running instance of an engine.
public protocol EngineInstance: AnyObject, Sendable {
  /// What it does now.
  var role: InstanceRole { get }
  /// Where its clients connect to; nil for an engine in the process.
  var address: EngineAddress? { get }
  /// What it has done.
  var statistics: EngineStatistics { get }
  /// Everything that this instance shows is at or below this LSN; what it has acknowledged, too. nil: it cannot say.
  var position: LSN? { get }
  /// Waits until this instance shows everything up to `lsn`; whether it does.
  func waitUntilVisible(_ lsn: LSN, timeoutMilliseconds: UInt64) async -> Bool
  /// Asks the engine for a sign of life.
  ///
  /// - Throws: `.terminated` where it has ended, `.fenced` where another writer has its volume, `.unresponsive` where no
  ///   answer came in time.
  func checkHealth(timeoutMilliseconds: UInt64) async throws(EngineError)
  /// Goes on with other storage: promotion, or a reader that follows a new writer.
  func attach(_ storage: EngineStorage) async throws(EngineError)
  /// Has more or less of everything from now on; connections stay.
  func resize(to capacity: InstanceCapacity) async
  /// A new connection, with which the caller runs SQL in this process.
  func connect() async throws(SQLError) -> any SQLConnection
  /// Begins no transaction any more and waits for those under way; whether all ended in time.
  func drain(timeoutMilliseconds: UInt64) async -> Bool
  /// Ends the instance in good order.
  func stop() async
  /// Ends the instance as kill -9 would.
  func terminate()
  /// Plays a fault, for drills and tests.
  func inject(_ fault: EngineFault)
}

extension EngineInstance {
  /// nil: it cannot say.
  public var position: LSN? { nil }
  /// True: an engine that cannot say where it is holds nobody up.
  public func waitUntilVisible(_ lsn: LSN, timeoutMilliseconds: UInt64) async -> Bool { true }
}

/// What a drill can do to an instance besides ending it.
public enum EngineFault: Hashable, Sendable {
  /// Ends as kill -9 would, at the next commit: when it was submitted, and before anybody was told that it is durable.
  case terminateDuringNextCommit
  /// Answers no health check and takes no new connection, but goes on running: an instance that the cluster cannot reach.
  case isolate
}

/// What an instance has done, and has at the moment.
public struct EngineStatistics: Hashable, Sendable {
  /// Transactions committed; statements on their own count as one each.
  public var commits: UInt64 = 0
  /// Transactions that failed or were rolled back.
  public var rollbacks: UInt64 = 0
  /// Nanoseconds that commits took, added up.
  public var commitNanoseconds: UInt64 = 0
  /// Queries that only read.
  public var queries: UInt64 = 0
  /// Connections open at the moment.
  public var connections = 0
  /// Connections opened so far.
  public var connectionsOpened: UInt64 = 0
  /// When the last statement ended, in nanoseconds of monotonic time; 0 where there was none.
  public var lastUse: UInt64 = 0
  /// All zero.
  public init() {}
}

/// Why an engine could not do what the cluster asked of it.
public struct EngineError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The kinds of failure.
  public enum Code: String, Hashable, Sendable {
    /// The engine is not installed, or cannot be started here.
    case cannotStart
    /// What is on the volume is no database of this engine, or a damaged one.
    case unusableStorage
    /// The instance has ended.
    case terminated
    /// Another writer has its volume.
    case fenced
    /// It did not answer in time.
    case unresponsive
    /// The volume failed.
    case volume
  }
  /// The kind of failure.
  public let code: Code
  /// The instance.
  public let instance: InstanceIdentifier
  /// What happened and what to do.
  public let detail: String
  /// Makes an error.
  public init(_ code: Code, _ instance: InstanceIdentifier, _ detail: String) {
    self.code = code
    self.instance = instance
    self.detail = detail
  }
  /// One line for people.
  public var description: String { "instance \(instance): \(code.rawValue): \(detail)" }
}
