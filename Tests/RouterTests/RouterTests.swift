#if Router
  import Borealis
  import BorealisRouter
  import Glibc
  import Synchronization
  import Testing

  @Suite("Router: endpoints as TCP addresses", .serialized)
  struct RouterTests {
    /// A cluster of servers, its endpoints routed: the writer's first, then the readers'.
    private func routed(
      readers: Int, wait: UInt64 = 30_000, _ body: @Sendable (Cluster, EndpointRouter) async throws -> Void
    ) async throws {
      let cluster = try await Cluster.start(
        ClusterConfiguration("orders") {
          Engine(EchoEngine())
          Writer()
          Readers(readers)
        })
      let router = try await EndpointRouter.start(
        cluster,
        [Route(cluster.writer, waitMilliseconds: wait), Route(cluster.reader, waitMilliseconds: wait)])
      do { try await body(cluster, router) } catch {
        await router.stop()
        await cluster.stop()
        throw error
      }
      await router.stop()
      await cluster.stop()
    }
    private func connect(_ router: EndpointRouter, _ route: Int) async throws -> LineClient {
      try #require(LineClient(router.routes[route].address))
    }

    @Test("the cluster endpoint leads to the writer, the reader endpoint to the readers in turn; bytes are counted")
    func roles() async throws {
      try await routed(readers: 2) { _, router in
        let writer = try await connect(router, 0)
        #expect(writer.line() == "orders-1 writer")
        let readers = try [LineClient(router.routes[1].address), LineClient(router.routes[1].address)].map {
          try #require($0).line()
        }
        #expect(readers.sorted { $0 ?? "" < $1 ?? "" } == ["orders-2 reader", "orders-3 reader"])
        #expect(writer.send(Array("hello\n".utf8)) && writer.line() == "hello")
        let statistics = router.statistics[0]
        #expect(statistics.accepted == 1 && statistics.open == 1 && statistics.bytesToServers == 6)
        #expect(statistics.bytesToClients == 6 + 16)
      }
    }

    @Test("many bytes arrive whole and in order though the client reads late; a half-closed connection goes on")
    func backPressure() async throws {
      try await routed(readers: 0) { _, router in
        let client = try await connect(router, 0)
        #expect(client.line() == "orders-1 writer")
        // More than all buffers hold would be stuck without a reader: so less than that, many times.
        var expected: [UInt8] = []
        var received: [UInt8] = []
        for round in 0..<40 {
          let block = (0..<100_000).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ round) }
          expected += block
          #expect(client.send(block))
          while received.count < expected.count - 200_000, let bytes = client.receive(), !bytes.isEmpty {
            received += bytes
          }
        }
        client.endOutput()
        while received.count < expected.count, let bytes = client.receive(), !bytes.isEmpty { received += bytes }
        #expect(received == expected)
      }
    }

    @Test("a failover moves the endpoint in place, and cuts those who talk to a writer that was replaced and runs on")
    func failover() async throws {
      try await routed(readers: 2) { cluster, router in
        let old = try await connect(router, 0)
        #expect(old.line() == "orders-1 writer")
        let reader = try #require(LineClient(router.routes[1].address))
        let follows = try #require(reader.line())
        // Its server takes no notice of its end.
        try await cluster.chaos.killWriter()
        // Until the cluster has noticed, the old one takes connections: they are cut with the others.
        try await eventually("the endpoint leads to the new writer") {
          let new = try await connect(router, 0)
          return new.line() == "orders-2 writer"
        }
        #expect(old.isCut && router.statistics[0].cut >= 1)
        // Whoever reads where the role has changed is cut as well; who reads elsewhere stays.
        if follows == "orders-3 reader" {
          #expect(reader.send([65, 10]) && reader.line() == "A")
        } else {
          #expect(reader.isCut)
        }
      }
    }

    @Test("while there is no instance a client waits, and is turned away in time")
    func nobody() async throws {
      try await routed(readers: 0) { cluster, _ in
        try await cluster.setEndpoint(CustomEndpoint("nobody", .reader, .only(["orders-1"])))
        let router = try await EndpointRouter.start(
          cluster, [Route(try cluster.endpoint("nobody"), waitMilliseconds: 300)])
        let client = try await connect(router, 0)
        #expect(client.isCut)
        #expect(router.statistics[0].refused == 1 && router.statistics[0].open == 0)
        await router.stop()
      }
    }

    @Test("clients that wait for a failover to end are all served, and soon, however many they are")
    func crowd() async throws {
      try await routed(readers: 0) { cluster, _ in
        try await cluster.setEndpoint(CustomEndpoint("late", .reader, .allExcept([])))
        let router = try await EndpointRouter.start(
          cluster, [Route(try cluster.endpoint("late"), waitMilliseconds: 120_000)])
        let clients = try (0..<300).map { _ in try #require(LineClient(router.routes[0].address)) }
        try await eventually("all wait") { router.statistics[0].waiting == 300 }
        try await cluster.addReader()
        for client in clients { #expect(client.line() == "orders-2 reader") }
        #expect(router.statistics[0].waiting == 0 && router.statistics[0].open == 300)
        withExtendedLifetime(clients) {}
        await router.stop()
      }
    }

    @Test("routes are opened, changed and closed while the router runs; who is connected stays, and is cut as before")
    func changes() async throws {
      try await routed(readers: 2) { cluster, router in
        try await cluster.setEndpoint(CustomEndpoint("some", .any, .only(["orders-2"])))
        let route = try await router.open(Route(try cluster.endpoint("some")))
        #expect(route.port > 0 && router.routes.map(\.port).last == route.port)
        let first = try #require(LineClient(route.address))
        #expect(first.line() == "orders-2 reader")
        try await cluster.setEndpoint(CustomEndpoint("some", .any, .allExcept(["orders-1", "orders-2"])))
        router.change(try cluster.endpoint("some"))
        let second = try #require(LineClient(route.address))
        #expect(second.line() == "orders-3 reader")
        await router.close("some")
        #expect(router.routes.count == 2 && LineClient(route.address) == nil)
        #expect(first.send([65, 10]) && first.line() == "A")
        try await cluster.chaos.kill("orders-3")
        #expect(second.isCut)
        #expect(first.send([66, 10]) && first.line() == "B")
        // A port that is taken: nothing is left of it, and the others go on.
        let taken = Route(try cluster.endpoint("some"), port: router.routes[0].port)
        let error = await #expect(throws: RouterError.self) { try await router.open(taken) }
        #expect(error?.code == .cannotListen && router.routes.count == 2)
        #expect(try await connect(router, 0).line() == "orders-1 writer")
      }
    }

    @Test("out of open files: it is told, nothing spins, and clients are served when there are some again")
    func outOfFiles() async {
      // In a process of its own: others would be without files too.
      await #expect(processExitsWith: .success) { try await RouterTests.useUpFiles() }
    }
    private static func useUpFiles() async throws {
      let cluster = try await Cluster.start(
        ClusterConfiguration("orders") {
          Engine(EchoEngine())
          Writer()
        })
      let told = Mutex<[RouterError]>([])
      let router = try await EndpointRouter.start(cluster, [Route(cluster.writer)]) { error in
        told.withLock { $0.append(error) }
      }
      // The clients have their files before there are no more.
      var clients = (0..<60).map { _ in LineClient() }
      let next = dup(0)
      close(next)
      var limit = rlimit()
      getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
      let old = limit
      limit.rlim_cur = rlim_t(next) + 9
      setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
      for client in clients { try #require(client.connect(router.routes[0].address)) }
      try await eventually("somebody is told") { !told.withLock { $0.isEmpty } }
      let before = router.statistics[0].failed
      try await Task.sleep(for: .seconds(2))
      // Each client that waits tries three times a second, and accepting is tried once.
      let more = router.statistics[0].failed - before
      #expect(more < 200, "\(more) tries")
      let texts = told.withLock { $0.map(\.description) }
      #expect(texts.allSatisfy { $0.contains("ulimit -n") }, "\(texts)")
      clients = []
      try await eventually("a client is served again") {
        LineClient(router.routes[0].address)?.line() == "orders-1 writer"
      }
      limit = old
      setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
      await router.stop()
      await cluster.stop()
    }

    @Test("an address in use is refused by name")
    func inUse() async throws {
      try await routed(readers: 0) { cluster, router in
        let taken = Route(cluster.writer, port: router.routes[0].port)
        let error = await #expect(throws: RouterError.self) { try await EndpointRouter.start(cluster, [taken]) }
        #expect(error?.code == .cannotListen && error?.address == "127.0.0.1:\(taken.port)")
      }
    }
  }
#endif
