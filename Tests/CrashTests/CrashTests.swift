import Foundation
import Testing

/// The harness itself is `borealis crash`; CI runs all 200 rounds of it here.
@Suite("Kill -9")
struct CrashTests {
  @Test(
    "a writing process is killed 200 times in a row, with nodes lost too: nothing acknowledged is lost, nothing is half there"
  )
  func killNine() throws {
    let process = Process()
    process.executableURL = try tool()
    process.arguments = ["crash", "--times", "200", "--life", "120", "--directory", NSTemporaryDirectory()]
    let output = Pipe()
    process.standardOutput = output
    try process.run()
    let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    print(text)
    #expect(process.terminationStatus == 0, "\(text)")
    #expect(text.contains("200 times kill -9"))
    #expect(!text.contains("PROBLEM"))
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
