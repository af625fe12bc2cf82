import BorealisComputeEngine
import BorealisCore
import BorealisRuntime
import CBorealisPQ
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// A connection of libpq, for the one thread that uses it: every call blocks.
final class PQSession: SQLSession {
  /// Cuts the network below a connection, from any thread: the call under way fails at once.
  final class Cutter: Sendable {
    private struct State: Sendable {
      /// A second descriptor of the socket: libpq closes its own when it likes, and the number may then be another file's.
      var socket: Int32 = -1
      var isCut = false
    }
    private let state = Mutex(State())
    deinit { forget() }

    fileprivate func follow(_ socket: Int32) {
      state.withLock { state in
        if state.socket >= 0 { Self.end(state.socket) }
        state.socket = fcntl(socket, F_DUPFD_CLOEXEC, 3)
        if state.isCut { shutdown(state.socket, Int32(SHUT_RDWR)) }
      }
    }
    fileprivate func forget() {
      state.withLock { state in
        if state.socket >= 0 { Self.end(state.socket) }
        state.socket = -1
      }
    }
    private static func end(_ descriptor: Int32) {
      #if canImport(Glibc)
        _ = Glibc.close(descriptor)
      #elseif canImport(Musl)
        _ = Musl.close(descriptor)
      #else
        _ = Darwin.close(descriptor)
      #endif
    }
    func cut() {
      state.withLock { state in
        state.isCut = true
        if state.socket >= 0 { shutdown(state.socket, Int32(SHUT_RDWR)) }
      }
    }
  }

  let cutter: Cutter
  /// What it can say of the connection's other end.
  let instance: String?
  /// Called when a statement that may commit has been sent, and before its answer is looked at.
  var onCommitSent: (() -> Void)?
  /// Whether nothing that is sent here can be committed: a standby's connection.
  var isReadOnly = false
  private let connection: OpaquePointer
  private var isClosed = false

  /// Connects; blocks up to the time limit.
  ///
  /// - Throws: `.unavailable` where nobody answers, or not yet; what the server said otherwise.
  init(
    _ target: ConnectionTarget, instance: String? = nil, cutter: Cutter = Cutter(), timeoutMilliseconds: UInt64 = 10_000
  ) throws(SQLError) {
    self.instance = instance
    self.cutter = cutter
    let settings = target.settings(timeoutMilliseconds: timeoutMilliseconds)
    let names = settings.map { strdup($0.0) }
    let values = settings.map { strdup($0.1) }
    defer { for text in names + values { free(text) } }
    let begun = (names.map { UnsafePointer($0) } + [nil]).withUnsafeBufferPointer { names in
      (values.map { UnsafePointer($0) } + [nil]).withUnsafeBufferPointer { values in
        PQconnectStartParams(names.baseAddress, values.baseAddress, 0)
      }
    }
    guard let begun else { throw SQLError(.engine, "no memory for a connection", instance: instance) }
    connection = begun
    let deadline = SystemClock.now.advanced(byMilliseconds: timeoutMilliseconds)
    if !finishConnecting(deadline) {
      let error = connectFailure(target)
      close()
      throw error
    }
    PQsetNoticeProcessor(connection, { _, _ in }, nil)
    isReadOnly = parameter("in_hot_standby") == "on"
  }
  deinit { close() }

  private func finishConnecting(_ deadline: Instant) -> Bool {
    var wants = PGRES_POLLING_WRITING
    var followed: Int32 = -1
    while PQstatus(connection) != CONNECTION_BAD {
      let socket = PQsocket(connection)
      if socket != followed { cutter.follow(socket) }
      followed = socket
      let now = SystemClock.now
      guard now < deadline else { return false }
      var poller = pollfd(fd: socket, events: Int16(wants == PGRES_POLLING_READING ? POLLIN : POLLOUT), revents: 0)
      let milliseconds = Int32(clamping: (deadline.nanoseconds - now.nanoseconds) / 1_000_000 + 1)
      if poll(&poller, 1, milliseconds) == 0 { return false }
      wants = PQconnectPoll(connection)
      if wants == PGRES_POLLING_OK { return true }
      if wants == PGRES_POLLING_FAILED { return false }
    }
    return false
  }
  private func connectFailure(_ target: ConnectionTarget) -> SQLError {
    let text = PQSession.trimmed(PQerrorMessage(connection))
    let message = text.isEmpty ? "\(target.host):\(target.port) did not answer in time" : text
    // libpq keeps the server's words and drops its code.
    let code: SQLError.Code =
      if text.contains("too many clients") || text.contains("remaining connection slots") {
        .tooManyConnections
      } else if text.contains("password") || text.contains("does not exist")
        || text.contains("pg_hba.conf")
        || text.contains("certificate")
      {
        .engine
      } else { .unavailable }
    return SQLError(code, message, instance: instance)
  }

