#if Router
  public import BorealisCluster
  public import BorealisComputeEngine

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
    func leading(to endpoint: ClusterEndpoint) -> Route {
      Route(endpoint, host: host, port: port, waitMilliseconds: waitMilliseconds)
    }
  }

  /// What went through a route.
  public struct RouteStatistics: Hashable, Sendable {
    /// Clients that connected.
    public var accepted: UInt64 = 0
    /// Connections open now.
    public var open = 0
    /// Clients that wait for an instance now.
    public var waiting = 0
    /// Clients turned away: no instance in time.
    public var refused: UInt64 = 0
    /// Connections cut because their instance was no longer what it was.
    public var cut: UInt64 = 0
    /// Times that a client could not be taken, or led on, for want of something of this machine, as of open files.
    public var failed: UInt64 = 0
    /// Bytes from clients to servers.
    public var bytesToServers: UInt64 = 0
    /// Bytes from servers to clients.
    public var bytesToClients: UInt64 = 0
    /// All zero.
    public init() {}
  }

  /// Why endpoints cannot be offered, or clients cannot be served.
  public struct RouterError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The kinds of failure.
    public enum Code: String, Hashable, Sendable {
      /// The address is in use, or not this machine's.
      case cannotListen
      /// A client that has connected cannot be taken; it waits, and so do others.
      case cannotAccept
      /// No connection to a server can be made, for want of something of this machine.
      case cannotConnect
      /// The router was stopped.
      case stopped
    }
    /// The kind of failure.
    public let code: Code
    /// The address: the endpoint's, and with `cannotConnect` the server's.
    public let address: String
    /// What the system said.
    public let detail: String
    init(_ code: Code, _ address: String, _ detail: String) {
      self.code = code
      self.address = address
      self.detail = detail
    }
    /// One line for people.
    public var description: String {
      switch code {
      case .cannotListen: "router: cannot listen on \(address): \(detail); choose another port"
      case .cannotAccept:
        "router: clients of \(address) have to wait: \(detail); a connection takes two open files, `ulimit -n` limits them"
      case .cannotConnect:
        "router: cannot connect to \(address): \(detail); a connection takes two open files, `ulimit -n` limits them"
      case .stopped: "router: \(address) cannot be opened: the router was stopped"
      }
    }
  }
#endif
