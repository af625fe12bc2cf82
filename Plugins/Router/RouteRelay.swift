#if Router
  import BorealisCluster
  import BorealisComputeEngine
  import NIOCore
  import NIOPosix
  import Synchronization

  /// One route: brings each client to an instance, and knows which connection leads where.
  final class RouteRelay: Sendable {
    /// Time between two looks for an instance, while there is none.
    private static let retry = TimeAmount.milliseconds(20)

    private struct Link: Sendable {
      var target: EndpointTarget
      var client: any Channel
    }
    private struct State: Sendable {
      var statistics = RouteStatistics()
      /// By client channel.
      var links: [ObjectIdentifier: Link] = [:]
    }
    private let route: Route
    private let state = Mutex(State())
    private let toServers = ByteCounter()
    private let toClients = ByteCounter()

    init(_ route: Route) { self.route = route }

    var statistics: RouteStatistics {
      var all = state.withLock { state in
        var all = state.statistics
        all.open = state.links.count
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
        let relay = RelayHandler(self.toServers)
        // Not before: a connection that is not active yet looks like one that has ended.
        relay.onActive = { relay in
          let deadline = NIODeadline.now() + .milliseconds(Int64(clamping: self.route.waitMilliseconds))
          self.find(client, NIOLoopBound(relay, eventLoop: client.eventLoop), deadline)
        }
        try client.pipeline.syncOperations.addHandler(relay)
      }
    }

    private func find(_ client: any Channel, _ relay: NIOLoopBound<RelayHandler>, _ deadline: NIODeadline) {
      guard client.isActive else { return }
      guard let target = route.endpoint.target(), let address = target.address else {
        return again(client, relay, deadline)
      }
      ClientBootstrap(group: client.eventLoop)
        .channelOption(.tcpOption(.tcp_nodelay), value: 1)
        .channelOption(.allowRemoteHalfClosure, value: true)
        .connectTimeout(.seconds(2))
        .channelInitializer { server in
          server.eventLoop.makeCompletedFuture {
            try server.pipeline.syncOperations.addHandler(RelayHandler(self.toClients))
          }
        }
        .connect(host: address.host, port: Int(address.port))
        .whenComplete { result in
          guard case .success(let server) = result else { return self.again(client, relay, deadline) }
          // The role was changed while it was connected to, or the client has gone.
          guard client.isActive, self.enter(client, target) else {
            server.close(promise: nil)
            return client.isActive ? self.again(client, relay, deadline) : ()
          }
          client.closeFuture.whenComplete { _ in self.leave(client) }
          guard let other = try? server.pipeline.syncOperations.handler(type: RelayHandler.self) else { return }
          relay.value.join(other)
        }
    }
    private func again(_ client: any Channel, _ relay: NIOLoopBound<RelayHandler>, _ deadline: NIODeadline) {
      guard NIODeadline.now() < deadline else {
        state.withLock { $0.statistics.refused += 1 }
        return client.close(promise: nil)
      }
      client.eventLoop.scheduleTask(in: RouteRelay.retry) { self.find(client, relay, deadline) }
    }

    /// Notes a connection, unless its instance is no longer what it was: the sweep that found that may be over.
    private func enter(_ client: any Channel, _ target: EndpointTarget) -> Bool {
      state.withLock { $0.links[ObjectIdentifier(client)] = Link(target: target, client: client) }
      if route.endpoint.isCurrent(target) { return true }
      leave(client)
      return false
    }
    private func leave(_ client: any Channel) {
      _ = state.withLock { $0.links.removeValue(forKey: ObjectIdentifier(client)) }
    }

    /// Cuts the connections whose instance is no longer what it was.
    func cutStale() { cut { !route.endpoint.isCurrent($0) } }
    /// Cuts all.
    func cutAll() { cut { _ in true } }
    private func cut(_ condition: (EndpointTarget) -> Bool) {
      // The endpoint's state has a lock of its own: it is not asked under this one.
      let links = state.withLock { $0.links }
      for (id, link) in links where condition(link.target) {
        let isFound = state.withLock { state in
          guard state.links.removeValue(forKey: id) != nil else { return false }
          state.statistics.cut += 1
          return true
        }
        if isFound { link.client.close(promise: nil) }
      }
    }
  }
#endif
