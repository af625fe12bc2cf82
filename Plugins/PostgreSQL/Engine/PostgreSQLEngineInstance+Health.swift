import BorealisClusterModel
public import BorealisComputeEngine
public import BorealisCore
import BorealisRuntime
import Synchronization

// Signs of life, and what a reader has replayed.
extension PostgreSQLEngineInstance {
  /// Runs a statement of its own on the server, on a connection of its own, and looks whether the volume was taken.
  ///
  /// A reader that cannot go on from where it is ends here, with `.terminated`: started again, it begins at a fresh read
  /// point.
  public func checkHealth(timeoutMilliseconds: UInt64) async throws(EngineError) {
    let (attachment, isTerminated, isChanging, isIsolated, staleness) = state.withLock {
      ($0.attachment, $0.isTerminated, $0.isChanging, $0.isIsolated, $0.staleness)
    }
    if isChanging { throw EngineError(.unresponsive, identifier, "it is being given other storage") }
    guard let attachment, !isTerminated else { throw ended }
    if case .writer(let volume) = attachment.database.storage, volume.isFenced {
      throw EngineError(.fenced, identifier, "another writer has opened the volume")
    }
    let held = attachment.database.upkeep?.heldMilliseconds ?? 0
    if let staleness = staleness ?? standstill(held) {
      terminate(ifStill: attachment)
      throw EngineError(.terminated, identifier, "\(staleness); it begins again at a fresh read point")
    }
    guard attachment.database.server.isRunning else {
      let words = attachment.database.server.lastWords
      terminate(ifStill: attachment)
      throw EngineError(.terminated, identifier, "the server has ended\(words)")
    }
    let isReader = attachment.database.storage.role == .reader
    let answered = await withTimeLimit(milliseconds: timeoutMilliseconds) { [self] () async -> Bool in
      if isIsolated {
        try? await Task.sleep(for: .milliseconds(timeoutMilliseconds))
        return false
      }
      guard let rows = try? await ask(PostgreSQLEngineInstance.healthQuery, timeoutMilliseconds),
        let row = rows.first, let inRecovery: Bool = try? row.get(0), let others: Int = try? row.get(1),
        let active: Int = try? row.get(2)
      else { return false }
      let now = SystemClock.now.nanoseconds
      state.withLock { state in
        state.otherConnections = others
        if active > 0 { state.statistics.lastUse = now }
      }
      return inRecovery == isReader
    }
    if self.isTerminated { throw ended }
    if case .writer(let volume) = attachment.database.storage, volume.isFenced {
      throw EngineError(.fenced, identifier, "another writer has opened the volume")
    }
    guard answered == true else {
      dropProbe()
      throw EngineError(.unresponsive, identifier, "the server gave no answer within \(timeoutMilliseconds) ms")
    }
  }
  private func standstill(_ heldMilliseconds: UInt64) -> String? {
    guard heldMilliseconds > engine.options.readPointMillisecondsMax else { return nil }
    return "its view has not come nearer to the writer for \(heldMilliseconds / 1000) s"
  }
  /// Whether it replays; clients that are not of this process, and those of them that do something.
  private static let healthQuery = """
    select pg_is_in_recovery(), count(*), count(*) filter (where state <> 'idle') from pg_stat_activity
    where backend_type = 'client backend' and application_name not like 'borealis%'
    """
  private static let busyQuery = """
    select count(*) from pg_stat_activity where backend_type = 'client backend' and xact_start is not null
    and application_name not like 'borealis%'
    """

  /// Whether clients of other processes have transactions open.
  func othersAreBusy() async -> Bool {
    guard let rows = try? await ask(PostgreSQLEngineInstance.busyQuery, 1000), let count: Int = try? rows.first?.get(0)
    else { return false }
    return count > 0
  }

  /// Asks the server something, on the connection that is kept for it.
  private func ask(_ sql: String, _ timeoutMilliseconds: UInt64) async throws -> [SQLRow] {
    let (probe, isKept) = try await currentProbe(timeoutMilliseconds)
    // Another check was faster, or this was the server before: the connection serves this once.
    defer { if !isKept { probe.close() } }
    do { return try await probe.perform { try $0.query(sql, parameters: []) } } catch {
      dropProbe()
      throw error
    }
  }
  private func currentProbe(_ timeoutMilliseconds: UInt64) async throws(SQLError) -> (SessionThread, isKept: Bool) {
    if let probe = state.withLock({ $0.probe }) { return (probe, true) }
    guard let attachment = attachment() else {
      throw SQLError(.connectionLost, "the instance has ended", instance: identifier.name)
    }
    let target = attachment.database.server.ownTarget(application: "borealis health")
    let new = try await SessionThread.connect(
      target, instance: identifier.name, timeoutMilliseconds: timeoutMilliseconds)
    let isKept = state.withLock { state in
      guard !state.isTerminated, !state.isChanging, state.probe == nil,
        state.attachment?.generation == attachment.generation
      else { return false }
      state.probe = new
      return true
    }
    return (new, isKept)
  }
  /// Ends the instance, unless it works on something else meanwhile.
  private func terminate(ifStill attachment: Attachment) {
    let isSame = state.withLock { !$0.isChanging && $0.attachment?.generation == attachment.generation }
    if isSame { terminate() }
  }
  private func dropProbe() {
    let probe = state.withLock { state in
      defer { state.probe = nil }
      return state.probe
    }
    probe?.close()
  }

  // MARK: Reading what was written elsewhere

  /// Waits until this instance shows what its writer had acknowledged when this was called; whether it does.
  ///
  /// The volume's LSNs are none of PostgreSQL's: a reader asks its writer how far its log is durable now, which is at or
  /// beyond everything up to `lsn` if `lsn` was the writer's position before, and waits until it has replayed that.
  public func waitUntilVisible(_ lsn: LSN, timeoutMilliseconds: UInt64) async -> Bool {
    guard let database = attachment()?.database else { return false }
    guard case .standby(let writer, let authority) = database.server.configuration.role else { return true }
    let deadline = SystemClock.now.advanced(byMilliseconds: timeoutMilliseconds)
    let target = ConnectionTarget(
      host: writer.host, port: writer.port, user: engine.options.superuser,
      password: database.server.configuration.password,
      security: authority.map { .verified(authority: $0) } ?? .plain, application: "borealis position")
    let (own, name) = (database.server.ownTarget(application: "borealis position"), identifier.name)
    return await onThread {
      do throws(SQLError) {
        let there = try PQSession(target, instance: name, timeoutMilliseconds: timeoutMilliseconds)
        let flushed = try there.query("select pg_current_wal_flush_lsn()::text", parameters: []).first?.values.first
        there.close()
        guard let flushed, flushed != .null else { return false }
        let here = try PQSession(own, instance: name, timeoutMilliseconds: timeoutMilliseconds)
        defer { here.close() }
        let pause = ThreadSignal()
        while true {
          let rows = try here.query("select pg_last_wal_replay_lsn() >= $1::pg_lsn", parameters: [flushed])
          if rows.first?.values.first == .integer(1) { return true }
          if SystemClock.now >= deadline { return false }
          pause.wait(milliseconds: 1)
        }
      } catch { return false }
    }
  }
}
