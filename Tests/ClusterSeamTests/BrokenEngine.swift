import Borealis
import Synchronization

/// What is wrong with a broken engine.
enum EngineFlaw: String, CaseIterable, Sendable {
  case takesNoConnections, keepsStorageOfAFailedStart
  case losesCommits, acknowledgesWhenEnded, acknowledgesWhenFenced, knowsTheOutcome
  case showsHalves, forgetsTheOldest, readerTakesWrites
  case ignoresPromotion, keepsOldStorage, keepsConnections, dropsConnections
  case claimsHealth, hangs, survivesTerminate, stopCutsOff, oneAtATime, blocksThePool

  /// The check that has to see it.
  var check: String {
    switch self {
    case .takesNoConnections: "1 a started instance takes connections, and a first writer makes what it needs"
    case .keepsStorageOfAFailedStart: "1 a writer that cannot start has closed its storage"
    case .losesCommits: "2 what was acknowledged is there after kill -9"
    case .acknowledgesWhenEnded: "2 nothing is acknowledged after terminate"
    case .acknowledgesWhenFenced: "2 nothing is acknowledged after the volume is fenced"
    case .knowsTheOutcome: "2 a commit cut off has an unknown outcome, and is whole or not there"
    case .showsHalves, .forgetsTheOldest: "3 a reader shows committed transactions, whole and in order"
    case .readerTakesWrites: "3 a reader refuses writes"
    case .ignoresPromotion, .keepsOldStorage: "4 a promoted reader writes, and its old storage is closed"
    case .keepsConnections: "4 connections are lost when the role changes"
    case .dropsConnections: "4 connections outlast a change of the writer that a reader follows"
    case .claimsHealth, .hangs: "5 health is told within the time limit, of the engine itself"
    case .survivesTerminate: "6 terminate ends the instance at once and for good"
    case .stopCutsOff: "6 stop lets transactions under way end"
    case .oneAtATime: "7 many tasks may call at once"
    case .blocksThePool: "7 no call blocks a thread of the task pool"
    }
  }
  /// Short where the check has to wait until it gives up.
  var patienceMilliseconds: UInt64 {
    switch self {
    case .hangs, .blocksThePool: 2000
    default: 20_000
    }
  }
}

/// SQLite with one flaw, or none.
struct BrokenEngine: ComputeEngine {
  let flaw: EngineFlaw?
  private let base = SQLiteEngine()
  init(_ flaw: EngineFlaw?) { self.flaw = flaw }
  var name: String { "broken" }

  func start(_ start: InstanceStart) async throws(EngineError) -> any EngineInstance {
    if flaw == .keepsStorageOfAFailedStart, start.instance == "late" {
      throw EngineError(.fenced, start.instance, "found out, and not closed")
    }
    return BrokenInstance(flaw, start, base, try await base.start(start))
  }
}

final class BrokenInstance: EngineInstance {
  private struct State: Sendable {
    var instance: any EngineInstance
    var kept: [any EngineInstance] = []
    var connections: [BrokenConnection] = []
    var wasIsolated = false
    var wasTerminated = false
  }
  let flaw: EngineFlaw?
  private let start: InstanceStart
  private let engine: SQLiteEngine
  private let state: Mutex<State>

  init(_ flaw: EngineFlaw?, _ start: InstanceStart, _ engine: SQLiteEngine, _ instance: any EngineInstance) {
    self.flaw = flaw
    self.start = start
    self.engine = engine
    state = Mutex(State(instance: instance))
  }
  private var base: any EngineInstance { state.withLock { $0.instance } }
  var role: InstanceRole { base.role }
  var address: EngineAddress? { base.address }
  var statistics: EngineStatistics { base.statistics }
  var wasTerminated: Bool { state.withLock { $0.wasTerminated } }

