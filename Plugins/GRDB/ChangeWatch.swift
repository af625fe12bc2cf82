#if GRDB
  import Dispatch
  import GRDB
  import Synchronization

  /// Tells a connection's observations what other connections, perhaps of another instance, have committed.
  final class ChangeWatch: Sendable {
    private final class DataVersion: Sendable {
      let value = Mutex<Int?>(nil)
    }
    private struct State: Sendable {
      var observations = 0
      /// Of the watch under way; another one ends those of lower numbers.
      var generation = 0
    }
    private let queue: DatabaseQueue
    private let state = Mutex(State())
    /// What `PRAGMA data_version` said last.
    private let dataVersion = DataVersion()

    init(_ queue: DatabaseQueue) {
      self.queue = queue
      // Before any observation can begin, so that the first look tells of nothing that it has seen.
      queue.asyncWriteWithoutTransaction { [dataVersion] db in
        let version = try? Int.fetchOne(db, sql: "PRAGMA data_version")
        dataVersion.value.withLock { $0 = version }
      }
    }

    /// There is one observation more.
    func begin() {
      let generation: Int? = state.withLock { state in
        state.observations += 1
        guard state.observations == 1 else { return nil }
        state.generation += 1
        return state.generation
      }
      if let generation { look(generation) }
    }
    /// There is one observation less.
    func leave() { state.withLock { $0.observations -= 1 } }
    /// The connection is about to be closed.
    func end() { state.withLock { $0.generation += 1 } }

    private func look(_ generation: Int) {
      guard state.withLock({ $0.generation == generation && $0.observations > 0 }) else { return }
      queue.asyncWriteWithoutTransaction { [weak self] db in
        guard let self else { return }
        // What fails here fails for whoever reads next, and is told there.
        try? notify(db)
        let later = DispatchTime.now() + .milliseconds(VolumeDatabasePool.observationIntervalMilliseconds)
        DispatchQueue.global().asyncAfter(deadline: later) { [weak self] in self?.look(generation) }
      }
    }
    private func notify(_ db: Database) throws {
      let version = try Int.fetchOne(db, sql: "PRAGMA data_version")
      let last = dataVersion.value.withLock { last in
        defer { last = version }
        return last
      }
      guard last != version else { return }
      _ = try Row.fetchOne(db, sql: "SELECT 1 FROM sqlite_master LIMIT 1")
      db.clearSchemaCache()
      // GRDB tells observers at the end of a transaction, be it an empty one.
      try db.inTransaction(.deferred) {
        try db.notifyChanges(in: .fullDatabase)
        return .commit
      }
    }
  }
#endif
