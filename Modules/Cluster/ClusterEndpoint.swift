import BorealisClusterModel
public import BorealisComputeEngine
public import BorealisCore
public import BorealisEndpointResolver
import BorealisRuntime
import Synchronization

/// One of a cluster's endpoints, to connect to or to run statements on.
///
/// Statements run here use connections that the endpoint keeps; each is balanced by itself. While nobody can be connected
/// to, as during a failover, they wait (`connectTimeoutMilliseconds`). A statement that was sent is never sent again by
/// itself: its error says whether that is safe (`isRetryable`).
///
/// What is read here shows what was committed through the same cluster's endpoints before: a reader that is some
/// milliseconds behind is waited for (`Consistency.session`).
public final class ClusterEndpoint: Sendable {
  /// What a statement on a reader shows at least.
  public enum Consistency: Sendable {
    /// What this program was told to be committed, through endpoints of this `Cluster`; a reader that is behind is waited for,
    /// for a second at a time, until the time to connect is over: then the statement fails with `.unavailable`. Connections of `connect()` wait for nothing.
    case session
    /// What the reader happens to show.
    case eventual
  }
  private static let visibleMilliseconds: UInt64 = 1000
  /// Connections kept for each instance while nobody uses them.
  static let idleMax = 16

  /// Which endpoint.
  public let endpoint: Endpoint
  /// How long a call waits for an instance that can be connected to.
  public let connectTimeoutMilliseconds: UInt64
  let directory: EndpointDirectory
  let zone: ZoneID?
  private let consistency: Consistency
  private let idle = Mutex<[any SQLConnection]>([])

  init(
    _ endpoint: Endpoint, _ directory: EndpointDirectory, from zone: ZoneID? = nil, timeout: UInt64 = 10_000,
    _ consistency: Consistency = .session
  ) {
    self.endpoint = endpoint
    self.consistency = consistency
    self.directory = directory
    self.zone = zone
    connectTimeoutMilliseconds = timeout
  }
  deinit { for connection in idle.withLock({ $0 }) { connection.close() } }

  /// The same endpoint for those who connect from a zone, with another time limit, or another consistency.
  public func with(
    zone: ZoneID? = nil, connectTimeoutMilliseconds: UInt64? = nil, consistency: Consistency? = nil
  ) -> ClusterEndpoint {
    ClusterEndpoint(
      endpoint, directory, from: zone ?? self.zone,
      timeout: connectTimeoutMilliseconds ?? self.connectTimeoutMilliseconds, consistency ?? self.consistency)
  }
  /// The instances that it leads to now.
  public var members: [EndpointMember] { endpoint.eligible(directory.members) }

  /// The engine of an instance that it leads to now, chosen as for a connection; nil while there is none.
  ///
  /// For what an engine offers besides connections. It is the instance's of now: ask again after a failover.
  public var currentEngine: (any EngineInstance)? { directory.choose(endpoint, from: zone)?.engine }

  /// A new connection, to be closed by the caller; balanced over the endpoint's instances.
  ///
  /// - Throws: `.unavailable` where no instance could be connected to in time, `.tooManyConnections`.
  public func connect() async throws(SQLError) -> any SQLConnection { try await acquire(reuse: false) }

  /// Runs statements and throws rows away; returns, when they are durable, the rows changed by the last one.
  @discardableResult
  public func execute(_ sql: String, _ parameters: any SQLConvertible...) async throws(SQLError) -> Int {
    let values = parameters.map(\.sqlValue)
    let connection = try await acquire(reuse: true)
    defer { release(connection) }
    let changed = try await connection.execute(sql, parameters: values)
    noteAcknowledged(by: connection)
    return changed
  }
  /// Runs a statement and gives all its rows.
  public func rows(_ sql: String, _ parameters: any SQLConvertible...) async throws(SQLError) -> [SQLRow] {
    let values = parameters.map(\.sqlValue)
    let connection = try await acquire(reuse: true)
    defer { release(connection) }
    return try await connection.rows(sql, parameters: values)
  }
  /// Runs a statement when its rows are asked for, and gives them as they are found.
  public func query(_ sql: String, _ parameters: any SQLConvertible...) -> SQLRows {
    let values = parameters.map(\.sqlValue)
    return SQLRows { () async throws(SQLError) in
      let connection = try await self.acquire(reuse: true)
      do throws(SQLError) {
        return LentSource(try await connection.source(of: sql, parameters: values)) { self.release(connection) }
      } catch {
        self.release(connection)
        throw error
      }
    }
  }
  /// Runs `body` as one transaction on one connection: all of it is committed, or, where it throws, nothing.
  ///
  /// `body` runs on the connection's thread, once at most.
  public func transaction<T: Sendable>(
    _ kind: TransactionKind = .write, _ body: @escaping @Sendable (any SQLSession) throws -> T
  ) async throws -> T {
    let connection = try await acquire(reuse: true)
    defer { release(connection) }
    let result = try await connection.transaction(kind, body)
    if kind == .write { noteAcknowledged(by: connection) }
    return result
  }
  /// What was committed is at or below where its instance is now.
  private func noteAcknowledged(by connection: any SQLConnection) {
    guard let engine = directory.engine(of: connection.instance), engine.role == .writer, let position = engine.position
    else { return }
    directory.noteAcknowledged(position)
  }

