import BorealisComputeEngine
import BorealisRuntime
import Foundation
import Glibc
import Testing

@testable import BorealisPostgreSQL

extension PostgreSQLTests {
  /// `borealis up --engine postgresql` as a process, and what it leaves behind.
  @Suite(.serialized) struct UpTests {
    @Test(
      "a port that is taken: an error that names it, no server and no mount left; endpoints added later keep theirs")
    func portTaken() async throws {
      let directory = "/tmp/bpg-up-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
      let holder = try #require(Listener.pair()).1
      do {
        // The second endpoint's: the first one listens already.
        let up = try Tool("up", directory, "--engine", "postgresql", "--readers", "0", "--port", "\(holder.port - 1)")
        let said = await onThread { up.readToEnd() }
        #expect(up.status != 0)
        #expect(said.contains("endpoint 'reader' cannot listen on 127.0.0.1:\(holder.port)"), "\(said)")
        #expect(said.contains("ss -ltnup") && said.contains("--port"), "\(said)")
        #expect(Self.leftovers(directory) == [])

        let first = try #require(Listener.pair()).0.port
        let custom = TestServers.freePort()
        // What the first try has made can be started: two times, the second with the ports that were kept.
        for round in 1...2 {
          let up = try Tool("up", directory, "--engine", "postgresql", "--readers", "0", "--port", "\(first)")
          let isUp = await onThread { up.wait(for: "Ctrl-C stops it") }
          try #require(isUp)
          if round == 1 {
            let taken = try Tool("endpoint", "add", directory, "taken", "--port", "\(holder.port)")
            #expect(await onThread { taken.readToEnd() }.contains("cannot listen on 127.0.0.1:\(holder.port)"))
            #expect(taken.status != 0)
            let added = try Tool(
              "endpoint", "add", directory, "all", "--excluded-members", "", "--port", "\(custom)")
            let line = await onThread { added.readToEnd() }
            #expect(line.contains("all leads to demo-1; it listens on 127.0.0.1:\(custom)"), "\(line)")
          }
          let list = try Tool("endpoint", "list", directory)
          let lines = await onThread { list.readToEnd() }.split(separator: "\n")
          #expect(lines.count == 5 && lines.last?.contains("127.0.0.1:\(custom)") == true, "\(lines)")
          #expect(Listener.canConnect(to: first) && Listener.canConnect(to: custom))
          let down = try Tool("down", directory)
          _ = await onThread { down.readToEnd() }
          #expect(await onThread { up.readToEnd() }.isEmpty == false)
          #expect(up.status == 0)
          #expect(Self.leftovers(directory) == [])
        }
      } catch {
        await removeWhenUnmounted(directory)
        throw error
      }
      await removeWhenUnmounted(directory)
    }

    /// Processes and mounts of a directory.
    private static func leftovers(_ directory: String) -> [String] {
      var found = ((try? String(contentsOfFile: "/proc/self/mounts", encoding: .utf8)) ?? "").split(separator: "\n")
        .map(String.init).filter { $0.contains(directory) }
      for process in (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? [] where Int(process) != nil {
        let words = (try? String(contentsOfFile: "/proc/\(process)/cmdline", encoding: .utf8)) ?? ""
        if words.contains(directory) { found.append("\(process): \(words)") }
      }
      if FileManager.default.fileExists(atPath: directory + "/control.sock") { found.append("control.sock") }
      return found
    }
  }
}

/// `borealis`, run as a process; ended with the object.
private final class Tool: @unchecked Sendable {
  // @unchecked: a test has one thread at a time wait for it.
  private let process = Process()
  private let output = Pipe()
  private var text = ""

  init(_ arguments: String...) throws {
    var folder = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
    for argument in CommandLine.arguments where argument.contains(".xctest") {
      folder = URL(fileURLWithPath: argument).deletingLastPathComponent()
    }
    while !FileManager.default.isExecutableFile(atPath: folder.path + "/borealis"), folder.path != "/" {
      folder.deleteLastPathComponent()
    }
    process.executableURL = folder.appendingPathComponent("borealis")
    process.arguments = arguments
    process.standardOutput = output
    process.standardError = output
    process.standardInput = FileHandle.nullDevice
    try process.run()
  }
  deinit { if process.isRunning { kill(process.processIdentifier, SIGKILL) } }
  var status: Int32 {
    process.waitUntilExit()
    return process.terminationStatus
  }
  /// All that it says until its end.
  func readToEnd() -> String {
    text += String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    return text
  }
  /// Whether it says that before its end.
  func wait(for sentence: String) -> Bool {
    while !text.contains(sentence) {
      let more = output.fileHandleForReading.availableData
      if more.isEmpty { return false }
      text += String(decoding: more, as: UTF8.self)
    }
    return true
  }
}

/// Somebody else who has a port.
private final class Listener {
  let port: UInt16
  private let socket: Int32

  init?(_ wanted: UInt16 = 0) {
    socket = Listener.make()
    var at = Listener.local(wanted)
    var size = socklen_t(MemoryLayout<sockaddr_in>.size)
    let socket = socket
    let isListening = withUnsafeMutablePointer(to: &at) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(socket, $0, size) == 0 && listen(socket, 8) == 0 && getsockname(socket, $0, &size) == 0
      }
    }
    port = UInt16(bigEndian: at.sin_port)
    guard isListening else { return nil }
  }
  deinit { close(socket) }

  /// Two ports, one after the other.
  static func pair() -> (Listener, Listener)? {
    for _ in 0..<100 {
      if let first = Listener(), first.port < UInt16.max, let second = Listener(first.port + 1) {
        return (first, second)
      }
    }
    return nil
  }
  private static func make() -> Int32 { Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0) }
  private static func local(_ port: UInt16) -> sockaddr_in {
    var at = sockaddr_in()
    at.sin_family = sa_family_t(AF_INET)
    at.sin_port = port.bigEndian
    at.sin_addr.s_addr = inet_addr("127.0.0.1")
    return at
  }
  static func canConnect(to port: UInt16) -> Bool {
    let socket = make()
    defer { close(socket) }
    var to = local(port)
    return withUnsafePointer(to: &to) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
      }
    } == 0
  }
}
