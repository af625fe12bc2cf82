import Borealis
import BorealisMount
import BorealisPostgreSQL
import BorealisRuntime
import Foundation
import Synchronization

/// The size that every server here has, in the cluster or not: 256 MB of shared_buffers, 117 connections.
private let size = InstanceClass.localMedium

/// Removes a directory in which nothing is mounted.
private func removeFiles(_ directory: String) async {
  await onThread {
    guard FileManager.default.fileExists(atPath: directory) else { return }
    do { try FileManager.default.removeItem(atPath: directory) } catch { tell("note: \(error)") }
  }
}

/// A cluster of PostgreSQL on six nodes on files, in this process.
struct BenchCluster: Sendable {
  static let name = "bench"
  let cluster: Cluster
  let clients: PGBench

  /// Runs `body` with a cluster; ends it and removes its files on every path.
  static func with<T: Sendable>(
    _ options: PGBenchOptions, in directory: String, replication: any ReplicationPolicy = .aurora, readers: Int = 0,
    parameters: [String: String] = [:], _ body: (BenchCluster) async throws -> T
  ) async throws -> T {
    try options.interruption.check()
    tell("cluster, \(replication.name), in \(directory)")
    var settings = PostgreSQLOptions()
    // As the peers: the figures are about storage.
    settings.encryption = .none
    settings.parameters = parameters
    let engine = try PostgreSQLEngine(at: directory + "/servers", mounter: FUSEMounter(), options: settings)
    let configuration = ClusterConfiguration(name) {
      Storage(.files(at: directory + "/volume"), replication: replication)
      Engine(engine)
      Writer(.provisioned(size))
      Readers(readers, .provisioned(size))
    }
    let result: Result<T, any Error>
    do {
      let cluster = try await Cluster.start(configuration)
      do {
        guard let address = cluster.writer.target()?.address else { throw BenchError("the writer has no address") }
        let clients = try await PGBench(
          installation: PostgreSQLInstallation.find(), address: address,
          password: password(in: engine.passwordFile(of: name)), interruption: options.interruption)
        result = .success(try await body(BenchCluster(cluster: cluster, clients: clients)))
      } catch { result = .failure(error) }
      await cluster.stop()
    } catch { result = .failure(error) }
    try await remove(directory)
    return try result.get()
  }
  private static func password(in file: String) async throws -> String {
    let text = await onThread { try? String(contentsOfFile: file, encoding: .utf8) }
    guard let line = text?.split(separator: "\n").first else { throw BenchError("\(file) cannot be read") }
    return String(line)
  }
  /// Removes the files, once nothing is mounted there.
  private static func remove(_ directory: String) async throws {
    for _ in 0..<1000 {
      let mounts = (try? String(contentsOfFile: "/proc/self/mounts", encoding: .utf8)) ?? ""
      guard mounts.contains(directory) else { return await removeFiles(directory) }
      try? await Task.sleep(for: .milliseconds(20))
    }
    throw BenchError("a mount in \(directory) did not end; `umount -l` it and remove the directory")
  }
}

/// Servers on ordinary directories: what a user would run instead.
final class LocalServers: Sendable {
  private static let password = "only for this benchmark"
  private let directory: String
  private let options: PGBenchOptions
  private let running = Mutex<[PostgreSQLServer]>([])

  private init(_ options: PGBenchOptions, _ directory: String) {
    self.options = options
    self.directory = directory
  }

  /// Runs `body`, which starts servers; ends them and removes their files on every path.
  static func with<T: Sendable>(
    _ options: PGBenchOptions, in directory: String, _ body: (LocalServers) async throws -> T
  ) async throws -> T {
    let servers = LocalServers(options, directory)
    let result: Result<T, any Error>
    do { result = .success(try await body(servers)) } catch { result = .failure(error) }
    await servers.stopAll(inGoodOrder: false)
    await removeFiles(directory)
    return try result.get()
  }