  /// Ends the connection; the server rolls back what is open.
  func close() {
    guard !isClosed else { return }
    isClosed = true
    cutter.forget()
    PQfinish(connection)
  }
  /// A value that the server reports by itself.
  func parameter(_ name: String) -> String? { PQparameterStatus(connection, name).map { String(cString: $0) } }
  /// Whether it is gone.
  var isLost: Bool { isClosed || PQstatus(connection) == CONNECTION_BAD }
  /// Whether a transaction is open, a failed one too.
  var isInTransaction: Bool {
    guard !isLost else { return false }
    let status = PQtransactionStatus(connection)
    return status == PQTRANS_INTRANS || status == PQTRANS_INERROR
  }

  // MARK: Statements

  /// Runs statements and throws rows away; with parameters, there can be only one.
  func execute(_ sql: String, parameters: [SQLValue]) throws(SQLError) -> Int {
    var changed = 0
    try run(sql, parameters) { result in
      changed = PQSession.rowsChanged(result)
      return true
    }
    return changed
  }
  /// Runs one statement and gives all its rows.
  func query(_ sql: String, parameters: [SQLValue]) throws(SQLError) -> [SQLRow] {
    var rows: [SQLRow] = []
    try run(sql, parameters) { result in
      rows = PQSession.rows(result)
      return true
    }
    return rows
  }
  /// Runs one statement and hands rows over as they come, until `body` says that it wants no more.
  func forEachRow(_ sql: String, parameters: [SQLValue], _ body: ([SQLRow]) -> Bool) throws(SQLError) {
    try run(sql, parameters, oneByOne: true) { result in
      let rows = PQSession.rows(result)
      return rows.isEmpty ? true : body(rows)
    }
  }

  /// Sends statements and looks at every result; `body` says whether it wants more.
  private func run(
    _ sql: String, _ parameters: [SQLValue], oneByOne: Bool = false, _ body: (OpaquePointer) -> Bool
  ) throws(SQLError) {
    guard !isLost else {
      throw SQLError(.connectionLost, "the connection is lost; connect again", sql: sql, instance: instance)
    }
    guard !sql.utf8.contains(0) else {
      throw SQLError(.invalidArgument, "a statement cannot hold a zero byte", sql: sql, instance: instance)
    }
    for case .text(let text) in parameters where text.utf8.contains(0) {
      throw SQLError(.invalidArgument, "a text cannot hold a zero byte; use a blob", sql: sql, instance: instance)
    }
    let mayCommit = !isReadOnly && StatementKind(sql).mayCommit(isInTransaction: isInTransaction)
    let isSent =
      parameters.isEmpty && !oneByOne
      ? PQsendQuery(connection, sql) == 1
      : PQValues.withParameters(parameters) { types, values, lengths, formats in
        PQsendQueryParams(connection, sql, Int32(parameters.count), types, values, lengths, formats, 0) == 1
      }
    guard isSent else {
      // Part of it may have gone out: the server may have run it.
      throw isLost
        ? lost(sql, isOutcomeUnknown: mayCommit)
        : SQLError(.invalidArgument, PQSession.trimmed(PQerrorMessage(connection)), sql: sql, instance: instance)
    }
    if oneByOne { PQsetSingleRowMode(connection) }
    if mayCommit { onCommitSent?() }
    try receive(sql, mayCommit, body)
  }

