#if Router
  import Borealis
  import Glibc
  import NIOCore
  import Synchronization
  import Testing

  @testable import BorealisRouter

  /// Connections that end in every way, and those that never begin: nobody hangs, nothing that was said is lost.
  @Suite("Router: ends of connections", .serialized)
  struct EndingTests {
    /// A cluster of one instance with a server that runs `script`, its writer routed.
    private func scripted(
      limits: RouterLimits = RouterLimits(), _ script: @escaping @Sendable (Int32) -> Void,
      _ body: (EndpointRouter) async throws -> Void
    ) async throws {
      let cluster = try await Cluster.start(
        ClusterConfiguration("orders") {
          Engine(ScriptedEngine(server: ScriptedServer(script)))
          Writer()
        })
      let router = try await EndpointRouter.start(cluster, [Route(cluster.writer)], limits: limits)
      do { try await body(router) } catch {
        await router.stop()
        await cluster.stop()
        throw error
      }
      await router.stop()
      await cluster.stop()
    }
    private func client(_ router: EndpointRouter) throws -> LineClient {
      try #require(LineClient(router.routes[0].address))
    }

    @Test("a server that hangs up at once: no client is left open")
    func hangsUp() async throws {
      try await scripted({ _ in }) { router in
        for _ in 0..<200 { #expect(try client(router).isCut) }
        try await eventually("nothing is open") { router.statistics[0].open == 0 }
        #expect(router.statistics[0].accepted == 200)
      }
    }

    @Test("who says all in one go and ends, as those do that cancel a query, is heard: also while it waits")
    func saysAllAndEnds() async throws {
      let heard = Mutex<[Int]>([])
      try await scripted({ socket in
        let count = ScriptedServer.readAll(socket)
        heard.withLock { $0.append(count) }
      }) { router in
        // Closed at once, half and whole: the bytes and the end arrive while the server is still being connected to.
        for round in 0..<100 {
          let client = try client(router)
          #expect(client.send([UInt8](repeating: 1, count: 16)))
          if round % 2 == 0 {
            client.endOutput()
            #expect(client.isCut)
          }
        }
        try await eventually("all are heard") { heard.withLock { $0.count } == 100 }
        #expect(heard.withLock { $0 } == [Int](repeating: 16, count: 100))
        try await eventually("nothing is open") { router.statistics[0].open == 0 }
      }
    }

    @Test("while there is no instance: who ends without a word is let go; who has said something is heard later")
    func endsWhileItWaits() async throws {
      let cluster = try await Cluster.start(
        ClusterConfiguration("orders") {
          Engine(EchoEngine())
          Writer()
          CustomEndpoint("late", .reader, .allExcept([]))
        })
      let router = try await EndpointRouter.start(
        cluster, [Route(try cluster.endpoint("late"), waitMilliseconds: 120_000)])
      do {
        var silent: [LineClient] = []
        for _ in 0..<20 { silent.append(try client(router)) }
        let speaker = try client(router)
        #expect(speaker.send(Array("hello\n".utf8)))
        speaker.endOutput()
        let patient = try client(router)
        try await eventually("all wait") { router.statistics[0].waiting == 22 }
        silent = []
        try await eventually("the silent ones are gone") { router.statistics[0].waiting == 2 }
        try await cluster.addReader()
        #expect(speaker.line() == "orders-2 reader" && speaker.line() == "hello" && speaker.isCut)
        #expect(patient.line() == "orders-2 reader")
        #expect(router.statistics[0].refused == 0)
      } catch {
        await router.stop()
        await cluster.stop()
        throw error
      }
      await router.stop()
      await cluster.stop()
    }

    @Test("an answer of 8 MiB arrives whole though the client has ended its side and reads slowly")
    func longAnswer() async throws {
      let answer = (0..<8 << 20).map { UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 7) }
      try await scripted(
        limits: RouterLimits(sendBufferBytes: 16_384),
        { socket in
          _ = ScriptedServer.readAll(socket)
          ScriptedServer.sendAll(socket, answer)
        }
      ) { router in
        let client = LineClient()
        // So that much still waits in the router when the server has ended.
        client.takeLittle()
        try #require(client.connect(router.routes[0].address))
        #expect(client.send([1, 2, 3]))
        client.endOutput()
        var received: [UInt8] = []
        while let bytes = client.receive(), !bytes.isEmpty {
          received += bytes
          usleep(1000)
        }
        #expect(received.count == answer.count && received == answer)
        try await eventually("nothing is open") { router.statistics[0].open == 0 }
      }
    }

    @Test("a long upload arrives whole though the server reads slowly and the client has closed")
    func longUpload() async throws {
      let heard = Mutex(0)
      try await scripted(
        limits: RouterLimits(sendBufferBytes: 16_384),
        { socket in
          let count = ScriptedServer.readAll(socket, slowly: true)
          heard.withLock { $0 = count }
        }
      ) { router in
        do {
          let client = try client(router)
          let block = [UInt8](repeating: 7, count: 1 << 20)
          for _ in 0..<16 { #expect(client.sendAll(block)) }
        }
        try await eventually("all is heard") { heard.withLock { $0 } == 16 << 20 }
      }
    }

    @Test("a client that keeps a connection whose server has ended is let go after a while")
    func lingers() async throws {
      try await scripted(
        limits: RouterLimits(linger: .milliseconds(200)),
        { socket in
          var byte: UInt8 = 0
          recv(socket, &byte, 1, 0)
        }
      ) { router in
        let idle = try client(router)
        #expect(idle.send([1]) && idle.isCut)
        // The client does not close: it is the router that does.
        try await eventually("it is gone") { router.statistics[0].open == 0 }
        withExtendedLifetime(idle) {}
      }
    }

    @Test("a connection of which one side has ended goes on in the other direction, however slowly")
    func halfClosed() async throws {
      try await scripted(
        limits: RouterLimits(linger: .milliseconds(200)),
        { socket in
          _ = ScriptedServer.readAll(socket)
          // Longer than the router lingers: the client has ended, and waits for its answer.
          usleep(1_000_000)
          ScriptedServer.sendAll(socket, Array("done\n".utf8))
        }
      ) { router in
        let client = try client(router)
        #expect(client.send([1]))
        client.endOutput()
        #expect(client.line() == "done" && client.isCut)
      }
    }
  }
#endif
