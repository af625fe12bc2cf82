import BorealisCore
import BorealisReplicationPolicy
import BorealisWire

/// Where a change of a group's members stands.
public enum MembershipPhase: String, Sendable, Hashable {
  /// No change under way.
  case stable
  /// A configuration was sent and is not decided yet.
  case proposing
  /// In a transition whose new rule waits for the new members to be hydrated.
  case hydrating
  /// The new rule is in force; the old one is about to be dropped.
  case handedOver
}

/// The changes of one group's membership, as its writer proposes and decides them (protocol §5.8).
///
///     stable       {r}            -- propose --> proposing
///     proposing                   -- decided --> what was proposed
///     hydrating    {r, then p}    -- hydrated --> proposing {p, leaving r}; another plan --> proposing {r, then p'}
///     handedOver   {p, leaving r} -- at once --> proposing {p}
///
/// Each arrow is one membership epoch. Writes need both rules of a transition; an opener reads by the rule in force, and
/// by both after a handover.
///
/// - M1: a proposal is *decided* when it is durable on a write quorum of the rule in force of the last decided one, and on
///   a write quorum of its own. So an opener that knows only the former finds it.
/// - M2: acknowledgements are counted by both rules from the moment a transition is *proposed*, and `hydrationTarget` is
///   PGCL at that moment. A proposal that ends a transition changes the counting when it is decided.
/// - M3: the new rule comes into force only when a write quorum of it, and every new member, has SCL at or above
///   `hydrationTarget`, and holds the volume's truncation list: else a read quorum of new and lagging members could miss
///   acknowledged records (or resurrect void ones).
/// - M4: it does so in two steps. After the first, the *handover*, `rule` is the new one, `pending` the one being left. A
///   single step would leave an opener that finds it on a few nodes unable to tell on whom it has to be completed: the
///   write quorums of the new rule do not meet the read quorums of the old one.
/// - M5: any transition may be taken back or changed until its handover is proposed.
///
/// What an earlier writer proposed and did not decide may turn up at any time. It has a lower ballot than all that is
/// proposed here, recovery's last configuration included, and is replaced where it is.
struct GroupMembership: Sendable {
  private struct Proposal: Sendable {
    var configuration: GroupConfiguration
    /// Nodes that hold it durably.
    var holders: [NodeID] = []
  }
  private struct Heard: Sendable {
    var node: NodeID
    var scl: LSN
    var truncationEpoch: VolumeEpoch
  }

  /// Requests that were not answered are repeated this often.
  static let resendInterval: UInt64 = 50_000_000

  /// The last decided configuration.
  private(set) var decided: GroupConfiguration
  /// What acknowledgements are counted by, and what requests name.
  private(set) var counted: GroupConfiguration
  private var proposal: Proposal?
  /// Nodes known to hold `decided`.
  private var holders: [NodeID] = []
  /// What members said of themselves during the transition.
  private var heard: [Heard] = []
  private let epoch: VolumeEpoch
  /// Members must hold a list at least as new before they count as hydrated.
  private let truncationEpoch: VolumeEpoch
  private var nextResend = Instant.zero
  private let plantedBug: PlantedBug?

  /// Begins with a decided configuration, as recovery or creation leaves it.
  init(
    _ configuration: GroupConfiguration, epoch: VolumeEpoch, truncationEpoch: VolumeEpoch, plantedBug: PlantedBug? = nil
  ) {
    decided = configuration
    counted = configuration
    self.epoch = epoch
    self.truncationEpoch = truncationEpoch
    self.plantedBug = plantedBug
  }

  var phase: MembershipPhase {
    if proposal != nil { return .proposing }
    if decided.isHandedOver { return .handedOver }
    return decided.isHydrating ? .hydrating : .stable
  }
  /// What is proposed and not decided.
  var proposed: GroupConfiguration? { proposal?.configuration }

  // MARK: Inputs