  func checkHealth(timeoutMilliseconds: UInt64) async throws(EngineError) {
    if flaw == .claimsHealth { return }
    if flaw == .hangs, state.withLock({ $0.wasIsolated }) { try? await Task.sleep(for: .seconds(30)) }
    try await base.checkHealth(timeoutMilliseconds: timeoutMilliseconds)
  }
  func attach(_ storage: EngineStorage) async throws(EngineError) {
    switch flaw {
    case .ignoresPromotion: return
    case .keepsOldStorage, .keepsConnections:
      // A new one beside the old one, which goes on.
      let new = try await engine.start(
        InstanceStart(
          cluster: start.cluster, instance: start.instance, zone: start.zone, capacity: start.capacity,
          storage: storage))
      state.withLock { state in
        state.kept.append(state.instance)
        state.instance = new
      }
      return
    case .dropsConnections: for connection in state.withLock({ $0.connections }) { connection.close() }
    default: break
    }
    try await base.attach(storage)
  }
  func resize(to capacity: InstanceCapacity) async { await base.resize(to: capacity) }
  func connect() async throws(SQLError) -> any SQLConnection {
    if flaw == .takesNoConnections { throw SQLError(.connectionLost, "not yet") }
    if flaw == .oneAtATime, state.withLock({ $0.connections.contains { $0.isUsable } }) {
      throw SQLError(.engine, "somebody else is connected")
    }
    let connection = BrokenConnection(try await base.connect(), self)
    state.withLock { $0.connections.append(connection) }
    return connection
  }
  func drain(timeoutMilliseconds: UInt64) async -> Bool { await base.drain(timeoutMilliseconds: timeoutMilliseconds) }
  func stop() async {
    if flaw == .stopCutsOff { return base.terminate() }
    await base.stop()
  }
  func terminate() {
    state.withLock { $0.wasTerminated = true }
    if flaw != .survivesTerminate { base.terminate() }
  }
  func inject(_ fault: EngineFault) {
    state.withLock { $0.wasIsolated = true }
    base.inject(fault)
  }
}

final class BrokenConnection: SQLConnection {
  private let base: any SQLConnection
  private let owner: BrokenInstance
  private let role: InstanceRole
  init(_ base: any SQLConnection, _ owner: BrokenInstance) {
    self.base = base
    self.owner = owner
    role = owner.role
  }
  private var flaw: EngineFlaw? { owner.flaw }
  var instance: InstanceIdentifier { base.instance }
  var isUsable: Bool { base.isUsable }
  var isInTransaction: Bool { base.isInTransaction }
  func close() { base.close() }

  func execute(_ sql: String, parameters: [SQLValue]) async throws(SQLError) -> Int {
    let isInsert = sql.hasPrefix("INSERT")
    if flaw == .losesCommits, isInsert, parameters.first == 7 { return 1 }
    if flaw == .readerTakesWrites, role == .reader { return 1 }
    do throws(SQLError) { return try await base.execute(sql, parameters: parameters) } catch {
      if flaw == .acknowledgesWhenEnded, owner.wasTerminated { return 1 }
      if flaw == .acknowledgesWhenFenced, !owner.wasTerminated { return 1 }
      throw error
    }
  }
  func rows(_ sql: String, parameters: [SQLValue]) async throws(SQLError) -> [SQLRow] {
    let rows = try await base.rows(sql, parameters: parameters)
    guard role == .reader else { return rows }
    if flaw == .showsHalves { return rows.dropLast() }
    if flaw == .forgetsTheOldest { return Array(rows.dropFirst(2)) }
    return rows
  }
  func source(of sql: String, parameters: [SQLValue]) async throws(SQLError) -> any SQLRowSource {
    try await base.source(of: sql, parameters: parameters)
  }
  func transaction<T: Sendable>(
    _ kind: TransactionKind, _ body: @escaping @Sendable (any SQLSession) throws -> T
  ) async throws -> T {
    if flaw == .blocksThePool { return try body(NoSession()) }
    do { return try await base.transaction(kind, body) } catch let error as SQLError {
      guard flaw == .knowsTheOutcome else { throw error }
      throw SQLError(error.code, error.message, instance: error.instance)
    }
  }
}

private struct NoSession: SQLSession {
  func execute(_ sql: String, parameters: [SQLValue]) throws(SQLError) -> Int { 0 }
  func query(_ sql: String, parameters: [SQLValue]) throws(SQLError) -> [SQLRow] { [] }
}
