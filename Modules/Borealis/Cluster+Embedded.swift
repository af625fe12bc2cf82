import BorealisComputeEngine
import BorealisCluster
import BorealisCore
import BorealisRuntime
import BorealisSQLite
import BorealisStorageBackend

extension StoragePlace {
  /// On files, a directory for each storage node; the same call opens what is there.
  public static func files(at directory: String) -> StoragePlace {
    StoragePlace(directory) { storage throws(StorageBackendError) in
      try StorageFleet.files(
        at: directory, policy: storage.replication, spares: storage.spares, configuration: storage.nodes)
    }
  }
}

extension ClusterEndpoint {
  /// SQLite's files as an instance of this endpoint has them now; nil while there is none, or with another engine.
  ///
  /// For what opens databases by itself, such as GRDB. It belongs to the instance and the role that it has now: what was
  /// opened on it fails after a failover, and is to be opened anew.
  public var vfs: SQLiteVFS? { (currentEngine as? SQLiteEngineInstance)?.vfs }
}

extension Cluster {
  /// Starts the cluster that `configuration` describes, with SQLite where it names no engine.
  ///
  /// Creates the volume, or opens the one that is there; returns when all instances take connections.
  public static func start(_ configuration: ClusterConfiguration) async throws(ClusterError) -> Cluster {
    try await start(configuration, defaultEngine: SQLiteEngine())
  }
  /// A cluster in memory, gone with the process: six storage nodes in three zones, a writer, and `readers` readers.
  public static func inMemory(_ identifier: String, readers: Int = 1) async throws(ClusterError) -> Cluster {
    try await start(
      ClusterConfiguration(identifier) {
        Storage(.inMemory)
        Writer()
        Readers(readers)
      })
  }
  /// A cluster on files under `directory`: six storage nodes in three zones, a writer, and `readers` readers.
  public static func files(
    _ identifier: String, at directory: String, readers: Int = 1
  ) async throws(ClusterError) -> Cluster {
    try await start(
      ClusterConfiguration(identifier) {
        Storage(.files(at: directory))
        Writer()
        Readers(readers)
      })
  }
}
