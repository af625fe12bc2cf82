#if Router
  import Borealis
  import Glibc
  import NIOCore
  import Testing

  @testable import BorealisRouter

  @Suite("Router: names", .serialized)
  struct NameServerTests {
    /// A query for one name.
    private static func query(_ name: String, type: UInt16 = 1, recordClass: UInt16 = 1) -> [UInt8] {
      var bytes: [UInt8] = [0x12, 0x34, 0x01, 0, 0, 1, 0, 0, 0, 0, 0, 0]
      for label in name.split(separator: ".") { bytes += [UInt8(label.utf8.count)] + Array(label.utf8) }
      return bytes + [0, UInt8(type >> 8), UInt8(type & 255), UInt8(recordClass >> 8), UInt8(recordClass & 255)]
    }
    /// Asks over UDP, and over TCP where `stream`; nil where no answer came.
    private static func ask(_ server: EngineAddress, _ query: [UInt8], stream: Bool = false) -> [UInt8]? {
      let kind = stream ? SOCK_STREAM : SOCK_DGRAM
      let socket = Glibc.socket(AF_INET, Int32(kind.rawValue), 0)
      defer { close(socket) }
      var to = sockaddr_in()
      to.sin_family = sa_family_t(AF_INET)
      to.sin_port = server.port.bigEndian
      to.sin_addr.s_addr = inet_addr(server.host)
      var limit = timeval(tv_sec: 10, tv_usec: 0)
      setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
      let size = socklen_t(MemoryLayout<sockaddr_in>.size)
      let connected = withUnsafePointer(to: &to) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(socket, $0, size) }
      }
      guard connected == 0 else { return nil }
      let sent = stream ? [UInt8(query.count >> 8), UInt8(query.count & 255)] + query : query
      // In two parts over TCP: a message may arrive in any.
      for part in stream ? [Array(sent[..<5]), Array(sent[5...])] : [sent] { send(socket, part, part.count, 0) }
      var buffer = [UInt8](repeating: 0, count: 4096)
      let count = recv(socket, &buffer, buffer.count, 0)
      guard count > 0 else { return nil }
      return Array(buffer[(stream ? 2 : 0)..<count])
    }
    private static func code(_ answer: [UInt8]?) -> UInt8? { answer.map { $0[3] & 0x0F } }
    /// The one address in an answer.
    private static func address(_ answer: [UInt8]?) -> String? {
      guard let answer, answer[7] == 1 else { return nil }
      return answer.suffix(4).map(String.init).joined(separator: ".")
    }

    @Test("each endpoint's name stands for an instance's address, and follows a failover")
    func names() async throws {
      let cluster = try await Cluster.start(
        ClusterConfiguration("demo") {
          Engine(EchoEngine())
          Writer()
          Reader()
          CustomEndpoint("analytics", .any, .only(["demo-2"]))
        })
      let server = try await NameServer.start(cluster)
      func ask(_ name: String, _ type: UInt16 = 1, stream: Bool = false) -> [UInt8]? {
        Self.ask(server.address, Self.query(name, type: type), stream: stream)
      }
      for name in [
        "demo.cluster.local", "DEMO-ro.cluster.local", "analytics.demo.cluster.local", "demo-1.cluster.local",
        "demo-2.cluster.local",
      ] {
        #expect(Self.address(ask(name)) == "127.0.0.1", "\(name)")
        #expect(Self.address(ask(name, stream: true)) == "127.0.0.1", "\(name)")
      }
      #expect(Self.code(ask("demo-3.cluster.local")) == 3)
      #expect(Self.code(ask("other.demo.cluster.local")) == 3)
      #expect(Self.code(ask("example.org")) == 5)
      // An IPv6 address: the name is there, without one.
      #expect(Self.code(ask("demo.cluster.local", 28)) == 0 && Self.address(ask("demo.cluster.local", 28)) == nil)
      await server.stop()
      await cluster.stop()
    }

    @Test("who asks nothing over TCP, or takes no answers, is let go")
    func idleClients() async throws {
      let cluster = try await Cluster.inMemory("demo", readers: 0)
      let server = try await NameServer.start(cluster, idle: .milliseconds(200))
      let silent = try #require(LineClient(server.address))
      #expect(silent.isCut)
      let deaf = try #require(LineClient(server.address))
      let query = Self.query("demo.cluster.local")
      let block = (0..<1000).flatMap { _ in [UInt8(query.count >> 8), UInt8(query.count & 255)] + query }
      // Without end: only the server's end of it stops the sending.
      var rounds = 0
      while rounds < 100_000, deaf.sendAll(block) { rounds += 1 }
      #expect(rounds < 100_000)
      await server.stop()
      await cluster.stop()
    }

    @Test("whatever comes is answered, refused or dropped; 200,000 random and mutated messages")
    func malformed() async throws {
      let cluster = try await Cluster.inMemory("demo", readers: 0)
      let names = ClusterNames(cluster, domain: "cluster.local", ttlSeconds: 1)
      var generator = DeterministicGenerator(seed: 7)
      let good = Self.query("demo.cluster.local")
      var kinds: Set<UInt8> = []
      for round in 0..<200_000 {
        var bytes = good
        if round % 2 == 0 {
          bytes = (0..<Int(generator.next() % 64)).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
        } else {
          for _ in 0...Int(generator.next() % 3) {
            bytes[Int(generator.next() % UInt64(bytes.count))] = UInt8(truncatingIfNeeded: generator.next())
          }
          bytes.removeLast(Int(generator.next() % UInt64(bytes.count)))
        }
        guard let answer = DNSMessage.answer(to: bytes, names) else { continue }
        #expect(answer.count >= 12 && Array(answer[..<2]) == Array(bytes[..<2]) && answer[2] & 0x80 != 0)
        kinds.insert(answer[3] & 0x0F)
      }
      #expect(kinds.isSuperset(of: [0, 1, 3, 4, 5]), "\(kinds)")
      await cluster.stop()
    }
  }
#endif
