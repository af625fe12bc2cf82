import BorealisCore
import Synchronization

/// Metadata in memory: for tests and for volumes that end with the process.
public final class InMemoryCoordinator: Coordinator {
  private let metadata = Mutex<VolumeMetadata?>(nil)

  /// Makes an empty coordinator.
  public init() {}

  /// The metadata of the volume; nil where there is none.
  public func load() throws(CoordinatorError) -> VolumeMetadata? { metadata.withLock { $0 } }

  /// Records a new volume.
  public func create(_ new: VolumeMetadata) throws(CoordinatorError) {
    let done = metadata.withLock { current in
      if current != nil { return false }
      current = new
      return true
    }
    if !done { throw CoordinatorError(.conflict, "the volume exists already; open it instead") }
  }

  /// Compare-and-swap of the epoch.
  public func advanceEpoch(from: VolumeEpoch) throws(CoordinatorError) -> VolumeEpoch {
    let result: Result<VolumeEpoch, CoordinatorError> = metadata.withLock { current in
      guard current != nil else { return .failure(CoordinatorError(.notFound, "no volume was created here")) }
      guard current?.epoch == from else {
        return .failure(CoordinatorError(.conflict, "the epoch is no longer \(from); load it again"))
      }
      current?.epoch = from.next
      return .success(from.next)
    }
    return try result.get()
  }
}
