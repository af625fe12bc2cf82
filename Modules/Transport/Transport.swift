public import BorealisCore
public import BorealisWire

/// Something that messages can be delivered to: a storage node or a database instance.
public protocol MessageReceiver: AnyObject, Sendable {
  /// Takes one message. May be called from any thread, also from several at once; must not block for long.
  func receive(_ bytes: [UInt8])
  /// The messages that were sent together have all been delivered: the time to wake whoever works on them.
  ///
  /// Called after `receive`, on the same thread. A receiver that wakes its thread in `receive` may be overtaken by it
  /// while the others have not had their copy yet.
  func endOfBurst()
}

extension MessageReceiver {
  /// Nothing to do.
  public func endOfBurst() {}
}

/// How compute reaches storage, and storage its peers.
///
/// Contract:
/// 1. `send` never blocks on the receiver's disk and never throws: a message may be lost, delayed, reordered or repeated.
/// 2. The bytes are delivered whole and unchanged, or not at all.
/// 3. After `unregister` returns no further message is delivered to that receiver by calls that begin later.
/// 4. Messages to a peer that is not registered are dropped and counted.
/// 5. `send` may be called from any thread, also from inside a delivery.
///
/// Implementing: the sender's locks are never held during `send`, so that a delivery may answer at once on the same thread.
public protocol Transport: Sendable {
  /// Delivers later messages for `peer` to `receiver`; replaces an earlier one.
  func register(_ peer: PeerID, _ receiver: any MessageReceiver)
  /// Ends delivery to `peer`.
  func unregister(_ peer: PeerID)
  /// Sends encoded bytes. The array is shared, not copied.
  func send(_ bytes: [UInt8], to peer: PeerID)
  /// Sends several messages, in order, as `send` does each.
  func send(_ messages: [Outgoing])
  /// What has been sent so far.
  var statistics: TransportStatistics { get }
}

extension Transport {
  /// Sends one after the other.
  public func send(_ messages: [Outgoing]) {
    for message in messages { send(message.bytes, to: message.to) }
  }
}

/// Counters of a transport.
public struct TransportStatistics: Sendable, Hashable {
  /// Messages handed to `send`.
  public var messages: UInt64
  /// Their bytes.
  public var bytes: UInt64
  /// Messages for peers that were not there.
  public var dropped: UInt64
  /// Makes counters.
  public init(messages: UInt64 = 0, bytes: UInt64 = 0, dropped: UInt64 = 0) {
    self.messages = messages
    self.bytes = bytes
    self.dropped = dropped
  }
}
