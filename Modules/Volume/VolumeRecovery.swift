public import BorealisCore
public import BorealisWire

/// Opens an existing volume for writing: fences the old writer, finds the end of the kept log, repairs, voids the rest.
///
/// Protocol §5.6, in that order; its step 1, winning the volume epoch in the metadata store, is the shell's.
///
///     phase        asks                         leaves when
///     learning     inventoryRequest             a configuration of every group is known (group 0 says how many; R8)
///     preparing    prepare              (2)     read quorums have promised the epoch; then steps 3-5, `RecoveredChain`
///     repairing    catchUp              (6)     write quorums have SCL >= tail(g, VDL')
///     truncating   truncate, configure  (7)     write quorums hold the truncation list and the configuration
///     opened | failed
///
/// - R1: an answer counts only if it was given after its node had promised this epoch (else a commit acknowledged between
///   sampling and fencing would be annulled).
/// - R2: VDL' may still be found anew while repairing, when a node answers late; from the first `truncate` on it stands,
///   because a list must never have two contents under one epoch.
/// - R3: no `truncate` before step 6 has ended for every group: so the lower end of any range ever found is on write quorums.
/// - R4: the configuration in which the volume is opened is decided by this opening: proposed again with this epoch as
///   ballot, and on a write quorum. That a found one is on a write quorum *now* does not say that it is decided: peers
///   hand it on, also where a later opener has not seen it and has gone on without it.
/// - R5: nothing is concluded from silence: with less than a read quorum it waits, and says for whom.
///
/// - R6: while repairing gets nowhere, sampling begins again: a node that has fallen silent since may have been the only
///   one with the end of the log. What all others lack was never acknowledged, as they are a read quorum.
/// - R7: copies are given up only where somebody has said that their disks are gone for good, and everybody else has
///   answered; see `VolumeRecovery+Rebuild`.
/// - R8: group 0 is proposed last, when the others are decided under the same ballot (so do creation and growth). So a
///   group that group 0 speaks of has a decided configuration of at least group 0's ballot, and one of a lower ballot is not
///   it: what a writer that died while it grew has left somewhere, perhaps on a read quorum of its own.
///
/// Every request is repeated until answered, and every message is idempotent. A node that has lost its disk must not come
/// back under its old identity: it would answer for records that it has forgotten. Members that say that they hold no segment
/// have never held one, and are given it.
public struct VolumeRecovery: ~Copyable, Sendable {
  /// Where it stands.
  public enum Phase: String, Sendable, Hashable {
    /// Finding out which groups there are and who holds them.
    case learning
    /// Fencing the old writer.
    case preparing
    /// Bringing a write quorum of each group to the recovered VDL.
    case repairing
    /// Making everything above the recovered VDL void.
    case truncating
    /// The volume may be written to: `outcome` is set.
    case opened
    /// A newer epoch exists: `failure` is set.
    case failed
  }

  /// Requests that were not answered are repeated this often.
  static let resendInterval: UInt64 = 50_000_000
  /// Ticks that it waits for more answers than a read quorum.
  static let graceTicks = 4
  /// Ticks for which a transition's coming rule is waited for, besides the rule in force, before the volume is opened.
  ///
  /// The rule in force alone is safe, since the transition's hydration begins anew; the wait spares that where all are up.
  static let patienceTicks = 200
  /// Ticks without progress in repairing after which nodes are asked again what they hold.
  static let stallTicks = 400

  let volume: VolumeID
  let epoch: VolumeEpoch
  let instance: PeerID
  let allocationLimit: UInt64
  /// What to go on without, where that is what opening takes.
  let rebuild: Rebuild?
  /// Whom to ask for their inventory: those given, and all that any configuration names.
  var nodes: [NodeID]
  /// Nodes whose inventory has come.
  var inventoried: [NodeID] = []
  /// By group id.
  var groups: [RecoveryGroup] = []
  /// How many groups there are: from group 0's configuration.
  var geometry = 0
  /// Groups below `geometry` that meet the present phase's condition.
  var readyCount = 0
  /// The truncation list to write, once it stands.
  var list = TruncationList()
  /// The list found: of the highest epoch among the answers.
  var found = TruncationList()
  var chain: RecoveredChain?
  /// Ticks since read quorums were complete.
  var ticksReady = 0
  /// Ticks in the phase `repairing` without any progress.
  var ticksStalled = 0
  /// Ticks in the phase `truncating`.
  var ticksTruncating = 0
  /// Whether group 0's configuration may be told (R8).
  var isFirstProposed = false
  var nextResend: Instant
  var obstacle: RecoveredChain.Obstacle?
  /// Highest volume epoch that a node named below ours.
  var highestEpochSeen = VolumeEpoch.zero
  /// Only with the bug `sampleBeforeFencing`: whether sampling has ended and fencing has begun.
  var isFencingSampled = false
  package var plantedBug: PlantedBug?

  /// Where it stands.
  public internal(set) var phase: Phase = .learning
  /// What the writer needs to begin, once the volume is open.
  public internal(set) var outcome: OpenedVolume?
  /// Why it gave up: only ever because of a newer epoch.
  public internal(set) var failure: VolumeError?

