import BorealisCore
import BorealisWire

// What comes in, who may say it, and what goes out.

extension StorageNode {
  /// An answer that says something durable, and so waits until the journal has it.
  ///
  /// What it says is decided when it is sent, not when it was asked for.
  struct Reply: Sendable, Equatable {
    enum Kind: Sendable, Equatable { case prepared, truncated, configured, retained, status, inventory }
    var kind: Kind
    /// The request's envelope.
    var request: MessageHeader
  }

  /// Takes in a message: any message; malformed ones are counted and dropped.
  public mutating func receive(_ bytes: [UInt8], now: Instant, into out: inout [Outgoing]) {
    let header: MessageHeader
    let message: Message
    do throws(DecodeError) { (header, message) = try Message.decode(bytes) } catch {
      counters.messagesMalformed += 1
      return
    }
    guard header.volume == volume else {
      counters.messagesMalformed += 1
      return
    }
    counters.messagesReceived += 1
    switch message {
    case .append(let vdl, let minReadPoint, let batch):
      guard admit(header, into: &out) else { return }
      receiveAppend(header, vdl: vdl, minReadPoint: minReadPoint, batch, into: &out)
    case .advance(let vdl, let minReadPoint):
      guard admit(header, into: &out) else { return }
      receiveAdvance(header, vdl: vdl, minReadPoint: minReadPoint, into: &out)
    case .readPage(let request, let page, let readPoint, let requiredSCL):
      guard admit(header, request: request, into: &out) else { return }
      receiveReadPage(header, request: request, page, at: readPoint, requiredSCL: requiredSCL, into: &out)
    case .readPages(let request, let page, let count, let readPoint, let requiredSCL):
      guard admit(header, request: request, into: &out) else { return }
      receiveReadPages(
        header, request: request, page, count: Int(count), at: readPoint, requiredSCL: requiredSCL, into: &out)
    case .prepare:
      guard admit(header, into: &out) else { return }
      receivePrepare(header, into: &out)
    case .truncate(let list, let vdl, _):
      guard admit(header, into: &out) else { return }
      receiveTruncate(header, list, vdl: vdl, into: &out)
    case .catchUp(let target, let source):
      guard admit(header, into: &out) else { return }
      receiveCatchUp(header, target: target, source: source, now: now, into: &out)
    case .configure(let configuration):
      guard admit(header, into: &out) else { return }
      receiveConfigure(header, configuration, into: &out)
    case .retain(let new):
      guard admit(header, into: &out) else { return }
      receiveRetain(header, new, into: &out)
    case .statusRequest: answer(header, .status, into: &out)
    case .inventoryRequest: answer(header, .inventory, into: &out)
    case .gossip(let status, let list, let configuration, let retention):
      raise(to: header.volumeEpoch)
      receiveGossip(
        header, status, list, configuration: configuration, retention: retention, now: now, into: &out)
    case .pull(let after, let through, let limit):
      receivePull(header, after: after, through: through, limit: limit, into: &out)
    case .records(let vdl, let batch):
      receiveRecords(header, vdl: vdl, batch, now: now, into: &out)
    case .pullBaseline(let cursor, let baseline, let limit):
      receivePullBaseline(header, cursor: cursor, baseline: baseline, limit: limit, now: now, into: &out)
    case .baseline(let baseline, let pages, let next):
      receiveBaseline(header, baseline: baseline, pages: pages, next: next, now: now, into: &out)
    case .fetchPage(let request, let page, let readPoint):
      receiveFetchPage(header, request: request, page, at: readPoint, into: &out)
    case .pageImage(let request, let lsn, let image):
      receiveFetchedPage(header, request: request, lsn: lsn, image: image)
    case .reject(_, let reason, let configuration):
      receiveReject(header, reason, configuration: configuration, now: now, into: &out)
    case .appendAck, .prepared, .truncated, .status, .inventory, .configured, .retained, .attach, .attached, .stream,
      .vdlAdvanced, .readPoint, .detached, .configurations, .pageRun:
      counters.messagesMalformed += 1  // not for storage nodes
    }
    flushReplies(into: &out)
  }

  /// Whether the request's volume epoch allows it; a newer one is obeyed, a stale one refused.
  mutating func admit(_ header: MessageHeader, request: UInt64 = 0, into out: inout [Outgoing]) -> Bool {
    if header.volumeEpoch < volumeEpoch {
      if configuration.plantedBug == .acceptStaleEpoch { return true }
      counters.staleEpochs += 1
      reject(header, request: request, .staleVolumeEpoch, into: &out)
      return false
    }
    raise(to: header.volumeEpoch)
    return true
  }

