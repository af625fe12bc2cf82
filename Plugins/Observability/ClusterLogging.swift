#if Observability
  public import BorealisCluster
  import BorealisClusterModel
  import BorealisVolume
  public import Logging

  extension Cluster {
    /// Writes what happens in the cluster to a logger, until the cluster ends or the task is cancelled.
    ///
    ///     async let logging: Void = cluster.log(to: Logger(label: "orders"))
    ///
    /// Begins with what has happened already: the last thousand events. Each entry has the metadata `cluster`, `event` and
    /// `time` (when it happened, in nanoseconds since 1970), and those of its kind: `instance`, `reason`, `epoch`, …
    public nonisolated func log(to logger: Logger) async {
      // Listened to before the past is asked for: what comes in between is in both, and is written once.
      let stream = events
      let past = recentEvents
      for event in past { write(event, to: logger) }
      for await event in stream
      where !past.contains(where: { $0.time == event.time && $0.description == event.description }) {
        write(event, to: logger)
      }
    }
    private nonisolated func write(_ event: ClusterEvent, to logger: Logger) {
      var metadata = event.kind.metadata
      metadata["cluster"] = "\(identifier)"
      metadata["event"] = "\(event.kind.name)"
      metadata["time"] = "\(event.time)"
      logger.log(level: event.level.logLevel, "\(event.kind.message ?? event.description)", metadata: metadata)
    }
  }

  extension ClusterEvent.Level {
    var logLevel: Logger.Level {
      switch self {
      case .info: .info
      case .warning: .warning
      case .error: .error
      }
    }
  }

  extension ClusterEvent.Kind {
    /// The name of the kind, for those who filter.
    var name: String {
      switch self {
      case .clusterStarted: "clusterStarted"
      case .clusterStopped: "clusterStopped"
      case .instanceStarted: "instanceStarted"
      case .instanceAdded: "instanceAdded"
      case .instanceRemoved: "instanceRemoved"
      case .instanceFailed: "instanceFailed"
      case .instanceRestartFailed: "instanceRestartFailed"
      case .readerFollows: "readerFollows"
      case .capacityChanged: "capacityChanged"
      case .failoverBegan: "failoverBegan"
      case .failoverCompleted: "failoverCompleted"
      case .failoverStalled: "failoverStalled"
      case .volumeTaken: "volumeTaken"
      case .storageNode: "storageNode"
      case .volume: "volume"
      }
    }
    /// The text of an entry, where the event's own has more than one line.
    var message: String? {
      guard case .failoverCompleted(let report) = self else { return nil }
      return "failover from \(report.oldWriter) to \(report.newWriter) is over: \(report.cause.rawValue)"
    }
    var metadata: Logger.Metadata {
      switch self {
      case .clusterStarted, .clusterStopped, .volumeTaken: [:]
      case .instanceStarted(let instance, let role): ["instance": "\(instance)", "role": "\(role)"]
      case .instanceAdded(let instance, let bytes): ["instance": "\(instance)", "bytesCopied": "\(bytes)"]
      case .instanceRemoved(let instance), .readerFollows(let instance): ["instance": "\(instance)"]
      case .instanceFailed(let instance, let role, let reason):
        ["instance": "\(instance)", "role": "\(role)", "reason": "\(reason)"]
      case .instanceRestartFailed(let instance, let reason): ["instance": "\(instance)", "reason": "\(reason)"]
      case .capacityChanged(let instance, let capacity):
        ["instance": "\(instance)", "memory": "\(capacity.memory)", "processors": "\(capacity.processors)"]
      case .failoverBegan(let cause, let from): ["instance": "\(from)", "cause": "\(cause.rawValue)"]
      case .failoverCompleted(let report):
        [
          "instance": "\(report.newWriter)", "oldWriter": "\(report.oldWriter)", "cause": "\(report.cause.rawValue)",
          "oldEpoch": "\(report.oldEpoch)", "epoch": "\(report.newEpoch)", "milliseconds": "\(report.milliseconds)",
        ]
      case .failoverStalled(let reason): ["reason": "\(reason)"]
      case .storageNode(let node, let isRunning): ["node": "\(node)", "isRunning": "\(isRunning)"]
      case .volume(let event): ["detail": "\(event)"]
      }
    }
  }
#endif
