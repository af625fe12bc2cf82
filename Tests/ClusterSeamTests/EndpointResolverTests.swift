import Borealis
import BorealisConformance
import Synchronization
import Testing

/// The built-in resolvers against the suite, and broken ones that it must reject.
@Suite struct EndpointResolverConformanceTests {
  private static let builtIn: [any EndpointResolver] = [
    RoundRobinResolver(), LeastConnectionsResolver(), ZoneAwareResolver(), ZoneAwareResolver(.leastConnections),
    ZoneAwareResolver(ZoneAwareResolver(.roundRobin)),
  ]

  @Test(arguments: EndpointResolverConformance.checks)
  func builtInResolversConform(check: EndpointResolverConformance.Check) throws {
    for resolver in Self.builtIn { try check.run(resolver) }
  }

  private func rejected(_ resolver: any EndpointResolver) -> [String] {
    EndpointResolverConformance.checks.filter { check in
      do throws(ConformanceFailure) { try check.run(resolver) } catch { return true }
      return false
    }.map(\.name)
  }

  @Test func brokenResolversAreRejectedByTheCheckForTheirPromise() {
    let first = "1 the answer is a member, and nil only without members"
    #expect(rejected(Always("elsewhere")).contains(first))
    #expect(rejected(OnlyNear()).contains(first))
    #expect(rejected(Dice()) == ["2 the same value and arguments give the same answers"])
    #expect(rejected(SharedTurn()) == ["2 the same value and arguments give the same answers"])
    #expect(rejected(OldList()).contains("3 an instance that has left gets nothing"))
    #expect(!rejected(OldList()).contains(first))
    #expect(rejected(FirstList()) == ["3 an instance that is new gets its share"])
    #expect(rejected(FirstByName()).contains("4 no member starves"))
    #expect(rejected(OneTurnForAllZones()).contains("4 no member starves"))
  }

  @Test func everyCheckHasAResolverThatItRejects() {
    let broken: [any EndpointResolver] = [
      Always("elsewhere"), OnlyNear(), Dice(), OldList(), FirstList(), FirstByName(), OneTurnForAllZones(),
    ]
    let seen = Set(broken.flatMap { rejected($0) })
    #expect(seen == Set(EndpointResolverConformance.checks.map(\.name)))
    for number in 1...4 {
      #expect(EndpointResolverConformance.checks.contains { $0.name.hasPrefix("\(number) ") })
    }
  }

  @Test("zones that connect in turn do not take each other's turn")
  func zonesHaveTheirOwnTurns() {
    let members = [("a1", 0), ("a2", 0), ("b1", 1)].map { name, zone in
      EndpointMember(InstanceIdentifier(name), role: .reader, zone: ZoneID(UInt8(zone)))
    }
    var resolver = ZoneAwareResolver()
    let answers = (0..<6).map { resolver.choose(among: members, from: ZoneID(UInt8($0 % 2)))?.name }
    #expect(answers == ["a1", "b1", "a2", "b1", "a1", "b1"])
  }
}

/// Says one name, whoever is there.
private struct Always: EndpointResolver {
  let name: InstanceIdentifier
  init(_ name: InstanceIdentifier) { self.name = name }
  mutating func choose(among _: [EndpointMember], from _: ZoneID?) -> InstanceIdentifier? { name }
}
/// Finds nobody where the zone has no instance.
private struct OnlyNear: EndpointResolver {
  private var base = RoundRobinResolver()
  mutating func choose(among members: [EndpointMember], from zone: ZoneID?) -> InstanceIdentifier? {
    base.choose(among: members.filter { $0.zone == zone }, from: zone)
  }
}
private struct Dice: EndpointResolver {
  mutating func choose(among members: [EndpointMember], from _: ZoneID?) -> InstanceIdentifier? {
    members.randomElement()?.instance
  }
}
/// Copies of it have one turn together.
private struct SharedTurn: EndpointResolver {
  private final class Turn: Sendable { let resolver = Mutex(RoundRobinResolver()) }
  private let turn = Turn()
  mutating func choose(among members: [EndpointMember], from zone: ZoneID?) -> InstanceIdentifier? {
    turn.resolver.withLock { $0.choose(among: members, from: zone) }
  }
}
/// Looks at the members at every second question only.
private struct OldList: EndpointResolver {
  private var (base, known, asked) = (RoundRobinResolver(), [EndpointMember](), 0)
  mutating func choose(among members: [EndpointMember], from zone: ZoneID?) -> InstanceIdentifier? {
    if asked % 8 == 0 { known = members }
    asked += 1
    return base.choose(among: known, from: zone)
  }
}
/// Serves only those that it has seen at first, as long as there are any.
private struct FirstList: EndpointResolver {
  private var base = RoundRobinResolver()
  private var known: [InstanceIdentifier]?
  mutating func choose(among members: [EndpointMember], from zone: ZoneID?) -> InstanceIdentifier? {
    if known == nil { known = members.map(\.instance) }
    let old = members.filter { known?.contains($0.instance) == true }
    return base.choose(among: old.isEmpty ? members : old, from: zone)
  }
}
private struct FirstByName: EndpointResolver {
  mutating func choose(among members: [EndpointMember], from _: ZoneID?) -> InstanceIdentifier? {
    members.map(\.instance).min()
  }
}
/// What ZoneAwareResolver was at first: the turn of one zone is moved by the other's connections.
private struct OneTurnForAllZones: EndpointResolver {
  private var base = RoundRobinResolver()
  mutating func choose(among members: [EndpointMember], from zone: ZoneID?) -> InstanceIdentifier? {
    let near = members.filter { $0.zone == zone }
    return base.choose(among: near.isEmpty ? members : near, from: zone)
  }
}
