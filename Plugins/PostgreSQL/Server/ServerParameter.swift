import BorealisClusterModel
import BorealisCore

/// A parameter of a server, with the reason for its value.
struct ServerParameter: Sendable {
  /// Where it is set.
  enum Place: Sendable {
    /// In the server's file; `ALTER SYSTEM`, roles and databases may set it otherwise.
    case file
    /// On the command line, above everything that SQL can set for the whole server: what the cluster relies on.
    case commandLine
  }
  let name: String
  let value: String
  let reason: String
  var place = Place.file
}

/// What the parameters of a server depend on.
struct ServerSettings: Sendable {
  /// The major version.
  var version: Int
  /// What the instance may use.
  var capacity: InstanceCapacity
  /// The least that a standby must have, by parameter: what the writer had, by its control file.
  var minima: [String: Int] = [:]
}

extension ServerParameter {
  /// Connections that only the cluster itself may use: health checks, standbys that ask for the writer's position, repairs.
  static let reservedConnections = 5

  /// The parameters that every server of a cluster gets, in the order of the file.
  static func table(_ settings: ServerSettings) -> [ServerParameter] {
    durability(settings) + volume + replication + memory(settings) + operation + language
  }

  private static func durability(_ settings: ServerSettings) -> [ServerParameter] {
    var all = [
      ServerParameter(
        name: "fsync", value: "on", reason: "a commit is acknowledged when the volume has it on a write quorum",
        place: .commandLine),
      ServerParameter(
        name: "synchronous_commit", value: "on", reason: "as fsync; a session may still choose less for itself"),
      ServerParameter(
        name: "wal_sync_method", value: "fdatasync",
        reason: "one flush for all that is waiting; the O_SYNC kinds flush with every write", place: .commandLine),
      ServerParameter(
        name: "full_page_writes", value: "off",
        reason: "a page arrives at the volume whole and is applied whole: none is ever torn"),
      ServerParameter(
        name: "restart_after_crash", value: "off",
        reason: "whether and where the server goes on is the cluster's decision: it may have been fenced",
        place: .commandLine),
    ]
    if settings.version >= 14 {
      all.append(
        ServerParameter(
          name: "recovery_init_sync_method", value: "syncfs",
          reason:
            "after a crash the volume holds a durable prefix of what was written: there is nothing to sync file by file"
        ))
    }
    return all
  }

  private static let volume = [
    ServerParameter(
      name: "wal_init_zero", value: "off",
      reason: "the volume keeps no blocks for a file: zeros would be written, sent six times, and reserve nothing"),
    ServerParameter(
      name: "wal_recycle", value: "off",
      reason: "a new file costs nothing on the volume; a recycled one has old pages, which cost a read and a diff each"),
    ServerParameter(
      name: "checkpoint_timeout", value: "30s",
      reason: "checkpoints are cheap without full-page images, and a failover replays what came after the last one"),
    ServerParameter(
      name: "checkpoint_completion_target", value: "0.9", reason: "spread, so that commits do not feel them"),
    ServerParameter(
      name: "max_wal_size", value: "512MB", reason: "the most that a failover has to replay, whatever the load"),
    ServerParameter(name: "min_wal_size", value: "80MB", reason: "nothing is recycled, so nothing is kept for it"),
    ServerParameter(
      name: "checkpoint_flush_after", value: "0",
      reason: "written pages are on their way to the volume already: no cache of the kernel has to be emptied"),
    ServerParameter(name: "bgwriter_flush_after", value: "0", reason: "as checkpoint_flush_after"),
    ServerParameter(name: "backend_flush_after", value: "0", reason: "as checkpoint_flush_after"),
  ]

  private static let replication = [
    ServerParameter(name: "wal_level", value: "replica", reason: "readers replay it", place: .commandLine),
    ServerParameter(name: "hot_standby", value: "on", reason: "readers answer queries", place: .commandLine),
    ServerParameter(
      name: "max_wal_senders", value: "32",
      reason: "fifteen readers, each twice while it comes back, and room for backups"),
    ServerParameter(
      name: "max_replication_slots", value: "16",
      reason: "for logical replication; readers need none: one that fell too far behind begins at a fresh read point"),
    ServerParameter(
      name: "wal_keep_size", value: "256MB",
      reason: "what a reader may miss before it has to begin at a fresh read point"),
    ServerParameter(
      name: "hot_standby_feedback", value: "on",
      reason: "queries of readers are not cancelled by vacuum on the writer, which keeps the rows for them instead"),
    ServerParameter(
      name: "wal_receiver_status_interval", value: "1s",
      reason: "the writer's view of its readers is a second old at most"),
    ServerParameter(
      name: "wal_retrieve_retry_interval", value: "100ms", reason: "a reader finds a writer that comes back at once"),
    ServerParameter(name: "wal_receiver_timeout", value: "10s", reason: "a connection that died is noticed"),
    ServerParameter(name: "wal_sender_timeout", value: "10s", reason: "as wal_receiver_timeout"),
  ]

  private static func memory(_ settings: ServerSettings) -> [ServerParameter] {
    let mebibytes = Int(clamping: settings.capacity.memory.value >> 20)
    let connections = settings.capacity.connectionsMax + reservedConnections
    return [
      ServerParameter(
        name: "shared_buffers", value: "\(max(16, mebibytes / 4))MB",
        reason: "a quarter of the memory: three quarters are the cache of the volume"),
      ServerParameter(
        name: "effective_cache_size", value: "\(max(16, mebibytes / 4 * 3))MB",
        reason: "what the volume's cache holds for it"),
      ServerParameter(
        name: "maintenance_work_mem", value: "\(min(2048, max(16, mebibytes / 16)))MB",
        reason: "vacuum and index builds: a sixteenth of the memory"),
      ServerParameter(
        name: "max_connections", value: "\(connections)",
        reason: "by the instance's class, and \(reservedConnections) for the cluster"),
      ServerParameter(
        name: "superuser_reserved_connections", value: "\(reservedConnections)",
        reason: "the cluster can look and act when clients have all others"),
      ServerParameter(name: "max_worker_processes", value: "8", reason: "the default"),
      ServerParameter(name: "max_locks_per_transaction", value: "64", reason: "the default"),
      ServerParameter(name: "max_prepared_transactions", value: "0", reason: "the default: none"),
    ]
  }

  private static let operation = [
    ServerParameter(
      name: "logging_collector", value: "off", reason: "lines go to the cluster's log", place: .commandLine),
    ServerParameter(name: "log_destination", value: "stderr", reason: "as logging_collector", place: .commandLine),
    ServerParameter(name: "log_line_prefix", value: "[%p] %q%u@%d ", reason: "the cluster's log has the time"),
    ServerParameter(name: "log_checkpoints", value: "on", reason: "they are what a failover's time depends on"),
    ServerParameter(name: "password_encryption", value: "scram-sha-256", reason: "no other kind is ever stored"),
    ServerParameter(
      name: "huge_pages", value: "off", reason: "several servers share a machine, and none takes them from another"),
  ]

  private static let language = [
    ServerParameter(name: "lc_messages", value: "C", reason: "the cluster reads some lines of the log"),
    ServerParameter(name: "timezone", value: "UTC", reason: "instances run on any machine and show the same times"),
    ServerParameter(name: "log_timezone", value: "UTC", reason: "as timezone"),
    ServerParameter(
      name: "default_text_search_config", value: "pg_catalog.english", reason: "what initdb chooses for most people"),
  ]
}
