public import BorealisComputeEngine
import BorealisClusterModel
import BorealisCore
import BorealisRuntime
import Synchronization

// Connections of this process, and how many there are.
extension PostgreSQLEngineInstance {
  /// How long a connection waits for an instance that is given other storage, in milliseconds.
  private static let changeMilliseconds: UInt64 = 30_000

  /// A new connection, as the superuser, to the database `postgres`.
  public func connect() async throws(SQLError) -> any SQLConnection {
    let refusal: SQLError? = state.withLock { state in
      if state.isTerminated || state.isIsolated || state.isDraining {
        return SQLError(
          .connectionLost, "the instance takes no connections: it has ended or is ending", instance: identifier.name)
      }
      guard state.statistics.connections < state.capacity.connectionsMax else {
        return SQLError(
          .tooManyConnections, "all \(state.capacity.connectionsMax) connections of its class are in use",
          instance: identifier.name)
      }
      state.statistics.connections += 1
      state.statistics.connectionsOpened += 1
      return nil
    }
    if let refusal { throw refusal }
    let connection = PostgreSQLConnection(self)
    try await connection.open()
    return connection
  }
  func disconnected() { state.withLock { $0.statistics.connections -= 1 } }

  /// Whether a connection of that role can go on, perhaps after a change of storage.
  func isUsable(roleGeneration: UInt64?) -> Bool {
    state.withLock { state in
      guard !state.isTerminated, let attachment = state.attachment else { return false }
      return roleGeneration == nil || roleGeneration == attachment.roleGeneration
    }
  }
  /// What the instance works on, once it is not changing any more; nil when it has ended.
  func settledAttachment() async -> Attachment? {
    let deadline = SystemClock.now.advanced(byMilliseconds: Self.changeMilliseconds)
    while state.withLock({ $0.isChanging && !$0.isTerminated }), SystemClock.now < deadline {
      try? await Task.sleep(for: .milliseconds(2))
    }
    return attachment()
  }

  /// A connection wants to run something.
  ///
  /// - Parameter isInTransaction: it has begun a transaction before: that may go on while the instance is drained.
  /// - Returns: whether it may.
  func begin(isInTransaction: Bool) -> Bool {
    state.withLock { state in
      if state.isTerminated || state.isDraining && !isInTransaction { return false }
      if !isInTransaction { state.busy += 1 }
      return true
    }
  }
  /// What a connection has run is over.
  ///
  /// - Parameter nanoseconds: how long it took, where it was committed.
  func end(isInTransaction: Bool, isQuery: Bool, failed: Bool, nanoseconds: UInt64?) {
    let now = SystemClock.now.nanoseconds
    state.withLock { state in
      if !isInTransaction { state.busy -= 1 }
      if isQuery { state.statistics.queries += 1 }
      if failed { state.statistics.rollbacks += 1 }
      if let nanoseconds {
        state.statistics.commits += 1
        state.statistics.commitNanoseconds += nanoseconds
      }
      state.statistics.lastUse = now
    }
  }
}
