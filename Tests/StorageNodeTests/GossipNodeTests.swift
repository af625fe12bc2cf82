import BorealisCore
import BorealisStorageBackend
import BorealisStorageNode
import BorealisWire
import Testing

@Suite struct GossipNodeTests {
  @Test func gossipFillsHoles() throws {
    for seed in UInt64(1)...20 {
      var g = DeterministicGenerator(seed: seed)
      let c = try TestCluster(4)
      c.create()
      var log = TestLog()
      let count = 10 + g.index(100)
      for _ in 0..<count {
        let lsn = log.random(pages: 5, using: &g)
        // Each record reaches at least one node.
        let certain = g.index(4)
        for k in 0..<4 where k == certain || g.chance(1, in: 2) {
          c.give(.append(vdl: .zero, minReadPoint: .zero, log.batch(only: lsn)), c.header(), to: k)
        }
      }
      // A record that only the others' islands hold moves nobody's SCL, so gossip cannot find it: the writer repeats.
      c.settle()
      c.pass(milliseconds: 300) { _ in g.chance(1, in: 5) }
      for _ in 0..<20 where (0..<4).contains(where: { c.scl($0) < UInt64(count) }) {
        let highest = (0..<4).map { c.scl($0) }.max() ?? 0
        c.give(
          .append(vdl: .zero, minReadPoint: .zero, log.batch(after: LSN(highest), through: LSN(highest + 10))),
          c.header(), to: g.index(4))
        c.pass(milliseconds: 300)
      }
      for k in 0..<4 { #expect(c.scl(k) == UInt64(count), "seed \(seed)") }
      try c.checkChains()
    }
  }

  @Test func aLongTailComesInSeveralAnswers() throws {
    let c = try TestCluster(2)
    c.create()
    var log = TestLog()
    for k in 0..<900 { log.write(UInt64(k % 7), at: 0, [UInt8](repeating: UInt8(k % 251), count: 450)) }
    c.give(.append(vdl: .zero, minReadPoint: .zero, log.batch(through: LSN(400))), c.header(), to: 0)
    c.settle()
    c.give(.append(vdl: .zero, minReadPoint: .zero, log.batch(after: LSN(400))), c.header(), to: 0)
    c.settle()
    c.pass(milliseconds: 100)
    #expect(c.scl(1) == 900)
    try c.checkChains()
  }

  @Test func configurationsAndRetentionSpread() throws {
    let c = try TestCluster(3)
    c.create()
    let newer = c.group(epoch: 2)
    c.give(.configure(newer), c.header(), to: 0)
    let retention = Retention(epoch: VolumeEpoch(1), sequence: 1, pins: [LSN(5)])
    c.give(.retain(retention), c.header(), to: 0)
    c.settle()
    #expect(c.take(0) { if case .configured(let x) = $0 { x } else { nil } } == [newer])
    #expect(c.take(0) { if case .retained(let x) = $0 { x } else { nil } } == [retention])
    c.pass(milliseconds: 60)
    var log = TestLog()
    log.write(0, at: 0, [1])
    for k in 0..<3 {
      c.give(.append(vdl: .zero, minReadPoint: .zero, log.batch()), c.header(membership: 1), to: k)
    }
    c.deliver()
    for k in 0..<3 { #expect(c.rejects(k) == [.staleMembershipEpoch]) }
    // An older one changes nothing, and the answer names the newer one.
    c.give(.configure(c.group()), c.header(), to: 1)
    c.settle()
    #expect(c.take(1) { if case .configured(let x) = $0 { x } else { nil } } == [newer])
  }

  @Test func whoIsLeftOutForGoodDropsTheSegment() throws {
    let c = try TestCluster(3)
    c.create()
    var log = TestLog()
    log.write(0, at: 0, [1])
    for k in 0..<3 { c.give(.append(vdl: .zero, minReadPoint: .zero, log.batch()), c.header(), to: k) }
    c.settle()
    var without = c.group(epoch: 2, members: Array(c.members[..<2]))
    without.pending = without.rule
    c.give(.configure(without), c.header(), to: 2)
    c.settle()
    #expect(c.status(2) != nil, "nothing is given up during a transition")
    c.give(.configure(c.group(epoch: 3, members: Array(c.members[..<2]))), c.header(), to: 2)
    c.settle()
    #expect(c.status(2) == nil)
    var g = DeterministicGenerator(seed: 1)
    try c.nodes[2].restart(now: c.now, using: &g)
    #expect(c.status(2) == nil)
    c.give(.append(vdl: .zero, minReadPoint: .zero, log.batch()), c.header(membership: 3), to: 2)
    c.deliver()
    #expect(c.rejects(2).contains(.noSuchSegment))
  }

  @Test("a configuration that was held up brings no segment back to a node that was left out since")
  func whatWasHeldUpBringsNothingBack() throws {
    var g = DeterministicGenerator(seed: 1)
    let c = try TestCluster(3)
    c.create()
    let held = c.group(epoch: 2)
    let without = c.group(epoch: 3, members: Array(c.members[..<2]))
    c.give(.configure(without), c.header(), to: 2)
    c.settle()
    for restarts in [false, true] {
      if restarts { try c.nodes[2].restart(now: c.now, using: &g) }
      c.answers.removeAll()
      c.give(.configure(held), c.header(), to: 2)
      c.settle()
      #expect(c.status(2) == nil)
      let named = c.take(2) { message -> GroupConfiguration? in
        if case .reject(_, .staleMembershipEpoch, let configuration) = message { configuration } else { nil }
      }
      #expect(named == [without])
    }
    // It comes back as a member of a later configuration, and may go again.
    let again = c.group(epoch: 4)
    c.give(.configure(again), c.header(), to: 2)
    c.settle()
    #expect(c.take(2) { if case .configured(let x) = $0 { x } else { nil } } == [again])
    try c.nodes[2].restart(now: c.now, using: &g)
    #expect(c.scl(2) == 0)
  }

  @Test("a coming member does not go on the word of an earlier writer than the one that it has promised")
  func aComingMemberStays() throws {
    for isPromised in [false, true] {
      let c = try TestCluster(3)
      var coming = c.group(epoch: 2)
      coming.rule = QuorumRule(
        write: [[Threshold(2, of: MemberSet(rawValue: 3))]], read: [[Threshold(1, of: MemberSet(rawValue: 3))]])
      coming.pending = QuorumRule(
        write: [[Threshold(2, of: MemberSet(rawValue: 5))]], read: [[Threshold(1, of: MemberSet(rawValue: 5))]])
      coming.hydrationTarget = LSN(1)
      for k in 0..<3 { c.give(.configure(coming), c.header(), to: k) }
      c.settle()
      if isPromised { c.give(.prepare, c.header(epoch: 5), to: 2) }
      c.settle()
      // Writer 1 has proposed to take the transition back, and told only a node that comes back now.
      let revert = c.group(epoch: 3, members: Array(c.members[..<2]))
      let status = try #require(c.status(0))
      var header = c.header(epoch: isPromised ? 5 : 1, membership: 3)
      header.sender = .node(NodeID(0))
      c.give(
        .gossip(status, TruncationList(), configuration: revert, retention: Retention()), header, to: 2)
      c.settle()
      #expect((c.status(2) != nil) == isPromised)
      c.give(.configure(revert), c.header(epoch: 5), to: 2)
      c.settle()
      #expect(c.status(2) == nil, "the writer of the promised epoch has found it decided")
    }
  }

  @Test func inventoryNamesSegmentsAndEpoch() throws {
    let c = try TestCluster(1)
    c.create(epoch: 4)
    c.give(.inventoryRequest, c.header(epoch: 0), to: 0)
    c.settle()
    let answer = try #require(c.answers.first)
    #expect(answer.header.volumeEpoch == VolumeEpoch(4))
    #expect(answer.message == .inventory([c.group(proposedBy: 4)]))
  }

  /// A chunk that is retired while the node has no segment takes no account of one that comes back meanwhile.
  @Test(arguments: UInt64(1)...10)
  func aSegmentThatComesBackDoesNotCountOnWhatIsBeingRetired(seed: UInt64) throws {
    let c = try TestCluster(2) { $0.chunkSize = 16 << 10 }
    c.create()
    var log = TestLog()
    for k in 0..<200 { log.write(UInt64(k % 5), at: 0, [UInt8](repeating: UInt8(k), count: 200)) }
    for from in stride(from: UInt64(0), to: 200, by: 15) {
      for k in 0..<2 {
        c.give(
          .append(vdl: .zero, minReadPoint: .zero, log.batch(after: LSN(from), through: LSN(from + 15))), c.header(),
          to: k)
      }
      c.settle()
    }
    let without = c.group(epoch: 2, members: [c.members[1]])
    c.give(.configure(without), c.header(), to: 0)
    #expect(c.status(0) == nil)
    // The chunk goes; the configuration before comes late, at any moment of that.
    var g = DeterministicGenerator(seed: seed)
    for _ in 0..<60 {
      c.now = c.now.advanced(byMilliseconds: 10)
      c.nodes[0].machine.tick(now: c.now, into: &c.wire)
      c.wire.removeAll()
      let job = c.nodes[0].nextJob(.background, now: c.now)
      if g.chance(1, in: 4) { c.give(.configure(c.group()), c.header(), to: 0) }
      if let job {
        let error = c.nodes[0].backend.perform(job)
        c.nodes[0].machine.complete(job, error: error, now: c.now, into: &c.wire)
      }
      c.check()
      try c.checkChains()
      c.give(.configure(without), c.header(), to: 0)
    }
    #expect(c.nodes[0].machine.statistics.chunksRetired > 0)
  }
}
