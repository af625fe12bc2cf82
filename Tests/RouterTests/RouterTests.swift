#if Router
  import Borealis
  import BorealisRouter
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
