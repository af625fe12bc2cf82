#if GRDB
  public import BorealisSQLite
  public import GRDB

  // What an application changes to run on a cluster: how it opens its database.
  extension DatabaseQueue {
    /// Opens a database on a volume; the writer makes it where there is none.
    ///
    /// Everything else of the application stays: records, migrations, observations, savepoints. A write returns when
    /// it is durable on a write quorum; a read sees one moment and waits for nobody. On a reader instance the queue
    /// is read-only, and each read sees what is durable when it begins.
    ///
    ///     let queue = try DatabaseQueue(borealis: vfs, "/orders.db")      // was: DatabaseQueue(path: "orders.db")
    ///     try queue.write { db in try Order(what: "tea").insert(db) }
    ///
    /// - Parameter configuration: as for a file, but for what `Configuration.onVolume()` changes.
    /// - Throws: `DatabaseError`: `SQLITE_CANTOPEN` where there is no such database (reader), or its path is no file.
    public convenience init(
      borealis vfs: SQLiteVFS, _ path: String, configuration: Configuration = Configuration()
    ) throws {
      try SQLiteVFS.requireURIs()
      var configuration = configuration.onVolume()
      if vfs.isReadOnly { configuration.readonly = true }
      // SQLite holds the VFS from here on, since a file of it is open.
      try self.init(path: vfs.uri(path), configuration: configuration)
    }
  }

  extension Configuration {
    /// How long a write waits for its turn where the configuration says nothing.
    static let waitSeconds = 5.0

    /// The same configuration as it makes sense on a volume.
    ///
    /// - `busyMode`: GRDB's default, to fail at once, becomes a wait of five seconds, since sessions and programs of
    ///   other kinds may write to the same database. Who wants to fail at once gives a callback that returns false.
    /// - `journalMode`: always the default one. What WAL is for, readers that wait for nobody, is there without it.
    ///
    /// Transactions that write begin with `BEGIN IMMEDIATE`, as GRDB has it: they wait for their turn, and are never
    /// refused because somebody has written since they have read.
    public func onVolume() -> Configuration {
      var result = self
      result.journalMode = .default
      if case .immediateError = busyMode { result.busyMode = .timeout(Configuration.waitSeconds) }
      return result
    }
  }

  extension SQLiteVFS {
    /// GRDB names a VFS by URI: without them it would open a local file instead.
    static func requireURIs() throws {
      guard SQLiteVFS.readsURIs else {
        throw DatabaseError(
          resultCode: .SQLITE_MISUSE,
          message: "this SQLite library takes no URIs: make the SQLiteVFS before anything else uses SQLite")
      }
    }
  }
#endif
