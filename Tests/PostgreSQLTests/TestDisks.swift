import Borealis
import BorealisClusterModel
import BorealisComputeEngine
import BorealisCore
import BorealisMount
import BorealisRuntime
import Foundation
import Testing

@testable import BorealisPostgreSQL

/// The disks of six storage nodes, in memory, which lose power and fill up; they outlast the nodes that use them.
final class TestDisks: Sendable {
  private let disks: [FaultyStorageBackend<InMemoryStorageBackend>]
  private let coordinator = InMemoryCoordinator()
  private let volume = VolumeID(SystemClock.wallClock)

  init() {
    disks = StorageFleet.topology(for: AuroraPolicy()).indices.map {
      FaultyStorageBackend(InMemoryStorageBackend(), seed: UInt64($0))
    }
    // Closed at first: a node opens its disk when it starts.
    for disk in disks { disk.close() }
  }
  /// Starts the nodes on what the disks have.
  func start() throws -> StorageFleet {
    // Small chunks: they are sealed, folded into pages and used again while a test runs.
    try StorageFleet(
      volume: volume, topology: StorageFleet.topology(for: AuroraPolicy()), coordinator: coordinator,
      configuration: StorageNodeConfiguration(chunkSize: 4 << 20)
    ) { [disks] (placement) throws(StorageBackendError) in
      let disk = disks[Int(placement.node.value)]
      try disk.reopen()
      return SlowDisk(disk)
    }
  }
  /// Opens the volume, or makes it.
  func open(on fleet: StorageFleet) throws -> Volume {
    try coordinator.load() == nil ? try Volume.create(on: fleet) : try Volume.open(on: fleet)
  }

  /// Cuts the power of all nodes: from now on nothing is written and nothing is synced.
  ///
  /// Waits a moment for one that has something to lose.
  func cutPower() {
    let deadline = SystemClock.now.advanced(byMilliseconds: 2000)
    while SystemClock.now < deadline {
      if disks.contains(where: { disk in StorageFile.allCases.contains { disk.hasUnsyncedChanges($0) } }) { break }
    }
    for disk in disks { disk.close() }
  }
  /// Decides what becomes of the sectors that were not synced; the nodes are stopped.
  func crash(_ crash: StorageCrash, using generator: inout DeterministicGenerator) -> StorageCrashReport {
    var sum = StorageCrashReport()
    for disk in disks {
      let report = disk.crash(using: &generator, crash)
      sum.keptSectors += report.keptSectors
      sum.lostSectors += report.lostSectors
    }
    return sum
  }
  /// Has all disks say that they have synced without doing it.
  func lieAboutSyncs() { for disk in disks { disk.inject(.lieAboutSync("lie", file: nil)) } }
  func stopLying() { for disk in disks { disk.removeFaults(labelled: "lie") } }
  /// Fills that many disks up, or gives all of them room again.
  func fill(_ count: Int) { for (i, disk) in disks.enumerated() { disk.setFull(i < count) } }
}

/// A disk whose syncs take as long as those of one, so that power is lost while there is something to lose.
private final class SlowDisk: StorageBackend {
  private static let syncMicroseconds: UInt32 = 1500
  private let base: FaultyStorageBackend<InMemoryStorageBackend>

  init(_ base: FaultyStorageBackend<InMemoryStorageBackend>) { self.base = base }
  func size(of file: StorageFile) throws(StorageBackendError) -> ByteCount { try base.size(of: file) }
  func read(
    _ file: StorageFile, at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer
  ) throws(StorageBackendError) { try base.read(file, at: offset, into: buffer) }
  func write(
    _ file: StorageFile, at offset: UInt64, _ bytes: UnsafeRawBufferPointer
  ) throws(StorageBackendError) { try base.write(file, at: offset, bytes) }
  func sync(_ file: StorageFile) throws(StorageBackendError) {
    if base.hasUnsyncedChanges(file) { usleep(Self.syncMicroseconds) }
    try base.sync(file)
  }
  func reserve(_ file: StorageFile, upTo size: ByteCount) throws(StorageBackendError) {
    try base.reserve(file, upTo: size)
  }
  func release(_ file: StorageFile, from offset: UInt64, length: ByteCount) throws(StorageBackendError) {
    try base.release(file, from: offset, length: length)
  }
  func truncate(_ file: StorageFile, to size: ByteCount) throws(StorageBackendError) {
    try base.truncate(file, to: size)
  }
  func close() { base.close() }
}

