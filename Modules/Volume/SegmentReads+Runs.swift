import BorealisCore
import BorealisWire

// Pages that lie one behind the other, asked for in one message. A run is tried once, at one segment: whatever goes wrong
// with it, its pages are then asked for one by one, with hedging and retries, if anybody wants them.
extension SegmentReads {
  /// Runs under way at once: bounds what a silent network may leave pending.
  static let runsMax = 8

  /// A run under way.
  struct Run: Sendable {
    var request: UInt64
    var first: PageID
    var count: Int
    var readPoint: LSN
    var node: NodeID
    var begun: Instant
  }
  /// A run that has ended: `pages` are its first pages, none where it failed.
  struct CompletedRun: Sendable {
    var first: PageID
    var count: Int
    var readPoint: LSN
    var pages: PageRun?

    func page(_ number: Int) -> PageID { PageID(object: first.object, index: first.index + UInt64(number)) }
  }

  /// Asks one segment for `count` pages from `first` on, all of one extent; false where there is none to ask.
  mutating func beginRun<G: ReadableGroup>(
    _ first: PageID, count: Int, group: ProtectionGroupID, at readPoint: LSN, requiredSCL: LSN, now: Instant,
    groups: [G], into sends: inout [Outgoing]
  ) -> Bool {
    let number = Int(group.value)
    guard number < groups.count, let node = nodeForRun(groups[number], requiredSCL) else { return false }
    var header = envelope
    header.group = group
    header.membershipEpoch = groups[number].configuration.epoch
    let message = Message.readPages(
      request: nextRequest, page: first, count: UInt32(count), readPoint: readPoint, requiredSCL: requiredSCL)
    sends.append(Outgoing(to: .node(node), bytes: message.encoded(header)))
    runs.append(
      Run(request: nextRequest, first: first, count: count, readPoint: readPoint, node: node, begun: now))
    nextRequest += 1
    return true
  }
  /// The segment with the fewest runs under way, of those that are about as fast as the fastest.
  private func nodeForRun<G: ReadableGroup>(_ group: G, _ requiredSCL: LSN) -> NodeID? {
    let members = group.configuration.members
    var fastest = UInt64.max
    for i in members.indices where members[i].kind == .full && group.mayServe(member: i, upTo: requiredSCL) {
      fastest = min(fastest, latency(of: members[i].node))
    }
    var best: (node: NodeID, runs: Int, latency: UInt64)?
    for i in members.indices where members[i].kind == .full && group.mayServe(member: i, upTo: requiredSCL) {
      let node = members[i].node
      let latency = latency(of: node)
      // Twice, and 100 us: in one process they are all alike, and between zones they are not.
      guard latency <= 2 * fastest + 100_000 else { continue }
      let count = runs.reduce(0) { $0 + ($1.node == node ? 1 : 0) }
      if let known = best, (known.runs, known.latency) <= (count, latency) { continue }
      best = (node, count, latency)
    }
    return best?.node
  }

  /// The answer to a run; nil where none is awaited.
  mutating func receiveRun(request: UInt64, pages: PageRun, pageSize: Int) -> CompletedRun? {
    guard let at = runs.firstIndex(where: { $0.request == request }) else { return nil }
    let run = runs.remove(at: at)
    // What no correct node would send is as good as a refusal.
    var isSound = pages.count <= run.count
    pages.forEach { _, lsn, image in
      if image.count > pageSize || lsn > run.readPoint { isSound = false }
    }
    return completed(run, isSound ? pages : nil)
  }
  /// A refusal of a run; nil where none is awaited under that number.
  mutating func receiveRejectedRun(request: UInt64) -> CompletedRun? {
    guard let at = runs.firstIndex(where: { $0.request == request }) else { return nil }
    return completed(runs.remove(at: at), nil)
  }
  /// A run that has had no answer for too long; nil where there is none.
  mutating func takeExpiredRun(now: Instant) -> CompletedRun? {
    guard let at = runs.firstIndex(where: { now.nanoseconds(since: $0.begun) >= hedgeAfter }) else { return nil }
    return completed(runs.remove(at: at), nil)
  }
  /// Ends all runs: their answers will not be used, their read points are given back.
  mutating func takeRuns() -> [LSN] {
    defer { runs.removeAll() }
    return runs.map(\.readPoint)
  }
  private func completed(_ run: Run, _ pages: PageRun?) -> CompletedRun {
    CompletedRun(first: run.first, count: run.count, readPoint: run.readPoint, pages: pages)
  }
}
