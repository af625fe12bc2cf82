import BorealisCore
import BorealisReplicationPolicy
import BorealisWire

/// A batch that was sent and whose records are not all below VDL.
struct SentBatch: Sendable {
  /// The whole message.
  var bytes: [UInt8]
  var first: LSN
  var last: LSN
  var epoch: MembershipEpoch
  var sentAt: Instant
}

/// What the writer remembers of one member.
struct WriterMember: Sendable {
  /// Acks at a lower membership epoch are of an earlier life of the segment.
  var since: MembershipEpoch
  /// When it was last sent missing batches again.
  var lastResent = Instant.zero
  /// Doublings of the resend interval, for a member that does not answer.
  var backoff = 0
  /// Whether it last said that it knows of damage.
  var isDamaged = false
  /// Since when it is damaged or far behind, as far as repair has noticed.
  var ailingSince: Instant?
}

/// One protection group as the writer sees it.
struct WriterGroup: ReadableGroup, Sendable {
  /// What acks are counted by and requests name: `membership.counted`, as last adopted.
  private(set) var configuration: GroupConfiguration
  /// Changes of the members and rules.
  var membership: GroupMembership
  private(set) var quorum: QuorumTable
  /// By member index.
  var members: [WriterMember]
  /// SCL by member index.
  private(set) var scls: [LSN]
  /// Highest point that a write quorum is complete up to.
  private(set) var pgcl: LSN
  /// Last LSN issued to the group.
  var lastIssued: LSN
  var tail: TailHistory
  /// The batch being filled: a message without its final envelope; empty where there is none.
  var open: [UInt8] = []
  var openFirst = LSN.zero
  ///
  /// In order: those with a write quorum, those on their way, those that wait for the window.
  private(set) var batches = Ring(filler: SentBatch(bytes: [], first: .zero, last: .zero, epoch: .zero, sentAt: .zero))
  /// How many at the front of `batches` have a write quorum.
  private var covered = 0
  /// How many at the end of `batches` were not sent: those on their way fill the window.
  private(set) var queued = 0
  /// Bytes of the batches on their way.
  private var bytesUnderWay = 0
  /// Last LSN sent.
  private(set) var lastSent: LSN
  var lastSentAt: Instant
  /// Size that the next batch is likely to reach.
  var batchSizeHint = 1024
  var toldVDL = LSN.zero
  var toldReadPoint = LSN.zero
  var lastToldAt: Instant
  /// Whether the change of members under way was begun by repair.
  var isRepair = false
  private let plantedBug: PlantedBug?

  init(
    _ opened: OpenedGroup, epoch: VolumeEpoch, truncationEpoch: VolumeEpoch, now: Instant, plantedBug: PlantedBug?
  ) {
    configuration = opened.configuration
    membership = GroupMembership(
      opened.configuration, epoch: epoch, truncationEpoch: truncationEpoch, plantedBug: plantedBug)
    self.plantedBug = plantedBug
    quorum = QuorumTable(opened.configuration, plantedBug: plantedBug)
    members = opened.configuration.members.map { _ in WriterMember(since: .zero) }
    // A segment may hold void records for a moment: they count for nothing.
    scls = opened.scls.map { min($0, opened.tail) }
    pgcl = quorum.completeLSN(scls)
    lastIssued = opened.tail
    lastSent = opened.tail
    tail = TailHistory(opened.tail)
    lastSentAt = now
    lastToldAt = now
  }

  func mayServe(member: Int, upTo lsn: LSN) -> Bool { scls[member] >= lsn }

