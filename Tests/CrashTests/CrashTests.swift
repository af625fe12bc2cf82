import Foundation
import Testing

/// The harnesses are `borealis crash` and `borealis crash --sql`; CI runs all 200 rounds of each here.
@Suite("Kill -9", .serialized)
struct CrashTests {
  @Test(
    "a writing process is killed 200 times in a row, with nodes lost too: nothing acknowledged is lost, nothing is half there"
  )
  func killNine() throws {
    let (status, text) = try crash("--times", "200", "--life", "120")
    print(text)
    #expect(status == 0, "\(text)")
    #expect(text.contains("200 times kill -9"))
    #expect(!text.contains("PROBLEM"))
  }

  @Test(
    "a process that runs SQL is killed 200 times in a row, with nodes and disks lost too: every acknowledged transaction is there, whole"
  )
  func killNineSQL() throws {
    let (status, text) = try crash("--sql", "--times", "200", "--life", "120")
    print(text)
    #expect(status == 0, "\(text)")
    #expect(text.contains("200 times kill -9"))
    #expect(!text.contains("PROBLEM"))
  }

  @Test(
    "the SQL harness sees what is done wrong: acknowledged early, made in two halves, by nodes that do not wait for their disks",
    arguments: ["early", "half", "nodes"])
  func liesAreSeen(lie: String) throws {
    let (status, text) = try crash("--sql", "--times", "200", "--life", "120", "--lie", lie)
    #expect(status == 1, "\(text)")
    #expect(text.contains("PROBLEM"))
  }

  /// Runs the harness; its exit code and what it printed.
  private func crash(_ arguments: String...) throws -> (status: Int32, text: String) {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("crash-tests-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let process = Process()
    process.executableURL = try tool()
    process.arguments = ["crash", "--directory", folder.path] + arguments
    let output = Pipe()
    process.standardOutput = output
    try process.run()
    let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    return (process.terminationStatus, text)
  }

  /// The tool stands beside the test bundle.
  private func tool() throws -> URL {
    var folder = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
    for argument in CommandLine.arguments where argument.contains(".xctest") {
      folder = URL(fileURLWithPath: argument).deletingLastPathComponent()
    }
    for _ in 0..<6 {
      let candidate = folder.appendingPathComponent("borealis")
      if FileManager.default.isExecutableFile(atPath: candidate.path) { return candidate }
      folder.deleteLastPathComponent()
    }
    throw CocoaError(.fileNoSuchFile)
  }
}
