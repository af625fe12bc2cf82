#if Router
  import NIOCore
  import Synchronization

  /// Bytes that have gone one way.
  final class ByteCounter: Sendable {
    private let count = Atomic<UInt64>(0)
    var value: UInt64 { count.load(ordering: .relaxed) }
    func add(_ bytes: Int) { count.wrappingAdd(UInt64(bytes), ordering: .relaxed) }
  }

  /// Hands what comes in on its channel to its partner's; both are on one event loop.
  ///
  /// It reads only while the partner takes more: what is under way is bounded by the channels' buffers.
  final class RelayHandler: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private var partner: RelayHandler?
    private var context: ChannelHandlerContext?
    private var isReadWanted = false
    private let counter: ByteCounter
    /// Called once, when the channel has become active.
    var onActive: ((RelayHandler) -> Void)?

    init(_ counter: ByteCounter) { self.counter = counter }

    /// From here on what comes in on one goes out on the other.
    func join(_ other: RelayHandler) {
      partner = other
      other.partner = self
      readIfWanted()
      other.readIfWanted()
    }

    // MARK: This channel

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }
    func handlerRemoved(context: ChannelHandlerContext) {
      self.context = nil
      partner = nil
    }
    func channelActive(context: ChannelHandlerContext) {
      onActive?(self)
      onActive = nil
      context.fireChannelActive()
    }
    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      counter.add(unwrapInboundIn(data).readableBytes)
      partner?.context?.write(data, promise: nil)
    }
    func channelReadComplete(context: ChannelHandlerContext) {
      partner?.context?.flush()
      context.fireChannelReadComplete()
    }
    func read(context: ChannelHandlerContext) {
      if let other = partner?.context, other.channel.isWritable { context.read() } else { isReadWanted = true }
    }
    func channelWritabilityChanged(context: ChannelHandlerContext) {
      if context.channel.isWritable { partner?.readIfWanted() }
      context.fireChannelWritabilityChanged()
    }
    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
      // One side has said all that it had to say, and listens on.
      if let event = event as? ChannelEvent, event == .inputClosed {
        partner?.context?.close(mode: .output, promise: nil)
      }
      context.fireUserInboundEventTriggered(event)
    }
    func channelInactive(context: ChannelHandlerContext) {
      partner?.context?.close(promise: nil)
      context.fireChannelInactive()
    }
    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    // MARK: The other one

    private func readIfWanted() {
      guard isReadWanted, let context else { return }
      isReadWanted = false
      context.read()
    }
  }
#endif
