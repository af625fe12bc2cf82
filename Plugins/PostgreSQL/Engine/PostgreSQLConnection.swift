import BorealisClusterModel
import BorealisComputeEngine
import BorealisCore
import BorealisRuntime
import Synchronization

/// A connection to an instance, for tasks: a connection of libpq with a thread of its own.
///
/// It outlasts a change of the writer that a reader follows, by connecting again between two transactions.
final class PostgreSQLConnection: SQLConnection {
  private struct State: Sendable {
    var thread: SessionThread?
    var generation: UInt64 = 0
    var roleGeneration: UInt64?
    var isInTransaction = false
    var isLost = false
  }
  private let owner: PostgreSQLEngineInstance
  private let state = Mutex(State())
  var instance: InstanceIdentifier { owner.identifier }

  init(_ owner: PostgreSQLEngineInstance) { self.owner = owner }
  deinit { close() }

  var isUsable: Bool {
    let (isLost, role) = state.withLock { ($0.isLost, $0.roleGeneration) }
    guard !isLost else { return false }
    return owner.isUsable(roleGeneration: role)
  }
  var isInTransaction: Bool { state.withLock { $0.isInTransaction } }

  func open() async throws(SQLError) {
    do throws(SQLError) { _ = try await current() } catch {
      close()
      throw told(error, owner.isTerminated)
    }
  }
  func close() {
    let (thread, wasLost, wasBusy) = state.withLock { state in
      defer {
        state.isLost = true
        state.thread = nil
        state.isInTransaction = false
      }
      return (state.thread, state.isLost, state.isInTransaction)
    }
    guard !wasLost else { return }
    if wasBusy { owner.end(isInTransaction: false, isQuery: false, failed: true, nanoseconds: nil) }
    thread?.close()
    owner.disconnected()
  }
  private func lost(_ why: String, _ sql: String? = nil, isOutcomeUnknown: Bool = false) -> SQLError {
    SQLError(.connectionLost, why, sql: sql, instance: instance.name, isOutcomeUnknown: isOutcomeUnknown)
  }

  /// The connection to the server of now.
  private func current() async throws(SQLError) -> SessionThread {
    guard let attachment = await owner.settledAttachment() else {
      close()
      throw lost("the instance has ended")
    }
    let (known, isLost) =
      state.withLock { state in
        if let role = state.roleGeneration, role != attachment.roleGeneration { return (nil, true) }
        if state.generation == attachment.generation { return (state.thread, state.isLost) }
        // The reader follows a new writer: a transaction saw the old one's state and cannot go on.
        return (nil, state.isLost || state.isInTransaction)
      } as (SessionThread?, Bool)
    if isLost {
      close()
      throw lost("the instance has changed its role or its writer; connect again")
    }
    if let known { return known }
    let owner = owner
    let new = try await SessionThread.connect(
      attachment.database.server.ownTarget(), instance: instance.name, onCommitSent: { owner.commitSent() })
    let (old, isClosed) =
      state.withLock { state in
        let old = state.thread
        guard !state.isLost else { return (new, true) }
        state.thread = new
        state.generation = attachment.generation
        state.roleGeneration = attachment.roleGeneration
        return (old, false)
      } as (SessionThread?, Bool)
    old?.close()
    if isClosed { throw lost("the connection is closed") }
    return new
  }

  /// Runs `body` on the connection's thread, and keeps count of transactions that stay open after it.
  private func run<T: Sendable>(
    _ sql: String?, isQuery: Bool, _ body: @escaping @Sendable (PQSession) throws -> T
  ) async throws -> T {
    let wasIn = state.withLock { $0.isInTransaction }
    try begin(wasIn, sql)
    let began = SystemClock.now.nanoseconds
    let (result, isIn, isGone): (Result<T, any Error>, Bool, Bool)
    do {
      let thread = try await current()
      (result, isIn, isGone) = try await thread.perform { session in
        (Result { try body(session) }, session.isInTransaction, session.isLost)
      }
    } catch { (result, isIn, isGone) = (.failure(error), false, false) }
    let failed = if case .failure = result { true } else { false }
    let took = isQuery || failed || isIn ? nil : SystemClock.now.nanoseconds - began
    settle(wasIn: wasIn, isIn: isIn, isQuery: isQuery, failed: failed, took)
    let isEnded = owner.isTerminated
    if isGone || isEnded { close() }
    do {
      let value = try result.get()
      // After `terminate` nothing is acknowledged, whatever the server had answered.
      guard isEnded, owner.role == .writer else { return value }
      throw lost("the instance has ended", sql, isOutcomeUnknown: true)
    } catch let error as SQLError { throw told(error, isEnded) }
  }
  private func begin(_ isIn: Bool, _ sql: String?) throws(SQLError) {
    guard owner.begin(isInTransaction: isIn) else {
      if owner.isTerminated { close() }
      throw lost("the instance has ended or is ending; connect again", sql)
    }
  }
  /// An error as the caller is to see it: that the instance has ended is the reason for all others.
  private func told(_ error: SQLError, _ isEnded: Bool) -> SQLError {
    guard isEnded, error.code != .connectionLost else { return error }
    return SQLError(
      .connectionLost, "the instance has ended: \(error.message)", engineCode: error.engineCode, sql: error.sql,
      instance: instance.name, isOutcomeUnknown: error.isOutcomeUnknown)
  }
  private func settle(wasIn: Bool, isIn: Bool, isQuery: Bool, failed: Bool, _ nanoseconds: UInt64?) {
    let isOpen = state.withLock { state in
      guard !state.isLost else { return false }
      state.isInTransaction = isIn
      return true
    }
    // Closed meanwhile: `close` has ended a transaction that was open before.
    owner.end(isInTransaction: isOpen ? isIn : wasIn, isQuery: isQuery, failed: failed, nanoseconds: nanoseconds)
  }

  private func typed<T: Sendable>(
    _ sql: String, isQuery: Bool, _ body: @escaping @Sendable (PQSession) throws -> T
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
    let wasIn = state.withLock { $0.isInTransaction }
    try begin(wasIn, sql)
    do throws(SQLError) {
      let thread = try await current()
      let feed = thread.feed(sql, parameters: parameters) { [self] isIn, error in
        settle(wasIn: wasIn, isIn: isIn, isQuery: true, failed: error != nil, nil)
        let isEnded = owner.isTerminated
        if isEnded { close() }
        return error.map { told($0, isEnded) }
      }
      return Source(feed)
    } catch {
      settle(wasIn: wasIn, isIn: false, isQuery: true, failed: true, nil)
      throw error
    }
  }
  func transaction<T: Sendable>(
    _ kind: TransactionKind, _ body: @escaping @Sendable (any SQLSession) throws -> T
  ) async throws -> T {
    try await run(nil, isQuery: kind == .read) { session in try session.transaction(kind, body) }
  }

  private final class Source: SQLRowSource {
    private let feed: RowFeed<SQLRow, SQLError>
    init(_ feed: RowFeed<SQLRow, SQLError>) { self.feed = feed }
    func next() async throws(SQLError) -> [SQLRow] { try await feed.next() }
  }
}