  /// The place of the group's segment in `segments`; nil where this node holds none.
  func index(of group: ProtectionGroupID) -> Int? {
    var low = 0
    var high = segments.count
    while low < high {
      let middle = (low + high) / 2
      if segments[middle].group < group { low = middle + 1 } else { high = middle }
    }
    return low < segments.count && segments[low].group == group ? low : nil
  }

  /// The envelope of what this node says about a group.
  func envelope(_ group: ProtectionGroupID) -> MessageHeader {
    MessageHeader(
      volume: volume, sender: .node(id), volumeEpoch: volumeEpoch, group: group,
      membershipEpoch: index(of: group).map { segments[$0].configuration.epoch } ?? .zero)
  }

  /// Sends a message about a group.
  func send(_ message: Message, to peer: PeerID, group: ProtectionGroupID, into out: inout [Outgoing]) {
    out.append(Outgoing(to: peer, bytes: message.encoded(envelope(group))))
  }

  /// Refuses a request.
  mutating func reject(
    _ header: MessageHeader, request: UInt64 = 0, _ reason: RejectReason,
    configuration: GroupConfiguration? = nil, into out: inout [Outgoing]
  ) {
    counters.rejects += 1
    send(
      .reject(request: request, reason: reason, configuration: configuration), to: header.sender, group: header.group,
      into: &out)
  }

  /// Answers as soon as everything that the answer may speak of is durable.
  mutating func answer(_ header: MessageHeader, _ kind: Reply.Kind, into out: inout [Outgoing]) {
    if replies.isEmpty && isJournalDurable {
      give(Reply(kind: kind, request: header), into: &out)
      return
    }
    // A repeat of a question that waits already asks for the same answer.
    if replies.contains(Reply(kind: kind, request: header)) { return }
    guard replies.count < StorageNodeLimits.repliesMax else { return }
    replies.append(Reply(kind: kind, request: header))
  }

  /// Whether every protocol fact that this node acts on is durable.
  var isJournalDurable: Bool { barrier <= store.durableTicket }

  /// Sends the answers, and the acks, that no longer wait for the journal.
  ///
  /// Not one by one: an answer speaks of everything that the node acts on as it is sent, so all of that must be durable,
  /// not only what was journalled when it was asked for.
  mutating func flushReplies(into out: inout [Outgoing]) {
    guard !replies.isEmpty, isJournalDurable else { return }
    let ready = replies
    replies.removeAll()
    for reply in ready { give(reply, into: &out) }
  }

  private mutating func give(_ reply: Reply, into out: inout [Outgoing]) {
    let header = reply.request
    if header.volumeEpoch < volumeEpoch, reply.kind != .inventory, reply.kind != .status {
      // Outrun while it waited: the promise made since forbids this answer.
      counters.staleEpochs += 1
      return reject(header, .staleVolumeEpoch, into: &out)
    }
    if reply.kind == .inventory {
      return send(.inventory(segments.map(\.configuration)), to: header.sender, group: header.group, into: &out)
    }
    guard let i = index(of: header.group) else {
      return reject(header, .noSuchSegment, into: &out)
    }
    // It does not know where it stands: the question comes again.
    guard !segments[i].needsRebuild else { return }
    // Nor is one whose pages are being copied where its SCL says: whoever asks waits for both.
    if reply.kind == .status, segments[i].isHydrating { return }
    let message: Message? =
      switch reply.kind {
      case .prepared: preparedMessage(i)
      case .truncated: .truncated(status(of: segments[i]))
      case .configured: .configured(segments[i].configuration)
      case .retained: .retained(retention)
      case .status, .inventory: .status(status(of: segments[i]))
      }
    if let message { send(message, to: header.sender, group: header.group, into: &out) }
  }

  /// Where a segment stands.
  func status(of segment: Segment) -> SegmentStatus {
    SegmentStatus(
      scl: segment.scl, gcPoint: segment.gcPoint, knownVDL: knownVDL, minReadPoint: segment.minReadPoint,
      truncationEpoch: truncation.epoch,
      usedBytes: store.log.bytes(of: segment.group) + store.pages.bytes(of: segment.group),
      isDamaged: isDamaged(segment.group))
  }
}
