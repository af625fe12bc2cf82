import BorealisClusterModel
import BorealisComputeEngine
import BorealisCore
import BorealisRuntime

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

// What comparisons with servers on ordinary directories need.
extension PostgreSQLServer {
  /// Copies this running server's data directory to `path`, as that of a standby; blocks for as long as that takes.
  ///
  /// - Throws: `.file`, `.program` with the last lines of `pg_basebackup`, `.timedOut`.
  package func copy(to path: String, milliseconds: UInt64 = 600_000) throws(PostgreSQLError) {
    let owner = try ServiceUser.needed(configuration.serviceUser)
    try SystemFiles.makeDirectory(path, mode: 0o700, owner: owner)
    let address = configuration.address
    let source =
      "host=\(address.host) port=\(address.port) user=\(configuration.superuser) dbname=postgres sslmode=prefer"
    _ = try ChildProcess.run(
      Program(
        path: installation.program("pg_basebackup"),
        arguments: ["-D", path, "-d", source, "-X", "stream", "-c", "fast"], user: owner,
        environment: ["PGPASSWORD=\(configuration.password)"]), milliseconds: milliseconds)
    try SystemFiles.write("", to: path + "/standby.signal", mode: 0o600, owner: owner)
  }
}

extension PostgreSQLInstallation {
  /// Runs one of the client programs, `pgbench` or `psql`, to its end; what it wrote.
  ///
  /// It ends with this process, whatever ends that.
  ///
  /// - Parameters:
  ///   - name: the program's name.
  ///   - arguments: its arguments, without passwords.
  ///   - password: what it shows to the server.
  ///   - milliseconds: how long it may take.
  ///   - mayGoOn: asked every now and then: whether it still may.
  /// - Throws: `.program` with its last lines where it failed, was ended or is not there; `.timedOut`.
  package func run(
    _ name: String, _ arguments: [String], password: String, milliseconds: UInt64,
    while mayGoOn: @Sendable () -> Bool = { true }
  ) throws(PostgreSQLError) -> [String] {
    let path = program(name)
    guard SystemFiles.isExecutable(path) else {
      throw PostgreSQLError(.notInstalled, path, "is not there; run '\(Self.installLine)'")
    }
    let log = LastLines(Self.clientLinesKept)
    let child = try ChildProcess(
      Program(path: path, arguments: arguments, environment: ["PGPASSWORD=\(password)"]), onLine: { log.add($0) })
    let deadline = SystemClock.now.advanced(byMilliseconds: milliseconds)
    while true {
      if let ending = child.waitForEnd(milliseconds: 50) {
        // Its last lines may still be on their way.
        _ = child.waitForEnd(milliseconds: 2000)
        guard ending == .exited(0) else {
          let last = log.lines.suffix(8).map { "\n  " + $0 }.joined()
          throw PostgreSQLError(.program, path, "\(ending)\(last)")
        }
        return log.lines
      }
      let isLate = SystemClock.now >= deadline
      guard isLate || !mayGoOn() else { continue }
      child.signal(SIGKILL)
      _ = child.waitForEnd(milliseconds: 1000)
      throw PostgreSQLError(
        isLate ? .timedOut : .program, path, isLate ? "did not end within \(milliseconds) ms" : "was ended")
    }
  }
  /// Lines of a client program's output kept: a summary, or a few rows.
  private static var clientLinesKept: Int { 10_000 }
}
