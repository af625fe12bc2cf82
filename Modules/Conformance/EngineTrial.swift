import BorealisClusterModel
import BorealisComputeEngine
import BorealisCore
import BorealisRuntime
import BorealisVolume
import Synchronization

/// An engine and the storage nodes in memory that a check runs it on.
final class EngineTrial: Sendable {
  let engine: any ComputeEngine
  /// How long anything may take before a check gives up, in milliseconds.
  let patience: UInt64
  let fleet: StorageFleet
  private let hasVolume = Mutex(false)
  private let started = Mutex<[any EngineInstance]>([])

  init(_ engine: any ComputeEngine, patience: UInt64) throws {
    self.engine = engine
    self.patience = patience
    fleet = try StorageFleet.inMemory()
  }
  /// Ends everything, whatever state it is in.
  func end() async {
    for instance in started.withLock({ $0 }) { instance.terminate() }
    let fleet = fleet
    await onThread { fleet.stop() }
  }

  // MARK: Storage

  /// Becomes the volume's one writer; who was that before is fenced.
  func openVolume() async throws -> Volume {
    let fleet = fleet
    let exists = hasVolume.withLock { hasVolume in
      defer { hasVolume = true }
      return hasVolume
    }
    let opened: Result<Volume, any Error> = await onThread {
      Result { exists ? try Volume.open(on: fleet) : try Volume.create(on: fleet) }
    }
    return try opened.get()
  }
  func attachReader(of volume: Volume) async throws -> VolumeReaderInstance {
    let opened: Result<VolumeReaderInstance, any Error> = await onThread {
      Result {
        let (reader, vdl) = (try VolumeReaderInstance(of: volume), volume.vdl)
        try demand(reader.waitUntilApplied(vdl), "the reader's stream did not come")
        return reader
      }
    }
    return try opened.get()
  }

  // MARK: Instances

  func start(_ name: InstanceIdentifier, _ storage: EngineStorage) async throws -> any EngineInstance {
    let instance = try await engine.start(
      InstanceStart(
        cluster: "check", instance: name, zone: ZoneID(0), capacity: InstanceClass.localMedium.capacity,
        storage: storage))
    started.withLock { $0.append(instance) }
    return instance
  }
  /// A writer on the volume, created where there is none.
  func startWriter(
    _ name: InstanceIdentifier = "writer"
  ) async throws -> (instance: any EngineInstance, volume: Volume) {
    let volume = try await openVolume()
    return (try await start(name, .writer(volume)), volume)
  }
  /// A writer whose database has the checks' table.
  func startWithTable() async throws -> (instance: any EngineInstance, volume: Volume) {
    let (instance, volume) = try await startWriter()
    let connection = try await instance.connect()
    try await connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
    connection.close()
    return (instance, volume)
  }
  func startReader(
    of writer: (instance: any EngineInstance, volume: Volume), _ name: InstanceIdentifier = "reader"
  ) async throws -> (instance: any EngineInstance, storage: VolumeReaderInstance) {
    let storage = try await attachReader(of: writer.volume)
    return (try await start(name, .reader(storage, writer: writer.instance.address)), storage)
  }
  /// The rows that whoever writes next finds.
  func rowsForNextWriter() async throws -> [Int] {
    let (instance, _) = try await startWriter("next")
    let connection = try await instance.connect()
    defer { connection.close() }
    return try await connection.ids()
  }

  // MARK: Waiting

  /// Waits until `condition` holds; an error of the engine counts as not yet.
  func eventually(_ what: String, _ condition: () async throws -> Bool) async throws {
    let deadline = SystemClock.now.advanced(byMilliseconds: patience)
    var last = ""
    while true {
      do { if try await condition() { return } } catch let finding as Finding { throw finding } catch {
        last = "; the last error: \(error)"
      }
      try demand(SystemClock.now < deadline, "\(what) did not come true in \(patience) ms\(last)")
      try await Task.sleep(for: .milliseconds(2))
    }
  }
  /// The error of `body`, where it ends at all.
  func failure(
    of what: String, _ body: @escaping @Sendable () async throws -> Void
  ) async throws -> (any Error)? {
    let ended = await withTimeLimit(milliseconds: patience) { () -> Result<Void, any Error> in
      do { return .success(try await body()) } catch { return .failure(error) }
    }
    switch ended {
    case nil: throw Finding("\(what) does not end")
    case .success: return nil
    case .failure(let error): return error
    }
  }
  /// Expects that `body` ends, and well.
  func success(of what: String, _ body: @escaping @Sendable () async throws -> Void) async throws {
    if let error = try await failure(of: what, body) { throw Finding("\(what): \(error)") }
  }
  /// Expects that `body` fails with a SQL error; the error.
  @discardableResult
  func sqlError(
    of what: String, _ code: SQLError.Code? = nil, _ body: @escaping @Sendable () async throws -> Void
  ) async throws -> SQLError {
    guard let error = try await failure(of: what, body) else { throw Finding("\(what) succeeds") }
    guard let found = error as? SQLError else { throw Finding("\(what) throws \(error), no SQLError") }
    try demand(code == nil || found.code == code, "\(what) throws \(found.code): \(found)")
    return found
  }
}

extension SQLConnection {
  /// Numbered parameters in order: PostgreSQL's way, which SQLite takes too.
  func insert(_ id: Int) async throws(SQLError) {
    try await execute("INSERT INTO t VALUES ($1, $2)", parameters: [.integer(Int64(id)), .text("row \(id)")])
  }
  /// All rows, each checked to be whole.
  func ids() async throws -> [Int] {
    try await rows("SELECT id, v FROM t ORDER BY id", parameters: []).map { row in
      let id: Int = try row.get(0)
      try demand(try row.get(1) == "row \(id)", "row \(id) holds \(row)")
      return id
    }
  }
}
extension SQLSession {
  func insert(_ id: Int) throws {
    try execute("INSERT INTO t VALUES ($1, $2)", parameters: [.integer(Int64(id)), .text("row \(id)")])
  }
}
