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
  /// It reads only while the partner takes more: what is under way is bounded by the channels' buffers. What comes in before
  /// there is a partner is kept: a client may say all that it has to say, and end, while it waits for a server (as those do that
  /// cancel a query). When one side has ended, all that it has said goes to the other side before that is ended too.
  final class RelayHandler: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// Whom the channel leads to.
    enum Side { case client, server }

    private let side: Side
    private let counter: ByteCounter
    /// How long the rest of a connection may stand still once its server has ended, or one side is gone.
    private let linger: TimeAmount
    private var partner: RelayHandler?
    private var context: ChannelHandlerContext?
    private var isReadWanted = false
    /// What came in before there was a partner: at most what the socket held when its other side ended.
    private var early: [NIOAny] = []
    private var hasInputEnded = false
    /// The partner has ended: nothing more will be written here.
    private var isOutputEnding = false
    /// And all of it has gone out.
    private var hasOutputEnded = false
    /// The channel is closed, both ways.
    private var isOver = false
    private var isWatched = false
    private var received = 0
    private var written = 0
    /// Called once, when the channel has become active.
    var onActive: ((RelayHandler) -> Void)?

    init(_ side: Side, _ counter: ByteCounter, linger: TimeAmount) {
      self.side = side
      self.counter = counter
      self.linger = linger
    }

    /// From here on what comes in on one goes out on the other; where one is over already, both are.
    func join(_ other: RelayHandler) {
      guard !isOver, !other.isOver else {
        context?.close(promise: nil)
        other.context?.close(promise: nil)
        return
      }
      partner = other
      other.partner = self
      handOnEarly()
      other.handOnEarly()
      readIfWanted()
      other.readIfWanted()
    }
    private func handOnEarly() {
      for data in early { partner?.write(data) }
      early = []
      partner?.context?.flush()
      if hasInputEnded { partner?.endOutput() }
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
      let bytes = unwrapInboundIn(data).readableBytes
      received += bytes
      counter.add(bytes)
      if let partner { partner.write(data) } else { early.append(data) }
    }
    func channelReadComplete(context: ChannelHandlerContext) { partner?.context?.flush() }
    func read(context: ChannelHandlerContext) {
      if let other = partner?.context, other.channel.isWritable { context.read() } else { isReadWanted = true }
    }
    func channelWritabilityChanged(context: ChannelHandlerContext) {
      if context.channel.isWritable { partner?.readIfWanted() }
    }
    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
      // One side has said all that it had to say, and may listen on.
      if let event = event as? ChannelEvent, event == .inputClosed {
        hasInputEnded = true
        if let partner {
          partner.endOutput()
        } else if early.isEmpty {
          // It has said nothing, and will not.
          context.close(promise: nil)
        }
      }
      context.fireUserInboundEventTriggered(event)
    }
    func channelInactive(context: ChannelHandlerContext) {
      isOver = true
      partner?.end()
      context.fireChannelInactive()
    }
    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    // MARK: Asked by the partner

    private func write(_ data: NIOAny) {
      written += unwrapInboundIn(data).readableBytes
      context?.write(data, promise: nil)
    }
    private func readIfWanted() {
      guard isReadWanted, let context else { return }
      isReadWanted = false
      context.read()
    }
    /// The partner's side has said all: this side is told, after everything that was said before.
    private func endOutput() {
      guard !isOutputEnding, !isOver, let context else { return }
      isOutputEnding = true
      // Not by `close` alone: where the other direction has ended already, that would drop what still waits to go out.
      let gone = context.eventLoop.makePromise(of: Void.self)
      gone.futureResult.assumeIsolated().whenSuccess { [self] in
        hasOutputEnded = true
        self.context?.close(mode: partner?.isOver ?? true ? .all : .output, promise: nil)
      }
      context.writeAndFlush(wrapOutboundOut(ByteBuffer()), promise: gone)
      // A client that has ended may wait for an answer as long as it likes; one whose server has ended waits for nothing.
      if side == .client { watch() }
    }
    /// The partner's channel is closed both ways: so is this one, once everything has gone out.
    private func end() {
      guard !isOver else { return }
      if hasOutputEnded {
        context?.close(promise: nil)
      } else {
        endOutput()
        watch()
      }
    }

    // MARK: Those who never come to an end

    private var progress: Int {
      let waiting = try? context?.channel.syncOptions?.getOption(.bufferedWritableBytes)
      return received + written - (waiting ?? 0)
    }
    /// Closes the channel, and so the partner's, when nothing has gone in or out for a while.
    private func watch() {
      guard !isWatched else { return }
      isWatched = true
      look(progress)
    }
    private func look(_ before: Int) {
      guard let context else { return }
      context.eventLoop.assumeIsolated().scheduleTask(in: linger) { [weak self] in
        guard let self, !isOver else { return }
        let now = progress
        if now == before { self.context?.close(promise: nil) } else { look(now) }
      }
    }
  }
#endif
