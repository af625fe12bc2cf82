import BorealisCore
import BorealisWire

/// One copy of a protection group at this node: what the node knows of it besides its durable bytes.
struct Segment: Sendable {
  /// What a peer last said of itself.
  struct Peer: Sendable, Equatable {
    var node: NodeID
    var scl: LSN = .zero
    var gcPoint: LSN = .zero
    var truncationEpoch: VolumeEpoch = .zero
  }
  /// A request for records that has not been answered in full.
  struct Pull: Sendable, Equatable {
    var source: NodeID
    var through: LSN
    var deadline: Instant
  }
  /// A copy of pages from a peer, because the log below its gcPoint is gone.
  struct Hydration: Sendable, Equatable {
    var source: NodeID
    /// `.zero` until the first answer.
    var baseline: LSN
    /// The last page that is installed here; nil to begin.
    var cursor: PageID?
    /// When the request is repeated.
    var deadline: Instant
    /// Repeats without an answer: too many, and another source is tried.
    var attempts: Int = 0
  }
  /// A promise to a peer that copies a baseline: the log above it stays until the deadline.
  struct Hold: Sendable, Equatable {
    var peer: PeerID
    var baseline: LSN
    var deadline: Instant
  }
  /// Somebody waits for SCL to reach a target.
  struct CatchUp: Sendable, Equatable {
    var target: LSN
    var source: NodeID
    var request: MessageHeader
  }

  let group: ProtectionGroupID
  var configuration: GroupConfiguration
  var kind: SegmentKind
  /// SCL and what lies above it.
  var chain: SegmentChain
  /// The same with what is on its way to the log: tells repeats from news.
  var staged: SegmentChain
  /// Highest SCL that was acked; clipped with SCL.
  var acked = LSN.zero
  /// Whether the chain must be followed anew over the index, which could not be read.
  var needsRebuild = false
  /// The lowest volume epoch of any record that the log may hold; `.max` where it holds none.
  var oldestEpoch = VolumeEpoch(.max)
  /// When SCL moved last, and where to.
  var advancedAt = Instant.zero
  var advancedTo = LSN.max
  /// Everything at or below is in pages (full) or given up (tail).
  var gcPoint: LSN
  /// Highest PGMRPL heard of; it never falls, not with a new volume epoch either: see `StorageNode.raise(to:)`.
  var minReadPoint: LSN = .zero
  /// The volume epoch that `minReadPoint` is of: whoever knows what is void as of that epoch may fold up to it.
  var readPointEpoch: VolumeEpoch = .zero
  /// Whether pages here are a mixture of two states because a baseline copy was begun and not ended.
  ///
  /// No read is served and SCL stands still until it has ended.
  var isHydrating = false
  var hydration: Hydration?
  var pull: Pull?
  var holds: [Hold] = []
  var catchUps: [CatchUp] = []
  /// The writer that appended last, and its epoch: who hears of advances of SCL.
  var writer: PeerID?
  var writerEpoch: VolumeEpoch = .zero
  /// Whether the writer is to be told SCL as soon as the journal allows.
  var owesAck = false
  /// One for each member of the configuration, by index.
  var peers: [Peer] = []
  /// Whom to gossip with next.
  var gossipCursor = 0

  init(configuration: GroupConfiguration, node: NodeID, base: LSN, gcPoint: LSN) {
    group = configuration.group
    self.configuration = configuration
    kind = .full
    chain = SegmentChain(base: base)
    staged = chain
    self.gcPoint = gcPoint
    adopt(configuration, node: node)
  }

  /// Segment complete LSN.
  var scl: LSN { chain.scl }

  /// Replaces the configuration; what was heard of members that stay is kept.
  mutating func adopt(_ new: GroupConfiguration, node: NodeID) {
    let old = peers
    configuration = new
    peers = new.members.map { member in
      old.first { $0.node == member.node } ?? Peer(node: member.node)
    }
    if let index = new.index(of: node) { kind = new.members[index].kind }
    if gossipCursor >= peers.count { gossipCursor = 0 }
  }

  /// Whether only the rule to come names the node, in a transition that waits for its new members.
  func isComing(_ node: NodeID) -> Bool {
    guard let pending = configuration.pending, configuration.hydrationTarget < .max,
      let index = configuration.index(of: node)
    else { return false }
    func names(_ rule: QuorumRule) -> Bool {
      rule.write.joined().contains { $0.members.contains(MemberSet(member: index)) }
    }
    return names(pending) && !names(configuration.rule)
  }

  /// Remembers a PGMRPL of a volume epoch.
  mutating func raise(minReadPoint point: LSN, of epoch: VolumeEpoch) {
    guard point > minReadPoint else { return }
    minReadPoint = point
    readPointEpoch = max(readPointEpoch, epoch)
  }

  /// Remembers what a peer says of itself.
  mutating func heard(from node: NodeID, _ status: SegmentStatus) {
    for i in peers.indices where peers[i].node == node {
      peers[i].scl = status.scl
      peers[i].gcPoint = status.gcPoint
      peers[i].truncationEpoch = status.truncationEpoch
    }
  }

  /// Lowest baseline that a peer is copying; `.max` where none is.
  func heldBaseline(now: Instant) -> LSN {
    var lowest = LSN.max
    for hold in holds where hold.deadline > now { lowest = min(lowest, hold.baseline) }
    return lowest
  }

  /// The highest LSN at or below which enough full members have pages, so that a tail segment may drop its records.
  ///
  /// Two of them (all, where there are fewer), so that one more loss leaves a source of pages. And as long as there is room,
  /// every full member must hold the records, in pages or not: one that has been away lacks them, and with a zone and one
  /// copy more two full members are lost. (Found by seed 59541.)
  func tailDropPoint(node: NodeID, hasRoom: Bool) -> LSN {
    var points: [LSN] = []
    var held = LSN.max
    for i in peers.indices where configuration.members[i].kind == .full && peers[i].node != node {
      points.append(peers[i].gcPoint)
      held = min(held, peers[i].scl)
    }
    guard !points.isEmpty else { return .zero }
    points.sort(by: >)
    let point = points[min(1, points.count - 1)]
    return hasRoom ? min(point, held) : point
  }
}
