public import BorealisCore
public import BorealisWire
import Synchronization

/// Delivers messages by calling the receiver on the sender's thread: for everything in one process.
///
/// A peer can be cut off (`setReachable`) to play a dead network, node or zone.
public final class InProcessTransport: Transport {
  private struct Entry: Sendable {
    let peer: PeerID
    var receiver: (any MessageReceiver)?
    var isReachable = true
  }
  // A handful of peers: a linear search in a small array beats hashing, and keeps a fixed order.
  private let entries = Guarded<[Entry]>([])
  private let messages = Atomic<UInt64>(0)
  private let bytesSent = Atomic<UInt64>(0)
  private let dropped = Atomic<UInt64>(0)

  /// Makes a transport that knows nobody yet.
  public init() {}

  /// Delivers later messages for `peer` to `receiver`.
  public func register(_ peer: PeerID, _ receiver: any MessageReceiver) {
    entries.withLock { entries in
      if let i = entries.firstIndex(where: { $0.peer == peer }) {
        entries[i].receiver = receiver
      } else {
        entries.append(Entry(peer: peer, receiver: receiver))
      }
    }
  }

  /// Ends delivery to `peer`.
  public func unregister(_ peer: PeerID) {
    entries.withLock { entries in
      if let i = entries.firstIndex(where: { $0.peer == peer }) { entries[i].receiver = nil }
    }
  }

  /// Cuts a peer off from everybody, or lets it back.
  ///
  /// Both what it is sent and what it answers is lost meanwhile.
  public func setReachable(_ peer: PeerID, _ isReachable: Bool) {
    entries.withLock { entries in
      if let i = entries.firstIndex(where: { $0.peer == peer }) {
        entries[i].isReachable = isReachable
      } else {
        entries.append(Entry(peer: peer, receiver: nil, isReachable: isReachable))
      }
    }
  }

  /// Calls the receiver on this thread, unless it is gone or cut off.
  public func send(_ bytes: [UInt8], to peer: PeerID) {
    guard let receiver = take(bytes, for: peer) else { return }
    receiver.receive(bytes)
    receiver.endOfBurst()
  }

  /// Delivers all of them before any receiver is told to go on.
  public func send(_ messages: [Outgoing]) {
    if messages.count == 1 { return send(messages[0].bytes, to: messages[0].to) }
    withUnsafeTemporaryAllocation(of: (any MessageReceiver)?.self, capacity: messages.count) { receivers in
      for i in messages.indices {
        receivers.initializeElement(at: i, to: take(messages[i].bytes, for: messages[i].to))
        receivers[i]?.receive(messages[i].bytes)
      }
      for i in messages.indices { receivers[i]?.endOfBurst() }
      receivers[..<messages.count].deinitialize()
    }
  }

  private func take(_ bytes: [UInt8], for peer: PeerID) -> (any MessageReceiver)? {
    messages.wrappingAdd(1, ordering: .relaxed)
    bytesSent.wrappingAdd(UInt64(bytes.count), ordering: .relaxed)
    let receiver: (any MessageReceiver)? = entries.withLock { entries in
      for entry in entries where entry.peer == peer { return entry.isReachable ? entry.receiver : nil }
      return nil
    }
    if receiver == nil { dropped.wrappingAdd(1, ordering: .relaxed) }
    return receiver
  }

  /// What has been sent so far.
  public var statistics: TransportStatistics {
    TransportStatistics(
      messages: messages.load(ordering: .relaxed), bytes: bytesSent.load(ordering: .relaxed),
      dropped: dropped.load(ordering: .relaxed))
  }
}
