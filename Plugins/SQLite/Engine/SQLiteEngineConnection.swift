import BorealisClusterModel
import BorealisComputeEngine
import BorealisVolume
import CBorealisSQLite
import Synchronization

/// A connection to an instance, which outlasts a change of the writer that a reader follows.
final class SQLiteEngineConnection: SQLConnection {
  private struct State: Sendable {
    var connection: SQLiteConnection?
    var generation: UInt64 = 0
    var roleGeneration: UInt64?
    var isInTransaction = false
    var isLost = false
  }
  private let owner: SQLiteEngineInstance
  private let state = Mutex(State())
  var instance: InstanceIdentifier { owner.identifier }

  init(_ owner: SQLiteEngineInstance) { self.owner = owner }
  deinit { close() }

  var isUsable: Bool {
    let (isLost, role) = state.withLock { ($0.isLost, $0.roleGeneration) }
    guard !isLost, let attachment = owner.attachment() else { return false }
    return role == nil || role == attachment.roleGeneration
  }
  var isInTransaction: Bool { state.withLock { $0.isInTransaction } }

  func open() async throws(SQLError) {
    do throws(SQLError) { _ = try await current() } catch {
      close()
      throw error
    }
  }
  func close() {
    let (connection, wasLost, wasBusy) = state.withLock { state in
      defer {
        state.isLost = true
        state.connection = nil
        state.isInTransaction = false
      }
      return (state.connection, state.isLost, state.isInTransaction)
    }
    guard !wasLost else { return }
    if wasBusy { owner.end(isInTransaction: false, isQuery: false, failed: true) }
    connection?.close()
    owner.disconnected()
  }
  private func lost(_ why: String, _ sql: String? = nil, isOutcomeUnknown: Bool = false) -> SQLError {
    SQLError(.connectionLost, why, sql: sql, instance: instance.name, isOutcomeUnknown: isOutcomeUnknown)
  }

  /// The connection on what the instance works on now.
  private func current() async throws(SQLError) -> SQLiteConnection {
    guard let attachment = owner.attachment() else {
      close()
      throw lost("the instance has ended")
    }
    let (known, isLost) =
      state.withLock { state in
        if let role = state.roleGeneration, role != attachment.roleGeneration { return (nil, true) }
        if state.generation == attachment.generation { return (state.connection, state.isLost) }
        // The reader follows a new writer: a transaction saw the old one's state and cannot go on.
        return (nil, state.isLost || state.isInTransaction)
      } as (SQLiteConnection?, Bool)
    if isLost {
      close()
      throw lost("the instance has changed its role or its writer; connect again")
    }
    if let known { return known }
    let new: SQLiteConnection
    do throws(SQLiteError) {
      new = try await SQLiteConnection(
        attachment.vfs, owner.engine.path, busyTimeoutMilliseconds: owner.engine.busyTimeoutMilliseconds)
    } catch { throw SQLError(error, instance, isEnded: owner.isTerminated) }
    let old = state.withLock { state in
      defer {
        state.connection = new
        state.generation = attachment.generation
        state.roleGeneration = attachment.roleGeneration
      }
      return state.connection
    }
    old?.close()
    return new
  }

  /// Runs `body` on the connection's thread, and keeps count of transactions that stay open after it.
  private func run<T: Sendable>(
    _ sql: String?, isQuery: Bool, _ body: @escaping @Sendable (SQLiteSession) throws -> T
  ) async throws -> T {
    let wasIn = state.withLock { $0.isInTransaction }
    guard owner.begin(isInTransaction: wasIn) else {
      if owner.isTerminated { close() }
      throw lost("the instance has ended or is ending; connect again", sql)
    }
    let outcome: Result<(T, Bool), any Error>
    do {
      let connection = try await current()
      let value = try await connection.perform { session in
        let result = Result { try body(session) }
        return (result, !session.isAutocommit)
      }
      outcome = value.0.map { ($0, value.1) }
      settle(wasIn: wasIn, isIn: value.1, isQuery: isQuery, failed: (try? value.0.get()) == nil)
    } catch {
      outcome = .failure(error)
      settle(wasIn: wasIn, isIn: false, isQuery: isQuery, failed: true)
    }
    do { return try outcome.get().0 } catch let error as SQLiteError {
      let isEnded = owner.isTerminated
      if isEnded || error.isFenced { close() }
      throw SQLError(error, instance, isEnded: isEnded)
    }
  }
  private func settle(wasIn: Bool, isIn: Bool, isQuery: Bool, failed: Bool) {
    let isOpen = state.withLock { state in
      guard !state.isLost else { return false }
      state.isInTransaction = isIn
      return true
    }
    // Closed meanwhile: `close` has ended a transaction that was open before.
    owner.end(isInTransaction: isOpen ? isIn : wasIn, isQuery: isQuery, failed: failed)
  }
  private func typed<T: Sendable>(
    _ sql: String, isQuery: Bool, _ body: @escaping @Sendable (SQLiteSession) throws -> T
  ) async throws(SQLError) -> T {
    do { return try await run(sql, isQuery: isQuery, body) } catch let error as SQLError { throw error } catch {
      throw SQLError(.engine, "\(error)", sql: sql, instance: instance.name)
    }
  }

