public import BorealisCore
public import BorealisWire

/// Creates a volume: gives its first groups their members.
///
/// Group 0 comes last, because its `geometry` vouches for the others: an opener that finds it must find all of them.
/// Creating again after a crash, with the same groups and a higher epoch, takes up where the first attempt stopped.
/// Each node is asked what it holds first: a configuration that a writer has changed since is no attempt's, and a higher
/// epoch must not write over it.
public struct VolumeCreation: ~Copyable, Sendable {
  /// Where it stands.
  public enum Phase: String, Sendable, Hashable {
    /// Configuring all groups but the first.
    case configuringGroups
    /// Configuring group 0, with the geometry.
    case configuringFirst
    /// The volume may be written to: `outcome` is set.
    case opened
    /// A newer epoch exists, or the nodes hold another configuration: `failure` is set.
    case failed
  }

  private let volume: VolumeID
  private let epoch: VolumeEpoch
  private let instance: PeerID
  private var groups: [GroupConfiguration]
  /// Members of each group that hold its configuration durably.
  private var configured: [MemberSet]
  /// Nodes that have said what they hold, and hold nothing that stands in the way.
  private var inventoried: [NodeID] = []
  private var nextResend: Instant

  /// Where it stands.
  public private(set) var phase: Phase
  /// What the writer needs to begin, once the volume is there.
  public private(set) var outcome: OpenedVolume?
  /// Why it gave up.
  public private(set) var failure: VolumeError?

  /// Prepares the creation of a volume with `groups`, numbered from 0 without a gap; at least one.
  ///
  /// - Parameter epoch: won in the metadata store by this creation alone.
  public init(volume: VolumeID, epoch: VolumeEpoch, instance: PeerID, groups: [GroupConfiguration], now: Instant) {
    precondition(!groups.isEmpty)
    self.volume = volume
    self.epoch = epoch
    self.instance = instance
    self.groups = groups
    for id in groups.indices {
      precondition(groups[id].group.value == UInt32(id))
      self.groups[id].proposedBy = epoch
      self.groups[id].geometry = id == 0 ? UInt32(groups.count) : 0
    }
    configured = [MemberSet](repeating: [], count: groups.count)
    phase = groups.count > 1 ? .configuringGroups : .configuringFirst
    nextResend = now.advanced(byNanoseconds: VolumeRecovery.resendInterval)
  }

  /// Begins.
  public mutating func start(now: Instant, into out: inout [Outgoing]) {
    nextResend = now.advanced(byNanoseconds: VolumeRecovery.resendInterval)
    ask(into: &out)
  }

  /// Takes a message; malformed ones and those of other volumes are ignored.
  public mutating func receive(_ bytes: [UInt8], now: Instant, into out: inout [Outgoing]) {
    guard phase != .failed, phase != .opened else { return }
    let decoded: (header: MessageHeader, message: Message)
    do throws(DecodeError) { decoded = try Message.decode(bytes) } catch { return }
    guard decoded.header.volume == volume, let node = decoded.header.sender.node else { return }
    guard decoded.header.volumeEpoch <= epoch else {
      return fail(.fenced, "volume epoch \(decoded.header.volumeEpoch) is newer than \(epoch)")
    }
    if case .inventory(let held) = decoded.message {
      for configuration in held {
        let id = Int(configuration.group.value)
        guard id >= groups.count || configuration.epoch > groups[id].epoch else { continue }
        return fail(.conflict, "\(configuration.group) exists already, with membership epoch \(configuration.epoch)")
      }
      guard !inventoried.contains(node) else { return }
      inventoried.append(node)
      ask(only: node, into: &out)
      return
    }
    guard case .configured(let configuration) = decoded.message else { return }
    let id = Int(configuration.group.value)
    guard id < groups.count else { return }
    if configuration.supersedes(groups[id]) {
      return fail(.conflict, "\(configuration.group) exists already, with membership epoch \(configuration.epoch)")
    }
    guard configuration.isSameProposal(as: groups[id]), let index = groups[id].index(of: node) else { return }
    configured[id].insert(MemberSet(member: index))
    advance(into: &out)
  }

  /// Repeats what was not answered; call every 5 ms or so.
  public mutating func tick(now: Instant, into out: inout [Outgoing]) {
    guard phase != .failed, phase != .opened, now >= nextResend else { return }
    nextResend = now.advanced(byNanoseconds: VolumeRecovery.resendInterval)
    ask(into: &out)
  }

  /// What it is waiting for, for people: which group, which nodes.
  public var progress: String {
    switch phase {
    case .opened: return "open"
    case .failed: return failure?.description ?? "failed"
    case .configuringGroups, .configuringFirst:
      guard let id = wanted.first(where: { !groups[$0].isWriteQuorum(configured[$0]) }) else { return "configuring" }
      var missing: [String] = []
      for (i, member) in groups[id].members.enumerated() where !configured[id].contains(MemberSet(member: i)) {
        missing.append(member.node.description)
      }
      return "creating: pg\(id) needs a write quorum (\(groups[id].rule)); has \(configured[id]), not "
        + missing.joined(separator: ", ")
    }
  }

  private var wanted: Range<Int> { phase == .configuringFirst ? 0..<1 : 1..<groups.count }

  private mutating func advance(into out: inout [Outgoing]) {
    for id in wanted where !groups[id].isWriteQuorum(configured[id]) { return }
    if phase == .configuringGroups {
      phase = .configuringFirst
      ask(into: &out)
      return
    }
    phase = .opened
    outcome = OpenedVolume(
      volume: volume, epoch: epoch, vdl: .zero, nextLSN: LSN(1), lastRecord: .zero,
      groups: groups.map { OpenedGroup(configuration: $0, tail: .zero, scls: []) }, truncation: TruncationList(),
      retention: Retention(), isNew: true)
  }

  private func ask(only node: NodeID? = nil, into out: inout [Outgoing]) {
    var questioned: [NodeID] = []
    for id in wanted {
      let header = MessageHeader(
        volume: volume, sender: instance, volumeEpoch: epoch, group: groups[id].group, membershipEpoch: groups[id].epoch
      )
      let bytes = Message.configure(groups[id]).encoded(header)
      for (i, member) in groups[id].members.enumerated() where !configured[id].contains(MemberSet(member: i)) {
        if let node, member.node != node { continue }
        if inventoried.contains(member.node) {
          out.append(Outgoing(to: .node(member.node), bytes: bytes))
        } else if !questioned.contains(member.node) {
          questioned.append(member.node)
          out.append(Outgoing(to: .node(member.node), bytes: Message.inventoryRequest.encoded(header)))
        }
      }
    }
  }

  private mutating func fail(_ code: VolumeError.Code, _ detail: String) {
    phase = .failed
    failure = VolumeError(code, operation: "create", detail: detail)
  }
}
