public import BorealisClusterModel
public import BorealisCore

/// An instance, as endpoints see it.
public struct EndpointMember: Hashable, Sendable {
  /// The instance.
  public var instance: InstanceIdentifier
  /// What it does now.
  public var role: InstanceRole
  /// Where it is.
  public var zone: ZoneID
  /// Whether it takes new connections: it runs and answers.
  public var isAvailable: Bool
  /// Connections that are open to it through endpoints.
  public var connections: Int

  /// Makes a member.
  public init(
    _ instance: InstanceIdentifier, role: InstanceRole, zone: ZoneID, isAvailable: Bool = true, connections: Int = 0
  ) {
    self.instance = instance
    self.role = role
    self.zone = zone
    self.isAvailable = isAvailable
    self.connections = connections
  }
}

/// A name that connections are made to, and the rule that says to which instances.
public enum Endpoint: Hashable, Sendable, CustomStringConvertible {
  /// The writer, whichever instance that is.
  case cluster
  /// The readers; the writer where no reader is available.
  case reader
  /// A choice of one's own.
  case custom(CustomEndpoint)
  /// One instance, whatever its role.
  case instance(InstanceIdentifier)

  /// Those of `members` that may be connected to through this endpoint, in the order given.
  ///
  /// Unavailable instances are left out. The reader endpoint falls back to the writer (Source: Aurora user guide, "Reader
  /// endpoints"); a custom endpoint never leaves its list.
  public func eligible(_ members: [EndpointMember]) -> [EndpointMember] {
    let available = members.filter(\.isAvailable)
    switch self {
    case .cluster: return available.filter { $0.role == .writer }
    case .reader:
      let readers = available.filter { $0.role == .reader }
      return readers.isEmpty ? available.filter { $0.role == .writer } : readers
    case .custom(let endpoint): return available.filter { endpoint.includes($0) }
    case .instance(let instance): return available.filter { $0.instance == instance }
    }
  }
  /// The name, without the cluster's.
  public var description: String {
    switch self {
    case .cluster: "cluster"
    case .reader: "reader"
    case .custom(let endpoint): endpoint.name
    case .instance(let instance): instance.name
    }
  }
}

/// An endpoint for a list of instances, or for all but a list.
public struct CustomEndpoint: Hashable, Sendable {
  /// Roles that an instance must have to be connected to.
  public enum Kind: String, Hashable, Sendable, Codable {
    /// Readers only: an instance of the list that becomes the writer drops out.
    case reader
    /// Readers and the writer.
    case any
  }
  /// Which instances.
  public enum Members: Hashable, Sendable {
    /// These, and none that come later.
    case only([InstanceIdentifier])
    /// All but these; instances that come later belong to it.
    case allExcept([InstanceIdentifier])
  }
  /// The name, by the rules of identifiers.
  public var name: String
  /// The roles.
  public var kind: Kind
  /// The instances.
  public var members: Members

  /// Makes an endpoint.
  public init(_ name: String, _ kind: Kind = .any, _ members: Members) {
    self.name = name
    self.kind = kind
    self.members = members
  }
  /// Whether the endpoint leads to an instance, available or not.
  public func includes(_ member: EndpointMember) -> Bool {
    if kind == .reader, member.role != .reader { return false }
    switch members {
    case .only(let list): return list.contains(member.instance)
    case .allExcept(let list): return !list.contains(member.instance)
    }
  }
}
