public import BorealisClusterModel
import BorealisRuntime
public import BorealisVolume
import Synchronization

/// Something that happened in a cluster.
public struct ClusterEvent: Sendable, CustomStringConvertible {
  /// What happened.
  public enum Kind: Sendable {
    /// The cluster takes connections.
    case clusterStarted
    /// The cluster has ended.
    case clusterStopped
    /// An instance takes connections.
    case instanceStarted(InstanceIdentifier, InstanceRole)
    /// An instance was added; `bytesCopied` is what it read from storage until it took connections.
    case instanceAdded(InstanceIdentifier, bytesCopied: UInt64)
    /// An instance was removed.
    case instanceRemoved(InstanceIdentifier)
    /// An instance has failed.
    case instanceFailed(InstanceIdentifier, InstanceRole, reason: String)
    /// An instance could not be started again; it is tried further.
    case instanceRestartFailed(InstanceIdentifier, reason: String)
    /// A reader follows the new writer.
    case readerFollows(InstanceIdentifier)
    /// An instance has more or less than before.
    case capacityChanged(InstanceIdentifier, InstanceCapacity)
    /// A failover has begun.
    case failoverBegan(FailoverReport.Cause, from: InstanceIdentifier)
    /// A failover is over.
    case failoverCompleted(FailoverReport)
    /// A failover could not be completed; it is tried further.
    case failoverStalled(reason: String)
    /// Somebody outside of this cluster has opened its volume: it takes no writes until it is started again.
    case volumeTaken
    /// A storage node was started or stopped.
    case storageNode(String, isRunning: Bool)
    /// The volume tells something: repair, growth, trouble of a node.
    case volume(VolumeEvent)
  }
  /// When, in nanoseconds since 1970.
  public let time: UInt64
  /// What happened.
  public let kind: Kind

  /// How much it matters.
  public enum Level: String, Sendable {
    /// As intended.
    case info
    /// A part has failed, and the cluster goes on.
    case warning
    /// The cluster cannot do all its work.
    case error
  }
  /// How much it matters.
  public var level: Level {
    switch kind {
    case .instanceFailed, .instanceRestartFailed, .failoverBegan: .warning
    case .failoverStalled, .volumeTaken: .error
    case .storageNode(_, let isRunning): isRunning ? .info : .warning
    case .volume(let event):
      switch event {
      case .nodeTrouble, .growthStalled, .repairRefused: .warning
      default: .info
      }
    default: .info
    }
  }
  /// One line for people.
  public var description: String {
    switch kind {
    case .clusterStarted: "the cluster takes connections"
    case .clusterStopped: "the cluster has ended"
    case .instanceStarted(let instance, let role): "\(instance) takes connections as \(role)"
    case .instanceAdded(let instance, let bytes): "\(instance) was added; \(bytes) bytes were read from storage"
    case .instanceRemoved(let instance): "\(instance) was removed"
    case .instanceFailed(let instance, let role, let reason): "\(role) \(instance) has failed: \(reason)"
    case .instanceRestartFailed(let instance, let reason): "\(instance) could not be started again: \(reason)"
    case .readerFollows(let instance): "\(instance) follows the new writer"
    case .capacityChanged(let instance, let capacity): "\(instance) has \(capacity)"
    case .failoverBegan(let cause, let from): "failover from \(from) begins: \(cause.rawValue)"
    case .failoverCompleted(let report): report.timeline
    case .failoverStalled(let reason): "failover cannot be completed yet: \(reason)"
    case .volumeTaken: "somebody else has opened the volume; start the cluster again to take it back"
    case .storageNode(let node, let isRunning): "storage node \(node) \(isRunning ? "runs" : "is down")"
    case .volume(let event): "volume: \(event)"
    }
  }
}

/// Keeps the last events, and hands each to everybody who listens.
final class EventLog: Sendable {
  /// Events kept for those who ask later, and for each listener who is slow: then the oldest are dropped.
  static let kept = 1000
  private struct State: Sendable {
    var recent: [ClusterEvent] = []
    var listeners: [(id: UInt64, continuation: AsyncStream<ClusterEvent>.Continuation)] = []
    var next: UInt64 = 0
    var isOver = false
  }
  private let state = Mutex(State())

  func add(_ kind: ClusterEvent.Kind) {
    let event = ClusterEvent(time: SystemClock.wallClock, kind: kind)
    let listeners = state.withLock { state in
      state.recent.append(event)
      if state.recent.count > EventLog.kept { state.recent.removeFirst(state.recent.count - EventLog.kept) }
      return state.listeners
    }
    for listener in listeners { listener.continuation.yield(event) }
  }
  var recent: [ClusterEvent] { state.withLock { $0.recent } }

  func stream() -> AsyncStream<ClusterEvent> {
    let (stream, continuation) = AsyncStream.makeStream(
      of: ClusterEvent.self, bufferingPolicy: .bufferingNewest(EventLog.kept))
    let id = state.withLock { state -> UInt64? in
      guard !state.isOver else { return nil }
      state.next += 1
      state.listeners.append((state.next, continuation))
      return state.next
    }
    guard let id else {
      continuation.finish()
      return stream
    }
    continuation.onTermination = { [weak self] _ in
      self?.state.withLock { state in state.listeners.removeAll { $0.id == id } }
    }
    return stream
  }
  func finish() {
    let listeners = state.withLock { state in
      state.isOver = true
      defer { state.listeners = [] }
      return state.listeners
    }
    for listener in listeners { listener.continuation.finish() }
  }
}
