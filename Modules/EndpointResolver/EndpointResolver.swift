public import BorealisClusterModel
public import BorealisCore

/// Chooses the instance for each new connection among those that its endpoint leads to.
///
/// The endpoint's rule (`Endpoint.eligible`) says who may be chosen; the resolver balances. Balancing is by connection: an
/// open connection stays where it is. The same value serves connections in the process, a TCP router and a DNS responder.
///
/// ## Contract
///
/// 1. The answer is one of `members`, and nil only where there are none.
/// 2. It depends on the resolver's value and the arguments only: no clock, no randomness, no state elsewhere.
/// 3. It looks at `members` as they are given each time: an instance that is not among them gets nothing any more, one that
///    is new among them gets its share from then on.
/// 4. No member starves: asked again and again with the same members, whose connections grow as it chooses and `from` in
///    turn in every zone, it chooses each of them.
///
/// `EndpointResolverConformance` checks these sentences.
public protocol EndpointResolver: Sendable {
  /// The instance for a new connection.
  ///
  /// - Parameters:
  ///   - members: available instances that the endpoint leads to.
  ///   - zone: where the connection comes from; nil where that is not known.
  mutating func choose(among members: [EndpointMember], from zone: ZoneID?) -> InstanceIdentifier?
}

/// One after the other.
public struct RoundRobinResolver: EndpointResolver {
  private var last: InstanceIdentifier?
  /// Begins with the first by name.
  public init() {}
  /// The first after the one chosen last, by name.
  public mutating func choose(among members: [EndpointMember], from _: ZoneID?) -> InstanceIdentifier? {
    // By name, not by place: who comes or goes does not move the turn of the others.
    let names = members.map(\.instance).sorted()
    let next = last.flatMap { last in names.first { $0 > last } } ?? names.first
    last = next ?? last
    return next
  }
}

/// Where the fewest connections are; by turns where they are equal.
public struct LeastConnectionsResolver: EndpointResolver {
  private var ties = RoundRobinResolver()
  /// Makes the resolver.
  public init() {}
  /// The member with the fewest connections.
  public mutating func choose(among members: [EndpointMember], from zone: ZoneID?) -> InstanceIdentifier? {
    let fewest = members.map(\.connections).min()
    return ties.choose(among: members.filter { $0.connections == fewest }, from: zone)
  }
}

/// In the zone of the one who connects, where there is an instance; else anywhere: no traffic between zones without need.
public struct ZoneAwareResolver: EndpointResolver {
  /// Balances those who come from zones without an instance, or from nobody knows where.
  private var base: any EndpointResolver
  // Each zone has turns of its own: with one for all, a connection from another zone would move this zone's turn, and
  // two zones that connect in turn would leave the second instance of each without any.
  private var near: [(zone: ZoneID, resolver: any EndpointResolver)] = []
  private let fresh: any EndpointResolver
  /// Balances by `base` within each zone.
  public init(_ base: any EndpointResolver = RoundRobinResolver()) {
    self.base = base
    fresh = base
  }
  /// A member in `zone`, or any.
  public mutating func choose(among members: [EndpointMember], from zone: ZoneID?) -> InstanceIdentifier? {
    let close = members.filter { $0.zone == zone }
    guard let zone, !close.isEmpty else { return base.choose(among: members, from: zone) }
    let i: Int
    if let known = near.firstIndex(where: { $0.zone == zone }) {
      i = known
    } else {
      near.append((zone, fresh))
      i = near.count - 1
    }
    return near[i].resolver.choose(among: close, from: zone)
  }
}

extension EndpointResolver where Self == RoundRobinResolver {
  /// One after the other.
  public static var roundRobin: RoundRobinResolver { RoundRobinResolver() }
}
extension EndpointResolver where Self == LeastConnectionsResolver {
  /// Where the fewest connections are.
  public static var leastConnections: LeastConnectionsResolver { LeastConnectionsResolver() }
}
extension EndpointResolver where Self == ZoneAwareResolver {
  /// In the zone of the one who connects, else anywhere.
  public static var zoneAware: ZoneAwareResolver { ZoneAwareResolver() }
}
