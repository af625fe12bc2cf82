public import BorealisClusterModel
public import BorealisComputeEngine
import BorealisEndpointResolver

/// The instance that a connection through an endpoint goes to, as it was chosen.
public struct EndpointTarget: Sendable {
  /// The instance.
  public let instance: InstanceIdentifier
  /// What it did when it was chosen.
  public let role: InstanceRole
  /// Where it listens; nil for an engine in the process.
  public let address: EngineAddress?
  let engine: any EngineInstance
}

extension ClusterEndpoint {
  /// An instance for a new connection, chosen as for `connect()`; nil while there is none.
  ///
  /// For what brings connections to a server's address: a router, a name server.
  public func target() -> EndpointTarget? {
    directory.choose(endpoint, from: zone).map {
      EndpointTarget(instance: $0.instance, role: $0.role, address: $0.engine.address, engine: $0.engine)
    }
  }
  /// All instances that a connection may go to now.
  public var targets: [EndpointTarget] {
    directory.eligible(endpoint).map {
      EndpointTarget(instance: $0.instance, role: $0.role, address: $0.engine.address, engine: $0.engine)
    }
  }
  /// Whether a connection that was made to `target` may stay: the instance runs on, in the role that it had.
  ///
  /// False from the moment at which the cluster takes it for failed, or another instance for the writer: also where it
  /// still runs and cannot be reached.
  public func isCurrent(_ target: EndpointTarget) -> Bool {
    directory.entry(of: target.instance).map {
      $0.isAvailable && $0.role == target.role && $0.engine === target.engine
    } ?? false
  }
}
