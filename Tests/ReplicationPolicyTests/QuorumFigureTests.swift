import BorealisCore
import BorealisReplicationPolicy
import BorealisWire
import Testing

/// The figures of protocol §5.15, each by the table and by the oracle.
@Suite struct QuorumFigureTests {
  private func expectFigures(_ rule: QuorumRule, writes: Int, reads: Int, members: Int) {
    #expect(rule.minimalWriteQuorums.count == writes)
    #expect(rule.minimalReadQuorums.count == reads)
    #expect(rule.minimalWriteQuorums == minimalByPairs(members, rule.isWriteQuorum))
    #expect(rule.minimalReadQuorums == minimalByPairs(members, rule.isReadQuorum))
  }

  @Test func auroraHas15WriteAnd20ReadQuorums() {
    let rule = AuroraPolicy().rule(members: letters(of: .aurora))
    expectFigures(rule, writes: 15, reads: 20, members: 6)
    #expect(missingPairs(6, rule.isWriteQuorum, rule.isReadQuorum).isEmpty)
    #expect(missingPairs(6, rule.isWriteQuorum, rule.isWriteQuorum).isEmpty)
  }

  @Test func fullAndTailHas13And19() {
    let rule = FullAndTailPolicy().rule(members: letters(of: .fullAndTail))
    expectFigures(rule, writes: 13, reads: 19, members: 6)
    #expect(missingPairs(6, rule.isWriteQuorum, rule.isReadQuorum).isEmpty)
    #expect(missingPairs(6, rule.isWriteQuorum, rule.isWriteQuorum).isEmpty)
    #expect(letters(of: .fullAndTail).map(\.kind) == [.full, .tail, .full, .tail, .full, .tail])
    // Losing all three tails still allows writes; losing all three full ones forbids reads though three logs survive.
    #expect(rule.isWriteQuorum(MemberSet("ACE")))
    #expect(!rule.isReadQuorum(MemberSet("BDF")))
    // Every four contain a full one.
    for set in allSets(6) where set.count == 4 { #expect(rule.isReadQuorum(set)) }
  }

  @Test func zoneLostHas4And6() {
    let rule = ZoneLostPolicy().rule(members: letters(of: .zoneLost))
    expectFigures(rule, writes: 4, reads: 6, members: 4)
    #expect(missingPairs(4, rule.isWriteQuorum, rule.isReadQuorum).isEmpty)
  }

  @Test func transitionToZoneLostHas9And10() {
    let four = four("ABCDEF")
    let three = ZoneLostPolicy().rule(for: MemberSet("ABCD"), of: letters(of: .aurora))
    let joined = four.joined(with: three)
    expectFigures(joined, writes: 9, reads: 10, members: 6)
    // §5.2 (4) names both read rules, but what was written before at 4/6 is missed by 2/4 until hydrated.
    let before = missingPairs(6, four.isWriteQuorum, joined.isReadQuorum).map { "\($0.0)-\($0.1)" }
    #expect(before == ["CDEF-AB", "BDEF-AC", "ADEF-BC", "BCEF-AD", "ACEF-BD", "ABEF-CD"].sorted(by: byPair))
    #expect(missingPairs(6, joined.isWriteQuorum, joined.isReadQuorum).isEmpty)
    #expect(missingPairs(6, joined.isWriteQuorum, four.isReadQuorum).isEmpty)
  }

  private func byPair(_ a: String, _ b: String) -> Bool {
    // In the order in which the table lists write quorums: by their bits.
    func bits(_ text: String) -> UInt16 { MemberSet(String(text.prefix(4))).rawValue }
    return bits(a) < bits(b)
  }

  @Test func replacementHas15And30() {
    let joined = four("ABCDEF").joined(with: four("ABCDEG"))
    expectFigures(joined, writes: 15, reads: 30, members: 7)
  }

  @Test func doubleFailureHas15And44AndABCDSuffices() {
    let joined = four("ABCDEF").joined(with: four("ABCDEG")).joined(with: four("ABCDFH"))
      .joined(with: four("ABCDGH"))
    expectFigures(joined, writes: 15, reads: 44, members: 8)
    #expect(joined.isWriteQuorum(MemberSet("ABCD")))
  }

  /// What the helpers make of a second failure asks for two of the paper's four rules: weaker, and safe by `validate`.
  @Test func plannedDoubleReplacementAcceptsWhatThePaperAccepts() throws {
    let policy = AuroraPolicy()
    let first = configuration(of: policy)
    let one = try policy.replacing(
      NodeID(5), with: SegmentMember(node: NodeID(6), zone: ZoneID(2)), in: first, target: LSN(10), by: VolumeEpoch(1))
    let two = try policy.replacing(
      NodeID(4), with: SegmentMember(node: NodeID(7), zone: ZoneID(2)), in: one, target: LSN(9), by: VolumeEpoch(1))
    let paper = four("ABCDEF").joined(with: four("ABCDEG")).joined(with: four("ABCDFH")).joined(with: four("ABCDGH"))
    #expect(two.members.count == 8)
    #expect(two.isWriteQuorum(MemberSet("ABCD")))
    for set in allSets(8) where paper.isWriteQuorum(set) { #expect(two.isWriteQuorum(set)) }
    #expect(two.hydrationTarget == LSN(10))
    #expect(missingPairs(8, two.isWriteQuorum, two.isReadQuorum).isEmpty)
  }

  /// Protocol §5.8: an epoch-n write on {A,B,C,F} is missed by the read set {D,E,G}.
  @Test func tenPairsMissWhenAnUnhydratedMemberCounts() {
    let (old, new) = (four("ABCDEF"), four("ABCDEG"))
    let pairs = missingPairs(7, old.isWriteQuorum, new.isReadQuorum)
    #expect(pairs.count == 10)
    #expect(pairs.contains { $0 == (MemberSet("ABCF"), MemberSet("DEG")) })
    #expect(pairs.allSatisfy { $0.1.contains(MemberSet("G")) && $0.0.contains(MemberSet("F")) })
    // Hydrated: the data is on a write quorum of the new rule too.
    let hydrated = old.joined(with: new)
    #expect(missingPairs(7, hydrated.isWriteQuorum, new.isReadQuorum).isEmpty)
  }

  @Test func threeOfSixFenceAFourOfSixWriterAndTwoDoNot() {
    let rule = AuroraPolicy().rule(members: letters(of: .aurora))
    for set in allSets(6) {
      // Fenced: those that have not promised are no write quorum any more.
      let fences = !rule.isWriteQuorum(MemberSet.first(6).subtracting(set))
      #expect(fences == (set.count >= 3), "\(set)")
    }
  }

  @Test func threeTailsAloneDoNotFenceAThreeFullWriter() {
    let rule = FullAndTailPolicy().rule(members: letters(of: .fullAndTail))
    func fences(_ set: MemberSet) -> Bool { !rule.isWriteQuorum(MemberSet.first(6).subtracting(set)) }
    #expect(!fences(MemberSet("BDF")))
    for set in allSets(6) where rule.isReadQuorum(set) { #expect(fences(set), "\(set)") }
    for set in allSets(6) where set.count == 2 { #expect(!fences(set), "\(set)") }
  }

  /// Features A15: all 64 survivor sets against the failure matrix.
  @Test func failureMatrixOverAll64SurvivorSets() {
    let members = letters(of: .aurora)
    let rule = AuroraPolicy().rule(members: members)
    var seen = [0, 0, 0]
    for survivors in allSets(6) {
      let lost = 6 - survivors.count
      let (writes, reads) = (rule.isWriteQuorum(survivors), rule.isReadQuorum(survivors))
      switch lost {
      case 0, 1, 2:
        // One lost; a zone lost; two of different zones.
        #expect(writes && reads, "\(survivors)")
        seen[0] += 1
      case 3:
        #expect(!writes && reads, "\(survivors)")
        seen[1] += 1
      default:
        #expect(!writes && !reads, "\(survivors)")
        seen[2] += 1
      }
    }
    #expect(seen == [22, 20, 22])
  }

  @Test func factsOfTheBuiltInPolicies() {
    func facts(_ policy: any ReplicationPolicy) -> QuorumFacts { policy.facts }
    #expect(
      facts(.aurora)
        == QuorumFacts(
          writesSurvive: 2, readsSurvive: 3, writesSurviveZone: true, readsSurviveZoneAndOne: true,
          minimalWriteQuorums: 15, minimalReadQuorums: 20))
    #expect(
      facts(.fullAndTail)
        == QuorumFacts(
          writesSurvive: 2, readsSurvive: 2, writesSurviveZone: true, readsSurviveZoneAndOne: true,
          minimalWriteQuorums: 13, minimalReadQuorums: 19))
    #expect(
      facts(.zoneLost)
        == QuorumFacts(
          writesSurvive: 1, readsSurvive: 2, writesSurviveZone: false, readsSurviveZoneAndOne: false,
          minimalWriteQuorums: 4, minimalReadQuorums: 6))
    #expect(
      facts(.majority)
        == QuorumFacts(
          writesSurvive: 1, readsSurvive: 1, writesSurviveZone: true, readsSurviveZoneAndOne: false,
          minimalWriteQuorums: 3, minimalReadQuorums: 3))
    #expect(
      facts(.single)
        == QuorumFacts(
          writesSurvive: 0, readsSurvive: 0, writesSurviveZone: false, readsSurviveZoneAndOne: false,
          minimalWriteQuorums: 1, minimalReadQuorums: 1))
    #expect(facts(.mirroredPages) == facts(.aurora))
  }

  /// `facts.writesSurvive` and `readsSurvive` by trying all losses.
  @Test(arguments: BuiltInPolicies.all.map(\.name))
  func survivalByTryingAllLosses(name: String) throws {
    let policy = try #require(BuiltInPolicies.named(name))
    let rule = policy.rule(members: letters(of: policy))
    func survives(_ isQuorum: (MemberSet) -> Bool) -> Int {
      var best = -1
      for losses in 0...policy.copies {
        let left = allSets(policy.copies).filter { $0.count == policy.copies - losses }
        if !left.allSatisfy(isQuorum) { break }
        best = losses
      }
      return best
    }
    #expect(policy.facts.writesSurvive == survives(rule.isWriteQuorum))
    #expect(policy.facts.readsSurvive == survives(rule.isReadQuorum))
  }
}
