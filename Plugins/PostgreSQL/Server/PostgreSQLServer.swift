import BorealisClusterModel
import BorealisComputeEngine
import BorealisCore
import BorealisRuntime
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// One run of a PostgreSQL server on a data directory, from its start to its end.
///
/// All methods but `terminate` block for as long as the server takes: they are for threads, not for tasks.
package final class PostgreSQLServer: Sendable {
  /// Lines of the log kept for the error that tells of its end.
  private static let linesKept = 12

  /// How it was started.
  package let configuration: ServerConfiguration
  /// The program that runs.
  package let installation: PostgreSQLInstallation
  private let files: ServerFiles
  private let process: ChildProcess
  private let log: LastLines
  private let leftovers: LeftoversOnEnd

  /// Whether the process is there.
  package var isRunning: Bool { process.ending == nil }
  /// The postmaster's number.
  package var pid: Int32 { process.pid }
  /// The last lines of its log, the newest last.
  package var lastLines: [String] { log.lines }
  /// Where its socket is; the port is that of its address.
  package var socketDirectory: String { files.socketDirectory }

  /// Starts a server; returns when it takes connections, read-only ones where it is a standby.
  ///
  /// - Throws: `.notInstalled`, `.refusedParameter`, `.file`, `.unusableData`; `.notStarted` or `.timedOut` with the last
  ///   lines of its log, when nothing of it runs any more.
  package init(
    _ configuration: ServerConfiguration, startMilliseconds: UInt64 = 60_000
  ) throws(PostgreSQLError) {
    let data = configuration.dataDirectory
    guard let version = PostgreSQLInstallation.version(ofDataDirectory: data) else {
      throw PostgreSQLError(.unusableData, data, "is no PostgreSQL data directory: it has no file PG_VERSION")
    }
    let owner = try ServiceUser.needed(configuration.serviceUser)
    self.configuration = configuration
    installation = try PostgreSQLInstallation.find(version: version, in: configuration.places)
    files = try ServerFiles(configuration, owner: owner)
    var settings = ServerSettings(version: version, capacity: configuration.capacity)
    if configuration.role != .primary {
      settings.minima = try ControlData(of: data, by: installation, owner).minima
    }
    let parameters = try ServerParameter.table(settings, user: configuration.parameters)
    if let text = SystemFiles.text(of: files.leftovers), let found = SharedLeftovers(text), !found.isInUse {
      found.remove()
    }
    try files.write(parameters)
    let log = LastLines(Self.linesKept)
    self.log = log
    let leftovers = LeftoversOnEnd()
    self.leftovers = leftovers
    let (onLog, files) = (configuration.onLog, files)
    var program = Program(
      path: installation.program("postgres"), arguments: files.arguments(parameters), user: owner,
      directory: files.directory)
    // It ends its backends at once. Were it killed itself, those that wait for a lock of another one would wait for ever.
    program.signalAtDeath = SIGQUIT
    process = try ChildProcess(
      program,
      onLine: { line in
        log.add(line)
        onLog(line)
      },
      onEnd: { _, _ in
        // Somebody may have killed it alone.
        ProcessTree.killOrphans(below: data)
        leftovers.remove()
        unlink(files.leftovers)
        files.removeElsewhere()
      })
    try waitForConnections(SystemClock.now.advanced(byMilliseconds: startMilliseconds), startMilliseconds)
  }
  deinit { terminate() }

  private func waitForConnections(_ deadline: Instant, _ milliseconds: UInt64) throws(PostgreSQLError) {
    let pause = ThreadSignal()
    while true {
      let file = SystemFiles.text(of: configuration.dataDirectory + "/postmaster.pid") ?? ""
      let status = PostmasterFile(file)
      // A file of an earlier server may still be there.
      if let status, status.pid == pid, status.isReady {
        let found = SharedLeftovers(of: pid, segment: status.segment)
        leftovers.set(found)
        // For the next start, should this process be killed as well.
        try SystemFiles.write(found.text, to: files.leftovers, mode: 0o600)
        return
      }
      if let ending = process.ending {
        // Its last lines may still be on their way.
        _ = process.waitForEnd(milliseconds: 200)
        throw PostgreSQLError(.notStarted, "server of \(configuration.instance)", "\(ending)\(lastWords)")
      }
      guard SystemClock.now < deadline else {
        terminate()
        _ = process.waitForEnd(milliseconds: 2000)
        throw PostgreSQLError(
          .timedOut, "server of \(configuration.instance)",
          "took no connections within \(milliseconds) ms and was ended\(lastWords)")
      }
      pause.wait(milliseconds: 2)
    }
  }
  /// The end of its log, for an error.
  package var lastWords: String {
    let lines = lastLines
    return lines.isEmpty ? "; its log is empty" : ":" + lines.map { "\n  " + $0 }.joined()
  }

  /// Ends it in good order: transactions are rolled back, connections closed, a checkpoint is written.
  ///
  /// - Returns: whether that was done in time; else it was ended at once, and recovers when it is started again.
  @discardableResult
  package func stop(milliseconds: UInt64 = 10_000) -> Bool {
    guard process.signal(SIGINT) else { return process.ending == .exited(0) }
    if let ending = process.waitForEnd(milliseconds: milliseconds) { return ending == .exited(0) }
    terminate()
    _ = process.waitForEnd(milliseconds: 2000)
    return false
  }
  /// Ends it and all its processes at once, as a loss of power would; does not wait for their end.
  package func terminate() {
    _ = process.whileThere { pid in
      leftovers.setUnlessKnown(SharedLeftovers(of: pid, segment: nil))
      ProcessTree.kill(pid)
    }
  }
  /// Blocks until the process is gone, or the time is over; whether it is.
  @discardableResult
  package func waitForEnd(milliseconds: UInt64) -> Bool { process.waitForEnd(milliseconds: milliseconds) != nil }

  /// Where a connection of the cluster itself leads: through the socket, as the superuser, without a password.
  package func ownTarget(database: String = "postgres", application: String = "borealis") -> ConnectionTarget {
    ConnectionTarget(
      host: files.socketDirectory, port: configuration.address.port, user: configuration.superuser,
      database: database, application: application)
  }

  /// Asks the server, on a connection made for it, whether it replays another's log; blocks up to the time limit.
  ///
  /// - Throws: as a connection does.
  package func isInRecovery(milliseconds: UInt64) throws(SQLError) -> Bool {
    let session = try PQSession(ownTarget(application: "borealis health"), timeoutMilliseconds: milliseconds)
    defer { session.close() }
    let rows = try session.query("select pg_is_in_recovery()", parameters: [])
    return rows.first?.values.first == .integer(1)
  }
}

