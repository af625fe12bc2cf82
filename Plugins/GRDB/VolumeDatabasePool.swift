#if GRDB
  public import BorealisSQLite
  import Dispatch
  public import GRDB

  /// What `DatabasePool` is for a file, on a volume: one connection that writes and several that read, none of which
  /// waits for it.
  ///
  /// GRDB's own pool needs WAL and says so on a volume. This one needs nothing, since every transaction there sees one
  /// moment: reads run side by side, each on a snapshot, while the writer commits.
  ///
  ///     let pool = try VolumeDatabasePool(vfs, "/orders.db")     // was: DatabasePool(path: "orders.db")
  ///     try pool.write { db in try Order(what: "tea").insert(db) }
  ///     let count = try pool.read { db in try Order.fetchCount(db) }
  ///
  /// On a reader instance all connections read, and a write fails with `SQLITE_READONLY`. Observations
  /// (`ValueObservation`) see there what the writer commits, and on the writer's instance what other connections
  /// commit, since the pool looks every `observationIntervalMilliseconds` whether anything has changed while there are any.
  ///
  /// Differences from `DatabasePool`: no `makeSnapshot` (use a `read`), and observations fetch on the writing
  /// connection, as those of a `DatabaseQueue` do.
  public final class VolumeDatabasePool: Sendable {
    /// How often observations look for what other connections have committed.
    public static let observationIntervalMilliseconds = 50

    let writer: DatabaseQueue
    let readers: PoolReaders
    let watch: ChangeWatch
    /// Tells on which of the pool's connections code runs.
    let place = DispatchSpecificKey<PoolPlace>()

    /// Opens a database on a volume; the writer makes it where there is none.
    ///
    /// - Parameter configuration: as for `DatabaseQueue(borealis:_:configuration:)`; `maximumReaderCount` connections
    ///   are opened for reading.
    /// - Throws: `DatabaseError`: `SQLITE_CANTOPEN` where there is no such database (reader), or its path is no file.
    public init(_ vfs: SQLiteVFS, _ path: String, configuration: Configuration = Configuration()) throws {
      try SQLiteVFS.requireURIs()
      let configuration = configuration.onVolume()
      let (place, uri) = (place, vfs.uri(path))
      precondition(configuration.maximumReaderCount > 0, "maximumReaderCount must be at least 1")
      func queue(_ configuration: Configuration, _ name: String, _ here: PoolPlace) throws -> DatabaseQueue {
        var own = configuration
        let target = DispatchQueue(
          label: name, qos: configuration.qos, target: here == .writer ? configuration.writeTargetQueue : nil)
        if let outer = configuration.targetQueue, here != .writer || configuration.writeTargetQueue == nil {
          target.setTarget(queue: outer)
        }
        target.setSpecific(key: place, value: here)
        own.writeTargetQueue = nil
        own.targetQueue = target
        own.label = (configuration.label ?? "Borealis") + "." + name
        return try DatabaseQueue(path: uri, configuration: own)
      }
      // Not "readonly" on a reader instance either: GRDB observes nothing on such a connection. The VFS refuses writes.
      writer = try queue(configuration, "writer", .writer)
      var reading = configuration
      reading.readonly = true
      readers = PoolReaders(
        try (0..<configuration.maximumReaderCount).map { n in
          PoolReader(number: n, queue: try queue(reading, "reader.\(n)", .reader(n)))
        })
      watch = ChangeWatch(writer)
    }
  }

  /// Where code runs.
  enum PoolPlace: Equatable, Sendable {
    case writer
    case reader(Int)
  }

  extension VolumeDatabasePool: DatabaseReader {
    /// That of the writing connection.
    public var configuration: Configuration { writer.configuration }
    /// The database as a URI, which other GRDB types open.
    public var path: String { writer.path }
    /// Closes all connections, when the reads under way are over.
    public func close() throws {
      watch.end()
      let all = readers.takeAll()
      defer { readers.give(all) }
      try writer.close()
      readers.close()
      for reader in all { try reader.queue.close() }
    }
    /// Ends the statements that run on any connection.
    public func interrupt() {
      writer.interrupt()
      for reader in readers.all { reader.queue.interrupt() }
    }

    // MARK: Reading

    /// Runs `value` on a snapshot; waits for a free connection, never for a writer.
    @_disfavoredOverload
    public func read<T>(_ value: (Database) throws -> T) throws -> T {
      requireOutsideReader()
      let reader = readers.take()
      defer { readers.give([reader]) }
      try readers.requireOpen()
      return try reader.queue.read { db in
        try reader.refresh(db)
        return try value(db)
      }
    }
    /// Runs `value` on a snapshot; waits for a free connection, never for a writer.
    public func read<T: Sendable>(_ value: @Sendable (Database) throws -> T) async throws -> T {
      let reader = await readers.take()
      defer { readers.give([reader]) }
      try readers.requireOpen()
      return try await reader.queue.read { db in
        try reader.refresh(db)
        return try value(db)
      }
    }
    /// Runs `value` on a snapshot, later.
    public func asyncRead(_ value: @escaping @Sendable (Result<Database, any Error>) -> Void) {
      readers.take { [readers] reader in
        do { try readers.requireOpen() } catch {
          readers.give([reader])
          return value(.failure(error))
        }
        reader.queue.asyncRead { result in
          value(result.refreshed(reader))
          readers.give([reader])
        }
      }
    }
    /// Runs `value` on a reading connection without a transaction: each statement sees a moment of its own.
    @_disfavoredOverload
    public func unsafeRead<T>(_ value: (Database) throws -> T) throws -> T {
      requireOutsideReader()
      let reader = readers.take()
      defer { readers.give([reader]) }
      try readers.requireOpen()
      return try reader.queue.unsafeRead { db in
        try reader.refresh(db)
        return try value(db)
      }
    }
    /// Runs `value` on a reading connection without a transaction: each statement sees a moment of its own.
    public func unsafeRead<T: Sendable>(_ value: @Sendable (Database) throws -> T) async throws -> T {
      let reader = await readers.take()
      defer { readers.give([reader]) }
      try readers.requireOpen()
      return try await reader.queue.unsafeRead { db in
        try reader.refresh(db)
        return try value(db)
      }
    }
    /// Runs `value` on a reading connection without a transaction, later.
    public func asyncUnsafeRead(_ value: @escaping @Sendable (Result<Database, any Error>) -> Void) {
      readers.take { [readers] reader in
        do { try readers.requireOpen() } catch {
          readers.give([reader])
          return value(.failure(error))
        }
        reader.queue.asyncUnsafeRead { result in
          value(result.refreshed(reader))
          readers.give([reader])
        }
      }
    }
    /// Runs `value` on the connection that the caller is on already, or else on a reading one.
    public func unsafeReentrantRead<T>(_ value: (Database) throws -> T) throws -> T {
      switch DispatchQueue.getSpecific(key: place) {
      case .reader(let number): return try readers.all[number].queue.unsafeReentrantRead(value)
      case .writer: return try writer.unsafeReentrantRead(value)
      case nil: return try unsafeRead(value)
      }
    }
    private func requireOutsideReader() {
      if case .reader = DispatchQueue.getSpecific(key: place) {
        preconditionFailure("Database methods are not reentrant.")
      }
    }

    // MARK: Observations

    // swift-format-ignore: NoLeadingUnderscores
    /// Starts an observation, for GRDB, whose name this is.
    public func _add<Reducer: ValueReducer>(
      observation: ValueObservation<Reducer>, scheduling scheduler: some ValueObservationScheduler,
      onChange: @escaping @Sendable (Reducer.Value) -> Void
    ) -> AnyDatabaseCancellable {
      let inner = writer._add(observation: observation, scheduling: scheduler, onChange: onChange)
      watch.begin()
      return AnyDatabaseCancellable { [watch] in
        inner.cancel()
        watch.leave()
      }
    }
  }

  extension VolumeDatabasePool: DatabaseWriter {
    /// Runs `updates` on the writing connection.
    @_disfavoredOverload
    public func writeWithoutTransaction<T>(_ updates: (Database) throws -> T) rethrows -> T {
      try writer.writeWithoutTransaction(updates)
    }
    /// Runs `updates` on the writing connection.
    public func writeWithoutTransaction<T: Sendable>(_ updates: @Sendable (Database) throws -> T) async throws -> T {
      try await writer.writeWithoutTransaction(updates)
    }
    /// Runs `updates` on the writing connection while no connection of the pool reads.
    @_disfavoredOverload
    public func barrierWriteWithoutTransaction<T>(_ updates: (Database) throws -> T) throws -> T {
      let all = readers.takeAll()
      defer { readers.give(all) }
      return try writer.writeWithoutTransaction(updates)
    }
    /// Runs `updates` on the writing connection while no connection of the pool reads.
    public func barrierWriteWithoutTransaction<T: Sendable>(
      _ updates: @Sendable (Database) throws -> T
    ) async throws -> T {
      let all = await readers.takeAll()
      defer { readers.give(all) }
      return try await writer.writeWithoutTransaction(updates)
    }
    /// Runs `updates` on the writing connection while no connection of the pool reads, later.
    public func asyncBarrierWriteWithoutTransaction(
      _ updates: @escaping @Sendable (Result<Database, any Error>) -> Void
    ) {
      readers.takeAll { [readers, writer] all in
        writer.asyncWriteWithoutTransaction { db in
          updates(.success(db))
          readers.give(all)
        }
      }
    }
    /// Runs `updates` on the writing connection, later.
    public func asyncWriteWithoutTransaction(_ updates: @escaping @Sendable (Database) -> Void) {
      writer.asyncWriteWithoutTransaction(updates)
    }
    /// Runs `updates` on the writing connection, which the caller may be on already.
    public func unsafeReentrantWrite<T>(_ updates: (Database) throws -> T) rethrows -> T {
      try writer.unsafeReentrantWrite(updates)
    }
    /// Runs `value` on a snapshot of what the writing connection has committed, beside what it does next.
    ///
    /// Must be called on the writing connection, outside of a transaction.
    public func spawnConcurrentRead(_ value: @escaping @Sendable (Result<Database, any Error>) -> Void) {
      precondition(DispatchQueue.getSpecific(key: place) == .writer, "must be called on the writing connection")
      writer.unsafeReentrantWrite { db in
        precondition(!db.isInsideTransaction, "must not be called from inside a transaction.")
      }
      let isolated = DispatchSemaphore(value: 0)
      readers.take { [readers] reader in
        // No check for a pool that was closed: this runs on its writing connection.
        reader.queue.asyncRead { result in
          // Reads the version of the schema, so that the snapshot is taken before the writer goes on.
          let result = result.refreshed(reader)
          isolated.signal()
          value(result)
          readers.give([reader])
        }
      }
      isolated.wait()
    }
  }
#endif