  /// Makes a database with nothing but PostgreSQL's own defaults and starts its server.
  func startPrimary() async throws -> PGBench {
    tell("local PostgreSQL in \(directory)")
    let directory = directory
    try await blocking {
      try FileManager.default.createDirectory(
        atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o711])
      try PostgreSQLServer.initialize(
        at: directory + "/data", password: Self.password, workDirectory: directory + "/initdb")
    }
    return try await start("primary", data: "data")
  }
  /// Gives the primary five standbys, three of which have every commit before it is acknowledged.
  func addStandbys() async throws -> PGBench {
    let names = (1...5).map { "s\($0)" }
    // Not the default: without it, or slots, a standby that is behind for a moment could not go on.
    let keep = ["wal_keep_size": "1GB"]
    await stopAll(inGoodOrder: true)
    _ = try await start("primary", data: "data", parameters: keep)
    for name in names {
      try options.interruption.check()
      tell("standby \(name)")
      guard let primary = running.withLock({ $0.first }) else { throw BenchError("there is no primary") }
      let path = directory + "/" + name
      try await blocking { try primary.copy(to: path) }
    }
    await stopAll(inGoodOrder: true)
    let clients = try await start(
      "primary", data: "data",
      parameters: keep.merging(["synchronous_standby_names": "ANY 3 (\(names.joined(separator: ",")))"]) { $1 })
    for name in names { _ = try await start(name, data: name, role: .standby(of: clients.address, authority: nil)) }
    let deadline = ContinuousClock.now + .seconds(60)
    while try await !Self.allStream(clients) {
      guard ContinuousClock.now < deadline else { throw BenchError("the standbys do not stream") }
      try await Task.sleep(for: .milliseconds(100))
    }
    return clients
  }

  /// Whether all five standbys are there: what was measured without some of them is worth nothing.
  static func allStream(_ clients: PGBench) async throws -> Bool {
    try await clients.sql(
      "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = 'quorum'") == ["5"]
  }

  private func start(
    _ name: String, data: String, role: ServerConfiguration.Role = .primary, parameters: [String: String] = [:]
  ) async throws -> PGBench {
    try options.interruption.check()
    guard let port = ListeningAddress.freePort(on: "127.0.0.1") else { throw BenchError("no port is free") }
    let address = EngineAddress(host: "127.0.0.1", port: port)
    var configuration = ServerConfiguration(
      InstanceIdentifier(name), dataDirectory: directory + "/" + data, runDirectory: directory + "/run-" + name,
      address: address, password: Self.password)
    configuration.capacity = size.capacity
    configuration.role = role
    configuration.parameters = Self.defaults.merging(parameters) { $1 }
    let final = configuration
    let server = try await blocking { try PostgreSQLServer(final) }
    running.withLock { $0.append(server) }
    return PGBench(
      installation: server.installation, address: address, password: Self.password,
      interruption: options.interruption)
  }
  /// The standbys go last: what the primary still has to tell them, somebody hears.
  private func stopAll(inGoodOrder: Bool) async {
    let servers = running.withLock { servers in
      defer { servers = [] }
      return servers
    }
    await onThread {
      for server in servers {
        if inGoodOrder { server.stop(milliseconds: 60_000) } else { server.terminate() }
      }
      for server in servers { server.waitForEnd(milliseconds: 10_000) }
    }
  }
  private func blocking<T: Sendable>(_ body: @escaping @Sendable () throws -> T) async throws -> T {
    let result: Result<T, any Error> = await onThread { Result { try body() } }
    return try result.get()
  }

  /// PostgreSQL 15's own values of what a cluster sets otherwise; memory and connections stay as there.
  private static let defaults = [
    "full_page_writes": "on", "wal_init_zero": "on", "wal_recycle": "on",
    "checkpoint_timeout": "5min", "max_wal_size": "1GB", "min_wal_size": "80MB", "checkpoint_flush_after": "256kB",
    "bgwriter_flush_after": "512kB", "backend_flush_after": "0", "max_wal_senders": "10",
    "max_replication_slots": "10",
    "wal_keep_size": "0", "hot_standby_feedback": "off", "wal_receiver_status_interval": "10s",
    "wal_retrieve_retry_interval": "5s", "wal_receiver_timeout": "60s", "wal_sender_timeout": "60s",
    "effective_cache_size": "4GB", "maintenance_work_mem": "64MB", "huge_pages": "try",
  ]
}
