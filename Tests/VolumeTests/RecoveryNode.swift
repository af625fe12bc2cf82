import BorealisCore
import BorealisReplicationPolicy
import BorealisWire

@testable import BorealisVolume

/// The simplest possible storage node: everything is durable at once, SCL is found anew each time, nothing is collected.
struct RecoveryNode {
  struct Segment {
    var configuration: GroupConfiguration
    /// By LSN, ascending.
    var records: [RecordHeader] = []
    var catchUps: [(target: LSN, request: MessageHeader)] = []
  }
  let id: NodeID
  let volume: VolumeID
  var isUp = true
  var epoch = VolumeEpoch.zero
  var sampledEpoch = VolumeEpoch.zero
  var list = TruncationList()
  var knownVDL = LSN.zero
  /// By group.
  var segments: [Segment?]

  init(id: NodeID, volume: VolumeID, groups: Int) {
    self.id = id
    self.volume = volume
    segments = Array(repeating: nil, count: groups)
  }

  /// The chain of kept records from the beginning: their LSNs.
  func chain(_ group: Int) -> [LSN] {
    var result: [LSN] = []
    var scl = LSN.zero
    while let next = segments[group]?.records.last(where: {
      $0.previousInGroup == scl && $0.lsn > scl && !list.isVoid($0.lsn)
    }) {
      scl = next.lsn
      result.append(scl)
    }
    return result
  }
  func scl(_ group: Int) -> LSN { chain(group).last ?? .zero }

  func status(_ group: Int) -> SegmentStatus {
    SegmentStatus(
      scl: scl(group), gcPoint: .zero, knownVDL: knownVDL, minReadPoint: .zero, truncationEpoch: list.epoch)
  }
  func envelope(_ group: Int) -> MessageHeader {
    MessageHeader(
      volume: volume, sender: .node(id), volumeEpoch: epoch, group: ProtectionGroupID(UInt32(group)),
      membershipEpoch: segments[group]?.configuration.epoch ?? .zero)
  }
  func send(_ message: Message, to peer: PeerID, _ group: Int, _ out: inout [Outgoing]) {
    out.append(Outgoing(to: peer, bytes: message.encoded(envelope(group))))
  }
  // VDLs of an epoch mean something only under its truncation list. Epoch 1 created the volume.
  func isCurrent(_ other: VolumeEpoch) -> Bool { list.epoch >= other || other == VolumeEpoch(1) }

  mutating func adopt(_ new: TruncationList) {
    list = new
    for range in new.ranges where range.contains(knownVDL) { knownVDL = range.after }
  }
  mutating func adopt(_ new: GroupConfiguration) {
    let group = Int(new.group.value)
    guard let mine = segments[group]?.configuration else {
      if new.index(of: id) != nil { segments[group] = Segment(configuration: new) }
      return
    }
    guard new.supersedes(mine) else { return }
    if new.index(of: id) == nil, new.pending == nil {
      // As `StorageNode.adopt` does: a coming member stays until the writer of the promised epoch says otherwise.
      if new.proposedBy < epoch, mine.isHydrating, let index = mine.index(of: id),
        !mine.rule.members.contains(MemberSet(member: index))
      {
        return
      }
      segments[group] = nil
    } else {
      segments[group]?.configuration = new
    }
  }
  mutating func store(_ batch: RecordBatch, _ group: Int) {
    for header in (try? batch.headers()) ?? [] where !list.isVoid(header.lsn) {
      guard segments[group]?.records.contains(where: { $0.lsn == header.lsn }) == false else { continue }
      let at = segments[group]?.records.firstIndex { $0.lsn > header.lsn } ?? segments[group]?.records.count ?? 0
      segments[group]?.records.insert(header, at: at)
    }
  }

