public import BorealisCore

/// A message that a machine wants sent; the bytes may be shared by several.
public struct Outgoing: Sendable, Hashable {
  /// Where to.
  public var to: PeerID
  /// The encoded message.
  public var bytes: [UInt8]
  /// Makes one.
  public init(to: PeerID, bytes: [UInt8]) {
    self.to = to
    self.bytes = bytes
  }
}
