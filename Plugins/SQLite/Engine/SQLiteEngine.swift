public import BorealisComputeEngine
import BorealisClusterModel
import BorealisFileSystem
import BorealisRuntime

/// SQLite as a cluster's engine: each instance runs in this process.
///
/// All connections of a cluster see one database, a file of the volume.
public struct SQLiteEngine: ComputeEngine, Hashable {
  /// The database's path on the volume.
  public let path: String
  /// How long a transaction waits for its turn to write.
  public let busyTimeoutMilliseconds: UInt64

  /// Makes the engine.
  public init(path: String = "/main.db", busyTimeoutMilliseconds: UInt64 = 5000) {
    self.path = path
    self.busyTimeoutMilliseconds = busyTimeoutMilliseconds
  }
  /// `sqlite`.
  public var name: String { "sqlite" }
  /// Starts an instance; the first writer makes the file system and the database.
  public func start(_ start: InstanceStart) async throws(EngineError) -> any EngineInstance {
    let instance = SQLiteEngineInstance(engine: self, start)
    do throws(EngineError) { try await instance.attach(start.storage) } catch {
      instance.terminate()
      throw error
    }
    return instance
  }
}

extension ComputeEngine where Self == SQLiteEngine {
  /// SQLite in the process.
  public static var sqlite: SQLiteEngine { SQLiteEngine() }
}

extension SQLiteEngine {
  /// The database files as an instance with `storage` has them; blocks.
  func open(_ storage: EngineStorage, for instance: InstanceIdentifier) throws(EngineError) -> SQLiteVFS {
    do {
      switch storage {
      case .writer(let volume):
        let files =
          try VolumeFileSystem.exists(on: volume)
          ? try VolumeFileSystem.mount(volume) : try VolumeFileSystem.format(on: volume)
        let vfs = try SQLiteVFS(writer: files)
        // Readers need the file's name; opening also proves that it is a database.
        let session = try SQLiteSession(vfs, path)
        _ = try session.query("SELECT count(*) FROM sqlite_schema")
        session.close()
        try files.syncAll()
        return vfs
      case .reader(let reader, _):
        let vfs = SQLiteVFS(reader: reader)
        // The first pages come now, and not with the first connection.
        let session = try SQLiteSession(vfs, path)
        _ = try session.query("SELECT count(*) FROM sqlite_schema")
        session.close()
        return vfs
      }
    } catch {
      let isVolume = (error as? FileSystemError)?.volumeError != nil || (error as? SQLiteError)?.volumeError != nil
      throw EngineError(isVolume ? .volume : .unusableStorage, instance, "\(path) cannot be opened: \(error)")
    }
  }
}
