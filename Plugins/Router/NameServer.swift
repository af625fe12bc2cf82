#if Router
  public import BorealisCluster
  public import BorealisComputeEngine
  import BorealisClusterModel
  import NIOCore
  import NIOPosix

  /// Answers the names of a cluster's endpoints with the addresses of its instances (RFC 1035), over UDP and TCP.
  ///
  ///     demo.cluster.local             the writer
  ///     demo-ro.cluster.local          the readers, in turn; the writer where there is none
  ///     analytics.demo.cluster.local   a custom endpoint
  ///     demo-1.cluster.local           an instance
  ///
  /// Answers may be kept for `ttlSeconds`: that long at most a client that asks anew is led to the old writer. For names to be
  /// enough, instances listen on addresses of their own (127.0.0.0/8) and one port.
  public final class NameServer: Sendable {
    /// Where it listens, UDP and TCP.
    public let address: EngineAddress
    private let group: MultiThreadedEventLoopGroup
    private let channels: [any Channel]

    private init(_ address: EngineAddress, group: MultiThreadedEventLoopGroup, channels: [any Channel]) {
      self.address = address
      self.group = group
      self.channels = channels
    }

    /// Starts to answer for `cluster` under `domain`.
    ///
    /// - Parameter port: 0: any that is free for both protocols.
    /// - Throws: `.cannotListen`.
    public static func start(
      _ cluster: Cluster, domain: String = "cluster.local", host: String = "127.0.0.1", port: UInt16 = 0,
      ttlSeconds: UInt32 = 1
    ) async throws(RouterError) -> NameServer {
      // RFC 7766 §6.2.3: who asks nothing is not kept for long.
      try await start(
        cluster, domain: domain, host: host, port: port, ttlSeconds: ttlSeconds, idle: .seconds(10))
    }
    static func start(
      _ cluster: Cluster, domain: String = "cluster.local", host: String = "127.0.0.1", port: UInt16 = 0,
      ttlSeconds: UInt32 = 1, idle: TimeAmount
    ) async throws(RouterError) -> NameServer {
      let names = ClusterNames(cluster, domain: domain, ttlSeconds: ttlSeconds)
      let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
      // A port that is free for one protocol may be taken for the other: with any port, some are tried.
      var tries = port == 0 ? 10 : 1
      while true {
        tries -= 1
        do {
          let (address, channels) = try await listen(names, group, host, port, idle)
          return NameServer(address, group: group, channels: channels)
        } catch {
          if tries > 0 { continue }
          try? await group.shutdownGracefully()
          throw RouterError(.cannotListen, "\(host):\(port)", "\(error)")
        }
      }
    }
    private static func listen(
      _ names: ClusterNames, _ group: MultiThreadedEventLoopGroup, _ host: String, _ port: UInt16,
      _ idle: TimeAmount
    ) async throws -> (EngineAddress, [any Channel]) {
      let udp = try await DatagramBootstrap(group: group)
        .channelInitializer { channel in
          channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandler(DatagramAnswers(names))
          }
        }
        .bind(host: host, port: Int(port)).get()
      let chosen = udp.localAddress?.port ?? Int(port)
      do {
        let tcp = try await ServerBootstrap(group: group)
          .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
          .childChannelInitializer { channel in
            channel.eventLoop.makeCompletedFuture {
              try channel.pipeline.syncOperations.addHandler(IdleStateHandler(readTimeout: idle))
              try channel.pipeline.syncOperations.addHandler(StreamAnswers(names))
            }
          }
          .bind(host: host, port: chosen).get()
        return (EngineAddress(host: host, port: UInt16(clamping: chosen)), [udp, tcp])
      } catch {
        try? await udp.close()
        throw error
      }
    }
    /// Ends.
    public func stop() async {
      for channel in channels { try? await channel.close() }
      try? await group.shutdownGracefully()
    }
  }

  /// The names of a cluster and what they stand for at the moment.
  struct ClusterNames: Sendable {
    let cluster: Cluster
    let domain: [String]
    let ttlSeconds: UInt32

    init(_ cluster: Cluster, domain: String, ttlSeconds: UInt32) {
      self.cluster = cluster
      self.domain = domain.lowercased().split(separator: ".").map(String.init)
      self.ttlSeconds = ttlSeconds
    }

    enum Answer: Equatable {
      /// IPv4 addresses; none: the name is there, and leads nowhere now.
      case addresses([[UInt8]])
      case noSuchName
      /// Not under the domain.
      case notOurs
    }
    func resolve(_ name: [String]) -> Answer {
      guard name.count >= domain.count, Array(name.suffix(domain.count)) == domain else { return .notOurs }
      let own = Array(name.dropLast(domain.count))
      let identifier = cluster.identifier.lowercased()
      switch own.count {
      case 0: return .addresses([])
      case 1 where own[0] == identifier: return first(cluster.writer)
      case 1 where own[0] == identifier + "-ro": return first(cluster.reader)
      case 1:
        guard let instance = cluster.instances.first(where: { $0.name.lowercased() == own[0] }) else {
          return .noSuchName
        }
        return first(cluster.instance(instance))
      case 2 where own[1] == identifier:
        guard let endpoint = try? cluster.endpoint(own[0]) else { return .noSuchName }
        return first(endpoint)
      default: return .noSuchName
      }
    }
    /// One address, as Aurora's endpoints answer: balancing is by who asks next.
    private func first(_ endpoint: ClusterEndpoint) -> Answer {
      guard let host = endpoint.target()?.address?.host else { return .addresses([]) }
      let bytes = host.split(separator: ".", omittingEmptySubsequences: false).map { UInt8($0) }
      guard bytes.count == 4, !bytes.contains(nil) else { return .addresses([]) }
      return .addresses([bytes.compactMap(\.self)])
    }
  }

  /// DNS over UDP.
  final class DatagramAnswers: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>
    typealias OutboundOut = AddressedEnvelope<ByteBuffer>
    private let names: ClusterNames
    init(_ names: ClusterNames) { self.names = names }
    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      let query = unwrapInboundIn(data)
      guard let answer = DNSMessage.answer(to: Array(query.data.readableBytesView), names) else { return }
      let buffer = context.channel.allocator.buffer(bytes: answer)
      context.writeAndFlush(
        wrapOutboundOut(AddressedEnvelope(remoteAddress: query.remoteAddress, data: buffer)), promise: nil)
    }
    // A datagram that cannot be sent concerns the one who asked, and nobody else.
    func errorCaught(context: ChannelHandlerContext, error: any Error) {}
  }

  /// DNS over TCP: each message has its length in front (RFC 1035 §4.2.2).
  final class StreamAnswers: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer
    private let names: ClusterNames
    private var received = ByteBuffer()
    init(_ names: ClusterNames) { self.names = names }
    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      var new = unwrapInboundIn(data)
      received.writeBuffer(&new)
      while let length = received.getInteger(at: received.readerIndex, as: UInt16.self),
        received.readableBytes >= 2 + Int(length)
      {
        received.moveReaderIndex(forwardBy: 2)
        let query = received.readBytes(length: Int(length)) ?? []
        guard let answer = DNSMessage.answer(to: query, names) else { return context.close(promise: nil) }
        var buffer = context.channel.allocator.buffer(capacity: 2 + answer.count)
        buffer.writeInteger(UInt16(answer.count))
        buffer.writeBytes(answer)
        context.writeAndFlush(wrapOutboundOut(buffer), promise: nil)
        // Who asks and asks, and does not take the answers, gets no more of them.
        guard context.channel.isWritable else { return context.close(promise: nil) }
      }
      received.discardReadBytes()
    }
    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
      if event is IdleStateHandler.IdleStateEvent { return context.close(promise: nil) }
      context.fireUserInboundEventTriggered(event)
    }
    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
  }
#endif