  mutating func receive(_ bytes: [UInt8], _ out: inout [Outgoing]) {
    guard isUp, let (header, message) = try? Message.decode(bytes) else { return }
    let group = Int(header.group.value)
    if case .inventoryRequest = message {
      return send(.inventory(segments.compactMap { $0?.configuration }), to: header.sender, 0, &out)
    }
    if header.sender.node == nil {
      guard header.volumeEpoch >= epoch else {
        return send(.reject(request: 0, reason: .staleVolumeEpoch, configuration: nil), to: header.sender, group, &out)
      }
    }
    epoch = max(epoch, header.volumeEpoch)
    if case .configure(let configuration) = message { adopt(configuration) }
    guard let segment = segments[group] else {
      guard header.sender.node == nil else { return }
      return send(.reject(request: 0, reason: .noSuchSegment, configuration: nil), to: header.sender, group, &out)
    }
    switch message {
    case .append(let vdl, _, let batch):
      guard header.membershipEpoch >= segment.configuration.epoch else {
        let stale = Message.reject(request: 0, reason: .staleMembershipEpoch, configuration: segment.configuration)
        return send(stale, to: header.sender, group, &out)
      }
      store(batch, group)
      if isCurrent(header.volumeEpoch) { knownVDL = max(knownVDL, vdl) }
      send(.appendAck(scl: scl(group)), to: header.sender, group, &out)
    case .prepare:
      sampledEpoch = max(sampledEpoch, header.volumeEpoch)
      let links = segment.records.filter { $0.lsn > knownVDL && !list.isVoid($0.lsn) }.map {
        RecordLink(
          lsn: $0.lsn, previousInVolume: $0.previousInVolume, previousInGroup: $0.previousInGroup,
          isConsistencyPoint: $0.isConsistencyPoint)
      }
      send(
        .prepared(status(group), list, Retention(), segment.configuration, links: links), to: header.sender, group, &out
      )
    case .truncate(let new, let vdl, _):
      if new.epoch > list.epoch {
        adopt(new)
        knownVDL = vdl
      }
      send(.truncated(status(group)), to: header.sender, group, &out)
    case .configure: send(.configured(segment.configuration), to: header.sender, group, &out)
    case .statusRequest: send(.status(status(group)), to: header.sender, group, &out)
    case .catchUp(let target, let source):
      if scl(group) >= target { return send(.status(status(group)), to: header.sender, group, &out) }
      segments[group]?.catchUps.append((target, header))
      send(.pull(after: scl(group), through: target, limit: 1 << 20), to: .node(source), group, &out)
    case .pull(let after, let through, _):
      let linked = chain(group)
      var records: [UInt8] = []
      for record in segment.records where record.lsn > after && record.lsn <= through && linked.contains(record.lsn) {
        record.encode(payload: UnsafeRawBufferPointer(start: nil, count: 0), into: &records)
      }
      send(.records(vdl: knownVDL, RecordBatch(records)), to: header.sender, group, &out)
    case .records(let vdl, let batch):
      store(batch, group)
      if header.volumeEpoch == epoch, isCurrent(epoch) { knownVDL = max(knownVDL, vdl) }
      let now = scl(group)
      for waiter in segments[group]?.catchUps ?? [] where waiter.target <= now {
        send(.status(status(group)), to: waiter.request.sender, group, &out)
      }
      segments[group]?.catchUps.removeAll { $0.target <= now }
    case .gossip(let peer, let theirs, let configuration, _):
      if theirs.epoch > list.epoch, theirs.epoch >= sampledEpoch { adopt(theirs) }
      adopt(configuration)
      guard segments[group] != nil else { return }
      if peer.truncationEpoch == list.epoch {
        knownVDL = max(knownVDL, peer.knownVDL)
        if peer.scl > scl(group), let source = header.sender.node {
          send(.pull(after: scl(group), through: peer.scl, limit: 1 << 20), to: .node(source), group, &out)
        }
      }
    default: break
    }
  }

  func gossip(_ group: Int, to peer: NodeID, _ out: inout [Outgoing]) {
    guard isUp, let segment = segments[group] else { return }
    send(
      .gossip(status(group), list, configuration: segment.configuration, retention: Retention()), to: .node(peer),
      group,
      &out)
  }
}