  /// Prepares an opening of `volume`.
  ///
  /// - Parameters:
  ///   - epoch: won in the metadata store by this opening alone; never used by another, not even by a restart of this one.
  ///   - instance: who asks: answers go there.
  ///   - nodes: all storage nodes that may hold segments.
  ///   - allocationLimit: LAL; not below that of any writer that ever had the volume open.
  ///   - rebuild: nodes whose disks are gone for good, to go on without where a write quorum cannot be had with them.
  public init(
    volume: VolumeID, epoch: VolumeEpoch, instance: PeerID, nodes: [NodeID], allocationLimit: UInt64,
    rebuild: Rebuild? = nil, now: Instant
  ) {
    self.volume = volume
    self.epoch = epoch
    self.instance = instance
    self.allocationLimit = allocationLimit
    self.rebuild = rebuild
    self.nodes = nodes.sorted()
    nextResend = now.advanced(byNanoseconds: VolumeRecovery.resendInterval)
  }

  /// Begins: asks all nodes what they hold.
  public mutating func start(now: Instant, into out: inout [Outgoing]) {
    for node in nodes { send(.inventoryRequest, to: node, into: &out) }
    nextResend = now.advanced(byNanoseconds: VolumeRecovery.resendInterval)
  }

  /// Takes a message; malformed ones and those of other volumes are ignored.
  public mutating func receive(_ bytes: [UInt8], now: Instant, into out: inout [Outgoing]) {
    guard phase != .failed, phase != .opened else { return }
    let decoded: (header: MessageHeader, message: Message)
    do throws(DecodeError) { decoded = try Message.decode(bytes) } catch { return }
    let header = decoded.header
    guard header.volume == volume, let node = header.sender.node else { return }
    guard header.volumeEpoch <= epoch else { return fail(by: header.volumeEpoch) }
    highestEpochSeen = max(highestEpochSeen, header.volumeEpoch)
    switch decoded.message {
    case .inventory(let configurations):
      if !inventoried.contains(node) { inventoried.append(node) }
      for configuration in configurations { learn(configuration, into: &out) }
    case .prepared(let status, let list, let retention, let configuration, let links):
      guard configuration.group == header.group else { return }
      learn(configuration, into: &out)
      let answer = RecoveryAnswer(
        node: node, status: status, truncation: list, retention: retention, configuration: configuration, links: links)
      prepared(answer, group: header.group, by: header.volumeEpoch, into: &out)
    case .status(let status): heard(status, from: node, header: header, into: &out)
    case .truncated(let status):
      heard(status, from: node, header: header, into: &out)
      truncated(status, by: node, header: header)
    case .configured(let configuration):
      guard configuration.group == header.group else { return }
      learn(configuration, into: &out)
      configured(configuration, by: node)
    case .reject(_, let reason, let configuration):
      if let configuration { learn(configuration, into: &out) }
      if reason == .noSuchSegment { lacksSegment(node, group: header.group) }
    case .append, .appendAck, .advance, .readPage, .pageImage, .prepare, .truncate, .catchUp, .statusRequest,
      .inventoryRequest, .configure, .retain, .retained, .gossip, .pull, .records, .pullBaseline, .baseline, .fetchPage,
      .attach, .attached, .stream, .vdlAdvanced, .readPoint, .detached, .configurations, .readPages, .pageRun:
      return
    }
    if phase != .failed { advance(into: &out) }
  }

  /// Repeats what was not answered; call every 5 ms or so.
  public mutating func tick(now: Instant, into out: inout [Outgoing]) {
    switch phase {
    case .learning: break
    case .repairing:
      ticksStalled += 1
      if ticksStalled >= VolumeRecovery.stallTicks { sampleAgain(into: &out) }
    case .preparing: if isEveryGroupReady { ticksReady += 1 }
    case .truncating:
      ticksTruncating += 1
      if ticksTruncating == VolumeRecovery.patienceTicks { recount() }
    case .opened, .failed: return
    }
    advance(into: &out)
    guard phase != .opened, now >= nextResend else { return }
    nextResend = now.advanced(byNanoseconds: VolumeRecovery.resendInterval)
    resend(into: &out)
  }

  /// Checks what must hold between any two steps; empty when it does.
  public func checkInvariants() -> [String] {
    var broken: [String] = []
    let ready = groups.prefix(geometry).count { $0.isReady }
    if ready != readyCount { broken.append("recovery: \(readyCount) groups counted ready, \(ready) are") }
    if let chain {
      if chain.vdl > chain.vcl { broken.append("I2: recovered VDL \(chain.vdl) above VCL \(chain.vcl)") }
      for (group, tail) in chain.tails.enumerated() where tail > chain.vdl {
        broken.append("recovery: tail \(tail) of pg\(group) above VDL \(chain.vdl)")
      }
    }
    if let outcome, plantedBug == nil {
      let issued = outcome.truncation.ranges.last?.through ?? .zero
      if outcome.nextLSN <= issued { broken.append("I16: next LSN \(outcome.nextLSN) not above \(issued)") }
    }
    return broken
  }

  // MARK: Helpers

  var isEveryGroupReady: Bool { geometry > 0 && readyCount == geometry }

  mutating func fail(by newer: VolumeEpoch) {
    phase = .failed
    failure = VolumeError(.fenced, operation: "open", detail: "volume epoch \(newer) is newer than \(epoch)")
  }

  func send(
    _ message: Message, to node: NodeID, group: Int = 0, epoch other: VolumeEpoch? = nil, into out: inout [Outgoing]
  ) {
    let membership = group < groups.count ? groups[group].configuration?.epoch ?? .zero : .zero
    let header = MessageHeader(
      volume: volume, sender: instance, volumeEpoch: other ?? epoch, group: ProtectionGroupID(UInt32(group)),
      membershipEpoch: membership)
    out.append(Outgoing(to: .node(node), bytes: message.encoded(header)))
  }
}
