public import BorealisCapacityScaler
public import BorealisClusterModel
public import BorealisComputeEngine
public import BorealisEndpointResolver

/// Something that a cluster is made of.
public protocol ClusterPart: Sendable {
  /// Enters it into a configuration.
  func add(to configuration: inout ClusterConfiguration)
}

/// Collects the parts of a cluster, with `if`, `for` and the like.
@resultBuilder
public enum ClusterBuilder {
  /// One part.
  public static func buildExpression(_ part: any ClusterPart) -> [any ClusterPart] { [part] }
  /// Parts one after the other.
  public static func buildBlock(_ parts: [any ClusterPart]...) -> [any ClusterPart] { parts.flatMap(\.self) }
  /// Parts of an `if` without `else`.
  public static func buildOptional(_ parts: [any ClusterPart]?) -> [any ClusterPart] { parts ?? [] }
  /// Parts of an `if`.
  public static func buildEither(first: [any ClusterPart]) -> [any ClusterPart] { first }
  /// Parts of an `else`.
  public static func buildEither(second: [any ClusterPart]) -> [any ClusterPart] { second }
  /// Parts of a `for`.
  public static func buildArray(_ parts: [[any ClusterPart]]) -> [any ClusterPart] { parts.flatMap(\.self) }
}

extension Storage: ClusterPart {
  /// Is the cluster's volume.
  public func add(to configuration: inout ClusterConfiguration) { configuration.storage = self }
}
extension CustomEndpoint: ClusterPart {
  /// Is one more endpoint.
  public func add(to configuration: inout ClusterConfiguration) { configuration.customEndpoints.append(self) }
}
extension HealthChecks: ClusterPart {
  /// Is how instances are watched.
  public func add(to configuration: inout ClusterConfiguration) { configuration.healthChecks = self }
}

/// The Availability Zones by name.
public struct Zones: ClusterPart {
  private let names: [String]
  /// As many as the volume's policy needs, or more for instances.
  public init(_ names: String...) { self.names = names }
  /// Are the cluster's zones.
  public func add(to configuration: inout ClusterConfiguration) { configuration.zones = names }
}

/// The SQL engine of all instances.
public struct Engine: ClusterPart {
  private let engine: any ComputeEngine
  /// Chooses the engine.
  public init(_ engine: any ComputeEngine) { self.engine = engine }
  /// Is the cluster's engine.
  public func add(to configuration: inout ClusterConfiguration) { configuration.engine = engine }
}

/// How connections to readers are spread.
public struct Balancing: ClusterPart {
  private let resolver: any EndpointResolver
  /// Chooses the resolver.
  public init(_ resolver: any EndpointResolver) { self.resolver = resolver }
  /// Is how the cluster balances.
  public func add(to configuration: inout ClusterConfiguration) { configuration.balancing = resolver }
}

/// The instance that writes at the start.
public struct Writer: ClusterPart {
  private let instance: InstanceConfiguration
  /// Describes the writer.
  public init(
    _ capacity: any CapacityScaler = .provisioned(.localSmall), tier: PromotionTier = .standard,
    identifier: InstanceIdentifier? = nil, zone: String? = nil
  ) {
    instance = InstanceConfiguration(.writer, capacity, tier: tier, identifier: identifier, zone: zone)
  }
  /// Is an instance of the cluster.
  public func add(to configuration: inout ClusterConfiguration) { configuration.instances.append(instance) }
}

/// An instance that reads.
public struct Reader: ClusterPart {
  let instance: InstanceConfiguration
  /// Describes a reader.
  public init(
    _ capacity: any CapacityScaler = .provisioned(.localSmall), tier: PromotionTier = .standard,
    identifier: InstanceIdentifier? = nil, zone: String? = nil
  ) {
    instance = InstanceConfiguration(.reader, capacity, tier: tier, identifier: identifier, zone: zone)
  }
  /// Is an instance of the cluster.
  public func add(to configuration: inout ClusterConfiguration) { configuration.instances.append(instance) }
}

/// Several instances that read, alike.
public struct Readers: ClusterPart {
  private let count: Int
  private let reader: Reader
  /// Describes readers.
  public init(
    _ count: Int, _ capacity: any CapacityScaler = .provisioned(.localSmall), tier: PromotionTier = .standard
  ) {
    self.count = count
    reader = Reader(capacity, tier: tier)
  }
  /// Are instances of the cluster.
  public func add(to configuration: inout ClusterConfiguration) {
    for _ in 0..<max(0, count) { reader.add(to: &configuration) }
  }
}