  func execute(_ sql: String, parameters: [SQLValue]) async throws(SQLError) -> Int {
    try await typed(sql, isQuery: false) { try $0.execute(sql, parameters: parameters) }
  }
  func rows(_ sql: String, parameters: [SQLValue]) async throws(SQLError) -> [SQLRow] {
    try await typed(sql, isQuery: true) { try $0.query(sql, parameters: parameters) }
  }
  func source(of sql: String, parameters: [SQLValue]) async throws(SQLError) -> any SQLRowSource {
    guard owner.begin(isInTransaction: state.withLock { $0.isInTransaction }) else {
      throw lost("the instance has ended or is ending; connect again", sql)
    }
    let wasIn = state.withLock { $0.isInTransaction }
    do throws(SQLError) {
      let connection = try await current()
      let feed = connection.feed(sql, parameters: parameters) { [self] isIn, failed in
        settle(wasIn: wasIn, isIn: isIn, isQuery: true, failed: failed)
      }
      return Source(self, feed)
    } catch {
      settle(wasIn: wasIn, isIn: false, isQuery: true, failed: true)
      throw error
    }
  }
  func transaction<T: Sendable>(
    _ kind: TransactionKind, _ body: @escaping @Sendable (any SQLSession) throws -> T
  ) async throws -> T {
    let name = instance
    return try await run(nil, isQuery: kind == .read) { session in
      try session.transaction(kind == .read ? .read : .write) {
        try body(EngineSession(session: session, instance: name))
      }
    }
  }

  private final class Source: SQLRowSource {
    private let connection: SQLiteEngineConnection
    private let feed: RowFeed<SQLRow, SQLiteError>

    init(_ connection: SQLiteEngineConnection, _ feed: RowFeed<SQLRow, SQLiteError>) {
      self.connection = connection
      self.feed = feed
    }
    func next() async throws(SQLError) -> [SQLRow] {
      do throws(SQLiteError) { return try await feed.next() } catch {
        throw SQLError(error, connection.instance, isEnded: connection.owner.isTerminated)
      }
    }
  }
}

/// A session as transactions of any engine see it.
private struct EngineSession: SQLSession {
  let session: SQLiteSession
  let instance: InstanceIdentifier

  func execute(_ sql: String, parameters: [SQLValue]) throws(SQLError) -> Int {
    do throws(SQLiteError) { return try session.execute(sql, parameters: parameters) } catch {
      throw SQLError(error, instance, isEnded: false)
    }
  }
  func query(_ sql: String, parameters: [SQLValue]) throws(SQLError) -> [SQLRow] {
    do throws(SQLiteError) { return try session.query(sql, parameters: parameters) } catch {
      throw SQLError(error, instance, isEnded: false)
    }
  }
}

extension SQLError {
  /// SQLite's error in the terms that all engines share.
  init(_ error: SQLiteError, _ instance: InstanceIdentifier, isEnded: Bool) {
    let code: Code =
      if isEnded || error.isFenced || error.volumeError?.code == .closed {
        .connectionLost
      } else {
        switch error.code {
        case SQLITE_BUSY, SQLITE_LOCKED: .busy
        case SQLITE_READONLY: .readOnly
        case SQLITE_CONSTRAINT: .constraint
        case SQLITE_FULL, SQLITE_TOOBIG: .full
        case SQLITE_MISMATCH: .mismatch
        case SQLITE_RANGE, SQLITE_MISUSE: .invalidArgument
        case SQLITE_ERROR, SQLITE_SCHEMA: .statement
        default: .engine
        }
      }
    var message = error.message
    if let cause = error.volumeError { message += " (\(cause))" }
    self.init(
      code, message, engineCode: SQLiteErrorCode.name(error.extendedCode), sql: error.sql, instance: instance.name,
      isOutcomeUnknown: error.isOutcomeUnknown)
  }
}
