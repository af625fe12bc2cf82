import BorealisClusterModel
public import BorealisComputeEngine
public import BorealisStorageBackend
public import BorealisVolume

/// Why a cluster could not do what it was asked to.
public enum ClusterError: Error, Sendable, CustomStringConvertible {
  /// The configuration describes no cluster that could run.
  case configuration(ClusterConfigurationError)
  /// The storage nodes cannot be started.
  case storage(StorageBackendError)
  /// The volume cannot be created or opened.
  case volume(VolumeError)
  /// An instance cannot be started or changed.
  case engine(EngineError)
  /// There is no such instance, zone, node or endpoint; the text names it and those that there are.
  case notFound(String)
  /// The change is not allowed as the cluster is now; the text says why and what is.
  case refused(String)
  /// The cluster was stopped.
  case stopped

  /// One line for people.
  public var description: String {
    switch self {
    case .configuration(let error): "\(error)"
    case .storage(let error): "storage: \(error)"
    case .volume(let error): "\(error)"
    case .engine(let error): "\(error)"
    case .notFound(let what): "not found: \(what)"
    case .refused(let why): "refused: \(why)"
    case .stopped: "the cluster was stopped; start it again"
    }
  }
}
