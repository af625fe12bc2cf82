#if Observability
  import BorealisCluster
  import CoreMetrics

  /// The metrics of one cluster, and what was reported of it last.
  struct MetricSeries {
    /// What a metric is about.
    private struct Key: Hashable {
      var label: String
      /// `instance`, `node`, `cause`, or empty: of the cluster.
      var dimension = ""
      var value = ""
    }
    private let cluster: String
    private let factory: any MetricsFactory
    private var counters: [Key: (counter: Counter, total: UInt64)] = [:]
    private var gauges: [Key: Gauge] = [:]
    private var timers: [Key: CoreMetrics.Timer] = [:]
    private var commitTotals: [String: (commits: UInt64, nanoseconds: UInt64)] = [:]
    private var failoversSeen = 0
    private var instances: Set<String> = []

    init(cluster: String, factory: any MetricsFactory) {
      self.cluster = cluster
      self.factory = factory
    }

    mutating func update(_ status: ClusterStatus) {
      for instance in status.instances { update(instance) }
      for gone in instances.subtracting(status.instances.map(\.identifier)) {
        remove { $0.dimension == "instance" && $0.value == gone }
        commitTotals[gone] = nil
      }
      instances = Set(status.instances.map(\.identifier))
      for node in status.nodes {
        func key(_ label: String) -> Key { Key(label: label, dimension: "node", value: node.identifier) }
        set(key("borealis_node_used_bytes"), Double(node.usedBytes))
        set(key("borealis_node_lag_records"), Double(node.lagRecords))
        set(key("borealis_node_running"), node.isRunning ? 1 : 0)
      }
      set(Key(label: "borealis_volume_durable_lsn"), Double(status.vdl))
      set(Key(label: "borealis_volume_epoch"), Double(status.epoch))
      set(Key(label: "borealis_volume_groups"), Double(status.groups))
      for report in status.failovers.dropFirst(failoversSeen) {
        func key(_ label: String) -> Key { Key(label: label, dimension: "cause", value: report.cause.rawValue) }
        add(key("borealis_failovers_total"), 1)
        time(key("borealis_failover_duration"), nanoseconds: report.milliseconds * 1_000_000)
      }
      failoversSeen = status.failovers.count
    }

    private mutating func update(_ instance: ClusterStatus.Instance) {
      func key(_ label: String) -> Key { Key(label: label, dimension: "instance", value: instance.identifier) }
      count(key("borealis_commits_total"), total: instance.commits)
      count(key("borealis_queries_total"), total: instance.queries)
      set(key("borealis_connections"), Double(instance.connections))
      set(key("borealis_connections_max"), Double(instance.connectionsMax))
      set(key("borealis_instance_available"), instance.state == "available" ? 1 : 0)
      set(key("borealis_instance_is_writer"), instance.role == "writer" ? 1 : 0)
      set(key("borealis_reader_lag_milliseconds"), instance.lagMilliseconds ?? 0)
      set(key("borealis_reader_lag_records"), Double(instance.lagRecords ?? 0))
      set(key("borealis_reader_read_point_records"), Double(instance.readPointRecords ?? 0))
      let now = (commits: instance.commits, nanoseconds: instance.commitNanoseconds)
      var last = commitTotals[instance.identifier] ?? (0, 0)
      // Started anew, an instance counts from 0.
      if now.commits < last.commits || now.nanoseconds < last.nanoseconds { last = (0, 0) }
      commitTotals[instance.identifier] = now
      guard now.commits > last.commits else { return }
      let mean = Double(now.nanoseconds - last.nanoseconds) / Double(now.commits - last.commits)
      time(key("borealis_commit_duration"), nanoseconds: mean)
    }

    // MARK: Metrics of the factory

    private func dimensions(_ key: Key) -> [(String, String)] {
      [("cluster", cluster)] + (key.dimension.isEmpty ? [] : [(key.dimension, key.value)])
    }
    private mutating func count(_ key: Key, total: UInt64) {
      let last = counters[key]?.total ?? 0
      add(key, total < last ? total : total - last)
      counters[key]?.total = total
    }
    private mutating func add(_ key: Key, _ amount: UInt64) {
      let entry = counters[key] ?? (Counter(label: key.label, dimensions: dimensions(key), factory: factory), 0)
      counters[key] = entry
      if amount > 0 { entry.counter.increment(by: Int64(clamping: amount)) }
    }
    private mutating func set(_ key: Key, _ value: Double) {
      let gauge = gauges[key] ?? Gauge(label: key.label, dimensions: dimensions(key), factory: factory)
      gauges[key] = gauge
      gauge.record(value)
    }
    private mutating func time(_ key: Key, nanoseconds: Double) {
      let timer = timers[key] ?? CoreMetrics.Timer(label: key.label, dimensions: dimensions(key), factory: factory)
      timers[key] = timer
      timer.recordNanoseconds(Int64(max(0, min(9e18, nanoseconds))))
    }
    private mutating func remove(where isGone: (Key) -> Bool) {
      for (key, entry) in counters where isGone(key) { entry.counter.destroy() }
      for (key, gauge) in gauges where isGone(key) { gauge.destroy() }
      for (key, timer) in timers where isGone(key) { timer.destroy() }
      counters = counters.filter { !isGone($0.key) }
      gauges = gauges.filter { !isGone($0.key) }
      timers = timers.filter { !isGone($0.key) }
    }
    /// Gives all metrics back.
    mutating func removeAll() { remove { _ in true } }
  }
#endif
