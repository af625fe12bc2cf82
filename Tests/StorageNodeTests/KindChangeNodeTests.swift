import BorealisCore
import BorealisStorageBackend
import BorealisStorageNode
import BorealisWire
import Testing

@Suite struct KindChangeNodeTests {
  @Test(
    "a tail segment that becomes a full one copies the pages whose records it has given up", arguments: [false, true])
  func tailBecomesFull(restarts: Bool) throws {
    var g = DeterministicGenerator(seed: 11)
    let c = try TestCluster(4, kinds: [.full, .full, .tail, .tail]) { $0.chunkSize = 16 << 10 }
    c.create()
    var log = TestLog()
    for _ in 0..<10 {
      let from = log.last
      for _ in 0..<200 { log.random(pages: 24, using: &g) }
      for k in 0..<4 { c.give(.append(vdl: from, minReadPoint: from, log.batch(after: from)), c.header(), to: k) }
      c.settle()
      c.pass(milliseconds: 50)
    }
    let kept = try #require(c.status(2)?.gcPoint)
    #expect(kept > .zero, "it has given up nothing")
    var members = c.members
    members[2].kind = .full
    let new = c.group(epoch: 2, members: members)
    for k in 0..<4 { c.give(.configure(new), c.header(), to: k) }
    c.runJobs(2)
    // Until the copy has ended nobody is told that it is where its log is.
    c.answers.removeAll()
    c.give(.statusRequest, c.header(membership: 2), to: 2)
    c.runJobs(2)
    c.deliver()
    #expect(c.statuses(2).isEmpty)
    if restarts { try c.nodes[2].restart(now: c.now, using: &g) }
    c.pass(milliseconds: 500)
    #expect(c.scl(2) == log.last.value)
    try c.checkChains()
    c.give(.statusRequest, c.header(membership: 2), to: 2)
    c.settle()
    #expect(c.statuses(2) == [log.last.value])
    for page in 0..<UInt64(24) {
      let expected = try log.page(page, at: log.last)
      #expect(
        c.read(2, testPage(page), at: log.last, requiredSCL: log.last, membership: 2)
          == .page(expected.0, expected.1), "page \(page)")
    }
  }

  /// Seed 20559: after the restart the segment was taken for a full one, whose pages had all never been written.
  @Test("a tail segment that a configuration left out, and that comes back as a full one after a restart, copies pages")
  func tailComesBackAsFull() throws {
    var g = DeterministicGenerator(seed: 14)
    let c = try TestCluster(5, kinds: [.full, .full, .tail, .tail, .full]) { $0.chunkSize = 16 << 10 }
    c.create()
    var log = TestLog()
    for _ in 0..<10 {
      let from = log.last
      for _ in 0..<200 { log.random(pages: 24, using: &g) }
      for k in 0..<5 { c.give(.append(vdl: from, minReadPoint: from, log.batch(after: from)), c.header(), to: k) }
      c.settle()
      c.pass(milliseconds: 50)
    }
    #expect(c.status(2)?.gcPoint ?? .zero > .zero, "it has given up nothing")
    // Out, in a transition that it hears of; it does not hear of the end.
    var out = c.members
    out.remove(at: 2)
    var leaving = c.group(epoch: 2, members: out)
    leaving.pending = leaving.rule
    for k in 0..<5 { c.give(.configure(leaving), c.header(), to: k) }
    c.settle()
    try c.nodes[2].restart(now: c.now, using: &g)
    var members = c.members
    members[2].kind = .full
    let new = c.group(epoch: 3, members: members)
    for k in 0..<5 { c.give(.configure(new), c.header(membership: 2), to: k) }
    c.pass(milliseconds: 1000)
    #expect(c.scl(2) == log.last.value)
    try c.checkChains()
    for page in 0..<UInt64(24) {
      let expected = try log.page(page, at: log.last)
      #expect(
        c.read(2, testPage(page), at: log.last, requiredSCL: log.last, membership: 3)
          == .page(expected.0, expected.1), "page \(page)")
    }
  }

  /// Seed 20034: the answer was taken for a baseline without pages, and all pages here for never written.
  @Test("what a tail segment was answered does not end the copy of the full one that it has become")
  func answerOfTheOtherKind() throws {
    var g = DeterministicGenerator(seed: 13)
    let c = try TestCluster(4, kinds: [.full, .full, .full, .tail]) { $0.chunkSize = 16 << 10 }
    c.create()
    var log = TestLog()
    // Node 3 hears of nothing, and the others give up their logs.
    for _ in 0..<10 {
      let from = log.last
      for _ in 0..<200 { log.random(pages: 24, using: &g) }
      for k in 0..<3 { c.give(.append(vdl: from, minReadPoint: from, log.batch(after: from)), c.header(), to: k) }
      c.settle()
      c.pass(milliseconds: 50) { $0.to == .node(NodeID(3)) }
    }
    #expect(c.scl(3) == 0 && c.status(0)?.gcPoint ?? .zero > .zero)
    // It asks for a baseline; the answers are held up.
    var held: [Outgoing] = []
    for _ in 0..<200 where held.isEmpty {
      c.pass(milliseconds: 10) { message in
        guard message.to == .node(NodeID(3)), case .baseline? = try? Message.decode(message.bytes).message else {
          return false
        }
        held.append(message)
        return true
      }
    }
    #expect(!held.isEmpty, "it was never answered")
    var members = c.members
    members[3].kind = .full
    let new = c.group(epoch: 2, members: members)
    for k in 0..<4 { c.give(.configure(new), c.header(), to: k) }
    c.runJobs(3)
    for message in held { c.nodes[3].machine.receive(message.bytes, now: c.now, into: &c.wire) }
    c.pass(milliseconds: 1000)
    #expect(c.scl(3) == log.last.value)
    for page in 0..<UInt64(24) {
      let expected = try log.page(page, at: log.last)
      #expect(
        c.read(3, testPage(page), at: log.last, requiredSCL: log.last, membership: 2)
          == .page(expected.0, expected.1), "page \(page)")
    }
  }

  @Test("a fold that was planned for a tail segment takes nothing from the full one that it becomes", arguments: 0..<16)
  func foldsOfTheOtherKind(jobs: Int) throws {
    var g = DeterministicGenerator(seed: 12)
    let c = try TestCluster(4, kinds: [.full, .full, .tail, .tail]) { $0.chunkSize = 16 << 10 }
    c.create()
    var log = TestLog()
    func write(_ count: Int) {
      let from = log.last
      for _ in 0..<count { log.random(pages: 24, using: &g) }
      for k in 0..<4 { c.give(.append(vdl: from, minReadPoint: from, log.batch(after: from)), c.header(), to: k) }
    }
    for _ in 0..<6 {
      write(200)
      c.settle()
      c.pass(milliseconds: 50)
    }
    write(1200)
    c.settle()
    // Node 2 may give up much, and is somewhere on the way when it becomes a full one.
    for k in 0..<4 { c.give(.advance(vdl: log.last, minReadPoint: log.last), c.header(), to: k) }
    for k in [0, 1, 3] {
      c.nodes[k].machine.tick(now: c.now, into: &c.wire)
      c.runJobs(k)
      c.deliver()
    }
    c.now = c.now.advanced(byMilliseconds: 20)
    for k in 0..<2 { c.nodes[k].machine.tick(now: c.now, into: &c.wire) }
    c.deliver()
    c.nodes[2].machine.tick(now: c.now, into: &c.wire)
    for _ in 0..<jobs {
      guard let job = c.nodes[2].nextJob(.background, now: c.now) else { break }
      let error = c.nodes[2].backend.perform(job)
      c.nodes[2].machine.complete(job, error: error, now: c.now, into: &c.wire)
    }
    let job = c.nodes[2].nextJob(.background, now: c.now)
    var members = c.members
    members[2].kind = .full
    let new = c.group(epoch: 2, members: members)
    for k in 0..<4 { c.give(.configure(new), c.header(), to: k) }
    if let job {
      let error = c.nodes[2].backend.perform(job)
      c.nodes[2].machine.complete(job, error: error, now: c.now, into: &c.wire)
    }
    c.settle()
    c.pass(milliseconds: 100)
    c.give(.configure(new), c.header(membership: 2), to: 2)
    c.pass(milliseconds: 500)
    #expect(c.scl(2) == log.last.value)
    try c.checkChains()
    for page in 0..<UInt64(24) {
      let expected = try log.page(page, at: log.last)
      #expect(
        c.read(2, testPage(page), at: log.last, requiredSCL: log.last, membership: 2)
          == .page(expected.0, expected.1), "page \(page)")
    }
  }

  @Test("an index and a record of one chunk rot: nothing wrong is served, and peers send what is lost")
  func indexAndRecordRot() throws {
    for seed in UInt64(1)...12 {
      var g = DeterministicGenerator(seed: seed)
      let c = try TestCluster(2) {
        $0.chunkSize = 16 << 10
        $0.isCoalescing = false
      }
      c.create()
      var log = TestLog()
      for _ in 0..<40 {
        let from = log.last
        for _ in 0..<20 { log.random(pages: 24, using: &g) }
        for k in 0..<2 { c.give(.append(vdl: from, minReadPoint: .zero, log.batch(after: from)), c.header(), to: k) }
        c.settle()
        c.pass(milliseconds: 10)
      }
      // The chunk in the first slot is sealed: its index stands at its end, its records at its beginning.
      let backend = c.nodes[0].backend
      _ = backend.flipBits(.log, in: (16 << 10) - 64..<(16 << 10), count: 3, using: &g)
      _ = backend.flipBits(.log, in: 600..<4000, count: 2, using: &g)
      try c.nodes[0].restart(now: c.now, using: &g)
      for round in 0..<2 {
        for page in 0..<UInt64(24) {
          let expected = try log.page(page, at: log.last)
          let found = c.read(0, testPage(page), at: log.last, requiredSCL: log.last)
          let isRefused = if case .refused = found { true } else { false }
          #expect(
            found == .page(expected.0, expected.1) || (round == 0 && isRefused), "seed \(seed) page \(page): \(found)")
        }
        c.pass(milliseconds: 1000)
      }
      #expect(c.scl(0) == log.last.value)
      try c.checkChains()
      try c.nodes[0].restart(now: c.now, using: &g)
      c.pass(milliseconds: 1000)
      #expect(c.scl(0) == log.last.value, "seed \(seed), after a restart")
      try c.checkChains()
    }
  }
}
