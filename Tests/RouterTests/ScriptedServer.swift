#if Router
  import Borealis
  import Glibc
  import Synchronization

  /// SQLite behind the address of a server that does what a test wants.
  struct ScriptedEngine: ComputeEngine {
    let name = "scripted"
    let server: ScriptedServer
    let sqlite = SQLiteEngine()
    func start(_ start: InstanceStart) async throws(EngineError) -> any EngineInstance {
      ScriptedInstance(try await sqlite.start(start), server.address)
    }
  }

  final class ScriptedInstance: EngineInstance {
    private let inner: any EngineInstance
    let address: EngineAddress?
    init(_ inner: any EngineInstance, _ address: EngineAddress) {
      self.inner = inner
      self.address = address
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
    func stop() async { await inner.stop() }
    func terminate() { inner.terminate() }
    func inject(_ fault: EngineFault) { inner.inject(fault) }
  }

  /// A server whose connections are each a script on a thread, with plain blocking calls.
  final class ScriptedServer: Sendable {
    let address: EngineAddress
    private let listener: Int32

    init(_ script: @escaping @Sendable (Int32) -> Void) {
      let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
      self.listener = listener
      var at = sockaddr_in()
      at.sin_family = sa_family_t(AF_INET)
      at.sin_addr.s_addr = inet_addr("127.0.0.1")
      var size = socklen_t(MemoryLayout<sockaddr_in>.size)
      withUnsafeMutablePointer(to: &at) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
          _ = bind(listener, $0, size)
          _ = listen(listener, 128)
          _ = getsockname(listener, $0, &size)
        }
      }
      address = EngineAddress(host: "127.0.0.1", port: UInt16(bigEndian: at.sin_port))
      ScriptedServer.thread {
        while true {
          let client = accept(listener, nil, nil)
          guard client >= 0 else { return }
          ScriptedServer.thread {
            script(client)
            close(client)
          }
        }
      }
    }
    deinit {
      shutdown(listener, Int32(SHUT_RDWR))
      close(listener)
    }
    private final class Body {
      let run: @Sendable () -> Void
      init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }
    private static func thread(_ body: @escaping @Sendable () -> Void) {
      var thread = pthread_t()
      pthread_create(
        &thread, nil,
        { argument in
          if let argument { Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run() }
          return nil
        }, Unmanaged.passRetained(Body(body)).toOpaque())
      pthread_detach(thread)
    }

    // MARK: What scripts do

    /// Reads to the end of what the other side says; the number of bytes.
    static func readAll(_ socket: Int32, slowly: Bool = false) -> Int {
      var buffer = [UInt8](repeating: 0, count: 65536)
      if slowly { takeLittle(socket) }
      var total = 0
      while true {
        let count = recv(socket, &buffer, buffer.count, 0)
        guard count > 0 else { return total }
        total += count
        if slowly { usleep(1000) }
      }
    }
    /// The kernel keeps no more than this for who reads slowly.
    static func takeLittle(_ socket: Int32) {
      var bytes: Int32 = 65536
      setsockopt(socket, SOL_SOCKET, SO_RCVBUF, &bytes, socklen_t(MemoryLayout<Int32>.size))
    }
    /// Sends all, or as much as the other side takes.
    static func sendAll(_ socket: Int32, _ bytes: [UInt8]) {
      var rest = bytes[...]
      while !rest.isEmpty {
        let count = rest.withUnsafeBytes { send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
        guard count > 0 else { return }
        rest = rest.dropFirst(count)
      }
    }
  }
#endif
