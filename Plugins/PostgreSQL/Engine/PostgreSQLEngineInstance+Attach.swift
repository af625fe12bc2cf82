public import BorealisComputeEngine
import BorealisClusterModel
import BorealisCore
import BorealisRuntime
import Synchronization

// Becoming a writer or a reader, and the reader's log.
extension PostgreSQLEngineInstance {
  /// Goes on with other storage: the server is ended and started on that.
  ///
  /// A reader's view is thrown away, and a new writer starts from the volume as after a crash: what the old writer has
  /// acknowledged is there. A reader that follows a new writer begins at a fresh read point of it; clients of other
  /// processes connect again.
  ///
  /// - Throws: where it fails, the instance has ended.
  public func attach(_ storage: EngineStorage) async throws(EngineError) {
    let (old, probe, capacity, isTerminated) = state.withLock { state in
      defer {
        state.isChanging = !state.isTerminated
        state.probe = nil
        state.staleness = nil
      }
      return (state.attachment, state.probe, state.capacity, state.isTerminated)
    }
    guard !isTerminated else {
      storage.close()
      throw ended
    }
    probe?.close()
    let order = ServerOrder(
      engine: engine, cluster: cluster, instance: identifier, capacity: capacity,
      onLog: { [weak self, engine, identifier] line in
        engine.options.onLog(identifier, line)
        self?.noteLog(line)
      })
    let started: Result<ServedDatabase, EngineError> = await onThread {
      // Nothing of the old one is kept, and the new one needs its port.
      old?.database.terminateAndWait()
      old?.database.storage.close()
      do throws(EngineError) { return .success(try ServedDatabase(order, storage)) } catch { return .failure(error) }
    }
    let database: ServedDatabase
    do throws(EngineError) { database = try started.get() } catch {
      storage.close()
      terminate()
      state.withLock { $0.isChanging = false }
      throw error
    }
    let isKept = state.withLock { state in
      state.isChanging = false
      guard !state.isTerminated else { return false }
      let changes = old.map { $0.database.storage.role != storage.role } ?? false
      state.attachment = Attachment(
        database: database, generation: (old?.generation ?? 0) + 1,
        roleGeneration: (old?.roleGeneration ?? 0) + (changes ? 1 : 0))
      state.role = storage.role
      state.address = database.server.configuration.address
      state.isDraining = false
      return true
    }
    guard isKept else {
      database.terminate()
      storage.close()
      throw ended
    }
  }

  /// Lines of a reader's log that say that it cannot go on from where it is.
  private static let staleLines = [
    ("has already been removed", "the writer no longer has the log that it needs"),
    ("insufficient parameter settings", "the writer's settings are above its own"),
  ]
  private func noteLog(_ line: String) {
    guard let found = Self.staleLines.first(where: { line.contains($0.0) }) else { return }
    state.withLock { state in
      if state.role == .reader, state.staleness == nil { state.staleness = found.1 }
    }
  }
}
