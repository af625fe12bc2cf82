import BorealisCore
import BorealisWire

/// What reads need to know of a group: who its members are, and which of them are complete far enough.
protocol ReadableGroup {
  var configuration: GroupConfiguration { get }
  /// False only where it is known that the member's SCL is below `lsn`.
  func mayServe(member: Int, upTo lsn: LSN) -> Bool
}

/// Page reads from single segments: which to ask, when to ask another, when to give up.
///
/// No quorum: one full segment that is complete up to `requiredSCL` has the answer. The one that was fastest lately is
/// asked; now and then the next one is asked as well, so that the figures stay true; one that is late or refuses is
/// followed by the next. Source: P18 §3.1.
struct SegmentReads: Sendable {
  /// What a read is for.
  enum Purpose: Sendable, Equatable {
    /// The newest version of a page for the cache.
    case head
    /// A version for one caller.
    case point(ReadID)
    /// A page of the catalog.
    case catalog
  }
  struct Completion: Sendable {
    var purpose: Purpose
    var page: PageID
    var readPoint: LSN
    var result: Result<(lsn: LSN, image: [UInt8]), VolumeError>
  }
  private struct Asked: Sendable {
    var node: NodeID
    var at: Instant
    var hasAnswered = false
  }
  private struct Pending: Sendable {
    var request: UInt64
    var purpose: Purpose
    var page: PageID
    var group: ProtectionGroupID
    var readPoint: LSN
    var requiredSCL: LSN
    var begun: Instant
    /// Nodes asked in this round, and when.
    var asked: [Asked] = []
    var lastAsked: Instant
    var sawDamage = false
  }
  private struct Latency: Sendable {
    var node: NodeID
    /// Smoothed, in nanoseconds.
    var smoothed: UInt64
  }
  var envelope: MessageHeader
  private let timeout: UInt64
  let hedgeAfter: UInt64
  /// By request number, which grows.
  private var pending: [Pending] = []
  /// Runs under way, by request number.
  var runs: [Run] = []
  private var latencies: [Latency] = []
  var nextRequest: UInt64
  private(set) var asks: UInt64 = 0
  private(set) var hedges: UInt64 = 0
  private(set) var probes: UInt64 = 0
  /// One read in this many also goes to the second choice.
  private static let probeInterval: UInt64 = 64
  /// A node never measured counts as quick, so that it is measured.
  private static let latencyUnknown: UInt64 = 0

  /// - Parameter firstRequest: apart for each opening, so that a late answer to an earlier instance cannot be mistaken.
  init(envelope: MessageHeader, timeout: UInt64, hedgeAfter: UInt64, firstRequest: UInt64) {
    self.envelope = envelope
    self.timeout = timeout
    self.hedgeAfter = hedgeAfter
    nextRequest = firstRequest
  }
  var count: Int { pending.count }
  /// A reader learns the volume epoch when it attaches.
  mutating func setEpoch(_ epoch: VolumeEpoch) { envelope.volumeEpoch = epoch }

  private func position(_ request: UInt64) -> Int? {
    var (low, high) = (0, pending.count)
    while low < high {
      let middle = (low + high) / 2
      if pending[middle].request < request { low = middle + 1 } else { high = middle }
    }
    return low < pending.count && pending[low].request == request ? low : nil
  }

  /// Begins a read: asks the best segment at once where there is one.
  mutating func begin<G: ReadableGroup>(
    _ page: PageID, group: ProtectionGroupID, at readPoint: LSN, requiredSCL: LSN, purpose: Purpose, now: Instant,
    groups: [G], into sends: inout [Outgoing]
  ) {
    let request = nextRequest
    nextRequest += 1
    pending.append(
      Pending(
        request: request, purpose: purpose, page: page, group: group, readPoint: readPoint, requiredSCL: requiredSCL,
        begun: now, lastAsked: now))
    let at = pending.count - 1
    _ = ask(at, now: now, groups: groups, into: &sends)
    if request % SegmentReads.probeInterval == 0, ask(at, now: now, groups: groups, into: &sends) { probes += 1 }
  }

  func latency(of node: NodeID) -> UInt64 {
    for entry in latencies where entry.node == node { return entry.smoothed }
    return SegmentReads.latencyUnknown
  }
  private mutating func measure(_ node: NodeID, _ nanoseconds: UInt64) {
    for i in latencies.indices where latencies[i].node == node {
      latencies[i].smoothed = latencies[i].smoothed - latencies[i].smoothed / 8 + nanoseconds / 8
      return
    }
    latencies.append(Latency(node: node, smoothed: max(1, nanoseconds)))
  }

