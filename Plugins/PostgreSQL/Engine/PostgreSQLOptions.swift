public import BorealisClusterModel
public import BorealisComputeEngine
public import BorealisCore
public import BorealisFileSystem

/// How PostgreSQL runs as a cluster's engine.
public struct PostgreSQLOptions: Sendable {
  /// Whether connections over the network are encrypted.
  public enum Encryption: Sendable {
    /// An authority and certificates are made for the cluster; from other machines nobody connects without.
    case ownAuthority
    /// Not at all: passwords are still not sent, but data is.
    case none
  }
  /// The superuser's name.
  public var superuser = "postgres"
  /// Parameters of the servers, in place of the cluster's own: `["work_mem": "64MB"]`.
  ///
  /// Those without which acknowledged commits could be lost are refused.
  public var parameters: [String: String] = [:]
  /// Where instances listen that `addresses` does not name: an address of this machine.
  ///
  /// Each gets a free port, and keeps it over restarts.
  public var host = "127.0.0.1"
  /// Where certain instances listen.
  public var addresses: [InstanceIdentifier: EngineAddress] = [:]
  /// How connections over the network are secured.
  public var encryption = Encryption.ownAuthority
  /// Names and addresses besides `localhost` and `127.0.0.1` that clients may call every instance by: the endpoints.
  public var serverNames: [String] = []
  /// The most memory that the private changes of one reader may take; a reader that needs more is started again at a fresh
  /// read point.
  public var overlayLimit = ByteCount.gibibytes(1)
  /// The room that the storage nodes' disks have for the database, copies already divided by; must not block.
  ///
  /// Nil: not known, and there is always some. What `df` shows on the mount, and what `reserve` is compared with.
  public var room: (@Sendable () -> MountCapacity)?
  /// Of `room`, what tables and indexes leave for the log: where less is free, who makes a table grow gets PostgreSQL's error
  /// "No space left on device", while commits, checkpoints and what makes room go on.
  ///
  /// At most a sixteenth of all the room. More than the log ever takes: `max_wal_size` and `wal_keep_size` together.
  public var reserve = ByteCount.gibibytes(1)
  /// How often a reader's view is moved to a newer read point and its overlay trimmed, in milliseconds; more often when the
  /// overlay is half full.
  public var trimMilliseconds: UInt64 = 10_000
  /// The longest that a reader's view may stay behind a writer that goes on, in milliseconds.
  ///
  /// Its read point holds back storage's garbage collection. A reader whose replay stands still for so long is started again
  /// at a fresh one.
  public var readPointMillisecondsMax: UInt64 = 600_000
  /// As whom servers run where this process is root's: PostgreSQL refuses to run as root.
  public var serviceUser = "postgres"
  /// Directories in which a server is looked for.
  public var places = PostgreSQLInstallation.places
  /// The longest that a server may take until it takes connections, in milliseconds; recovery from a crash is part of it.
  public var startMilliseconds: UInt64 = 60_000
  /// Called with every line of every server's log, on threads of the engine; must not block for long.
  public var onLog: @Sendable (InstanceIdentifier, String) -> Void = { _, _ in }

  /// The defaults.
  public init() {}
}
