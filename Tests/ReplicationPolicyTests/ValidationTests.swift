import BorealisCore
import BorealisReplicationPolicy
import BorealisWire
import Testing

@Suite struct ValidationTests {
  private func failure(of policy: any ReplicationPolicy) -> ReplicationPolicyError? {
    do throws(ReplicationPolicyError) { try policy.validate() } catch { return error }
    return nil
  }
  private let six = CopySlot.full(copiesPerZone: 2, zones: 3)

  @Test(arguments: BuiltInPolicies.all.map(\.name)) func builtInPoliciesAreSound(name: String) throws {
    let policy = try #require(BuiltInPolicies.named(name))
    try policy.validate()
  }

  @Test func threeOfSixWritesMissEachOther() throws {
    let error = try #require(failure(of: QuorumPolicy(name: "x", slots: six, write: 3, read: 4)))
    #expect(error.code == .writeMissesWrite)
    #expect(error.sets == [MemberSet("ABC"), MemberSet("DEF")])
    #expect(error.description.contains("writes {A,B,C} miss writes {D,E,F} (steady)"))
  }

  @Test func threeAndThreeNamesReadsDEFMissWritesABC() throws {
    let error = try #require(failure(of: QuorumPolicy(name: "x", slots: six, write: 3, read: 3)))
    #expect(error.code == .readMissesWrite)
    #expect(error.sets == [MemberSet("DEF"), MemberSet("ABC")])
    #expect(error.description.contains("reads {D,E,F} miss writes {A,B,C} (steady)"))
  }

  @Test func twoOfSixReadsMissWrites() throws {
    let error = try #require(failure(of: QuorumPolicy(name: "x", slots: six, write: 4, read: 2)))
    #expect(error.code == .readMissesWrite)
    #expect(error.sets == [MemberSet("EF"), MemberSet("ABCD")])
  }

  @Test func readsWithoutAFullCopyMissThreeFullWriters() throws {
    let policy = QuorumPolicy(
      name: "x", slots: FullAndTailPolicy().slots, write: [[.init(4), .init(3, of: .full)]], read: [[.init(3)]])
    let error = try #require(failure(of: policy))
    #expect(error.code == .readMissesWrite)
    #expect(error.sets == [MemberSet("BDF"), MemberSet("ACE")])
  }

  @Test func aBrokenZoneLostRuleIsSeenInItsTransition() throws {
    let policy = QuorumPolicy(name: "x", slots: six, write: 4, read: 3, zoneLost: (write: 2, read: 3))
    let error = try #require(failure(of: policy))
    #expect(error.code == .writeMissesWrite)
    #expect(error.step == "zone a lost, committed")
    let reads = QuorumPolicy(name: "x", slots: six, write: 4, read: 3, zoneLost: (write: 3, read: 1))
    let other = try #require(failure(of: reads))
    #expect(other.code == .readMissesWrite)
    #expect(other.step == "zone a lost, committed")
    #expect(other.sets.map(\.count) == [1, 3])
  }

  /// Sound as long as nobody is replaced: the rule forgets that it is asked about other members.
  @Test func aRuleThatDoesNotFollowItsMembersIsSeenInAReplacement() throws {
    struct Stuck: ReplicationPolicy {
      let name = "stuck"
      let slots = CopySlot.full(copiesPerZone: 2, zones: 3)
      func rule(for active: MemberSet, of members: [SegmentMember]) -> QuorumRule { four("ABCDEF") }
    }
    let error = try #require(failure(of: Stuck()))
    #expect(error.code == .malformedRule)
    #expect(error.step == "replacing A by G, begun")
  }

  /// Right for the first members, wrong for the ones after a replacement, and the sets are named.
  @Test func aRuleThatWeakensAfterAReplacementIsSeen() throws {
    struct Weakening: ReplicationPolicy {
      let name = "weakening"
      let slots = CopySlot.full(copiesPerZone: 2, zones: 3)
      func rule(for active: MemberSet, of members: [SegmentMember]) -> QuorumRule {
        let reads = active == .first(6) ? 3 : 2
        return QuorumRule(write: [[Threshold(4, of: active)]], read: [[Threshold(reads, of: active)]])
      }
    }
    let error = try #require(failure(of: Weakening()))
    #expect(error.code == .readMissesWrite)
    #expect(error.step == "replacing A by G, committed")
    #expect(error.sets.count == 2 && error.sets[0].isDisjoint(with: error.sets[1]))
  }

