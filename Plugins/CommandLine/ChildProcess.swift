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
      if let line = takeLine() { return line }
      let more = output.fileHandleForReading.availableData
      if more.isEmpty { return nil }
      pending.append(more)
    }
  }
  /// Takes in what the child prints during that time, so that a full pipe does not hold it up.
  func listen(microseconds: UInt64) {
    let end = ContinuousClock.now + .microseconds(Int64(microseconds))
    while true {
      let left = (end - ContinuousClock.now).seconds
      guard left > 0 else { return }
      var descriptor = pollfd(fd: output.fileHandleForReading.fileDescriptor, events: Int16(POLLIN), revents: 0)
      guard poll(&descriptor, 1, Int32(left * 1000)) > 0 else { continue }
      let more = output.fileHandleForReading.availableData
      if more.isEmpty { return }
      pending.append(more)
    }
  }
  private func takeLine() -> String? {
    guard let end = pending.firstIndex(of: UInt8(ascii: "\n")) else { return nil }
    let line = String(decoding: pending[pending.startIndex..<end], as: UTF8.self)
    pending = pending[(end + 1)...]
    return line
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