  private func receive(_ sql: String, _ mayCommit: Bool, _ body: (OpaquePointer) -> Bool) throws(SQLError) {
    var failure: SQLError?
    var wantsMore = true
    var isRolledBack = false
    while let result = PQgetResult(connection) {
      defer { PQclear(result) }
      switch PQresultStatus(result) {
      case PGRES_TUPLES_OK, PGRES_SINGLE_TUPLE, PGRES_COMMAND_OK, PGRES_EMPTY_QUERY:
        isRolledBack = String(cString: PQcmdStatus(result)) == "ROLLBACK"
        if wantsMore, failure == nil, !body(result) {
          wantsMore = false
          cancel()
        }
      case PGRES_COPY_IN:
        PQputCopyEnd(connection, "COPY FROM STDIN is not possible here; use psql")
      case PGRES_COPY_OUT:
        failure =
          failure ?? SQLError(.statement, "COPY TO STDOUT is not possible here; use psql", sql: sql, instance: instance)
        drainCopy()
      case PGRES_COPY_BOTH:
        // A replication command: nothing but the end of the connection ends it.
        cutter.cut()
        failure = failure ?? SQLError(.statement, "replication is not possible here", sql: sql, instance: instance)
      default: failure = failure ?? PQSession.error(result, sql, instance)
      }
    }
    if isLost {
      // The server's own words on why it ended the connection say that nothing was committed.
      if let failure, failure.engineCode.hasSuffix(SQLState.shutdown) { throw failure }
      throw lost(sql, isOutcomeUnknown: mayCommit)
    }
    // A result that nobody wanted to the end was cancelled, and that is no failure.
    guard wantsMore else { return }
    if let failure { throw failure }
    if isRolledBack, StatementKind(sql) == .commit {
      throw SQLError(
        .statement, "the transaction was rolled back and not committed: a statement in it had failed", sql: sql,
        instance: instance)
    }
  }
  private func lost(_ sql: String?, isOutcomeUnknown: Bool) -> SQLError {
    let words = PQSession.trimmed(PQerrorMessage(connection)).split(separator: "\n").first.map(String.init)
    return SQLError(
      .connectionLost, words ?? "the connection was lost", sql: sql, instance: instance,
      isOutcomeUnknown: isOutcomeUnknown)
  }
  private func drainCopy() {
    var buffer: UnsafeMutablePointer<CChar>?
    while PQgetCopyData(connection, &buffer, 0) > 0 {
      PQfreemem(buffer)
      buffer = nil
    }
  }
  private func cancel() {
    guard let order = PQgetCancel(connection) else { return }
    var text = [CChar](repeating: 0, count: 256)
    PQcancel(order, &text, Int32(text.count))
    PQfreeCancel(order)
  }

  private static func rowsChanged(_ result: OpaquePointer) -> Int {
    guard let tag = PQcmdStatus(result).map({ String(cString: $0) }),
      ["INSERT", "UPDATE", "DELETE", "MERGE"].contains(where: { tag.hasPrefix($0) })
    else { return 0 }
    return PQcmdTuples(result).flatMap { Int(String(cString: $0)) } ?? 0
  }
  private static func rows(_ result: OpaquePointer) -> [SQLRow] {
    let count = PQntuples(result)
    guard count > 0 else { return [] }
    let columns = (0..<PQnfields(result)).map { column in
      (name: PQfname(result, column).map { String(cString: $0) } ?? "", type: PQftype(result, column))
    }
    let names = columns.map(\.name)
    return (0..<count).map { row in
      SQLRow(
        columns: names,
        values: columns.indices.map { PQValues.value(result, row, Int32($0), columns[$0].type) })
    }
  }

  /// Runs `body` as one transaction: it is committed, or, where `body` throws, rolled back.
  func transaction<T>(_ kind: TransactionKind, _ body: (any SQLSession) throws -> T) throws -> T {
    guard !isInTransaction else {
      throw SQLError(.invalidArgument, "a transaction is open already: end it first", instance: instance)
    }
    _ = try execute(kind == .read ? "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY" : "BEGIN", parameters: [])
    // The end of what only reads has no outcome that could be unknown.
    let wasReadOnly = isReadOnly
    isReadOnly = wasReadOnly || kind == .read
    defer { isReadOnly = wasReadOnly }
    let value: T
    do { value = try body(self) } catch {
      if !isLost { _ = try? execute("ROLLBACK", parameters: []) }
      throw error
    }
    _ = try execute("COMMIT", parameters: [])
    return value
  }
}

/// What a statement does to transactions, as far as its text tells.
enum StatementKind: Hashable {
  case commit
  /// Never ends a transaction by committing it.
  case harmless
  case single
  /// Several in one text: one of them may be a COMMIT.
  case several

  init(_ sql: String) {
    // A semicolon within a string counts as well: then the statement is taken for more than it is.
    guard !sql.trimmed.dropLast().contains(";") else {
      self = .several
      return
    }
    switch sql.drop(while: { $0.isWhitespace }).prefix(while: { $0.isLetter }).lowercased() {
    case "commit", "end": self = .commit
    case "begin", "start", "rollback", "abort", "savepoint", "release", "show", "set", "reset", "declare", "fetch",
      "close", "listen", "discard":
      self = .harmless
    default: self = .single
    }
  }
  /// Whether something may be committed when it runs; outside of a transaction, a SELECT may call what writes.
  func mayCommit(isInTransaction: Bool) -> Bool {
    switch self {
    case .commit, .several: true
    case .harmless: false
    case .single: !isInTransaction
    }
  }
}

extension String {
  /// Without white space at the end.
  fileprivate var trimmed: Substring {
    var rest = self[...]
    while let last = rest.last, last.isWhitespace { rest.removeLast() }
    return rest
  }
}