  @Test func malformedPoliciesAreRefused() {
    func code(_ policy: any ReplicationPolicy) -> ReplicationPolicyError.Code? { failure(of: policy)?.code }
    #expect(code(QuorumPolicy(name: "x", slots: [], write: 1, read: 1)) == .malformedSlots)
    #expect(
      code(QuorumPolicy(name: "x", slots: CopySlot.full(copiesPerZone: 5, zones: 3), write: 8, read: 8))
        == .malformedSlots)
    #expect(code(QuorumPolicy(name: "x", slots: [CopySlot(zone: 1)], write: 1, read: 1)) == .malformedSlots)
    #expect(code(QuorumPolicy(name: "x", slots: [CopySlot(zone: -1)], write: 1, read: 1)) == .malformedSlots)
    #expect(code(QuorumPolicy(name: "x", slots: six, write: 7, read: 3)) == .malformedRule)
    #expect(code(QuorumPolicy(name: "x", slots: six, write: 0, read: 6)) == .malformedRule)
    #expect(code(QuorumPolicy(name: "x", slots: six, write: [], read: [[.init(3)]])) == .malformedRule)
    #expect(code(QuorumPolicy(name: "x", slots: six, write: [[]], read: [[.init(3)]])) == .malformedRule)
    // Nobody is a tail.
    #expect(
      code(QuorumPolicy(name: "x", slots: six, write: [[.init(1, of: .tail)]], read: [[.init(6)]])) == .malformedRule)
  }

  /// Every pair of counts, over two to seven copies: accepted exactly when V_r + V_w > V and 2 V_w > V (P17 §2.1).
  @Test func plainCountsAreAcceptedExactlyByGiffordsRules() {
    for copies in 1...7 {
      for write in 1...copies {
        for read in 1...copies {
          let slots = CopySlot.full(copiesPerZone: copies, zones: 1)
          let error = failure(of: QuorumPolicy(name: "x", slots: slots, write: write, read: read))
          #expect((error == nil) == (read + write > copies && 2 * write > copies), "\(copies) \(write) \(read)")
        }
      }
    }
  }

  /// Random rules over full and tail copies: the table says the same as looking at every pair.
  @Test func randomRulesAgreeWithTheOracle() {
    let seed: UInt64 = 0xB0_2EA1
    var g = DeterministicGenerator(seed: seed)
    var sound = 0
    for round in 0..<400 {
      let copies = 3 + g.index(3)
      let slots = (0..<copies).map { _ in CopySlot(zone: 0, kind: g.chance(1, in: 3) ? .tail : .full) }
      let full = slots.count { $0.kind == .full }
      func requirement() -> QuorumRequirement {
        full > 0 && g.chance(1, in: 3)
          ? QuorumRequirement(1 + g.index(full), of: .full) : QuorumRequirement(1 + g.index(copies))
      }
      func clauses() -> [[QuorumRequirement]] {
        var result = (0..<(1 + g.index(2))).map { _ in (0..<(1 + g.index(2))).map { _ in requirement() } }
        // Every copy has to be named, or a plan would drop it.
        result[0][0] = QuorumRequirement(1 + g.index(copies))
        return result
      }
      let policy = QuorumPolicy(name: "x", slots: slots, write: clauses(), read: clauses())
      let rule = policy.rule(members: letters(of: policy))
      let readMisses = missingPairs(copies, rule.isWriteQuorum, rule.isReadQuorum)
      let writeMisses = missingPairs(copies, rule.isWriteQuorum, rule.isWriteQuorum)
      let error = failure(of: policy)
      // Members of a kind are alike, so that a replacement changes nothing but names.
      #expect((error == nil) == (readMisses.isEmpty && writeMisses.isEmpty), "seed \(seed) round \(round): \(rule)")
      if let error, error.code == .readMissesWrite {
        #expect(readMisses.contains { $0 == (error.sets[1], error.sets[0]) }, "seed \(seed) round \(round)")
      }
      sound += error == nil ? 1 : 0
    }
    #expect(sound > 20 && sound < 380, "seed \(seed): \(sound) sound ones of 400 prove little")
  }

  @Test func anyReplicationPolicyTakesTheShortForms() {
    func copies(_ policy: any ReplicationPolicy) -> Int { policy.copies }
    #expect(copies(.aurora) == 6)
    #expect(copies(.majority) == 3)
    #expect(copies(.single) == 1)
    #expect(BuiltInPolicies.named("full-and-tail")?.kinds == [.full, .tail, .full, .tail, .full, .tail])
    #expect(BuiltInPolicies.named("none") == nil)
    #expect(MirroredPagesPolicy().payload == .pageImages)
  }
}