  /// Begins, changes or takes back a transition.
  ///
  /// The caller adopts `counted` afterwards.
  ///
  /// - Throws: `.conflict` while another change must end first, `.invalidArgument` where the policy refuses.
  mutating func propose(
    _ plan: MembershipPlan, policy: any ReplicationPolicy, pgcl: LSN, envelope: MessageHeader, now: Instant,
    into out: inout [Outgoing]
  ) throws(VolumeError) {
    let base = proposal?.configuration ?? decided
    func refuse(_ why: String) -> VolumeError {
      VolumeError(.conflict, operation: "change", group: decided.group, detail: why)
    }
    guard !base.isHandedOver else { throw refuse("the new members are already in force") }
    let next: GroupConfiguration
    switch plan {
    case .commit:
      guard proposal == nil, decided.isHydrating, isHydrated else { throw refuse("the new members are not hydrated") }
      next = handover
    case .revert, .replace, .loseZone, .returnZone:
      if case .revert = plan {} else if proposal != nil { throw refuse("a proposal is under way") }
      do throws(ReplicationPolicyError) {
        next = try policy.configuration(after: plan, from: base, target: pgcl, by: epoch)
      } catch {
        throw VolumeError(.invalidArgument, operation: "change", group: decided.group, detail: error.description)
      }
    }
    send(proposing: next, envelope: envelope, now: now, into: &out)
  }

  /// Says that there are `count` groups: for group 0 only, before the first record of a new group is issued.
  mutating func propose(
    geometry count: UInt32, envelope: MessageHeader, now: Instant, into out: inout [Outgoing]
  ) throws(VolumeError) {
    guard proposal == nil else {
      throw VolumeError(.conflict, operation: "grow", group: decided.group, detail: "a proposal is under way")
    }
    var next = decided
    next.geometry = count
    next.epoch = decided.epoch.next
    next.proposedBy = epoch
    send(proposing: next, envelope: envelope, now: now, into: &out)
  }

  /// A node holds a configuration durably.
  ///
  /// True when something was decided: the caller adopts `counted`.
  mutating func configured(
    _ configuration: GroupConfiguration, by node: NodeID, envelope: MessageHeader, now: Instant,
    into out: inout [Outgoing]
  ) -> Bool {
    guard let mine = proposal?.configuration, configuration.isSameProposal(as: mine) else {
      if configuration.isSameProposal(as: decided), !holders.contains(node) { holders.append(node) }
      return false
    }
    if proposal?.holders.contains(node) == false { proposal?.holders.append(node) }
    guard isDecided else { return false }
    decided = mine
    counted = mine
    holders = proposal?.holders ?? []
    proposal = nil
    goOn(envelope: envelope, now: now, into: &out)
    return true
  }

  /// A member says where it stands.
  ///
  /// True when something changed: the caller adopts `counted`.
  mutating func heard(
    _ status: SegmentStatus, from node: NodeID, at membershipEpoch: MembershipEpoch, envelope: MessageHeader,
    now: Instant, into out: inout [Outgoing]
  ) -> Bool {
    guard phase == .hydrating, let index = decided.index(of: node) else { return false }
    // What a new member said before it was one is of an earlier life of its segment, which it may have dropped since.
    guard membershipEpoch >= decided.epoch || !newMembers.contains(MemberSet(member: index)) else { return false }
    if let i = heard.firstIndex(where: { $0.node == node }) {
      heard[i].scl = max(heard[i].scl, status.scl)
      heard[i].truncationEpoch = max(heard[i].truncationEpoch, status.truncationEpoch)
    } else {
      heard.append(Heard(node: node, scl: status.scl, truncationEpoch: status.truncationEpoch))
    }
    goOn(envelope: envelope, now: now, into: &out)
    return phase != .hydrating
  }

