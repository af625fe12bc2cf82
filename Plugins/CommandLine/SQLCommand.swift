import ArgumentParser
import Borealis
import BorealisControl
import BorealisSQLShell
import Foundation

/// `borealis sql`.
struct SQLCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sql", abstract: "Run SQL on a cluster.",
    discussion: """
      On the cluster that `borealis up` runs in DIR; where none runs, it is started for this command alone. Without SQL, \
      statements are read from standard input; a terminal gets a prompt. An error ends a script with exit code 1.

        borealis sql --cluster DIR "SELECT count(*) FROM orders"
        borealis sql --cluster DIR --endpoint reader < report.sql
        borealis sql --cluster DIR ".import shop.sqlite"
        rlwrap borealis sql --cluster DIR

      With --volume it works on any database of a volume that is made without a cluster (`borealis format`).
      """)
  @Option(help: ArgumentHelp("The cluster's directory.", valueName: "dir")) var cluster: String?
  @Option(help: "Where to: cluster (the writer), reader, a custom endpoint or an instance.") var endpoint = "cluster"
  @Option(help: ArgumentHelp("A volume's directory, instead of a cluster's.", valueName: "dir")) var volume: String?
  @Option(help: "With --volume: the path of the database.") var database = "/main.db"
  @Option(help: "How results are shown: \(ResultFormat.allCases.map(\.rawValue).joined(separator: ", ")).")
  var mode = ResultFormat.table
  @Argument(help: "Statements, or commands that begin with a dot.") var sql: [String] = []

  func validate() throws {
    if (cluster == nil) == (volume == nil) { throw ValidationError("give --cluster DIR, or --volume DIR") }
  }
  func run() throws {
    let isFine = try cluster.map { try onCluster($0) } ?? volume.map { try onVolume($0) } ?? false
    if !isFine { throw ExitCode(1) }
  }

  private func onVolume(_ directory: String) throws -> Bool {
    let mounted = try MountedDirectory(directory)
    defer { mounted.close() }
    let vfs = try SQLiteVFS(writer: mounted.files)
    let session = try SQLiteSession(vfs, database)
    defer { session.close() }
    return ShellRun.run(
      SessionExecutor(session), database: database, greeting: "\(database) on a volume", mode: mode, sql: sql)
  }

  private func onCluster(_ directory: String) throws -> Bool {
    let name = try ClusterFile.load(from: directory)?.identifier
    if ControlClient.isRunning(directory) {
      let executor = try ControlExecutor(directory: directory, endpoint: endpoint)
      return ShellRun.run(
        executor, database: name ?? "cluster", greeting: "\(name ?? "cluster"), instance \(executor.instance)",
        mode: mode, sql: sql)
    }
    guard let file = try ClusterFile.load(from: directory) else {
      throw ValidationError("\(directory) holds no cluster; `borealis up \(directory)` makes one and runs it")
    }
    guard file.engine == "sqlite" else {
      throw ValidationError("the cluster in \(directory) does not run; start it: borealis up \(directory)")
    }
    let configuration = try file.configuration(in: directory)
    let cluster = try wait { try await Cluster.start(configuration) }
    defer { try? wait { await cluster.stop() } }
    let chosen: ClusterEndpoint =
      switch endpoint {
      case "cluster", "writer": cluster.writer
      case "reader": cluster.reader
      default: (try? cluster.endpoint(endpoint)) ?? cluster.instance(InstanceIdentifier(endpoint))
      }
    guard let vfs = chosen.vfs else { throw ValidationError("endpoint '\(endpoint)' leads to nobody") }
    let session = try SQLiteSession(vfs, SQLiteEngine().path)
    defer { session.close() }
    return ShellRun.run(
      SessionExecutor(session), database: file.identifier,
      greeting: "\(file.identifier) did not run: started for this command alone", mode: mode, sql: sql)
  }
}

extension ResultFormat: ExpressibleByArgument {}

/// A shell between an executor and the standard streams.
enum ShellRun {
  /// Runs `sql`, or what comes from standard input where that is empty; false after an error that ended it.
  static func run(
    _ executor: any SQLExecutor, database: String, greeting: String, mode: ResultFormat, sql: [String]
  ) -> Bool {
    let isInteractive = sql.isEmpty && isatty(STDIN_FILENO) != 0
    let name = URL(filePath: database).deletingPathExtension().lastPathComponent
    let shell = SQLShell(
      executor, name: name, isInteractive: isInteractive,
      output: { print($0, terminator: "") },
      errors: { text in
        fflush(nil)
        FileHandle.standardError.write(Data(text.utf8))
      })
    shell.format = mode
    defer { fflush(nil) }
    if !sql.isEmpty {
      for text in sql where !shell.run(TextInput(text)) { return false }
      return true
    }
    if isInteractive { print("\(greeting); .help tells what there is besides SQL") }
    return TerminalInput.withInterrupts(of: executor) { shell.run(TerminalInput(isInteractive: isInteractive)) }
  }
}

/// Standard input, line by line.
final class TerminalInput: ShellInput {
  /// Ctrl-C has come: set by the signal handler.
  nonisolated(unsafe) private static var isInterrupted: sig_atomic_t = 0
  /// Whose statement Ctrl-C ends: set before the handler is, and cleared after that was taken away.
  nonisolated(unsafe) private static var executor: (any SQLExecutor)?
  private let isInteractive: Bool
  private var buffer: [UInt8] = []
  private var isOver = false

  init(isInteractive: Bool) { self.isInteractive = isInteractive }

  /// Ctrl-C ends the statement that runs instead of the process, while a person types.
  static func withInterrupts<T>(of executor: any SQLExecutor, _ body: () -> T) -> T {
    guard isatty(STDIN_FILENO) != 0 else { return body() }
    TerminalInput.executor = executor
    var action = sigaction()
    action.__sigaction_handler.sa_handler = { _ in
      TerminalInput.isInterrupted = 1
      TerminalInput.executor?.interrupt()
    }
    var before = sigaction()
    // Without SA_RESTART: a line that is being typed is given up.
    sigaction(SIGINT, &action, &before)
    defer {
      sigaction(SIGINT, &before, nil)
      TerminalInput.executor = nil
    }
    return body()
  }

  func next(prompt: String) -> ShellLine {
    if isInteractive { print(prompt, terminator: "") }
    fflush(nil)
    TerminalInput.isInterrupted = 0
    while true {
      if let end = buffer.firstIndex(of: 10) { return .line(take(end + 1)) }
      if isOver {
        if !buffer.isEmpty { return .line(take(buffer.count)) }
        if isInteractive { print("") }
        return .end
      }
      var part = [UInt8](repeating: 0, count: 65_536)
      let count = read(STDIN_FILENO, &part, part.count)
      if count > 0 {
        buffer.append(contentsOf: part[..<count])
      } else if count < 0, errno == EINTR {
        guard TerminalInput.isInterrupted != 0 else { continue }
        buffer = []
        print("")
        return .interrupted
      } else {
        isOver = true
      }
    }
  }
  private func take(_ count: Int) -> String {
    defer { buffer.removeFirst(count) }
    return String(decoding: buffer[..<count], as: UTF8.self)
  }
}
