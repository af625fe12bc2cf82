public import BorealisCore
import BorealisWire

extension VolumeWriter {
  /// Readers at once: the stream is sent to each.
  static var readersMax: Int { 64 }

  mutating func receive(_ message: Message, fromReader peer: PeerID, now: Instant, into e: inout VolumeEffects) {
    switch message {
    case .attach: attach(peer, now: now, into: &e)
    case .readPoint(let lowest, let applied):
      for i in readers.indices where readers[i].peer == peer {
        // Reports may overtake each other.
        readers[i].lowest = max(readers[i].lowest, min(lowest, vdl))
        readers[i].applied = max(readers[i].applied, min(applied, vdl))
        readers[i].deadline = now.advanced(byNanoseconds: configuration.readerDeadline)
        updateMinReadPoint()
        // It may have missed the last word.
        if applied < vdl { send(.vdlAdvanced(vdl: vdl), to: peer, into: &e) }
        return
      }
      send(.detached, to: peer, into: &e)
    default: counters.messagesDropped += 1
    }
  }
  private func send(_ message: Message, to peer: PeerID, into e: inout VolumeEffects) {
    e.sends.append(Outgoing(to: peer, bytes: message.encoded(envelope(0))))
  }

  /// Registers a reader at VDL and begins its stream there: what is above VDL and was sent already comes at once, the
  /// rest as it is sent.
  private mutating func attach(_ peer: PeerID, now: Instant, into e: inout VolumeEffects) {
    guard isOpen else { return }
    let deadline = now.advanced(byNanoseconds: configuration.readerDeadline)
    var isKnown = false
    for i in readers.indices where readers[i].peer == peer {
      // A repeated or late `attach` must not let go of a read point that the reader may have in use.
      readers[i].deadline = deadline
      isKnown = true
    }
    if !isKnown {
      guard readers.count < VolumeWriter.readersMax else { return }
      readers.append(ReaderRegistration(peer: peer, lowest: vdl, applied: vdl, deadline: deadline))
      e.events.append(.readerAttached(peer))
    }
    var tails: [GroupTail] = []
    for group in groups { tails.append(GroupTail(group: group.configuration.group, lsn: group.tail.current)) }
    send(
      .attached(vdl: vdl, deadline: configuration.readerDeadline, tails: tails, configurations: configurations),
      to: peer, into: &e)
    for group in groups.indices {
      for i in 0..<groups[group].sentCount where groups[group].batches[i].last > vdl {
        e.sends.append(Outgoing(to: peer, bytes: streamMessage(groups[group].batches[i].bytes)))
      }
    }
  }
  private func streamMessage(_ batch: [UInt8]) -> [UInt8] {
    let records = batch[VolumeWriter.recordsOffset...]
    // Message kind 28: stream.
    var bytes = Message.begin(kind: 28, envelope(0), capacity: 8 + records.count)
    bytes.append(vdl)
    bytes.append(contentsOf: records)
    Message.seal(&bytes)
    return bytes
  }
  /// Sends the records of a batch to all readers; encoded once.
  mutating func stream(_ batch: [UInt8], into e: inout VolumeEffects) {
    guard !readers.isEmpty else { return }
    let bytes = streamMessage(batch)
    streamedVDL = vdl
    for reader in readers { e.sends.append(Outgoing(to: reader.peer, bytes: bytes)) }
  }
  func tellReaders(_ configurations: [GroupConfiguration], into e: inout VolumeEffects) {
    guard !readers.isEmpty else { return }
    let bytes = Message.configurations(configurations).encoded(envelope(0))
    for reader in readers { e.sends.append(Outgoing(to: reader.peer, bytes: bytes)) }
  }
  /// A dead reader must not hold back garbage collection for ever.
  mutating func tickReaders(now: Instant, into e: inout VolumeEffects) {
    var at = 0
    while at < readers.count {
      guard readers[at].deadline <= now else {
        at += 1
        continue
      }
      let peer = readers.remove(at: at).peer
      send(.detached, to: peer, into: &e)
      e.events.append(.readerExpired(peer))
    }
  }
  /// Read points of the readers, as far as they were reported.
  public var readerPositions: [(reader: PeerID, lowest: LSN, applied: LSN)] {
    readers.map { ($0.peer, $0.lowest, $0.applied) }
  }
}
