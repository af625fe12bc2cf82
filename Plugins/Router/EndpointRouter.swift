#if Router
  public import BorealisCluster
  import BorealisClusterModel
  import BorealisComputeEngine
  import NIOCore
  import NIOPosix
  import Synchronization

  /// A cluster's endpoints as addresses that any client can connect to.
  ///
  ///     let router = try await EndpointRouter.start(cluster, [Route(cluster.writer, port: 5432), Route(cluster.reader, port: 5433)])
  ///     print(router.routes[0].address)    // psql -h 127.0.0.1 -p 5432
  ///
  /// Each connection is balanced by itself and stays with its instance. While there is none that it may go to, as during a
  /// failover, it waits. When the cluster takes its instance for failed, or for no longer what it was, it is cut, also
  /// where that instance still runs: nobody goes on talking to a writer that was replaced, nor writes to a reader by mistake.
  /// What was under way is then unknown to the client, as with any lost connection.
  public final class EndpointRouter: Sendable {
    private let table: RouteTable
    private let group: MultiThreadedEventLoopGroup
    private let watch: Task<Void, Never>
    private let limits: RouterLimits
    private let onTrouble: @Sendable (RouterError) -> Void

    private init(
      _ cluster: Cluster, threads: Int, limits: RouterLimits, onTrouble: @escaping @Sendable (RouterError) -> Void
    ) {
      let table = RouteTable()
      self.table = table
      self.limits = limits
      self.onTrouble = onTrouble
      group = MultiThreadedEventLoopGroup(numberOfThreads: max(1, threads))
      // Before anybody can connect: no event is missed then.
      let events = cluster.events
      watch = Task {
        for await event in events {
          // The volume's own affairs change no instance.
          if case .volume = event.kind { continue }
          // The directory is changed before an event tells of it.
          for relay in table.relays { relay.follow() }
          table.forgetClosed()
        }
        for relay in table.relays { relay.end() }
      }
    }
    deinit { watch.cancel() }

    /// The event loops of a router that is told no number: half of the cores.
    ///
    /// More loops than that take cores from those who talk, and hand on fewer messages with each wake-up.
    public static var defaultThreads: Int { max(1, System.coreCount / 2) }

    /// Opens the routes; returns when clients can connect.
    ///
    /// - Parameters:
    ///   - threads: event loops that bytes go through; default: half of the cores, the others are for clients and servers.
    ///   - onTrouble: told, once a second at most for a route, why clients cannot be served: this machine has no open files left.
    /// - Throws: `.cannotListen` with the address; nothing is left open then.
    public static func start(
      _ cluster: Cluster, _ routes: [Route], threads: Int = defaultThreads,
      onTrouble: @escaping @Sendable (RouterError) -> Void = { _ in }
    ) async throws(RouterError) -> EndpointRouter {
      try await start(cluster, routes, threads: threads, limits: RouterLimits(), onTrouble: onTrouble)
    }
    static func start(
      _ cluster: Cluster, _ routes: [Route], threads: Int = defaultThreads, limits: RouterLimits,
      onTrouble: @escaping @Sendable (RouterError) -> Void = { _ in }
    ) async throws(RouterError) -> EndpointRouter {
      let router = EndpointRouter(cluster, threads: threads, limits: limits, onTrouble: onTrouble)
      do throws(RouterError) { for route in routes { try await router.open(route) } } catch {
        await router.stop()
        throw error
      }
      return router
    }

    /// The routes that are open, in the order in which they were opened, with the ports that they were given.
    public var routes: [Route] { table.open.map(\.relay.route) }
    /// What went through each route so far, in the order of `routes`.
    public var statistics: [RouteStatistics] { table.open.map(\.relay.statistics) }

    /// Opens a route more; returns it as it was opened, when clients can connect.
    ///
    /// - Throws: `.cannotListen`, `.stopped`.
    @discardableResult
    public func open(_ route: Route) async throws(RouterError) -> Route {
      let relay = RouteRelay(route, limits, onTrouble: onTrouble)
      // It is known before it listens: whoever connects at once is cut like everybody.
      guard table.add(relay) else { throw RouterError(.stopped, "\(route.host):\(route.port)", "") }
      do {
        var bootstrap = ServerBootstrap(group: group)
          .serverChannelOption(.backlog, value: 4096)
          .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
          .serverChannelInitializer { listener in
            listener.eventLoop.makeCompletedFuture {
              try listener.pipeline.syncOperations.addHandler(AcceptTrouble(relay))
            }
          }
          .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
          // A client whose machine is gone says nothing of it: the kernel finds out.
          .childChannelOption(.socketOption(.so_keepalive), value: 1)
          .childChannelOption(.allowRemoteHalfClosure, value: true)
          .childChannelInitializer { client in relay.accept(client) }
        if let bytes = limits.sendBufferBytes {
          bootstrap = bootstrap.childChannelOption(.socketOption(.so_sndbuf), value: bytes)
        }
        let listener = try await bootstrap.bind(host: route.host, port: Int(route.port)).get()
        let opened = route.opened(at: listener.localAddress?.port ?? Int(route.port))
        guard table.listens(relay, listener, opened) else {
          try? await listener.close()
          throw RouterError(.stopped, "\(route.host):\(route.port)", "")
        }
        return opened
      } catch {
        table.remove(relay)
        throw error as? RouterError ?? RouterError(.cannotListen, "\(route.host):\(route.port)", "\(error)")
      }
    }
    /// Has the route of that endpoint's name lead where `endpoint` now says; connections that are open stay.
    public func change(_ endpoint: ClusterEndpoint) {
      for entry in table.open where "\(entry.relay.route.endpoint.endpoint)" == "\(endpoint.endpoint)" {
        entry.relay.lead(to: endpoint)
      }
    }
    /// Closes the route to an endpoint of that name; connections that are open stay, and are cut as before.
    public func close(_ name: String) async {
      for entry in table.open where "\(entry.relay.route.endpoint.endpoint)" == name {
        table.close(entry.relay)
        try? await entry.listener?.close()
      }
    }

    /// Closes the routes and cuts their connections.
    public func stop() async {
      watch.cancel()
      let (listeners, relays) = table.end()
      for listener in listeners { try? await listener.close() }
      for relay in relays { relay.end() }
      try? await group.shutdownGracefully()
    }
  }

  /// What tests choose otherwise.
  struct RouterLimits: Sendable {
    /// How long the rest of a connection may stand still once its server has ended, or one side is gone.
    var linger = TimeAmount.seconds(60)
    /// What the kernel keeps of what goes out on a connection; nil: as much as it likes.
    var sendBufferBytes: SocketOptionValue?
  }

  /// The routes of a router: those that are open, and those whose connections have not all ended.
  private final class RouteTable: Sendable {
    struct Entry: Sendable {
      let relay: RouteRelay
      /// nil before it listens.
      var listener: (any Channel)?
      var isClosed = false
    }
    private struct State: Sendable {
      var entries: [Entry] = []
      var isOver = false
    }
    private let state = Mutex(State())

    var relays: [RouteRelay] { state.withLock { $0.entries.map(\.relay) } }
    var open: [Entry] { state.withLock { $0.entries.filter { $0.listener != nil && !$0.isClosed } } }

    func add(_ relay: RouteRelay) -> Bool {
      state.withLock { state in
        if !state.isOver { state.entries.append(Entry(relay: relay)) }
        return !state.isOver
      }
    }
    func listens(_ relay: RouteRelay, _ listener: any Channel, _ route: Route) -> Bool {
      relay.isOpened(as: route)
      return state.withLock { state in
        guard !state.isOver, let i = state.entries.firstIndex(where: { $0.relay === relay }) else { return false }
        state.entries[i].listener = listener
        return true
      }
    }
    func remove(_ relay: RouteRelay) { state.withLock { $0.entries.removeAll { $0.relay === relay } } }
    func close(_ relay: RouteRelay) {
      state.withLock { state in
        for i in state.entries.indices where state.entries[i].relay === relay { state.entries[i].isClosed = true }
      }
    }
    func forgetClosed() {
      state.withLock { $0.entries.removeAll { $0.isClosed && $0.relay.isIdle } }
    }
    func end() -> ([any Channel], [RouteRelay]) {
      state.withLock { state in
        defer { (state.entries, state.isOver) = ([], true) }
        return (state.entries.compactMap(\.listener), state.entries.map(\.relay))
      }
    }
  }

  /// Tells why a client could not be accepted, and has the listener rest for a second then.
  ///
  /// NIO's own `AcceptBackoffHandler` does not ask to read, but the channel has asked already: it would try without a pause.
  private final class AcceptTrouble: ChannelInboundHandler {
    typealias InboundIn = any Channel
    private static let rest = TimeAmount.seconds(1)
    private let relay: RouteRelay
    init(_ relay: RouteRelay) { self.relay = relay }
    func errorCaught(context: ChannelHandlerContext, error: any Error) {
      guard let error = error as? IOError else { return context.fireErrorCaught(error) }
      relay.note(.cannotAccept, error)
      let listener = context.channel
      try? listener.syncOptions?.setOption(.autoRead, value: false)
      listener.eventLoop.scheduleTask(in: AcceptTrouble.rest) { listener.setOption(.autoRead, value: true) }
    }
  }
#endif
