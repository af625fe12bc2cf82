import BorealisCore
import BorealisStorageNode
import BorealisVolume
import BorealisWire

// Every message passes here twice: when it is sent (checkers look at it) and when it arrives.
extension Simulation {
  /// Sends everything in `out`, and empties it.
  func route(_ out: inout [Outgoing], from: PeerID) {
    for message in out { send(message.bytes, from: from, to: message.to) }
    out.removeAll(keepingCapacity: true)
  }

  /// Shows a message to the checkers and gives it to the network.
  func send(_ bytes: [UInt8], from: PeerID, to: PeerID) {
    let envelope = Envelope(bytes)
    if let node = from.node {
      inspect(bytes, envelope, fromNode: node, to: to)
    } else {
      inspect(bytes, envelope, fromInstance: from, to: to)
    }
    let fate = network.fate(from: from, to: to, &networkChance)
    guard let delay = fate.delays.0 else {
      story.detail(now, "lost: message \(envelope.kind) \(from) -> \(to)")
      return
    }
    var arriving = bytes
    if fate.isCorrupt {
      let bit = networkChance.index(arriving.count * 8)
      arriving[bit / 8] ^= 1 << UInt8(bit % 8)
    }
    queue.push(.deliver(from: from, to: to, bytes: arriving), at: now.advanced(byNanoseconds: delay))
    if let again = fate.delays.1 {
      queue.push(.deliver(from: from, to: to, bytes: bytes), at: now.advanced(byNanoseconds: again))
    }
  }

  /// A message arrives.
  func deliver(_ bytes: [UInt8], from: PeerID, to: PeerID) {
    let envelope = Envelope(bytes)
    digest.event(now.nanoseconds, UInt64(envelope.kind), from.value ^ to.value &* 31, UInt64(envelope.checksum))
    // A cut that began while the message was on its way stops it too.
    if network.isCut(from, to) { return }
    story.detail(
      now,
      "message \(envelope.kind) \(from) -> \(to), epoch \(envelope.volumeEpoch), \(envelope.group), \(bytes.count) B")
    if let node = to.node {
      deliver(bytes, envelope, toNode: Int(node.value) - 1)
    } else if to == Simulation.probe {
      probeAnswered(bytes, from: from)
    } else if let writer = writers.first(where: { $0.peer == to }) {
      if envelope.kind == MessageKind.readPoint { readers.first { $0.peer == from }?.heardAt = now }
      deliver(bytes, toWriter: writer)
    } else if let reader = readers.first(where: { $0.peer == to }) {
      stepReader(reader) { machine, effects, now in machine.receive(bytes, now: now, into: &effects) }
    }
  }

  private func inspect(_ bytes: [UInt8], _ envelope: Envelope, fromInstance from: PeerID, to: PeerID) {
    switch envelope.kind {
    case MessageKind.append, MessageKind.stream:
      let start = envelope.kind == MessageKind.append ? 64 : 56
      guard bytes.count > start else { break }
      single.sent(by: from, epoch: envelope.volumeEpoch, &verdicts)
      let batch = RecordBatch(bytes: bytes, range: start..<bytes.count)
      let story = story.isVerbose
      var seen: [RecordHeader] = []
      records.sent(batch, messageSum: UInt64(envelope.checksum), ledger: ledger, &verdicts) { header, _ in
        if story { seen.append(header) }
      }
      for h in seen {
        self.story.detail(
          now,
          "  record \(h.lsn) \(h.group) page \(h.page) \(h.kind)\(h.isConsistencyPoint ? " CPL" : "") prev \(h.previousInVolume)/\(h.previousInGroup)"
        )
      }
    case MessageKind.readPage:
      guard let node = to.node, case .readPage(let id, let page, let point, _)? = message(bytes) else { break }
      segmentReads.asked(
        .init(instance: from, node: node, id: id, page: page, readPoint: point, group: envelope.group))
    case MessageKind.configure:
      guard case .configure(let configuration)? = message(bytes) else { break }
      propose(configuration, by: from)
    default: break
    }
  }

  /// Shows a configuration to the checker of quorums.
  func seen(_ configuration: GroupConfiguration) {
    let tail = ledger.tail(configuration.group, at: durability.highest)
    quorums.seen(configuration, tail: tail, fleet: fleet, &verdicts)
  }

  private func propose(_ configuration: GroupConfiguration, by: PeerID) {
    let before = quorums.configurations.count
    seen(configuration)
    if quorums.configurations.count > before {
      story.note(
        now,
        "\(by) proposes \(configuration.group) membership epoch \(configuration.epoch): "
          + configuration.members.map(\.node.description).joined(separator: " ")
          + " \(configuration.rule)\(configuration.pending.map { " pending \($0)" } ?? "")"
          + (configuration.geometry > 0 ? " geometry \(configuration.geometry)" : ""))
    }
  }

  private func inspect(_ bytes: [UInt8], _ envelope: Envelope, fromNode node: NodeID, to: PeerID) {
    switch envelope.kind {
    case MessageKind.appendAck:
      // An ack does not say which list it is valid for; the node's own state does.
      void.counted(
        Envelope.lsn(bytes, at: 0), by: node, envelope.group,
        holding: fleet[node][envelope.group].truncationEpoch, ledger: ledger, &verdicts)
    case MessageKind.truncated, MessageKind.status, MessageKind.gossip, MessageKind.prepared:
      void.counted(
        Envelope.lsn(bytes, at: 0), by: node, envelope.group,
        holding: VolumeEpoch(Envelope.number(bytes, at: 32)), ledger: ledger, &verdicts)
      if envelope.kind == MessageKind.prepared, case .prepared(_, let list, _, _, let links)? = message(bytes) {
        void.listed(links, under: list, by: node, &verdicts)
      }
    case MessageKind.records:
      guard bytes.count > 56 else { break }
      let batch = RecordBatch(bytes: bytes, range: 56..<bytes.count)
      records.handedOver(batch, by: node, hasRot: fleet[node].hasRot, ledger: ledger, &verdicts)
      void.handedOver(
        batch, by: node, holding: fleet[node][envelope.group].truncationEpoch, ledger: ledger, &verdicts)
    case MessageKind.pageImage:
      guard to.node == nil, case .pageImage(let id, let lsn, let image)? = message(bytes),
        let request = segmentReads.request(of: to, at: node, id: id)
      else { break }
      let status = nodes[Int(node.value) - 1].process?.machine.status(of: request.group)
      void.served(lsn, of: request.page, by: node, ledger: ledger, &verdicts)
      segmentReads.served(
        request, lsn: lsn, image: image, status: status, oracle: oracle, ledger: ledger, &verdicts)
    default: break
    }
    monotony.told(envelope, bytes, by: node, fleet: fleet, &verdicts)
  }

  private func message(_ bytes: [UInt8]) -> Message? {
    do throws(DecodeError) { return try Message.decode(bytes, verifying: false).message } catch {
      verdicts.report(.machine, "a machine sends what cannot be decoded: \(error)")
      return nil
    }
  }
}
