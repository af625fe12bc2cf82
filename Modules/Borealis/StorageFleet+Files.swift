import BorealisCoordinator
import BorealisCore
import BorealisFileStorageBackend
import BorealisReplicationPolicy
import BorealisRuntime
import BorealisStorageBackend
import BorealisStorageNode

extension StorageFleet {
  /// Nodes on files: one directory for each node under `directory`, with the volume's metadata beside them.
  ///
  /// The same call opens what is there already. The volume's identity is made at the first call and kept.
  ///
  /// - Throws: `.locked` where another process has the directory, `.cannotOpen`, `.noSpace`.
  public static func files(
    at directory: String, policy: any ReplicationPolicy = AuroraPolicy(), spares: Int = 0,
    configuration: StorageNodeConfiguration = StorageNodeConfiguration()
  ) throws(StorageBackendError) -> StorageFleet {
    let identity = try FleetIdentity.loadOrCreate(in: directory)
    return try StorageFleet(
      volume: identity, topology: topology(for: policy, spares: spares),
      coordinator: FileCoordinator(directory: directory), configuration: configuration
    ) { (placement) throws(StorageBackendError) in
      try FileStorageBackend(directory: "\(directory)/zone-\(placement.zone)/node-\(placement.node.value)")
    }
  }
}
