public import BorealisCapacityScaler
public import BorealisClusterModel
public import BorealisComputeEngine
public import BorealisEndpointResolver
public import BorealisReplicationPolicy
public import BorealisRuntime
public import BorealisStorageBackend
public import BorealisStorageNode

/// A cluster, described: one volume, one writer, up to fifteen readers, endpoints.
///
///     let orders = ClusterConfiguration("orders") {
///       Storage(.files(at: "/var/lib/orders"), replication: .aurora)
///       Writer(.provisioned(.r6gLarge))
///       Readers(2, .provisioned(.r6gLarge), tier: 1)
///       CustomEndpoint("analytics", .reader, .only(["orders-3"]))
///     }
///     let cluster = try await Cluster.start(orders)
///
/// A value: it can be changed, compared in a review, started many times. Nothing is checked until `validate()`, which
/// `Cluster.start` calls, and which tells all that is wrong at once.
public struct ClusterConfiguration: Sendable {
  /// Readers of a cluster, at most.
  ///
  /// Source: Aurora user guide, "Quotas and constraints".
  public static let readersMax = 15
  /// Custom endpoints of a cluster, at most.
  ///
  /// Source: Aurora user guide, "Custom endpoints".
  public static let customEndpointsMax = 5

  /// The cluster's name, by the rules of identifiers; instances are named after it.
  public var identifier: String
  /// Availability Zones by name; the first ones are those of the volume's copies.
  public var zones: [String] = ["a", "b", "c"]
  /// The cluster volume.
  public var storage = Storage(.inMemory)
  /// The SQL engine; nil: SQLite, for those who import `Borealis`.
  public var engine: (any ComputeEngine)?
  /// The writer and the readers, as they are at the start.
  public var instances: [InstanceConfiguration] = []
  /// Endpoints besides those that every cluster has.
  public var customEndpoints: [CustomEndpoint] = []
  /// How connections are spread.
  public var balancing: any EndpointResolver = RoundRobinResolver()
  /// How instances are watched.
  public var healthChecks = HealthChecks()

  /// A cluster of one writer on a volume in memory, to be changed.
  public init(_ identifier: String) { self.identifier = identifier }
  /// A cluster of the parts listed; what is not listed is as in the example of the type, in memory and without readers.
  public init(_ identifier: String, @ClusterBuilder _ parts: () -> [any ClusterPart]) {
    self.init(identifier)
    for part in parts() { part.add(to: &self) }
  }

  /// The instances with names and zones filled in: `orders-1`, `orders-2`, …, spread over the zones.
  ///
  /// Where no writer is listed, a small one is added in front.
  public var resolvedInstances: [InstanceConfiguration] {
    var all = instances
    if !all.contains(where: { $0.role == .writer }) { all.insert(InstanceConfiguration(.writer), at: 0) }
    var taken = Set(all.compactMap(\.identifier))
    var number = 0
    for i in all.indices {
      if all[i].zone == nil, !zones.isEmpty { all[i].zone = zones[i % zones.count] }
      guard all[i].identifier == nil else { continue }
      var name: InstanceIdentifier
      repeat {
        number += 1
        name = "\(identifier)-\(number)"
      } while taken.contains(name)
      taken.insert(name)
      all[i].identifier = name
    }
    return all
  }
}

/// One instance, described.
public struct InstanceConfiguration: Sendable {
  /// What it does at the start; failovers change it.
  public var role: InstanceRole
  /// Its name; nil: the cluster gives one.
  public var identifier: InstanceIdentifier?
  /// Who decides how big it is.
  public var capacity: any CapacityScaler
  /// How early it is promoted.
  public var tier: PromotionTier
  /// The zone it runs in, by name; nil: in turn.
  public var zone: String?

  /// Describes an instance.
  public init(
    _ role: InstanceRole, _ capacity: any CapacityScaler = .provisioned(.localSmall), tier: PromotionTier = .standard,
    identifier: InstanceIdentifier? = nil, zone: String? = nil
  ) {
    self.role = role
    self.capacity = capacity
    self.tier = tier
    self.identifier = identifier
    self.zone = zone
  }
}

/// The cluster volume, described.
public struct Storage: Sendable {
  /// How storage and I/O are paid for; the cluster works the same.
  public enum Tier: String, Hashable, Sendable, Codable {
    /// Storage is cheap and each I/O costs.
    case standard
    /// Storage and instances cost more and I/O nothing.
    case ioOptimized
  }
  /// Where the storage nodes keep their data.
  public var place: StoragePlace
  /// Copies, zones and quorums.
  public var replication: any ReplicationPolicy
  /// Storage nodes that stand by for those that are lost.
  public var spares: Int
  /// How it is paid for.
  public var tier: Tier
  /// The shape of a new volume; `policy` and `cacheBytes` are set by the cluster.
  public var volume: VolumeOptions
  /// Limits of each storage node.
  public var nodes: StorageNodeConfiguration

  /// Describes a volume.
  public init(
    _ place: StoragePlace, replication: any ReplicationPolicy = .aurora, spares: Int = 0, tier: Tier = .standard,
    volume: VolumeOptions = VolumeOptions(), nodes: StorageNodeConfiguration = StorageNodeConfiguration()
  ) {
    self.place = place
    self.replication = replication
    self.spares = spares
    self.tier = tier
    self.volume = volume
    self.nodes = nodes
  }
}

/// Where the storage nodes of a cluster keep their data, and how they are started there.
public struct StoragePlace: Sendable {
  /// Starts the nodes; blocks, and is called on a thread of its own.
  public typealias Open = @Sendable (Storage) throws(StorageBackendError) -> StorageFleet
  /// For people: `memory`, or a path.
  public let name: String
  let open: Open
  /// Describes a place of one's own: any backend, any number of nodes.
  public init(_ name: String, open: @escaping Open) {
    self.name = name
    self.open = open
  }
  /// In memory: gone with the process.
  public static var inMemory: StoragePlace {
    StoragePlace("memory") { storage throws(StorageBackendError) in
      try StorageFleet.inMemory(policy: storage.replication, spares: storage.spares, configuration: storage.nodes)
    }
  }
}

/// How instances are watched.
public struct HealthChecks: Hashable, Sendable {
  /// Time between two checks of an instance.
  public var intervalMilliseconds: UInt64 = 100
  /// How long an answer may take.
  public var timeoutMilliseconds: UInt64 = 500
  /// Checks in a row without an answer after which an instance counts as failed; one that has ended counts at once.
  public var failuresMax = 3
  /// How long a planned failover waits for transactions under way.
  public var drainMilliseconds: UInt64 = 1000
  /// The defaults: a dead instance is noticed within 0.1 s, a silent one within 2 s.
  public init() {}
}
