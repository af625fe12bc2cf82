import BorealisCore
import BorealisCoordinator
import BorealisReplicationPolicy
import BorealisStorageBackend
import BorealisStorageNode
import BorealisTransport
import BorealisWire
import Synchronization

/// The storage nodes of one volume, running in this process, with the transport and coordinator that reach them.
///
/// Nodes can be stopped (as after kill -9), started again on what their backends kept, and cut off.
public final class StorageFleet: Sendable {
  /// Opens the backend of a node; called at each start of the node.
  public typealias OpenBackend = @Sendable (NodePlacement) throws(StorageBackendError) -> any StorageBackend

  /// The volume whose segments the nodes hold.
  public let volume: VolumeID
  /// All nodes and their zones, spares included.
  public let topology: [NodePlacement]
  /// How messages travel.
  public let transport: InProcessTransport
  /// Where the volume's metadata lives.
  public let coordinator: any Coordinator
  /// Limits and intervals of the nodes.
  public let configuration: StorageNodeConfiguration
  private let openBackend: OpenBackend
  private let hosts = Mutex<[StorageNodeHost?]>([])
  private let failures = Mutex<[StorageBackendError?]>([])
  private let instances = Atomic<UInt32>(1 << 30)

  /// Starts every node of `topology`; of a volume that exists, those whose place can be opened.
  ///
  /// - Throws: the first backend error, naming the file; nodes that were started are stopped again.
  public init(
    volume: VolumeID, topology: [NodePlacement], coordinator: any Coordinator,
    configuration: StorageNodeConfiguration = StorageNodeConfiguration(), openBackend: @escaping OpenBackend
  ) throws(StorageBackendError) {
    self.volume = volume
    self.topology = topology
    self.coordinator = coordinator
    self.configuration = configuration
    self.openBackend = openBackend
    transport = InProcessTransport()
    hosts.withLock { $0 = Array(repeating: nil, count: topology.count) }
    failures.withLock { $0 = Array(repeating: nil, count: topology.count) }
    for (i, node) in topology.enumerated() {
      do throws(StorageBackendError) { try start(node.node) } catch {
        // A volume that exists goes on without a node whose disk is gone; anything else is the caller's to mend.
        let exists = (try? coordinator.load()) != nil
        if error.code == .cannotOpen, exists {
          failures.withLock { $0[i] = error }
          continue
        }
        stop()
        throw error
      }
    }
  }

  /// Six nodes (or what `policy` asks for) in memory: everything ends with the process.
  public static func inMemory(
    policy: any ReplicationPolicy = AuroraPolicy(), spares: Int = 0,
    configuration: StorageNodeConfiguration = StorageNodeConfiguration()
  ) throws(StorageBackendError) -> StorageFleet {
    let topology = StorageFleet.topology(for: policy, spares: spares)
    // Closed at first: a node opens its backend when it starts, and again when it starts anew.
    let backends = topology.map { _ in InMemoryStorageBackend() }
    for backend in backends { backend.close() }
    return try StorageFleet(
      volume: VolumeID(SystemClock.wallClock), topology: topology, coordinator: InMemoryCoordinator(),
      configuration: configuration
    ) { (placement) throws(StorageBackendError) in
      let backend = backends[Int(placement.node.value)]
      try backend.reopen()
      return backend
    }
  }

  /// One node for each copy of `policy`, zone by zone, and `spares` more in turn over the zones.
  public static func topology(for policy: any ReplicationPolicy, spares: Int = 0) -> [NodePlacement] {
    (0..<(policy.copies + spares)).map { i in
      NodePlacement(node: NodeID(UInt32(i)), zone: ZoneID(UInt8(i % policy.zones)))
    }
  }

  /// Starts a node that is stopped, on what its backend kept.
  ///
  /// Nothing happens when it runs.
  public func start(_ node: NodeID) throws(StorageBackendError) {
    guard let i = topology.firstIndex(where: { $0.node == node }) else { return }
    if hosts.withLock({ $0[i] != nil }) { return }
    let host = try StorageNodeHost(
      id: node, volume: volume, backend: try openBackend(topology[i]), transport: transport,
      configuration: configuration)
    hosts.withLock { $0[i] = host }
  }

  /// Stops a node at once, as kill -9 would: what was not flushed is not flushed.
  public func stop(_ node: NodeID) {
    guard let i = topology.firstIndex(where: { $0.node == node }) else { return }
    let host = hosts.withLock { hosts in
      defer { hosts[i] = nil }
      return hosts[i]
    }
    host?.stop()
  }

  /// Stops every node of a zone.
  public func stopZone(_ zone: ZoneID) { for node in topology where node.zone == zone { stop(node.node) } }

  /// Starts every node of a zone.
  public func startZone(_ zone: ZoneID) throws(StorageBackendError) {
    for node in topology where node.zone == zone { try start(node.node) }
  }

  /// Stops every node.
  public func stop() { for node in topology { stop(node.node) } }

  /// The running node, or nil.
  public func host(_ node: NodeID) -> StorageNodeHost? {
    guard let i = topology.firstIndex(where: { $0.node == node }) else { return nil }
    return hosts.withLock { $0[i] }
  }

  /// Why a node could not be started when the fleet was opened; nil where it could.
  public func startFailure(of node: NodeID) -> StorageBackendError? {
    guard let i = topology.firstIndex(where: { $0.node == node }) else { return nil }
    return failures.withLock { $0[i] }
  }

  /// A peer number that nobody else of this fleet has, for a reader instance.
  func nextInstance() -> PeerID { .instance(instances.wrappingAdd(1, ordering: .relaxed).newValue) }
}