  /// Takes an ack; true when PGCL has advanced.
  mutating func acknowledge(member: Int, scl: LSN) -> Bool {
    var reached = min(scl, lastSent)
    if plantedBug == .countUnhydratedMember, isNew(member) { reached = lastSent }
    guard reached > scls[member] else { return false }
    members[member].backoff = 0
    scls[member] = reached
    guard reached > pgcl else { return false }
    let complete = quorum.completeLSN(scls)
    guard complete > pgcl else { return false }
    pgcl = complete
    return true
  }
  /// Whether the member is one that only the rule to come names.
  private func isNew(_ member: Int) -> Bool {
    configuration.isHydrating && !configuration.rule.members.contains(MemberSet(member: member))
  }
  /// Takes over a superseding configuration; true when PGCL has advanced (it never goes back).
  mutating func adopt(_ new: GroupConfiguration) -> Bool {
    var newMembers: [WriterMember] = []
    var newSCLs: [LSN] = []
    for member in new.members {
      if let old = configuration.index(of: member.node) {
        newMembers.append(members[old])
        newSCLs.append(scls[old])
      } else {
        newMembers.append(WriterMember(since: new.epoch))
        newSCLs.append(.zero)
      }
    }
    configuration = new
    members = newMembers
    scls = newSCLs
    quorum = QuorumTable(new, plantedBug: plantedBug)
    let complete = quorum.completeLSN(scls)
    guard complete > pgcl else { return false }
    pgcl = complete
    return true
  }
  mutating func noteResend(member: Int, now: Instant) {
    members[member].lastResent = now
    members[member].backoff = min(members[member].backoff + 1, 5)
  }
  /// Whether a member lacks something that was sent long ago; longer each time for a member that stays silent.
  func isResendDue(member: Int, now: Instant, after interval: UInt64) -> Bool {
    for i in 0..<sentCount where batches[i].last > scls[member] {
      let since = max(batches[i].sentAt, members[member].lastResent)
      return now.nanoseconds(since: since) >= interval << UInt64(members[member].backoff)
    }
    return false
  }
  /// Batches that were sent, at the front of `batches`.
  var sentCount: Int { batches.count - queued }
  /// Adds a batch that is to be sent.
  mutating func enqueue(_ batch: SentBatch) {
    batches.append(batch)
    queued += 1
  }
  /// The next batch that may be sent, where there is one and the window has room for it.
  mutating func nextToSend(window: Int) -> Int? {
    guard queued > 0 else { return nil }
    while covered < sentCount, batches[covered].last <= pgcl {
      bytesUnderWay -= batches[covered].bytes.count
      covered += 1
    }
    let next = sentCount
    return bytesUnderWay == 0 || bytesUnderWay + batches[next].bytes.count <= window ? next : nil
  }
  /// Gives a batch what is true when it is sent; `bytes` is sealed by the caller.
  mutating func restamp(_ index: Int, epoch: MembershipEpoch, _ body: (inout [UInt8]) -> Void) {
    var batch = batches[index]
    // Nobody else may hold the bytes, or they would be copied.
    batches[index].bytes = []
    body(&batch.bytes)
    batch.epoch = epoch
    batches[index] = batch
  }
  /// The first of the queued batches is sent.
  mutating func noteSent(now: Instant) {
    let index = sentCount
    batches[index].sentAt = now
    bytesUnderWay += batches[index].bytes.count
    lastSent = batches[index].last
    lastSentAt = now
    queued -= 1
  }
  /// Forgets batches that VDL has passed.
  mutating func purge(vdl: LSN) {
    while let first = batches.first, first.last <= vdl {
      batches.popFirst()
      if covered > 0 { covered -= 1 } else { bytesUnderWay -= first.bytes.count }
    }
  }
  /// What is wrong with the batches; empty when nothing.
  func checkBatches() -> [String] {
    var bytes = 0
    for i in covered..<max(covered, sentCount) { bytes += batches[i].bytes.count }
    if covered > sentCount || bytes != bytesUnderWay {
      return ["\(configuration.group): \(bytes) bytes of batches under way, not \(bytesUnderWay)"]
    }
    return []
  }
  /// Whether a batch is on its way that has no quorum yet.
  func isUnderWay(now: Instant, timeout: UInt64) -> Bool {
    lastSent > pgcl && now.nanoseconds(since: lastSentAt) < timeout
  }
}