  // MARK: Connections

  private func acquire(reuse: Bool) async throws(SQLError) -> any SQLConnection {
    let deadline = SystemClock.now.advanced(byMilliseconds: connectTimeoutMilliseconds)
    var last: SQLError?
    while true {
      if directory.isOver { throw SQLError(.unavailable, "the cluster was stopped") }
      if let entry = directory.choose(endpoint, from: zone) {
        if await isFresh(entry, reuse) {
          if reuse, let connection = takeIdle(to: entry.instance) { return connection }
          do throws(SQLError) { return try await entry.engine.connect() } catch {
            // It has ended, and the cluster does not know yet: another one will be there soon.
            guard error.code == .connectionLost else { throw error }
            last = error
          }
        } else {
          last = SQLError(.unavailable, "\(entry.instance) is more than a second behind what was committed here")
        }
      }
      if SystemClock.now >= deadline {
        throw SQLError(
          .unavailable,
          "no instance of endpoint '\(endpoint)' could be connected to within \(connectTimeoutMilliseconds) ms"
            + (last.map { "; the last try: \($0.message)" } ?? ""))
      }
      do { try await Task.sleep(for: .milliseconds(2)) } catch {
        throw SQLError(.unavailable, "the task was cancelled while it waited for endpoint '\(endpoint)'")
      }
    }
  }
  /// Whether an instance shows what it must; waits for a reader that is a little behind.
  private func isFresh(_ entry: EndpointDirectory.Entry, _ reuse: Bool) async -> Bool {
    guard reuse, consistency == .session, entry.role == .reader else { return true }
    return await entry.engine.waitUntilVisible(
      directory.acknowledged, timeoutMilliseconds: ClusterEndpoint.visibleMilliseconds)
  }
  private func takeIdle(to instance: InstanceIdentifier) -> (any SQLConnection)? {
    let (found, dead) = idle.withLock { idle in
      let dead = idle.filter { !$0.isUsable }
      idle.removeAll { !$0.isUsable }
      let i = idle.lastIndex { $0.instance == instance }
      return (i.map { idle.remove(at: $0) }, dead)
    }
    for connection in dead { connection.close() }
    return found
  }
  private func release(_ connection: any SQLConnection) {
    guard connection.isUsable, !connection.isInTransaction else { return connection.close() }
    let isKept = idle.withLock { idle in
      guard idle.count(where: { $0.instance == connection.instance }) < ClusterEndpoint.idleMax else { return false }
      idle.append(connection)
      return true
    }
    if !isKept { connection.close() }
  }
}

/// Rows on a connection that goes back to where it came from when they are over, or nobody wants more.
private final class LentSource: SQLRowSource {
  private let source: any SQLRowSource
  private let done: Mutex<(@Sendable () -> Void)?>
  init(_ source: any SQLRowSource, _ done: @escaping @Sendable () -> Void) {
    self.source = source
    self.done = Mutex(done)
  }
  deinit { finish() }
  private func finish() {
    let done = done.withLock { done in
      defer { done = nil }
      return done
    }
    done?()
  }
  func next() async throws(SQLError) -> [SQLRow] {
    do throws(SQLError) {
      let rows = try await source.next()
      if rows.isEmpty { finish() }
      return rows
    } catch {
      finish()
      throw error
    }
  }
}
