public import BorealisClusterModel
public import BorealisCore

/// Decides how big an instance is.
///
/// The cluster asks one scaler for each instance: before it starts the instance (`initial`), and then at each of its
/// intervals with what was measured. Provisioned classes, Serverless v2, schedules and auto-pause differ in the answer only.
///
/// ## Contract
///
/// 1. The answer depends on the scaler's value and the arguments only: no clock, no randomness, no state elsewhere. So a
///    cluster can be simulated, and a scaler tested with made-up loads.
/// 2. `initial` and every answer lie within `bounds`.
/// 3. Asked twice at the same moment with the same load, it gives the same answer.
/// 4. It never fails, whatever the load: numbers out of range (a processor above 1, no connections) are taken as they come.
///
/// `CapacityScalerConformance` checks these sentences.
public protocol CapacityScaler: Sendable {
  /// The least and the most that it ever gives.
  var bounds: ClosedRange<InstanceCapacity> { get }
  /// What an instance has when it starts.
  var initial: InstanceCapacity { get }
  /// What `instance` shall have from now on.
  ///
  /// - Parameters:
  ///   - instance: the measured load of the instance.
  ///   - cluster: that of all instances, the writer first: readers of tiers 0 and 1 may follow the writer.
  ///   - now: monotonic time.
  mutating func capacity(for instance: InstanceLoad, in cluster: ClusterLoad, now: Instant) -> InstanceCapacity
}

/// Decides how many readers there are; the cluster adds and removes those that it added itself.
///
/// ## Contract
///
/// 1. As `CapacityScaler` 1, 3 and 4.
/// 2. Every answer lies within `bounds`, which lies within 0...15.
public protocol ReaderScaler: Sendable {
  /// The least and the most readers.
  var bounds: ClosedRange<Int> { get }
  /// How many readers there shall be from now on.
  mutating func readers(for cluster: ClusterLoad, now: Instant) -> Int
}

/// What was measured of an instance since it was asked last.
public struct InstanceLoad: Hashable, Sendable {
  /// The instance.
  public var instance: InstanceIdentifier
  /// Its role.
  public var role: InstanceRole
  /// Its tier.
  public var tier: PromotionTier
  /// What it has now.
  public var capacity: InstanceCapacity
  /// Share of its processors that is in use, 0 to 1 (above 1 where it uses more than it has).
  public var processorShare: Double
  /// Memory in use.
  public var memoryUsed: ByteCount
  /// Open connections.
  public var connections: Int
  /// Nanoseconds since the last statement ended; 0 while one runs.
  public var idleNanoseconds: UInt64

  /// Makes a load.
  public init(
    instance: InstanceIdentifier, role: InstanceRole, tier: PromotionTier = .standard, capacity: InstanceCapacity,
    processorShare: Double = 0, memoryUsed: ByteCount = ByteCount(0), connections: Int = 0, idleNanoseconds: UInt64 = 0
  ) {
    self.instance = instance
    self.role = role
    self.tier = tier
    self.capacity = capacity
    self.processorShare = processorShare
    self.memoryUsed = memoryUsed
    self.connections = connections
    self.idleNanoseconds = idleNanoseconds
  }
}

/// What was measured of a cluster.
public struct ClusterLoad: Hashable, Sendable {
  /// Its instances, the writer first.
  public var instances: [InstanceLoad]
  /// Makes a load.
  public init(instances: [InstanceLoad]) { self.instances = instances }
  /// The writer's load; nil while there is none.
  public var writer: InstanceLoad? { instances.first { $0.role == .writer } }
  /// The readers' loads.
  public var readers: [InstanceLoad] { instances.filter { $0.role == .reader } }
}
