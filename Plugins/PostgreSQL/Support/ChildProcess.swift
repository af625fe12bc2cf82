import BorealisCore
import BorealisRuntime
import CBorealisSystem
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// A program to run.
struct Program: Sendable {
  /// Its path.
  let path: String
  /// Its arguments, without its name.
  let arguments: [String]
  /// As whom; nil: as this process.
  var user: ServiceUser?
  /// Its working directory.
  var directory = "/"
  /// More of its environment, as `NAME=value`; it inherits nothing else, so that nobody's settings reach it.
  var environment: [String] = []
  /// What it is sent when this process dies (Linux only).
  var signalAtDeath = SIGKILL
  /// The last part of the path.
  var name: String { path.split(separator: "/").last.map(String.init) ?? path }
}

/// A program that runs.
///
/// A thread of its own starts it, waits for its end and reaps it: on Linux the program dies with that thread, and so with
/// this process, whatever ends it.
final class ChildProcess: Sendable {
  /// How it ended.
  enum Ending: Hashable, Sendable, CustomStringConvertible {
    case exited(Int32)
    case killed(Int32)
    var description: String {
      switch self {
      case .exited(let code): "it ended with code \(code)"
      case .killed(let signal): "it was ended by signal \(signal)"
      }
    }
  }
  private struct State: Sendable {
    var pid: pid_t = 0
    var failure: Int32 = 0
    var isStarted = false
    var ending: Ending?
    var isOutputOver = false
  }
  private let state = Mutex(State())
  private let started = ThreadSignal()
  private let changed = ThreadSignal()

  /// The number of the process.
  var pid: pid_t { state.withLock { $0.pid } }
  /// How it ended; nil while it runs.
  var ending: Ending? { state.withLock { $0.ending } }

  /// Starts a program; blocks for as long as that takes.
  ///
  /// - Parameters:
  ///   - onLine: called with each line that it writes to its output or its errors, on a thread of this object.
  ///   - onEnd: called once when it has ended and before `ending` tells it, on a thread of this object.
  init(
    _ program: Program, onLine: @escaping @Sendable (String) -> Void,
    onEnd: @escaping @Sendable (pid_t, Ending) -> Void = { _, _ in }
  ) throws(PostgreSQLError) {
    var ends: [Int32] = [-1, -1]
    guard borealis_pipe(&ends) == 0 else {
      throw PostgreSQLError(.program, program.path, "no pipe for its output: \(SystemFiles.reason())")
    }
    let (output, input) = (ends[0], ends[1])
    _ = WorkerThread { [self] in guardProgram(program, input, onEnd) }
    started.wait()
    let code = state.withLock { $0.failure }
    guard code == 0 else {
      close(output)
      throw PostgreSQLError(.program, program.path, "cannot be started: \(SystemFiles.reason(code))")
    }
    _ = WorkerThread { [self] in
      ChildProcess.readLines(output, onLine)
      state.withLock { $0.isOutputOver = true }
      changed.raise()
    }
  }

  private func guardProgram(_ program: Program, _ output: Int32, _ onEnd: (pid_t, Ending) -> Void) {
    var pid: pid_t = 0
    let code = ChildProcess.spawn(program, output, &pid)
    close(output)
    state.withLock { state in
      state.pid = pid
      state.failure = code
      state.isStarted = code == 0
    }
    started.raise()
    guard code == 0 else { return }
    _ = borealis_await_end(pid)
    state.withLock { $0.isStarted = false }
    // Reaped after `signal` can send nothing any more: the number may be another process's from now on.
    let status = borealis_reap(pid)
    let ending: Ending = status >= 256 ? .killed(status - 256) : .exited(status)
    onEnd(pid, ending)
    state.withLock { $0.ending = ending }
    changed.raise()
  }

