import BorealisCore
import BorealisReplicationPolicy
import BorealisWire

@testable import BorealisVolume

/// The simplest possible writer: keeps everything it ever issued, counts quorums by looking at all members each time.
struct RecoveryWriter {
  struct Issued {
    var header: RecordHeader
    var group: Int { Int(header.group.value) }
  }
  let opened: OpenedVolume
  let instance: PeerID
  let allocationLimit: UInt64
  let plantedBug: PlantedBug?
  var isFenced = false
  var nextLSN: LSN
  var lastRecord: LSN
  var vdl: LSN
  var tails: [LSN]
  var pgcl: [LSN]
  var memberships: [GroupMembership]
  /// SCL by node, for each group.
  var scls: [[NodeID: LSN]]
  var issued: [Issued] = []
  /// Consistency points that were acknowledged to a client.
  var acked: [LSN] = []

  init(_ opened: OpenedVolume, instance: PeerID, allocationLimit: UInt64, plantedBug: PlantedBug?) {
    self.opened = opened
    self.instance = instance
    self.allocationLimit = allocationLimit
    self.plantedBug = plantedBug
    nextLSN = opened.nextLSN
    lastRecord = opened.lastRecord
    vdl = opened.vdl
    tails = opened.groups.map(\.tail)
    pgcl = tails
    memberships = opened.groups.map {
      GroupMembership(
        $0.configuration, epoch: opened.epoch, truncationEpoch: opened.truncation.epoch, plantedBug: plantedBug)
    }
    scls = opened.groups.map { group in
      var result: [NodeID: LSN] = [:]
      for (member, scl) in zip(group.configuration.members, group.scls) { result[member.node] = scl }
      return result
    }
  }

  func envelope(_ group: Int) -> MessageHeader {
    MessageHeader(
      volume: opened.volume, sender: instance, volumeEpoch: opened.epoch, group: ProtectionGroupID(UInt32(group)),
      membershipEpoch: memberships[group].counted.epoch)
  }

  /// Issues one mini-transaction over these groups; its records go to all members.
  mutating func commit(_ groups: [Int], _ out: inout [Outgoing]) {
    let base = max(vdl, LSN(opened.nextLSN.value - 1))
    guard !isFenced, nextLSN.value + UInt64(groups.count) <= base.value + allocationLimit else { return }
    for (i, group) in groups.enumerated() {
      let header = RecordHeader(
        lsn: nextLSN, previousInVolume: lastRecord, previousInGroup: tails[group], previousOfPage: .zero,
        page: PageID(object: ObjectID(1), index: UInt64(group)), group: ProtectionGroupID(UInt32(group)),
        epoch: opened.epoch, kind: .discard, isConsistencyPoint: i == groups.count - 1, payloadSize: 0)
      issued.append(Issued(header: header))
      lastRecord = nextLSN
      tails[group] = nextLSN
      nextLSN = nextLSN.advanced(by: 1)
      for member in memberships[group].counted.members { send(header, to: member.node, &out) }
    }
  }
  private func send(_ header: RecordHeader, to node: NodeID, _ out: inout [Outgoing]) {
    var bytes: [UInt8] = []
    header.encode(payload: UnsafeRawBufferPointer(start: nil, count: 0), into: &bytes)
    let message = Message.append(vdl: vdl, minReadPoint: .zero, RecordBatch(bytes))
    out.append(Outgoing(to: .node(node), bytes: message.encoded(envelope(Int(header.group.value)))))
  }

  mutating func tick(now: Instant, _ out: inout [Outgoing]) {
    guard !isFenced else { return }
    for group in memberships.indices {
      memberships[group].tick(envelope: envelope(group), now: now, into: &out)
      for member in memberships[group].counted.members {
        let scl = scls[group][member.node] ?? .zero
        if let next = issued.first(where: { $0.group == group && $0.header.lsn > scl }) {
          send(next.header, to: member.node, &out)
        }
      }
    }
  }
  mutating func change(
    _ group: Int, _ plan: MembershipPlan, policy: any ReplicationPolicy, now: Instant, _ out: inout [Outgoing]
  ) {
    guard !isFenced else { return }
    try? memberships[group].propose(
      plan, policy: policy, pgcl: pgcl[group], envelope: envelope(group), now: now, into: &out)
    advance()
  }

  mutating func receive(_ bytes: [UInt8], now: Instant, _ out: inout [Outgoing]) {
    guard !isFenced, let (header, message) = try? Message.decode(bytes), let node = header.sender.node else { return }
    if header.volumeEpoch > opened.epoch {
      isFenced = true
      return
    }
    let group = Int(header.group.value)
    switch message {
    case .appendAck(let scl) where header.volumeEpoch == opened.epoch:
      let sent = plantedBug == .countUnhydratedMember && memberships[group].counted.isNew(node) ? tails[group] : scl
      scls[group][node] = max(scls[group][node] ?? .zero, min(sent, tails[group]))
    case .configured(let configuration):
      _ = memberships[group].configured(configuration, by: node, envelope: envelope(group), now: now, into: &out)
    case .status(let status):
      _ = memberships[group].heard(
        status, from: node, at: header.membershipEpoch, envelope: envelope(group), now: now, into: &out)
    case .reject(_, .staleMembershipEpoch, let offered?) where memberships[group].counted.supersedes(offered):
      let bytes = Message.configure(memberships[group].counted).encoded(envelope(group))
      out.append(Outgoing(to: .node(node), bytes: bytes))
    default: break
    }
    advance()
  }

  /// PGCL, VCL, VDL, acknowledgements.
  private mutating func advance() {
    for group in memberships.indices {
      let counted = memberships[group].counted
      for record in issued where record.group == group && record.header.lsn > pgcl[group] {
        var complete = MemberSet()
        for (i, member) in counted.members.enumerated() where scls[group][member.node] ?? .zero >= record.header.lsn {
          complete.insert(MemberSet(member: i))
        }
        guard counted.isWriteQuorum(complete) else { break }
        pgcl[group] = record.header.lsn
      }
    }
    for record in issued where record.header.lsn > vdl {
      guard record.header.lsn <= pgcl[record.group] else { break }
      guard record.header.isConsistencyPoint else { continue }
      vdl = record.header.lsn
      acked.append(vdl)
    }
  }
}

extension GroupConfiguration {
  fileprivate func isNew(_ node: NodeID) -> Bool {
    guard let i = index(of: node), let pending else { return false }
    return isHydrating && pending.members.subtracting(rule.members).contains(MemberSet(member: i))
  }
}
