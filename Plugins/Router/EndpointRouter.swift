#if Router
  public import BorealisCluster
  public import BorealisComputeEngine
  import BorealisClusterModel
  import NIOCore
  import NIOPosix
  import Synchronization

  /// A cluster's endpoints as addresses that any client can connect to.
  ///
  ///     let router = try await EndpointRouter.start(cluster, [Route(cluster.writer, port: 5432), Route(cluster.reader, port: 5433)])
  ///     print(router.addresses)            // psql -h 127.0.0.1 -p 5432
  ///
  /// Each connection is balanced by itself and stays with its instance. While there is none that it may go to, as during a
  /// failover, it waits. When the cluster takes its instance for failed, or for no longer what it was, it is cut, also
  /// where that instance still runs: nobody goes on talking to a writer that was replaced, nor writes to a reader by mistake.
  /// What was under way is then unknown to the client, as with any lost connection.
  public final class EndpointRouter: Sendable {
    /// The routes as they were opened, with the ports that they were given.
    public let routes: [Route]
    private let group: MultiThreadedEventLoopGroup
    private let listeners: [any Channel]
    private let relays: [RouteRelay]
    private let watch: Task<Void, Never>

    private init(
      _ routes: [Route], group: MultiThreadedEventLoopGroup, listeners: [any Channel], relays: [RouteRelay],
      watch: Task<Void, Never>
    ) {
      self.routes = routes
      self.group = group
      self.listeners = listeners
      self.relays = relays
      self.watch = watch
    }
    deinit { watch.cancel() }

    /// Opens the routes; returns when clients can connect.
    ///
    /// - Parameter threads: event loops that bytes go through.
    /// - Throws: `.cannotListen` with the address; nothing is left open then.
    public static func start(
      _ cluster: Cluster, _ routes: [Route], threads: Int = 2
    ) async throws(RouterError) -> EndpointRouter {
      let group = MultiThreadedEventLoopGroup(numberOfThreads: max(1, threads))
      var listeners: [any Channel] = []
      var opened: [Route] = []
      var relays: [RouteRelay] = []
      for route in routes {
        let relay = RouteRelay(route)
        do {
          let listener = try await ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 256)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .childChannelInitializer { client in relay.accept(client) }
            .bind(host: route.host, port: Int(route.port)).get()
          listeners.append(listener)
          opened.append(route.opened(at: listener.localAddress?.port ?? Int(route.port)))
          relays.append(relay)
        } catch {
          for listener in listeners { try? await listener.close() }
          try? await group.shutdownGracefully()
          throw RouterError(.cannotListen, "\(route.host):\(route.port)", "\(error)")
        }
      }
      let (final, events) = (relays, cluster.events)
      let watch = Task {
        // The directory is changed before an event tells of it.
        for await _ in events { for relay in final { relay.cutStale() } }
        for relay in final { relay.cutAll() }
      }
      return EndpointRouter(opened, group: group, listeners: listeners, relays: relays, watch: watch)
    }

    /// What went through each route so far, in the order of `routes`.
    public var statistics: [RouteStatistics] { relays.map(\.statistics) }

    /// Closes the routes and cuts their connections.
    public func stop() async {
      watch.cancel()
      for listener in listeners { try? await listener.close() }
      for relay in relays { relay.cutAll() }
      try? await group.shutdownGracefully()
    }
  }

  /// An endpoint, and where clients find it.
  public struct Route: Sendable {
    /// Where connections go.
    public let endpoint: ClusterEndpoint
    /// The address to listen on.
    public let host: String
    /// The port to listen on; 0: any that is free.
    public let port: UInt16
    /// How long a client waits for an instance before it is turned away.
    public let waitMilliseconds: UInt64

    /// Describes a route.
    public init(
      _ endpoint: ClusterEndpoint, host: String = "127.0.0.1", port: UInt16 = 0, waitMilliseconds: UInt64 = 10_000
    ) {
      self.endpoint = endpoint
      self.host = host
      self.port = port
      self.waitMilliseconds = waitMilliseconds
    }
    /// Where clients connect.
    public var address: EngineAddress { EngineAddress(host: host, port: port) }
    func opened(at port: Int) -> Route {
      Route(endpoint, host: host, port: UInt16(clamping: port), waitMilliseconds: waitMilliseconds)
    }
  }

  /// What went through a route.
  public struct RouteStatistics: Hashable, Sendable {
    /// Clients that connected.
    public var accepted: UInt64 = 0
    /// Connections open now.
    public var open = 0
    /// Clients turned away: no instance in time.
    public var refused: UInt64 = 0
    /// Connections cut because their instance was no longer what it was.
    public var cut: UInt64 = 0
    /// Bytes from clients to servers.
    public var bytesToServers: UInt64 = 0
    /// Bytes from servers to clients.
    public var bytesToClients: UInt64 = 0
    /// All zero.
    public init() {}
  }

  /// Why endpoints could not be offered.
  public struct RouterError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The kinds of failure.
    public enum Code: String, Hashable, Sendable {
      /// The address is in use, or not this machine's.
      case cannotListen
    }
    /// The kind of failure.
    public let code: Code
    /// The address.
    public let address: String
    /// What the system said.
    public let detail: String
    init(_ code: Code, _ address: String, _ detail: String) {
      self.code = code
      self.address = address
      self.detail = detail
    }
    /// One line for people.
    public var description: String { "router: cannot listen on \(address): \(detail); choose another port" }
  }
#endif