/// What the end of a server is to clean away, once it is known.
private final class LeftoversOnEnd: Sendable {
  private let known = Mutex<SharedLeftovers?>(nil)
  func set(_ leftovers: SharedLeftovers) { known.withLock { $0 = leftovers } }
  /// Of a server that is killed before it was ready.
  func setUnlessKnown(_ leftovers: @autoclosure () -> SharedLeftovers) {
    known.withLock { if $0 == nil { $0 = leftovers() } }
  }
  func remove() { known.withLock { $0 }?.remove() }
}

/// The last lines of a log.
final class LastLines: Sendable {
  private let count: Int
  private let kept = Mutex<[String]>([])

  init(_ count: Int) { self.count = count }
  var lines: [String] { kept.withLock { $0 } }
  func add(_ line: String) {
    kept.withLock { lines in
      if lines.count == count { lines.removeFirst() }
      lines.append(line)
    }
  }
}

/// What a postmaster tells in `postmaster.pid`.
struct PostmasterFile: Hashable, Sendable {
  let pid: Int32
  let segment: Int32?
  let isReady: Bool

  init?(_ text: String) {
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    guard let first = lines.first, let pid = Int32(first) else { return nil }
    self.pid = pid
    // Line 7: key and number of the segment; line 8: "starting", "stopping", "ready" or "standby", with spaces after it.
    segment = lines.count > 6 ? lines[6].split(separator: " ").last.flatMap { Int32($0) } : nil
    isReady = lines.count > 7 && lines[7].hasPrefix("ready")
  }
}

/// What `pg_controldata` tells of a data directory.
struct ControlData: Sendable {
  private let fields: [String: String]

  init(of directory: String, by installation: PostgreSQLInstallation, _ owner: ServiceUser?) throws(PostgreSQLError) {
    let lines = try ChildProcess.run(
      Program(path: installation.program("pg_controldata"), arguments: ["-D", directory], user: owner),
      milliseconds: 20_000)
    var fields: [String: String] = [:]
    for line in lines {
      let parts = line.split(separator: ":", maxSplits: 1)
      guard parts.count == 2 else { continue }
      fields[String(parts[0])] = String(parts[1].drop { $0 == " " })
    }
    self.fields = fields
  }
  subscript(name: String) -> String? { fields[name] }

  /// What no standby of it may be below.
  var minima: [String: Int] {
    let names = [
      "max_connections": "max_connections setting", "max_worker_processes": "max_worker_processes setting",
      "max_wal_senders": "max_wal_senders setting", "max_prepared_transactions": "max_prepared_xacts setting",
      "max_locks_per_transaction": "max_locks_per_xact setting",
    ]
    return names.compactMapValues { fields[$0].flatMap { Int($0) } }
  }
}
