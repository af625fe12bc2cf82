import BorealisCore
import BorealisWire
import Foundation
import Testing

/// The bytes of every kind of message and record as they were written first.
///
/// The files are never edited: a format that changes gets a new version, new files, and a decoder that still reads these.
///
/// `BOREALIS_WRITE_FIXTURES=1 swift test --filter FixtureTests` writes those that are missing, and only those.
@Suite struct FixtureTests {
  private static let directory = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Fixtures")

  struct Fixture: CustomTestStringConvertible, Sendable {
    let name: String
    let bytes: [UInt8]
    var testDescription: String { name }
  }

  static let expected: [Fixture] =
    Samples.messages.map { name, message in
      let number = (message.kind < 10 ? "0" : "") + String(message.kind)
      return Fixture(name: "v1-message-\(number)-\(name).hex", bytes: message.encoded(Samples.header))
    }
    + Samples.records.map { Fixture(name: "v1-record-\($0.name).hex", bytes: $0.bytes) }
    + [
      Fixture(name: "v1-configuration-steady.hex", bytes: Samples.steady.encoded()),
      Fixture(name: "v1-configuration-transition.hex", bytes: Samples.transition.encoded()),
    ]

  private func load(_ name: String) throws -> [UInt8] {
    let url = Self.directory.appending(path: name)
    return try #require(parseHex(try String(contentsOf: url, encoding: .utf8)), "\(name) is not a hex dump")
  }

  @Test(.enabled(if: ProcessInfo.processInfo.environment["BOREALIS_WRITE_FIXTURES"] == "1"))
  func writeMissing() throws {
    for fixture in Self.expected {
      let url = Self.directory.appending(path: fixture.name)
      if FileManager.default.fileExists(atPath: url.path) { continue }
      try hexDump(fixture.bytes).write(to: url, atomically: true, encoding: .utf8)
    }
  }

  @Test(arguments: FixtureTests.expected) func encodingGivesTheFixture(fixture: Fixture) throws {
    let stored = try load(fixture.name)
    #expect(
      hexDump(fixture.bytes) == hexDump(stored), "\(fixture.name): the format changed; make a new version instead")
  }

  @Test func everyFileIsKnownAndEveryKindHasOne() throws {
    let files = try FileManager.default.contentsOfDirectory(atPath: Self.directory.path).sorted()
    #expect(files == Self.expected.map(\.name).sorted())
    #expect(Samples.messages.map(\.message.kind) == Array(1...34))
  }

  @Test(arguments: Samples.messages.indices) func messagesDecode(index: Int) throws {
    let (name, message) = Samples.messages[index]
    let file = try #require(Self.expected.first { $0.name.hasSuffix("-\(name).hex") && $0.name.contains("message") })
    let (header, decoded) = try Message.decode(try load(file.name))
    #expect(header == Samples.header)
    // A batch keeps its whole message: records are compared, not their frame.
    switch (message, decoded) {
    case (.append(let v, let m, let a), .append(let w, let n, let b)):
      #expect(try v == w && m == n && a.headers() == b.headers())
    case (.records(let v, let a), .records(let w, let b)), (.stream(let v, let a), .stream(let w, let b)):
      #expect(try v == w && a.headers() == b.headers())
    default: #expect(decoded == message)
    }
  }

  @Test func recordsDecode() throws {
    for (name, _) in Samples.records {
      let bytes = try load("v1-record-\(name).hex")
      let header = try bytes.withUnsafeBytesTyped { raw throws(DecodeError) in try RecordHeader.decode(raw) }
      #expect(header.encodedSize == bytes.count)
      #expect("\(header.kind)" == name)
      #expect(header.page == Samples.page && header.previousInVolume == LSN(999) && header.previousInGroup == LSN(990))
    }
  }

  @Test func configurationsDecode() throws {
    for (name, value) in [("steady", Samples.steady), ("transition", Samples.transition)] {
      let bytes = try load("v1-configuration-\(name).hex")
      #expect(try bytes.withUnsafeBytesTyped { raw throws(DecodeError) in try GroupConfiguration.decode(raw) } == value)
    }
  }
}
