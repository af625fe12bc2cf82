#if Router
  import Glibc
  import Borealis
  import Testing

  /// Waits until something holds, a minute at most.
  func eventually(_ what: Comment, _ condition: () async throws -> Bool) async throws {
    let deadline = ContinuousClock.now + .seconds(60)
    while try await !condition() {
      try #require(ContinuousClock.now < deadline, what)
      try await Task.sleep(for: .milliseconds(10))
    }
  }

  /// A client with a plain socket; its calls block, for ten seconds at most.
  final class LineClient {
    private let socket: Int32
    private var rest: [UInt8] = []
    /// A socket that is not connected yet.
    init() { socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0) }
    convenience init?(_ address: EngineAddress) {
      self.init()
      guard connect(address) else { return nil }
    }
    /// Leaves what it does not read with the other side.
    func takeLittle() { ScriptedServer.takeLittle(socket) }
    func connect(_ address: EngineAddress) -> Bool {
      var to = sockaddr_in()
      to.sin_family = sa_family_t(AF_INET)
      to.sin_port = address.port.bigEndian
      to.sin_addr.s_addr = inet_addr(address.host)
      var limit = timeval(tv_sec: 10, tv_usec: 0)
      setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
      let size = socklen_t(MemoryLayout<sockaddr_in>.size)
      return withUnsafePointer(to: &to) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { Glibc.connect(socket, $0, size) }
      } == 0
    }
    deinit { close(socket) }
    func send(_ bytes: [UInt8]) -> Bool {
      Glibc.send(socket, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count
    }
    /// Sends all, however long the other side takes.
    func sendAll(_ bytes: [UInt8]) -> Bool {
      var rest = bytes[...]
      while !rest.isEmpty {
        let count = rest.withUnsafeBytes { Glibc.send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
        guard count > 0 else { return false }
        rest = rest.dropFirst(count)
      }
      return true
    }
    func endOutput() { shutdown(socket, Int32(SHUT_WR)) }
    /// The next bytes; empty at the end, nil after ten seconds.
    func receive() -> [UInt8]? {
      if !rest.isEmpty {
        defer { rest = [] }
        return rest
      }
      var buffer = [UInt8](repeating: 0, count: 65536)
      let count = recv(socket, &buffer, buffer.count, 0)
      if count < 0 { return errno == EAGAIN || errno == EWOULDBLOCK ? nil : [] }
      return Array(buffer[..<count])
    }
    /// The next line without its end; nil where the connection ended or nothing came.
    func line() -> String? {
      var line: [UInt8] = []
      while let bytes = receive(), !bytes.isEmpty {
        line += bytes
        guard let end = line.firstIndex(of: 10) else { continue }
        rest = Array(line[(end + 1)...])
        return String(decoding: line[..<end], as: UTF8.self)
      }
      return nil
    }
    /// Whether the other side ends the connection within ten seconds.
    var isCut: Bool {
      while let bytes = receive() { if bytes.isEmpty { return true } }
      return false
    }
  }
#endif
