import BorealisCapacityScaler
import BorealisWire
import BorealisReplicationPolicy
import BorealisClusterModel
public import BorealisComputeEngine
import BorealisCore
import BorealisEndpointResolver
import BorealisRuntime
import BorealisVolume

/// A cluster at one moment, for people and tools.
public struct ClusterStatus: Sendable, Codable, Hashable {
  /// An instance.
  public struct Instance: Sendable, Codable, Hashable {
    /// Its name.
    public var identifier: String
    /// `writer` or `reader`.
    public var role: String
    /// `available`, `failed` or `changing`.
    public var state: String
    /// The zone that it runs in.
    public var zone: String
    /// Its class, or what it has at the moment.
    public var size: String
    /// Memory in bytes.
    public var memoryBytes: UInt64
    /// Its promotion tier.
    public var tier: Int
    /// Connections open, and how many there may be.
    public var connections: Int
    /// How many connections there may be.
    public var connectionsMax: Int
    /// Transactions committed since it started.
    public var commits: UInt64
    /// Nanoseconds that those took until they were durable, added up.
    public var commitNanoseconds: UInt64
    /// Queries answered since it started.
    public var queries: UInt64
    /// LSNs that a reader is behind; nil for the writer.
    public var lagRecords: UInt64?
    /// Milliseconds that a reader is behind; nil for the writer.
    public var lagMilliseconds: Double?
    /// The lowest LSN at which a reader looks at the volume: what storage has to keep for it; nil for the writer.
    public var readPoint: UInt64?
    /// LSNs between that and the volume's VDL, whose garbage storage cannot collect; nil for the writer.
    public var readPointRecords: UInt64?
    /// Where its server listens, `host:port`; nil for an engine in the process.
    public var address: String?
  }
  /// A storage node.
  public struct Node: Sendable, Codable, Hashable {
    /// Its name, `n0`.
    public var identifier: String
    /// Its zone.
    public var zone: String
    /// Whether it runs.
    public var isRunning: Bool
    /// Segments that it holds, by the volume's configuration.
    public var segments: Int
    /// Bytes of pages and log of its segments.
    public var usedBytes: UInt64
    /// The most LSNs by which one of its segments is behind its group.
    public var lagRecords: UInt64
  }
  /// An endpoint.
  public struct Endpoint: Sendable, Codable, Hashable {
    /// `cluster`, `reader`, or the name.
    public var name: String
    /// The instances that new connections go to now.
    public var members: [String]
    /// Where clients connect to it, `host:port`; nil where nothing listens for it.
    public var address: String?
    /// Of a custom endpoint: the roles that it takes, `reader` or `any`.
    public var kind: CustomEndpoint.Kind?
    /// Of a custom endpoint that is a list: its instances.
    public var staticMembers: [String]?
    /// Of a custom endpoint that takes all others: the instances that it leaves out.
    public var excludedMembers: [String]?
  }
  /// The cluster's name.
  public var identifier: String
  /// The engine.
  public var engine: String
  /// The replication policy.
  public var replication: String
  /// The volume epoch of the writer.
  public var epoch: UInt64
  /// Volume durable LSN.
  public var vdl: UInt64
  /// Protection groups.
  public var groups: Int
  /// Instances, the writer first.
  public var instances: [Instance]
  /// Storage nodes.
  public var nodes: [Node]
  /// Endpoints.
  public var endpoints: [Endpoint]
  /// Failovers since the cluster was started.
  public var failovers: [FailoverReport]
}

extension Cluster {
  /// Says where clients connect to an endpoint (`cluster`, `reader`, or a name), for `status()`: a router knows.
  public nonisolated func setAddress(_ address: EngineAddress?, ofEndpoint name: String) {
    directory.setAddress(address, of: name)
  }
  /// What the writer has done to the volume since it opened it; nil while there is none.
  package var volumeStatistics: VolumeWriterStatistics? { volume?.statistics }
  /// The cluster now.
  public func status() -> ClusterStatus {
    let vdl = volume?.vdl ?? .zero
    let sorted = members.filter { $0.role == .writer } + members.filter { $0.role == .reader }
    return ClusterStatus(
      identifier: identifier, engine: engine.name, replication: configuration.storage.replication.name,
      epoch: lastEpoch, vdl: vdl.value, groups: volume?.configurations.count ?? 0,
      instances: sorted.map { describe($0, vdl) }, nodes: describeNodes(),
      endpoints: describeEndpoints(), failovers: failovers)
  }
  private func zoneName(_ zone: ZoneID) -> String {
    configuration.zones.indices.contains(Int(zone.value)) ? configuration.zones[Int(zone.value)] : "\(zone)"
  }
  private func describe(_ member: Member, _ vdl: LSN) -> ClusterStatus.Instance {
    let statistics = member.engine.statistics
    var (lag, point): (UInt64?, LSN?)
    if case .reader(let reader, _) = member.storage {
      let applied = reader.appliedVDL
      lag = vdl > applied ? vdl.value - applied.value : 0
      point = reader.lowestReadPoint
    }
    return ClusterStatus.Instance(
      identifier: member.identifier.name, role: member.role.rawValue, state: member.state.rawValue,
      zone: zoneName(member.zone),
      size: (member.scaler as? ProvisionedScaler)?.instanceClass.name ?? member.capacity.description,
      memoryBytes: member.capacity.memory.value, tier: member.tier.value,
      connections: statistics.connections, connectionsMax: member.capacity.connectionsMax,
      commits: statistics.commits, commitNanoseconds: statistics.commitNanoseconds, queries: statistics.queries,
      lagRecords: lag, lagMilliseconds: lagMilliseconds(member, vdl: vdl),
      readPoint: point?.value, readPointRecords: point.map { vdl > $0 ? vdl.value - $0.value : 0 },
      address: member.engine.address?.description)
  }
  private func describeNodes() -> [ClusterStatus.Node] {
    let groups = volume?.configurations ?? []
    return fleet.topology.map { place in
      let host = fleet.host(place.node)
      var (segments, used, lag): (Int, UInt64, UInt64) = (0, 0, 0)
      for group in groups where group.members.contains(where: { $0.node == place.node }) {
        segments += 1
        guard let status = host?.status(of: group.group) else { continue }
        used += status.usedBytes
        let best = group.members.compactMap { fleet.host($0.node)?.status(of: group.group)?.scl }.max() ?? .zero
        lag = max(lag, best > status.scl ? best.value - status.scl.value : 0)
      }
      return ClusterStatus.Node(
        identifier: "\(place.node)", zone: zoneName(place.zone), isRunning: host != nil, segments: segments,
        usedBytes: used, lagRecords: lag)
    }
  }
  private func describeEndpoints() -> [ClusterStatus.Endpoint] {
    let members = directory.members
    let all = [Endpoint.cluster, .reader] + directory.customEndpoints.map { Endpoint.custom($0) }
    return all.map { endpoint in
      var described = ClusterStatus.Endpoint(
        name: "\(endpoint)", members: endpoint.eligible(members).map(\.instance.name),
        address: directory.address(of: "\(endpoint)")?.description)
      guard case .custom(let custom) = endpoint else { return described }
      described.kind = custom.kind
      switch custom.members {
      case .only(let list): described.staticMembers = list.map(\.name)
      case .allExcept(let list): described.excludedMembers = list.map(\.name)
      }
      return described
    }
  }
}
