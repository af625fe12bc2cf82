import Borealis
import BorealisPostgreSQL
import Foundation

/// Something that the example says is not so.
struct NotTrue: Error, CustomStringConvertible { let description: String }

/// psql as a child process, what it must answer, and the end.
extension PostgresFirstHour {
  static func main() async {
    let directory = FileManager.default.temporaryDirectory.appending(path: "borealis-\(UUID().uuidString)").path
    var failure: (any Error)?
    do { try await run(in: directory) } catch { failure = error }
    removeWhenUnmounted(directory)
    guard let failure else { return }
    FileHandle.standardError.write(Data("PostgresFirstHour: \(failure)\n".utf8))
    exit(1)
  }
  /// Removes the files: those of a volume that is still mounted are not touched.
  static func removeWhenUnmounted(_ directory: String) {
    for _ in 0..<500 {
      let mounts = try? String(contentsOfFile: "/proc/self/mounts", encoding: .utf8)
      if mounts?.contains(directory) != true {
        try? FileManager.default.removeItem(atPath: directory)
        return
      }
      usleep(10_000)
    }
  }
  /// Which instance each endpoint leads to, as psql sees it.
  func showEndpoints() throws {
    for (isWriter, name, endpoint) in [(true, "cluster", cluster.writer), (false, "reader ", cluster.reader)] {
      let found = try run(isWriter, "SHOW cluster_name").joined()
      print("   endpoint \(name) -> \(found)")
      try expect([found], endpoint.members.map(\.instance.name), "psql comes to where the endpoint leads")
    }
  }
  func expect(_ found: [String], _ right: [String], _ claim: String) throws {
    if found != right { throw NotTrue(description: "not so: \(claim): \(found), not \(right)") }
  }
  /// Waits for what has to come; a minute is far more than it takes.
  func until(_ claim: String, _ condition: () async -> Bool) async throws {
    let deadline = ContinuousClock.now + .seconds(60)
    while await !condition() {
      guard ContinuousClock.now < deadline else { throw NotTrue(description: "not so within a minute: \(claim)") }
      try await Task.sleep(for: .milliseconds(5))
    }
  }
  @discardableResult func ask(_ isWriter: Bool, _ sql: String) throws -> [String] {
    let lines = try run(isWriter, sql)
    print("   \(isWriter ? "cluster" : "reader")=# \(sql);   \(lines.joined(separator: ", "))")
    return lines
  }
  /// Runs a statement with psql.
  func run(_ isWriter: Bool, _ sql: String) throws -> [String] {
    guard let address = address(isWriter) else { throw NotTrue(description: "the endpoint leads nowhere") }
    let (process, output) = (Process(), Pipe())
    process.executableURL = URL(fileURLWithPath: psql)
    process.arguments = [
      "-X", "-A", "-t", "-c", sql,
      "host=\(address.host) port=\(address.port) user=postgres dbname=postgres sslmode=verify-full "
        + "sslrootcert=\(engine.authorityFile(of: "demo"))",
    ]
    let password = try String(contentsOfFile: engine.passwordFile(of: "demo"), encoding: .utf8)
    process.environment = ["PGPASSWORD": password.trimmingCharacters(in: .newlines)]
    process.standardOutput = output
    try process.run()
    let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    guard process.terminationStatus == 0 else { throw NotTrue(description: "psql fails: \(sql)") }
    return text.split(separator: "\n").map(String.init)
  }
}
