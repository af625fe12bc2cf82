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
  /// The same call opens what is there already. The volume's identity is made at the first call and kept. A node whose
  /// directory has vanished since has lost its disk: it stays stopped (`startFailure(of:)` says so), because under its old
  /// number it would be believed to remember what it had acknowledged; a spare takes its place.
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
      let isKnown = FleetIdentity.isFormatted(placement.node, in: directory)
      let backend = try FileStorageBackend(
        directory: "\(directory)/zone-\(placement.zone)/node-\(placement.node.value)",
        options: FileStorageOptions(creation: isKnown ? .mustExist : .createIfMissing))
      if !isKnown { try FleetIdentity.setFormatted(placement.node, in: directory) }
      return backend
    }
  }
}
