import BorealisClusterModel
import BorealisComputeEngine
import BorealisCore
import BorealisRuntime
import Foundation
import Synchronization
import Testing

@testable import BorealisPostgreSQL

/// All tests with real servers, one after the other: they would take the processors from each other.
///
/// Without a server they fail, and the failure says how to install one.
@Suite(.serialized) enum PostgreSQLTests {}

/// A directory of a test, and the servers that run in it.
final class TestServers: Sendable {
  let directory: String
  let log = Mutex<[String]>([])
  private let running = Mutex<[PostgreSQLServer]>([])
  static let password = "correct horse: battery\\staple"

  init() throws {
    directory = "/tmp/bpg-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
    try FileManager.default.createDirectory(
      atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o711])
  }
  func end() async {
    let (servers, directory) = (running.withLock { $0 }, directory)
    await onThread {
      for server in servers { server.terminate() }
      for server in servers { server.waitForEnd(milliseconds: 5000) }
      try? FileManager.default.removeItem(atPath: directory)
    }
  }
  var data: String { directory + "/data" }

  static func freePort() -> UInt16 { ListeningAddress.freePort(on: "127.0.0.1") ?? 0 }

  func initialize(_ name: String = "data") async throws {
    let path = directory + "/" + name
    let template = try await TestServers.template.value
    try await blocking {
      _ = try ChildProcess.run(Program(path: "/bin/cp", arguments: ["-a", template, path]), milliseconds: 60_000)
    }
  }
  /// What `initdb` makes, made once: it takes seconds.
  private static let template = Task { () throws -> String in
    let directory = "/tmp/bpg-template-\(getpid())"
    atexit { try? FileManager.default.removeItem(atPath: "/tmp/bpg-template-\(getpid())") }
    try await blocking {
      try PostgreSQLServer.initialize(
        at: directory + "/data", password: TestServers.password, workDirectory: directory + "/work")
    }
    return directory + "/data"
  }
  func configuration(_ name: InstanceIdentifier = "writer", data: String = "data") -> ServerConfiguration {
    var configuration = ServerConfiguration(
      name, dataDirectory: directory + "/" + data, runDirectory: directory + "/\(name)",
      address: EngineAddress(host: "127.0.0.1", port: TestServers.freePort()), password: TestServers.password)
    configuration.onLog = { [weak self] line in self?.log.withLock { $0.append(line) } }
    return configuration
  }
  func start(_ configuration: ServerConfiguration) async throws -> PostgreSQLServer {
    let server = try await blocking { try PostgreSQLServer(configuration) }
    running.withLock { $0.append(server) }
    return server
  }
  func logHas(_ text: String) -> Bool { log.withLock { $0.contains { $0.contains(text) } } }
}

/// Runs what blocks on a thread of its own.
func blocking<T: Sendable>(_ body: @escaping @Sendable () throws -> T) async throws -> T {
  let result: Result<T, any Error> = await onThread { Result { try body() } }
  return try result.get()
}

/// Runs a test with servers, and ends them whatever happens.
func withServers(_ body: (TestServers) async throws -> Void) async throws {
  let servers = try TestServers()
  do { try await body(servers) } catch {
    await servers.end()
    throw error
  }
  await servers.end()
}

/// Waits until a condition holds.
func eventually(_ what: Comment, seconds: Double = 20, _ condition: () async throws -> Bool) async throws {
  let deadline = Date().addingTimeInterval(seconds)
  while true {
    if (try? await condition()) == true { return }
    guard Date() < deadline else {
      Issue.record(what)
      return
    }
    try await Task.sleep(for: .milliseconds(20))
  }
}

extension PostgreSQLServer {
  /// Runs statements on a connection of the cluster's own.
  @discardableResult
  func rows(_ sql: String) async throws -> [SQLRow] {
    let target = ownTarget()
    return try await blocking {
      let session = try PQSession(target)
      defer { session.close() }
      return try session.query(sql, parameters: [])
    }
  }
}

/// Removes an engine's directory, once nothing is mounted in it: else files of a volume would be removed.
func removeWhenUnmounted(_ directory: String) async {
  for _ in 0..<500 where SystemFiles.text(of: "/proc/self/mounts")?.contains(directory) == true {
    try? await Task.sleep(for: .milliseconds(10))
  }
  if SystemFiles.text(of: "/proc/self/mounts")?.contains(directory) != true { SystemFiles.removeAll(directory) }
}
