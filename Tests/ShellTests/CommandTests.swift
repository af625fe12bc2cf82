import Foundation
import Testing

/// `borealis sql` as a process, on a volume in a directory.
@Suite("borealis sql", .timeLimit(.minutes(2)))
struct CommandTests {
  @Test("statements from arguments and from standard input, exit codes, what was committed is there the next time")
  func endToEnd() throws {
    try withLocalPath { path in
      let directory = (path as NSString).deletingLastPathComponent + "/volume"
      #expect(try run(["sql", "--volume", directory, "SELECT 1"]).status != 0)
      #expect(try run(["format", directory]).status == 0)
      let made = try run(
        ["sql", "--volume", directory],
        input:
          "CREATE TABLE orders (id INTEGER PRIMARY KEY, what TEXT);\nINSERT INTO orders (what)\nVALUES ('tea'), (NULL);\n"
      )
      #expect(made.status == 0)
      #expect(made.output == "")
      let failed = try run(
        ["sql", "--volume", directory],
        input: "INSERT INTO orders VALUES (7, 'x');\n\nSELECT * FROM nowhere;\nDELETE FROM orders;\n")
      #expect(failed.status == 1)
      #expect(failed.errors.contains("error in line 3: no such table: nowhere (SQLite code 1)"))
      let read = try run(["sql", "--volume", directory, "--mode", "csv", "SELECT * FROM orders", "SELECT 5"])
      #expect(read.status == 0)
      #expect(read.output == "id,what\n1,tea\n2,\n7,x\n5\n5\n")
      let other = try run(["sql", "--volume", directory, "--database", "/other.db", ".tables"])
      #expect(other.status == 0)
      #expect(other.output == "")
      let dump = try run(["sql", "--volume", directory, ".dump"])
      #expect(dump.output.contains("INSERT INTO \"orders\" VALUES(2,NULL);\n"))
    }
  }

  private func run(
    _ arguments: [String], input: String = ""
  ) throws -> (status: Int32, output: String, errors: String) {
    let process = Process()
    process.executableURL = try tool()
    process.arguments = arguments
    let (standardInput, output, errors) = (Pipe(), Pipe(), Pipe())
    process.standardInput = standardInput
    process.standardOutput = output
    process.standardError = errors
    try process.run()
    standardInput.fileHandleForWriting.write(Data(input.utf8))
    try standardInput.fileHandleForWriting.close()
    let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    let errorText = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    return (process.terminationStatus, text, errorText)
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