  private static func spawn(_ program: Program, _ output: Int32, _ pid: inout pid_t) -> Int32 {
    let nothing = open("/dev/null", O_RDONLY | O_CLOEXEC)
    guard nothing >= 0 else { return errno }
    defer { close(nothing) }
    // The path of the system, and texts in English: lines of the log are read by programs, too.
    let environment = ["PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C.UTF-8", "TZ=UTC"] + program.environment
    return withCStrings([program.path] + program.arguments) { arguments in
      withCStrings(environment) { environment in
        program.path.withCString { path in
          program.directory.withCString { directory in
            var child = borealis_child()
            child.path = path
            child.arguments = arguments
            child.environment = environment
            child.directory = directory
            (child.input, child.output, child.error) = (nothing, output, output)
            if let user = program.user {
              child.changes_user = 1
              (child.user, child.group) = (user.user, user.group)
            }
            child.dies_with_thread = program.signalAtDeath
            return borealis_spawn(&child, &pid)
          }
        }
      }
    }
  }
  private static func withCStrings<T>(
    _ strings: [String], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> T
  ) -> T {
    var pointers = strings.map { strdup($0) }
    pointers.append(nil)
    defer { for pointer in pointers { free(pointer) } }
    return pointers.withUnsafeBufferPointer { buffer in
      guard let base = buffer.baseAddress else { preconditionFailure("an array with an element has an address") }
      return body(base)
    }
  }

  /// The longest line handed over as one: what is longer comes in parts.
  private static let lineMax = 64 << 10

  private static func readLines(_ output: Int32, _ onLine: (String) -> Void) {
    defer { close(output) }
    var rest: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 16 << 10)
    while true {
      let count = read(output, &buffer, buffer.count)
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { break }
      rest += buffer[..<count]
      while let end = rest.firstIndex(of: 10) {
        onLine(String(decoding: rest[..<end], as: UTF8.self))
        rest.removeSubrange(...end)
      }
      if rest.count > lineMax {
        onLine(String(decoding: rest, as: UTF8.self))
        rest = []
      }
    }
    if !rest.isEmpty { onLine(String(decoding: rest, as: UTF8.self)) }
  }

  /// Sends a signal; whether it was still there.
  @discardableResult
  func signal(_ number: Int32) -> Bool { state.withLock { $0.isStarted && kill($0.pid, number) == 0 } }

  /// Calls `body` with its number while that can be nobody else's; false where it has ended.
  func whileThere(_ body: (pid_t) -> Void) -> Bool {
    state.withLock { state in
      if state.isStarted { body(state.pid) }
      return state.isStarted
    }
  }

  /// Blocks until it has ended, and its output with it, or the time is over; how it ended.
  func waitForEnd(milliseconds: UInt64) -> Ending? {
    let deadline = SystemClock.now.advanced(byMilliseconds: milliseconds)
    while true {
      let (ending, isOutputOver) = state.withLock { ($0.ending, $0.isOutputOver) }
      if ending != nil, isOutputOver { return ending }
      // A program that it has left behind may hold the output open.
      if SystemClock.now >= deadline { return ending }
      changed.wait(until: min(deadline, SystemClock.now.advanced(byMilliseconds: 20)))
    }
  }

  /// Runs a program to its end; what it wrote.
  ///
  /// - Throws: `.program` where it ended with another code than 0, with its last lines; `.timedOut`.
  static func run(_ program: Program, milliseconds: UInt64) throws(PostgreSQLError) -> [String] {
    let lines = Mutex<[String]>([])
    let child = try ChildProcess(program, onLine: { line in lines.withLock { $0.append(line) } })
    guard let ending = child.waitForEnd(milliseconds: milliseconds) else {
      child.signal(SIGKILL)
      _ = child.waitForEnd(milliseconds: 1000)
      throw PostgreSQLError(.timedOut, program.name, "did not end within \(milliseconds) ms and was killed")
    }
    let written = lines.withLock { $0 }
    guard ending == .exited(0) else {
      let last = written.suffix(8).map { "\n  " + $0 }.joined()
      throw PostgreSQLError(.program, program.path, "\(ending)\(last)")
    }
    return written
  }
}