  /// Repeats what was not answered, and goes on by itself; cheap when there is no change.
  mutating func tick(envelope: MessageHeader, now: Instant, into out: inout [Outgoing]) {
    let phase = phase
    guard phase != .stable, now >= nextResend else { return }
    nextResend = now.advanced(byNanoseconds: GroupMembership.resendInterval)
    switch phase {
    case .stable: return
    case .proposing: sendProposal(envelope: envelope, into: &out)
    case .hydrating:
      goOn(envelope: envelope, now: now, into: &out)
      guard self.phase == .hydrating else { return }
      let (request, configure) = (
        Message.statusRequest.encoded(header(envelope)), Message.configure(decided).encoded(header(envelope))
      )
      for (i, member) in decided.members.enumerated() {
        // Old members that missed the configuration get it from their peers; a new one has no segment before.
        if newMembers.contains(MemberSet(member: i)), !holders.contains(member.node) {
          out.append(Outgoing(to: .node(member.node), bytes: configure))
        }
        out.append(Outgoing(to: .node(member.node), bytes: request))
      }
    case .handedOver: goOn(envelope: envelope, now: now, into: &out)
    }
  }

  // MARK: Helpers

  /// M3: whether the pending rule may come into force.
  private var isHydrated: Bool {
    guard let pending = decided.pending, decided.isHydrating else { return false }
    if plantedBug == .countUnhydratedMember { return true }
    var complete = MemberSet()
    for said in heard where said.scl >= decided.hydrationTarget && said.truncationEpoch >= truncationEpoch {
      if let index = decided.index(of: said.node) { complete.insert(MemberSet(member: index)) }
    }
    return pending.isWriteQuorum(complete) && newMembers.isSubset(of: complete)
  }
  /// Members that only the pending rule names.
  private var newMembers: MemberSet { decided.pending?.members.subtracting(decided.rule.members) ?? [] }
  /// M1.
  private var isDecided: Bool {
    guard let proposal else { return false }
    func holders(in configuration: GroupConfiguration) -> MemberSet {
      var set = MemberSet()
      for (i, member) in configuration.members.enumerated() where proposal.holders.contains(member.node) {
        set.insert(MemberSet(member: i))
      }
      return set
    }
    return decided.rule.isWriteQuorum(holders(in: decided))
      && proposal.configuration.isWriteQuorum(holders(in: proposal.configuration))
  }
  private var handover: GroupConfiguration {
    var next = decided
    next.epoch = decided.epoch.next
    next.proposedBy = epoch
    next.rule = decided.pending ?? decided.rule
    next.pending = decided.rule
    next.hydrationTarget = GroupConfiguration.handedOver
    return next
  }
  /// The steps that follow by themselves: handover when hydrated, then the end of the transition.
  private mutating func goOn(envelope: MessageHeader, now: Instant, into out: inout [Outgoing]) {
    switch phase {
    case .stable, .proposing: return
    case .hydrating:
      if isHydrated { send(proposing: handover, envelope: envelope, now: now, into: &out) }
    case .handedOver:
      // The rule in force stays: the handover has made that the new one. It cannot fail short of 4 billion changes.
      guard let next = try? decided.reverting(by: epoch) else { return }
      send(proposing: next, envelope: envelope, now: now, into: &out)
    }
  }
  private mutating func send(
    proposing next: GroupConfiguration, envelope: MessageHeader, now: Instant, into out: inout [Outgoing]
  ) {
    proposal = Proposal(configuration: next)
    // M2. What is still counted when a transition ends includes what will be.
    if next.pending != nil || counted.pending == nil { counted = next }
    if next.isHydrating { heard.removeAll(keepingCapacity: true) }
    nextResend = now.advanced(byNanoseconds: GroupMembership.resendInterval)
    sendProposal(envelope: envelope, into: &out)
  }
  /// Sends the proposal to its members, and to those of the decided configuration, that do not hold it.
  private func sendProposal(envelope: MessageHeader, into out: inout [Outgoing]) {
    guard let proposal else { return }
    var header = envelope
    header.membershipEpoch = proposal.configuration.epoch
    let bytes = Message.configure(proposal.configuration).encoded(header)
    var asked: [NodeID] = proposal.holders
    for member in proposal.configuration.members + decided.members where !asked.contains(member.node) {
      asked.append(member.node)
      out.append(Outgoing(to: .node(member.node), bytes: bytes))
    }
  }
  private func header(_ envelope: MessageHeader) -> MessageHeader {
    var header = envelope
    header.membershipEpoch = counted.epoch
    return header
  }
}
