#if Router
  import BorealisCluster
  import BorealisComputeEngine
  import NIOCore
  import NIOPosix
  import Synchronization

  #if canImport(Glibc)
    import Glibc
  #elseif canImport(Musl)
    import Musl
  #elseif canImport(Darwin)
    import Darwin
  #endif

  /// One route: brings each client to an instance, and knows which connection leads where.
  final class RouteRelay: Sendable {
    /// Milliseconds between two looks for an instance, while there is none: doubling, for many may wait; an event ends it.
    private static let retry = (first: Int64(20), last: Int64(320))
    /// Time between two reports of trouble.
    private static let troubleInterval = TimeAmount.seconds(1)

    /// A client that has not been brought to an instance yet.
    private struct Arrival: Sendable {
      let client: any Channel
      let relay: NIOLoopBound<RelayHandler>
      let deadline: NIODeadline
      var waitMilliseconds = RouteRelay.retry.first
      var id: ObjectIdentifier { ObjectIdentifier(client) }
    }
    private struct Link: Sendable {
      var target: EndpointTarget
      var client: any Channel
      var server: any Channel
    }
    private struct State: Sendable {
      var route: Route
      var statistics = RouteStatistics()
      /// By client channel.
      var links: [ObjectIdentifier: Link] = [:]
      /// Those who wait for an instance, by client channel.
      var waiting: [ObjectIdentifier: EventLoopPromise<Void>] = [:]
      var nextReport = NIODeadline.uptimeNanoseconds(0)
      /// Nobody is brought anywhere any more.
      var isOver = false
    }
    private let state: Mutex<State>
    private let limits: RouterLimits
    private let onTrouble: @Sendable (RouterError) -> Void
    private let toServers = ByteCounter()
    private let toClients = ByteCounter()

    init(_ route: Route, _ limits: RouterLimits, onTrouble: @escaping @Sendable (RouterError) -> Void) {
      state = Mutex(State(route: route))
      self.limits = limits
      self.onTrouble = onTrouble
    }

    var route: Route { state.withLock { $0.route } }
    func isOpened(as route: Route) { state.withLock { $0.route = route } }
    func lead(to endpoint: ClusterEndpoint) {
      state.withLock { $0.route = $0.route.leading(to: endpoint) }
      wake()
    }
    /// Whether nobody is connected.
    var isIdle: Bool { state.withLock { $0.links.isEmpty && $0.waiting.isEmpty } }
    var statistics: RouteStatistics {
      var all = state.withLock { state in
        var all = state.statistics
        all.open = state.links.count
        all.waiting = state.waiting.count
        return all
      }
      all.bytesToServers = toServers.value
      all.bytesToClients = toClients.value
      return all
    }

    /// A client has connected: nothing is read from it before there is an instance.
    func accept(_ client: any Channel) -> EventLoopFuture<Void> {
      state.withLock { $0.statistics.accepted += 1 }
      return client.eventLoop.makeCompletedFuture {
        let relay = RelayHandler(.client, self.toServers, linger: self.limits.linger)
        // Not before: a connection that is not active yet looks like one that has ended.
        relay.onActive = { relay in
          let wait = Int64(clamping: self.route.waitMilliseconds)
          self.find(
            Arrival(
              client: client, relay: NIOLoopBound(relay, eventLoop: client.eventLoop),
              deadline: .now() + .milliseconds(wait)))
        }
        try client.pipeline.syncOperations.addHandler(relay)
      }
    }

    private func find(_ arrival: Arrival) {
      let client = arrival.client
      guard client.isActive else { return }
      if state.withLock({ $0.isOver }) { return client.close(promise: nil) }
      guard let target = route.endpoint.target(), let address = target.address else { return again(arrival) }
      let other = NIOLoopBound(
        RelayHandler(.server, toClients, linger: limits.linger), eventLoop: client.eventLoop)
      connect(address, from: client.eventLoop, other).whenComplete { result in
        let server: any Channel
        switch result {
        case .success(let made): server = made
        case .failure(let error):
          if let error = error as? IOError, RouteRelay.isOfThisMachine(error) {
            self.note(.cannotConnect, error, address)
          }
          return self.again(arrival)
        }
        // The role was changed while it was connected to, or the client has gone.
        guard client.isActive, self.enter(Link(target: target, client: client, server: server)) else {
          server.close(promise: nil)
          return client.isActive ? self.again(arrival) : ()
        }
        client.closeFuture.whenComplete { _ in self.leave(client) }
        arrival.relay.value.join(other.value)
      }
    }
    private func connect(
      _ address: EngineAddress, from loop: any EventLoop, _ handler: NIOLoopBound<RelayHandler>
    ) -> EventLoopFuture<any Channel> {
      var bootstrap = ClientBootstrap(group: loop)
        .channelOption(.tcpOption(.tcp_nodelay), value: 1)
        .channelOption(.socketOption(.so_keepalive), value: 1)
        .channelOption(.allowRemoteHalfClosure, value: true)
        .connectTimeout(.seconds(2))
        .channelInitializer { server in
          server.eventLoop.makeCompletedFuture { try server.pipeline.syncOperations.addHandler(handler.value) }
        }
      if let bytes = limits.sendBufferBytes {
        bootstrap = bootstrap.channelOption(.socketOption(.so_sndbuf), value: bytes)
      }
      // What is a number needs no resolver, and so no other thread.
      if let number = try? SocketAddress(ipAddress: address.host, port: Int(address.port)) {
        return bootstrap.connect(to: number)
      }
      return bootstrap.connect(host: address.host, port: Int(address.port))
    }
    private func again(_ arrival: Arrival) {
      guard NIODeadline.now() < arrival.deadline else {
        state.withLock { $0.statistics.refused += 1 }
        return arrival.client.close(promise: nil)
      }
      var next = arrival
      next.waitMilliseconds = min(RouteRelay.retry.last, arrival.waitMilliseconds * 2)
      let later = next
      let ready = arrival.client.eventLoop.makePromise(of: Void.self)
      let timer = arrival.client.eventLoop.scheduleTask(in: .milliseconds(arrival.waitMilliseconds)) {
        ready.succeed(())
      }
      let isOver = state.withLock { state in
        state.waiting[arrival.id] = ready
        return state.isOver
      }
      ready.futureResult.whenComplete { _ in
        timer.cancel()
        _ = self.state.withLock { $0.waiting.removeValue(forKey: later.id) }
        self.find(later)
      }
      if isOver { ready.succeed(()) }
    }
    /// Those who wait look again: something has changed.
    private func wake() {
      for ready in state.withLock({ $0.waiting }).values { ready.succeed(()) }
    }

    /// Notes a connection, unless its instance is no longer what it was: the sweep that found that may be over.
    private func enter(_ link: Link) -> Bool {
      let (endpoint, isOver) = state.withLock { state in
        state.links[ObjectIdentifier(link.client)] = link
        return (state.route.endpoint, state.isOver)
      }
      if !isOver, endpoint.isCurrent(link.target) { return true }
      leave(link.client)
      return false
    }
    private func leave(_ client: any Channel) {
      _ = state.withLock { $0.links.removeValue(forKey: ObjectIdentifier(client)) }
    }

    /// The cluster may have changed: cuts the connections whose instance is no longer what it was, and has others look.
    func follow() {
      let endpoint = route.endpoint
      cut { !endpoint.isCurrent($0) }
      wake()
    }
    /// Cuts all, and turns away whoever comes.
    func end() {
      state.withLock { $0.isOver = true }
      cut { _ in true }
      wake()
    }
    private func cut(_ condition: (EndpointTarget) -> Bool) {
      // The endpoint's state has a lock of its own: it is not asked under this one.
      let links = state.withLock { $0.links }
      for (id, link) in links where condition(link.target) {
        let isFound = state.withLock { state in
          guard state.links.removeValue(forKey: id) != nil else { return false }
          state.statistics.cut += 1
          return true
        }
        guard isFound else { continue }
        // Both: what still waits to go to a server that nobody can reach would never be gone.
        link.client.close(promise: nil)
        link.server.close(promise: nil)
      }
    }

    // MARK: Trouble

    /// Whether an error says something about this machine, and not about the one connected to.
    private static func isOfThisMachine(_ error: IOError) -> Bool {
      [EMFILE, ENFILE, ENOBUFS, ENOMEM, EADDRNOTAVAIL].contains(error.errnoCode)
    }
    /// Counts what could not be done, and tells of it, not too often.
    func note(_ code: RouterError.Code, _ error: IOError, _ server: EngineAddress? = nil) {
      let now = NIODeadline.now()
      let (isDue, address) = state.withLock { state in
        state.statistics.failed += 1
        let isDue = now >= state.nextReport
        if isDue { state.nextReport = now + RouteRelay.troubleInterval }
        return (isDue, server ?? state.route.address)
      }
      if isDue { onTrouble(RouterError(code, "\(address)", "\(error)")) }
    }
  }
#endif
