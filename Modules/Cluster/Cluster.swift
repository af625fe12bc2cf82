import BorealisStorageBackend
import BorealisCapacityScaler
import BorealisCoordinator
public import BorealisClusterModel
public import BorealisComputeEngine
import BorealisCore
public import BorealisEndpointResolver
public import BorealisRuntime
import BorealisVolume

/// A running cluster: one volume shared by one writer and up to fifteen readers, with endpoints that follow them.
///
///     let cluster = try await Cluster.inMemory("orders")
///     try await cluster.writer.execute("create table t (id integer primary key, v text)")
///     for try await row in cluster.reader.query("select count(*) from t") { print(row) }
///     await cluster.stop()
///
/// The cluster watches its instances, replaces a writer that fails by a reader (the old one is fenced by the volume's epoch
/// and can commit nothing any more), and starts what has ended again. None of this is on the path of a statement: that
/// goes from a connection to its instance and to the storage nodes.
public actor Cluster {
  /// The cluster's name.
  public nonisolated let identifier: String
  /// The configuration that it was started with.
  public nonisolated let configuration: ClusterConfiguration
  /// The endpoint of the writer.
  public nonisolated let writer: ClusterEndpoint
  /// The endpoint of the readers, or the writer where there is none.
  public nonisolated let reader: ClusterEndpoint
  /// The storage nodes.
  public nonisolated let fleet: StorageFleet
  nonisolated let directory: EndpointDirectory
  nonisolated let log = EventLog()
  nonisolated let engine: any ComputeEngine

  var members: [Member] = []
  /// The volume, as the writer of now has it; nil while there is no writer.
  var volume: Volume?
  var lastEpoch: UInt64 = 0
  var monitor: Task<Void, Never>?
  var isStopped = false
  /// Somebody else took the volume: writes would only take it back and forth.
  var isTaken = false
  /// Former writers that did not answer: they may still run, until they are seen to be fenced.
  var abandoned: [(engine: any EngineInstance, ticks: Int)] = []
  var failovers: [FailoverReport] = []
  /// When the next try of a failover that could not be completed may be made, and the next look at sizes.
  var nextFailover = Instant.zero
  var nextScaling = Instant.zero
  var nextNumber = 0
  private var isBusy = false
  private var queue: [CheckedContinuation<Void, Never>] = []

  private init(_ configuration: ClusterConfiguration, engine: any ComputeEngine, fleet: StorageFleet) {
    identifier = configuration.identifier
    self.configuration = configuration
    self.engine = engine
    self.fleet = fleet
    directory = EndpointDirectory(configuration)
    writer = ClusterEndpoint(.cluster, directory)
    reader = ClusterEndpoint(.reader, directory)
  }

  // MARK: Starting and stopping

  /// Starts the cluster that `configuration` describes: creates its volume, or opens the one that is there.
  ///
  /// Returns when the writer and all readers take connections.
  /// - Parameters:
  ///   - configuration: what to start.
  ///   - engine: the engine, where the configuration names none.
  public static func start(
    _ configuration: ClusterConfiguration, defaultEngine engine: any ComputeEngine
  ) async throws(ClusterError) -> Cluster {
    do throws(ClusterConfigurationError) { try configuration.validate() } catch { throw .configuration(error) }
    let storage = configuration.storage
    let opened: Result<StorageFleet, ClusterError> = await onThread {
      do throws(StorageBackendError) { return .success(try storage.place.open(storage)) } catch {
        return .failure(.storage(error))
      }
    }
    let cluster = Cluster(configuration, engine: configuration.engine ?? engine, fleet: try opened.get())
    do throws(ClusterError) { try await cluster.startInstances() } catch {
      await cluster.stop()
      throw error
    }
    return cluster
  }

  private func startInstances() async throws(ClusterError) {
    let all = configuration.resolvedInstances
    nextNumber = all.count
    guard let first = all.first(where: { $0.role == .writer }) else { return }
    let volume = try await openVolume(cacheOf: first.capacity.initial, canCreate: true)
    adopt(volume)
    try await startMember(first, .writer(volume))
    for configuration in all where configuration.role == .reader {
      try await startMember(configuration, try await attachReader(configuration.capacity.initial))
    }
    log.add(.clusterStarted)
    let interval = configuration.healthChecks.intervalMilliseconds
    monitor = Task { [weak self] in
      while !Task.isCancelled {
        try? await Task.sleep(for: .milliseconds(interval))
        guard let self, await self.tick() else { return }
      }
    }
  }

  /// Ends the cluster in good order: transactions under way end, a second at most.
  ///
  /// What is acknowledged is durable anyway.
  public func stop() async {
    guard !isStopped else { return }
    isStopped = true
    monitor?.cancel()
    directory.close()
    // A change under way finds out and ends; it may be waiting for storage, half a minute at most.
    if isBusy { await withCheckedContinuation { queue.append($0) } }
    isBusy = true
    defer {
      if queue.isEmpty { isBusy = false } else { queue.removeFirst().resume() }
    }
    let engines = members.map(\.engine) + abandoned.map(\.engine)
    await withTaskGroup(of: Void.self) { group in
      for engine in engines { group.addTask { await engine.stop() } }
    }
    members = []
    abandoned = []
    volume = nil
    let fleet = fleet
    await onThread { fleet.stop() }
    log.add(.clusterStopped)
    log.finish()
  }

  // MARK: Endpoints and events

  /// The endpoint of one instance, whatever its role.
  public nonisolated func instance(_ instance: InstanceIdentifier) -> ClusterEndpoint {
    ClusterEndpoint(.instance(instance), directory)
  }
  /// The instances of now, by name.
  public nonisolated var instances: [InstanceIdentifier] { directory.members.map(\.instance).sorted() }
  /// A custom endpoint by its name.
  public nonisolated func endpoint(_ name: String) throws(ClusterError) -> ClusterEndpoint {
    guard let found = directory.customEndpoints.first(where: { $0.name == name }) else {
      let names = directory.customEndpoints.map(\.name).joined(separator: ", ")
      throw .notFound("custom endpoint '\(name)'; there are: \(names.isEmpty ? "none" : names)")
    }
    return ClusterEndpoint(.custom(found), directory)
  }
  /// The custom endpoints that there are now.
  public nonisolated var customEndpoints: [CustomEndpoint] { directory.customEndpoints }
  /// Everything that happens from now on, in order; ends with the cluster.
  ///
  /// A listener that is a thousand events behind loses the oldest.
  public nonisolated var events: AsyncStream<ClusterEvent> { log.stream() }
  /// The last thousand events.
  public nonisolated var recentEvents: [ClusterEvent] { log.recent }
  /// The failovers so far.
  public var failoverReports: [FailoverReport] { failovers }

  // MARK: One change at a time

  /// Runs `body` alone among the changes of the cluster; checks and statements go on meanwhile.
  func alone<T: Sendable>(
    _ body: () async throws(ClusterError) -> T
  ) async throws(ClusterError) -> T {
    if isBusy { await withCheckedContinuation { queue.append($0) } }
    isBusy = true
    defer {
      if queue.isEmpty { isBusy = false } else { queue.removeFirst().resume() }
    }
    if isStopped { throw .stopped }
    return try await body()
  }
  /// Whether a change is under way.
  var isChanging: Bool { isBusy }

  // MARK: The volume and instances

  /// Becomes the volume's one writer, on a thread of its own.
  func openVolume(cacheOf capacity: InstanceCapacity, canCreate: Bool = false) async throws(ClusterError) -> Volume {
    var options = configuration.storage.volume
    options.policy = configuration.storage.replication
    options.cacheBytes = cacheBytes(of: capacity)
    let (fleet, final) = (fleet, options)
    let opened: Result<Volume, VolumeError> = await onThread {
      do throws(VolumeError) {
        if canCreate, try Cluster.isNew(fleet) { return .success(try Volume.create(on: fleet, options: final)) }
        return .success(try Volume.open(on: fleet, options: final))
      } catch { return .failure(error) }
    }
    do throws(VolumeError) { return try opened.get() } catch { throw .volume(error) }
  }
  private static func isNew(_ fleet: StorageFleet) throws(VolumeError) -> Bool {
    do { return try fleet.coordinator.load() == nil } catch {
      throw VolumeError(.unavailable, operation: "open", detail: "\(error)")
    }
  }
  /// A page cache as the capacity says, within a quarter of the machine's memory: instances share the machine here.
  func cacheBytes(of capacity: InstanceCapacity) -> ByteCount {
    min(capacity.cacheBytes, ByteCount(max(64 << 20, Machine.memoryBytes / 4)))
  }
  /// The volume is this one from now on.
  func adopt(_ new: Volume) {
    volume = new
    lastEpoch = UInt64(new.epoch.value)
    let log = log
    new.onEvent { log.add(.volume($0)) }
  }
  /// A reader instance on the volume of now.
  func attachReader(_ capacity: InstanceCapacity) async throws(ClusterError) -> EngineStorage {
    guard let volume else { throw .refused("there is no writer at the moment; try again after the failover") }
    let cacheBytes = cacheBytes(of: capacity)
    let vdl = volume.vdl
    let opened: Result<VolumeReaderInstance, VolumeError> = await onThread {
      do throws(VolumeError) {
        let reader = try VolumeReaderInstance(of: volume, cacheBytes: cacheBytes)
        // It shows at least what was durable when it was asked for. A writer that ends meanwhile is not waited for: no
        // failover begins before this is over.
        let deadline = SystemClock.now.advanced(byMilliseconds: 10_000)
        while !reader.waitUntilApplied(vdl, timeoutMilliseconds: 20) {
          guard volume.hasEnded || SystemClock.now >= deadline else { continue }
          reader.close()
          throw VolumeError(.unavailable, operation: "attach", lsn: vdl, detail: "the stream did not reach this LSN")
        }
        return .success(reader)
      } catch { return .failure(error) }
    }
    let address = members.first { $0.role == .writer }?.engine.address
    do throws(VolumeError) { return .reader(try opened.get(), writer: address) } catch { throw .volume(error) }
  }
  /// Starts an instance and makes it a member that is available.
  func startMember(_ configuration: InstanceConfiguration, _ storage: EngineStorage) async throws(ClusterError) {
    let name = configuration.identifier ?? InstanceIdentifier("\(identifier)-\(nextNumber)")
    let zone = zone(named: configuration.zone)
    let capacity = configuration.capacity.initial
    let running = try await startEngine(name, zone, capacity, storage)
    let now = SystemClock.wallClock
    members.append(
      Member(
        identifier: name, role: storage.role, zone: zone, tier: configuration.tier, scaler: configuration.capacity,
        capacity: capacity, state: .available, engine: running, lastSeen: now, caughtUpAt: now, storage: storage))
    publish(name)
    log.add(.instanceStarted(name, storage.role))
  }
  func startEngine(
    _ name: InstanceIdentifier, _ zone: ZoneID, _ capacity: InstanceCapacity, _ storage: EngineStorage
  ) async throws(ClusterError) -> any EngineInstance {
    do throws(EngineError) {
      return try await engine.start(
        InstanceStart(cluster: identifier, instance: name, zone: zone, capacity: capacity, storage: storage))
    } catch { throw .engine(error) }
  }
  /// Tells the endpoints what an instance is now.
  func publish(_ name: InstanceIdentifier) {
    guard let member = members.first(where: { $0.identifier == name }) else { return directory.remove(name) }
    directory.set(
      EndpointDirectory.Entry(
        instance: name, role: member.role, zone: member.zone, isAvailable: member.state == .available,
        engine: member.engine))
  }
  func index(of name: InstanceIdentifier) throws(ClusterError) -> Int {
    if let i = members.firstIndex(where: { $0.identifier == name }) { return i }
    throw .notFound("instance '\(name)'; there are: \(members.map(\.identifier.name).joined(separator: ", "))")
  }
  func zone(named name: String?) -> ZoneID {
    ZoneID(
      UInt8(
        clamping: name.flatMap { configuration.zones.firstIndex(of: $0) } ?? members.count % configuration.zones.count))
  }
}
