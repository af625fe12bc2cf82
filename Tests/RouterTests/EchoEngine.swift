#if Router
  import Borealis
  import NIOCore
  import NIOPosix
  import Synchronization

  /// SQLite behind an address: a server that says its name and role to each client, and sends back what it is sent.
  struct EchoEngine: ComputeEngine {
    let name = "echo"
    let sqlite = SQLiteEngine()
    func start(_ start: InstanceStart) async throws(EngineError) -> any EngineInstance {
      let inner = try await sqlite.start(start)
      do {
        return try await EchoInstance(inner, start.instance)
      } catch {
        inner.terminate()
        throw EngineError(.cannotStart, start.instance, "\(error)")
      }
    }
  }

  final class EchoInstance: EngineInstance {
    private let inner: any EngineInstance
    private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    private let listener: any Channel
    let address: EngineAddress?
    /// Whether the server outlives the end of the instance: one that nobody can reach, and that goes on.
    private let clients: Clients

    final class Clients: Sendable {
      private let all = Mutex<[any Channel]>([])
      func add(_ channel: any Channel) { all.withLock { $0.append(channel) } }
      func cut() {
        for channel in all.withLock({ $0 }) { channel.close(promise: nil) }
      }
    }
    private final class Echo: ChannelInboundHandler {
      typealias InboundIn = ByteBuffer
      typealias OutboundOut = ByteBuffer
      let greeting: @Sendable () -> String
      init(_ greeting: @escaping @Sendable () -> String) { self.greeting = greeting }
      func channelActive(context: ChannelHandlerContext) {
        context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: greeting() + "\n")), promise: nil)
      }
      func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        context.writeAndFlush(wrapOutboundOut(unwrapInboundIn(data)), promise: nil)
      }
    }

    init(_ inner: any EngineInstance, _ name: InstanceIdentifier) async throws {
      self.inner = inner
      let clients = Clients()
      self.clients = clients
      listener = try await ServerBootstrap(group: group)
        .childChannelInitializer { channel in
          clients.add(channel)
          return channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandler(Echo { "\(name) \(inner.role)" })
          }
        }
        .bind(host: "127.0.0.1", port: 0).get()
      address = EngineAddress(host: "127.0.0.1", port: UInt16(listener.localAddress?.port ?? 0))
    }
    deinit {
      listener.close(promise: nil)
      group.shutdownGracefully { _ in }
    }
    var role: InstanceRole { inner.role }
    var statistics: EngineStatistics { inner.statistics }
    var position: LSN? { inner.position }
    func waitUntilVisible(_ lsn: LSN, timeoutMilliseconds: UInt64) async -> Bool {
      await inner.waitUntilVisible(lsn, timeoutMilliseconds: timeoutMilliseconds)
    }
    func checkHealth(timeoutMilliseconds: UInt64) async throws(EngineError) {
      try await inner.checkHealth(timeoutMilliseconds: timeoutMilliseconds)
    }
    func attach(_ storage: EngineStorage) async throws(EngineError) { try await inner.attach(storage) }
    func resize(to capacity: InstanceCapacity) async { await inner.resize(to: capacity) }
    func connect() async throws(SQLError) -> any SQLConnection { try await inner.connect() }
    func drain(timeoutMilliseconds: UInt64) async -> Bool {
      await inner.drain(timeoutMilliseconds: timeoutMilliseconds)
    }
    func stop() async {
      await inner.stop()
      clients.cut()
    }
    // The server goes on, as one that was cut off from the cluster would: whoever is to be cut, the router has to cut.
    func terminate() { inner.terminate() }
    func inject(_ fault: EngineFault) { inner.inject(fault) }
  }
#endif