  /// Asks the best segment that was not asked in this round; false where there is none.
  private mutating func ask<G: ReadableGroup>(
    _ at: Int, now: Instant, groups: [G], into sends: inout [Outgoing]
  ) -> Bool {
    let read = pending[at]
    let number = Int(read.group.value)
    guard number < groups.count else { return false }
    let members = groups[number].configuration.members
    var best = -1
    var bestLatency = UInt64.max
    // Ties go to a different member for different pages.
    for step in members.indices {
      let i = (step + Int(truncatingIfNeeded: read.request & 0xFF)) % members.count
      guard members[i].kind == .full, groups[number].mayServe(member: i, upTo: read.requiredSCL),
        !read.asked.contains(where: { $0.node == members[i].node })
      else { continue }
      let latency = latency(of: members[i].node)
      if best < 0 || latency < bestLatency {
        best = i
        bestLatency = latency
      }
    }
    guard best >= 0 else { return false }
    var header = envelope
    header.group = read.group
    header.membershipEpoch = groups[number].configuration.epoch
    let message = Message.readPage(
      request: read.request, page: read.page, readPoint: read.readPoint, requiredSCL: read.requiredSCL)
    sends.append(Outgoing(to: .node(members[best].node), bytes: message.encoded(header)))
    pending[at].asked.append(Asked(node: members[best].node, at: now))
    pending[at].lastAsked = now
    asks += 1
    return true
  }

  /// An image has come: the end of its read, unless that has ended already.
  mutating func receiveImage(
    request: UInt64, from node: NodeID, lsn: LSN, image: [UInt8], pageSize: Int, now: Instant
  ) -> Completion? {
    guard let at = position(request) else { return nil }
    for asked in pending[at].asked where asked.node == node { measure(node, now.nanoseconds(since: asked.at)) }
    // What no correct node would send is as good as no answer.
    guard image.count <= pageSize, lsn <= pending[at].readPoint else {
      pending[at].sawDamage = true
      return nil
    }
    let read = pending.remove(at: at)
    return Completion(
      purpose: read.purpose, page: read.page, readPoint: read.readPoint, result: .success((lsn: lsn, image: image)))
  }

  /// A node refused: the next one is asked, or the read ends.
  mutating func receiveReject<G: ReadableGroup>(
    request: UInt64, from node: NodeID, reason: RejectReason, now: Instant, groups: [G], into sends: inout [Outgoing]
  ) -> Completion? {
    guard let at = position(request) else { return nil }
    guard let asked = pending[at].asked.firstIndex(where: { $0.node == node && !$0.hasAnswered }) else { return nil }
    pending[at].asked[asked].hasAnswered = true
    if reason == .readPointTooOld {
      let read = pending.remove(at: at)
      let error = VolumeError(.readPointTooOld, operation: "read", lsn: read.readPoint, page: read.page)
      return Completion(purpose: read.purpose, page: read.page, readPoint: read.readPoint, result: .failure(error))
    }
    if reason == .damaged { pending[at].sawDamage = true }
    // The configuration has changed under way: the same node may be right at the new epoch.
    if reason == .staleMembershipEpoch { pending[at].asked.remove(at: asked) }
    if reason == .staleMembershipEpoch, now.nanoseconds(since: pending[at].begun) > hedgeAfter { return nil }
    _ = ask(at, now: now, groups: groups, into: &sends)
    return nil
  }

  /// Asks again where answers are late, and gives up what has waited too long.
  mutating func tick<G: ReadableGroup>(
    now: Instant, groups: [G], into sends: inout [Outgoing], completions: inout [Completion]
  ) {
    var at = 0
    while at < pending.count {
      if now.nanoseconds(since: pending[at].begun) >= timeout, pending[at].purpose != .catalog {
        let read = pending.remove(at: at)
        let error = VolumeError(
          read.sawDamage ? .damaged : .unavailable, operation: "read", lsn: read.readPoint, page: read.page,
          group: read.group)
        completions.append(
          Completion(purpose: read.purpose, page: read.page, readPoint: read.readPoint, result: .failure(error)))
        continue
      }
      if now.nanoseconds(since: pending[at].lastAsked) >= hedgeAfter {
        for asked in pending[at].asked where !asked.hasAnswered {
          let waited = now.nanoseconds(since: asked.at)
          if waited > latency(of: asked.node) { measure(asked.node, waited) }
        }
        if ask(at, now: now, groups: groups, into: &sends) {
          hedges += 1
        } else {
          // Everybody was asked: another round. Answers of this one are still welcome.
          pending[at].asked.removeAll(keepingCapacity: true)
          _ = ask(at, now: now, groups: groups, into: &sends)
          pending[at].lastAsked = now
        }
      }
      at += 1
    }
  }

  /// Ends every read with an error, or only those for the cache and the catalog.
  mutating func failAll(_ code: VolumeError.Code, keepingPoints: Bool = false) -> [Completion] {
    var ended = pending
    pending.removeAll()
    if keepingPoints {
      for read in ended {
        if case .point = read.purpose { pending.append(read) }
      }
      ended.removeAll { if case .point = $0.purpose { true } else { false } }
    }
    return ended.map {
      Completion(
        purpose: $0.purpose, page: $0.page, readPoint: $0.readPoint,
        result: .failure(VolumeError(code, operation: "read", lsn: $0.readPoint, page: $0.page)))
    }
  }
}