/// A server that writes on nodes with such disks, without a cluster that would replace it.
final class TestWriter: Sendable {
  let fleet: StorageFleet
  let volume: Volume
  let instance: PostgreSQLEngineInstance

  init(_ engine: PostgreSQLEngine, _ disks: TestDisks) async throws {
    let (fleet, volume) = try await blocking {
      let fleet = try disks.start()
      do { return (fleet, try disks.open(on: fleet)) } catch {
        fleet.stop()
        throw error
      }
    }
    (self.fleet, self.volume) = (fleet, volume)
    do {
      let started = try await engine.start(
        InstanceStart(
          cluster: "orders", instance: "orders-1", zone: ZoneID(0), capacity: InstanceClass.localSmall.capacity,
          storage: .writer(volume)))
      guard let instance = started as? PostgreSQLEngineInstance else {
        throw SQLError(.engine, "the engine started something else")
      }
      self.instance = instance
    } catch {
      await onThread { fleet.stop() }
      throw error
    }
  }
  func execute(_ sql: String) async throws {
    let connection = try await instance.connect()
    defer { connection.close() }
    _ = try await connection.execute(sql, parameters: [])
  }
  func rows(_ sql: String) async throws -> [SQLRow] {
    let connection = try await instance.connect()
    defer { connection.close() }
    return try await connection.rows(sql, parameters: [])
  }
  /// The first value of the first row.
  func value(_ sql: String) async throws -> SQLValue? { try await rows(sql).first?.values.first }
  /// What `pg_amcheck` finds in all tables and indexes of a database; empty where they agree.
  func damages(in database: String = "postgres") async throws -> [String] {
    try await execute("CREATE EXTENSION IF NOT EXISTS amcheck")
    return try await run("pg_amcheck", ["--heapallindexed", "--parent-check", "-d", database], on: instance)
  }
  /// Ends it as a loss of power does, and waits until nothing of it runs.
  func terminate() async {
    let server = instance.attachment()?.database.server
    instance.terminate()
    await onThread { [fleet] in
      _ = server?.waitForEnd(milliseconds: 10_000)
      fleet.stop()
    }
  }
  func stop() async {
    await instance.stop()
    await onThread { [fleet] in fleet.stop() }
  }
}

/// Runs a test with an engine in a directory of its own.
func withEngine(
  _ change: (inout PostgreSQLOptions) -> Void = { _ in }, _ body: (PostgreSQLEngine) async throws -> Void
) async throws {
  let directory = "/tmp/bpg-faults-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
  var options = PostgreSQLOptions()
  options.encryption = .none
  change(&options)
  let engine = try PostgreSQLEngine(at: directory, mounter: FUSEMounter(), options: options)
  do { try await body(engine) } catch {
    await removeWhenUnmounted(directory)
    throw error
  }
  await removeWhenUnmounted(directory)
}

/// Runs one of PostgreSQL's programs against an instance; what it wrote.
func run(
  _ program: String, _ arguments: [String], on instance: PostgreSQLEngineInstance, milliseconds: UInt64 = 120_000
) async throws -> [String] {
  let server = try #require(instance.attachment()?.database.server)
  let target = server.ownTarget()
  let path = server.installation.program(program)
  return try await blocking {
    try ChildProcess.run(
      Program(
        path: path, arguments: arguments,
        environment: [
          "PGHOST=\(target.host)", "PGPORT=\(target.port)", "PGUSER=\(target.user)", "PGDATABASE=\(target.database)",
        ]), milliseconds: milliseconds)
  }
}
