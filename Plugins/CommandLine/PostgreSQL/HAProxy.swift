import Borealis
import BorealisPostgreSQL
import Foundation

/// HAProxy in front of one server, as it comes: what people would put there instead of our router.
final class HAProxy: @unchecked Sendable {
  // @unchecked: `process` is started in `init` and ended in `stop`, by one task.
  static let installLine = "apt-get install haproxy"
  let address: EngineAddress
  private let process = Process()

  /// Where it is installed; nil where it is not.
  static func find() -> String? {
    let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
    let folders = path.split(separator: ":").map(String.init) + ["/usr/sbin", "/usr/local/sbin"]
    return folders.map { $0 + "/haproxy" }.first { FileManager.default.isExecutableFile(atPath: $0) }
  }

  /// Starts it; it takes connections when this returns.
  init(_ program: String, to server: EngineAddress, in directory: String) async throws {
    guard let port = ListeningAddress.freePort(on: "127.0.0.1") else { throw BenchError("no port is free") }
    address = EngineAddress(host: "127.0.0.1", port: port)
    let file = directory + "/haproxy.cfg"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    try """
    defaults
      mode tcp
      timeout connect 5s
      timeout client 1h
      timeout server 1h
    listen postgresql
      bind \(address)
      server writer \(server)

    """.write(toFile: file, atomically: true, encoding: .utf8)
    process.executableURL = URL(fileURLWithPath: program)
    // In the foreground, without a word.
    process.arguments = ["-db", "-q", "-f", file]
    try process.run()
    for _ in 0..<500 {
      // Nobody else can have the port any more: it listens.
      if ListeningAddress.freePort(on: "127.0.0.1", port) == nil { return }
      guard process.isRunning else { break }
      try await Task.sleep(for: .milliseconds(10))
    }
    stop()
    throw BenchError("\(program) does not listen on \(address)")
  }
  func stop() {
    guard process.isRunning else { return }
    kill(process.processIdentifier, SIGKILL)
    process.waitUntilExit()
  }
}
