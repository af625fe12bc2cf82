#if Observability
  public import BorealisCluster
  public import CoreMetrics

  /// Reports a cluster's figures through swift-metrics, read from its status at an interval.
  ///
  ///     let metrics = ClusterMetrics(cluster)
  ///     async let reporting: Void = metrics.run()
  ///
  /// All have the dimension `cluster`; those of an instance `instance`, those of a storage node `node`:
  ///
  /// - counters `borealis_commits_total`, `borealis_queries_total` (instance), `borealis_failovers_total` (`cause`)
  /// - timers `borealis_commit_duration` (instance; the mean of an interval, where it had commits),
  ///   `borealis_failover_duration` (`cause`; from the writer's last sign of life to the endpoint's move)
  /// - gauges `borealis_connections`, `borealis_connections_max`, `borealis_reader_lag_milliseconds`,
  ///   `borealis_reader_lag_records` (0 for the writer), `borealis_instance_available`, `borealis_instance_is_writer`
  ///   (instance; 1 or 0); `borealis_node_used_bytes`, `borealis_node_lag_records`, `borealis_node_running` (node);
  ///   `borealis_volume_durable_lsn`, `borealis_volume_epoch`, `borealis_volume_groups`
  public struct ClusterMetrics: Sendable {
    private let cluster: Cluster
    private let interval: Duration
    private let factory: any MetricsFactory

    /// Reports of `cluster` every `interval`, to `factory` or where the process's metrics go.
    public init(_ cluster: Cluster, interval: Duration = .seconds(1), factory: (any MetricsFactory)? = nil) {
      self.cluster = cluster
      self.interval = interval
      self.factory = factory ?? MetricsSystem.factory
    }

    /// Reports until the task is cancelled or the cluster has ended; then its metrics are given back to the factory.
    public func run() async {
      var series = MetricSeries(cluster: cluster.identifier, factory: factory)
      while !Task.isCancelled {
        let status = await cluster.status()
        if status.instances.isEmpty { break }
        series.update(status)
        do { try await Task.sleep(for: interval) } catch { break }
      }
      series.removeAll()
    }
  }
#endif
