import Borealis
import BorealisPostgreSQL
import Foundation

/// Something that the example says is not so.
struct NotTrue: Error, CustomStringConvertible { let description: String }

/// psql as a child process, and what it must answer.
extension PostgresFirstHour {
  func expect(_ found: [String], _ right: [String], _ claim: String) throws {
    if found != right { throw NotTrue(description: "not so: \(claim): \(found), not \(right)") }
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
}
