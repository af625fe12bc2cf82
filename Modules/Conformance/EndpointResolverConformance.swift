import BorealisClusterModel
import BorealisCore
public import BorealisEndpointResolver

/// The checks that every `EndpointResolver` has to pass; the numbers are those of the protocol's contract.
///
///     @Test(arguments: EndpointResolverConformance.checks)
///     func conforms(check: EndpointResolverConformance.Check) throws { try check.run(MyResolver()) }
public enum EndpointResolverConformance {
  /// One named check.
  public struct Check: Sendable, CustomStringConvertible {
    /// The name, beginning with the number in the contract.
    public let name: String
    let body: @Sendable (any EndpointResolver) throws -> Void

    /// Runs the check on copies of a resolver that has chosen nothing yet.
    ///
    /// - Throws: the reason why `resolver` does not pass.
    public func run(_ resolver: any EndpointResolver) throws(ConformanceFailure) {
      do { try body(resolver) } catch { throw ConformanceFailure(check: name, reason: "\(error)") }
    }
    /// The name.
    public var description: String { name }
  }

  /// All checks.
  public static let checks: [Check] = [
    Check(name: "1 the answer is a member, and nil only without members", body: answerIsAMember),
    Check(name: "2 the same value and arguments give the same answers", body: answersRepeat),
    Check(name: "3 an instance that has left gets nothing", body: leaversGetNothing),
    Check(name: "3 an instance that is new gets its share", body: newcomersGetAShare),
    Check(name: "4 no member starves", body: nobodyStarves),
  ]
}

/// Members as an endpoint may have them: any number, zones, roles and connections.
private func someMembers(_ random: inout DeterministicGenerator) -> [EndpointMember] {
  (0..<random.index(9)).map { i in
    EndpointMember(
      "i\(i * 7 % 10)", role: random.chance(1, in: 4) ? .writer : .reader, zone: ZoneID(UInt8(random.index(3))),
      connections: random.index(5))
  }
}
/// `count` members without connections, in zones in turn.
private func members(_ count: Int, zones: Int) -> [EndpointMember] {
  (0..<count).map { EndpointMember("i\($0)", role: .reader, zone: ZoneID(UInt8($0 % zones))) }
}
private func someZone(_ random: inout DeterministicGenerator) -> ZoneID? {
  random.chance(1, in: 4) ? nil : ZoneID(UInt8(random.index(4)))
}

/// How often each of `members` is chosen in `times` questions, with connections that grow and zones in turn.
private func ask(
  _ resolver: inout any EndpointResolver, _ members: [EndpointMember], times: Int, zones: Int
) throws -> [InstanceIdentifier: Int] {
  var members = members
  var counts: [InstanceIdentifier: Int] = [:]
  for time in 0..<times {
    let answer = resolver.choose(among: members, from: ZoneID(UInt8(time % zones)))
    guard let i = members.firstIndex(where: { $0.instance == answer }) else {
      throw Finding("chose \(answer?.name ?? "nobody") among \(members.map(\.instance))")
    }
    members[i].connections += 1
    counts[members[i].instance, default: 0] += 1
  }
  return counts
}

private func answerIsAMember(_ resolver: any EndpointResolver) throws {
  var random = DeterministicGenerator(seed: 1)
  for _ in 0..<500 {
    // A fresh copy each time: what a value remembers is the third sentence's.
    var resolver = resolver
    let members = someMembers(&random)
    let zone = someZone(&random)
    for _ in 0..<3 {
      let answer = resolver.choose(among: members, from: zone)
      try demand((answer == nil) == members.isEmpty, "chose \(answer?.name ?? "nobody") among \(members.count)")
      guard let answer else { continue }
      try demand(members.contains { $0.instance == answer }, "chose \(answer), who is not among the members")
    }
  }
}

private func answersRepeat(_ resolver: any EndpointResolver) throws {
  func answers(_ seed: UInt64) -> [InstanceIdentifier?] {
    var (resolver, random) = (resolver, DeterministicGenerator(seed: seed))
    return (0..<300).map { _ in
      let members = someMembers(&random)
      return resolver.choose(among: members, from: someZone(&random))
    }
  }
  let first = answers(2)
  // Between the two another copy works: state that copies share would show.
  _ = answers(3)
  for _ in 0..<3 { try demand(answers(2) == first, "the same questions had other answers the second time") }
}

private func leaversGetNothing(_ resolver: any EndpointResolver) throws {
  for count in 2...6 {
    var resolver = resolver
    let all = members(count, zones: 2)
    _ = try ask(&resolver, all, times: 4 * count, zones: 2)
    for gone in all.indices {
      let rest = all.filter { $0.instance != all[gone].instance }
      let counts = try ask(&resolver, rest, times: 4 * count, zones: 2)
      try demand(counts[all[gone].instance] == nil, "chose \(all[gone].instance), who has left")
    }
  }
}

private func newcomersGetAShare(_ resolver: any EndpointResolver) throws {
  for count in 2...6 {
    let all = members(count, zones: 2)
    for new in all.indices {
      var resolver = resolver
      _ = try ask(&resolver, all.filter { $0.instance != all[new].instance }, times: 4 * count, zones: 2)
      let counts = try ask(&resolver, all, times: 32 * count, zones: 2)
      try demand(counts[all[new].instance] != nil, "\(all[new].instance), who came later, is never chosen")
    }
  }
}

private func nobodyStarves(_ resolver: any EndpointResolver) throws {
  var random = DeterministicGenerator(seed: 4)
  for zones in 1...3 {
    for count in 1...16 {
      var some = members(count, zones: zones)
      for _ in 0..<4 {
        var resolver = resolver
        let counts = try ask(&resolver, some, times: 32 * count * zones, zones: zones)
        let starved = some.filter { counts[$0.instance] == nil }.map(\.instance)
        let places = some.map { "\($0.instance) in \($0.zone)" }.joined(separator: ", ")
        try demand(starved.isEmpty, "of \(places), \(starved) are never chosen")
        for i in some.indices { some[i].zone = ZoneID(UInt8(random.index(zones))) }
      }
    }
  }
}
