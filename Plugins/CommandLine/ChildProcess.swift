import Foundation

/// This same executable, run as a child that will be killed.
final class ChildProcess {
  private let process = Process()
  private let output = Pipe()
  private var pending = Data()

  /// Starts `borealis child <arguments>`.
  init(_ arguments: [String]) throws {
    process.executableURL = URL(fileURLWithPath: ChildProcess.executable)
    process.arguments = ["child"] + arguments
    process.standardOutput = output
    try process.run()
  }

  /// The path of this executable.
  static var executable: String {
    (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? CommandLine.arguments[0]
  }

  /// The next line that the child printed; nil at its end.
  func readLine() -> String? {
    while true {
      if let end = pending.firstIndex(of: UInt8(ascii: "\n")) {
        let line = String(decoding: pending[pending.startIndex..<end], as: UTF8.self)
        pending = Data(pending[(end + 1)...])
        return line
      }
      let more = output.fileHandleForReading.availableData
      if more.isEmpty { return nil }
      pending.append(more)
    }
  }

  /// Kills the child with SIGKILL and waits until it is gone.
  ///
  /// What it printed before stays readable.
  func kill() {
    Foundation.kill(process.processIdentifier, SIGKILL)
    process.waitUntilExit()
  }

  /// Waits for the child's own end; its exit code.
  func wait() -> Int32 {
    process.waitUntilExit()
    return process.terminationStatus
  }
}
