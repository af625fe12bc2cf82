import BorealisComputeEngine
import BorealisCore
import BorealisRuntime
import Foundation
import Synchronization
import Testing

@testable import BorealisPostgreSQL

extension PostgreSQLTests {
  /// `borealis up`, as a process that is killed with all that runs in it.
  @Suite(.serialized) struct UpKillTests {
    /// A run of the tool on a cluster's directory.
    private final class Up: Sendable {
      let process: ChildProcess
      private let lines: LinesSeen

      init(_ directory: String) throws {
        let lines = LinesSeen()
        self.lines = lines
        process = try ChildProcess(
          Program(
            path: try Up.tool(),
            arguments: ["up", directory, "--engine", "postgresql", "--readers", "1", "--name", "orders"]),
          onLine: { lines.add($0) })
      }
      deinit { process.signal(SIGKILL) }
      func hasSaid(_ text: String) -> Bool { lines.all.contains { $0.contains(text) } }
      var words: String { lines.all.joined(separator: "\n") }
      /// The tool stands beside the tests.
      static func tool() throws -> String {
        var folder = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
        for argument in CommandLine.arguments where argument.contains(".xctest") {
          folder = URL(fileURLWithPath: argument).deletingLastPathComponent()
        }
        for _ in 0..<6 {
          let candidate = folder.appendingPathComponent("borealis").path
          if FileManager.default.isExecutableFile(atPath: candidate) { return candidate }
          folder.deleteLastPathComponent()
        }
        throw CocoaError(.fileNoSuchFile)
      }
    }
    private final class LinesSeen: Sendable {
      private let lines = Mutex<[String]>([])
      var all: [String] { lines.withLock { $0 } }
      func add(_ line: String) { lines.withLock { $0.append(line) } }
    }

    /// The rows that clients were told to be committed.
    private final class Told: Sendable {
      private let ids = Mutex<[Int]>([])
      private let cutters = Mutex<[PQSession.Cutter]>([])
      var all: [Int] { ids.withLock { $0 } }
      func add(_ id: Int) { ids.withLock { $0.append(id) } }
      /// Ends all that `insert`.
      func cut() { for cutter in cutters.withLock({ $0 }) { cutter.cut() } }
      /// Inserts rows until the connection ends.
      func insert(from first: Int, _ target: ConnectionTarget) async {
        let cutter = PQSession.Cutter()
        cutters.withLock { $0.append(cutter) }
        try? await blocking {
          let session = try PQSession(target, cutter: cutter)
          defer { session.close() }
          for id in first... {
            _ = try session.execute("INSERT INTO t VALUES (\(id))", parameters: [])
            self.add(id)
          }
        }
      }
    }

    /// Processes other than the tool itself that work in the directory, or were started with it.
    private static func servers(of directory: String) -> [String] {
      let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
      return names.compactMap { name in
        guard Int(name) != nil, let text = SystemFiles.text(of: "/proc/\(name)/cmdline"), !text.contains("borealis\0up")
        else { return nil }
        let place = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(name)/cwd")
        guard text.contains(directory) || place?.contains(directory) == true else { return nil }
        return "\(name) \(text.replacing("\0", with: " "))"
      }
    }
    private static func mounts(in directory: String) -> [String] {
      (SystemFiles.text(of: "/proc/self/mounts") ?? "").split(separator: "\n").compactMap { line in
        let parts = line.split(separator: " ")
        return parts.count > 1 && parts[1].hasPrefix(directory) ? String(parts[1]) : nil
      }
    }
    private static func isAlive(_ mount: String) -> Bool {
      (try? FileManager.default.attributesOfFileSystem(forPath: mount)) != nil
    }
    /// Where a client of another process connects to.
    private static func target(of instance: String, in directory: String) throws -> ConnectionTarget {
      let home = directory + "/postgresql/orders"
      let number = try #require(SystemFiles.text(of: "\(home)/\(instance)/port")).filter(\.isNumber)
      let port = try #require(UInt16(number))
      let password = try #require(SystemFiles.text(of: home + "/secrets/superuser-password")).filter { $0 != "\n" }
      return ConnectionTarget(
        host: "localhost", port: port, user: "postgres", password: password,
        security: .verified(authority: home + "/secrets/ca.crt"), application: "test")
    }
    private static func ask(_ sql: String, _ target: ConnectionTarget) async throws -> [SQLRow] {
      try await blocking {
        let session = try PQSession(target)
        defer { session.close() }
        return try session.query(sql, parameters: [])
      }
    }

    @Test func killedWithNineItLeavesNoServerAndTheNextStartCleansUp() async throws {
      let directory = "/tmp/bpg-up-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
      defer {
        for mount in Self.mounts(in: directory) { umount2(mount, Int32(MNT_DETACH)) }
        SystemFiles.removeAll(directory)
      }
      let told = Told()
      for round in 0..<2 {
        let up = try Up(directory)
        try await eventually("round \(round): the cluster runs", seconds: 120) { up.hasSaid("The cluster runs") }
        try #require(up.hasSaid("The cluster runs"), "\(up.words)")
        let mounts = Self.mounts(in: directory)
        #expect(mounts.count == 2 && mounts.allSatisfy(Self.isAlive), "\(mounts)")
        let writer = try Self.target(of: "orders-1", in: directory)
        if round == 0 { _ = try await Self.ask("CREATE TABLE t (id int PRIMARY KEY)", writer) }
        try await expectRows(told, writer)

        // Clients of this process, which has nothing to do with the one that is killed.
        let clients = (1...3).map { client in
          Task { await told.insert(from: (client + 10 * round) * 100_000, writer) }
        }
        let before = told.all.count
        try await eventually("rows are acknowledged") { told.all.count >= before + 50 }
        #expect(Self.servers(of: directory).contains { $0.contains("postgres") })
        up.process.signal(SIGKILL)
        let process = up.process
        #expect(await onThread { process.waitForEnd(milliseconds: 10_000) } == .killed(SIGKILL))
        try await eventually("no server is left") { Self.servers(of: directory).isEmpty }
        let left = Self.servers(of: directory)
        #expect(left == [])
        // A client whose server has not ended would wait for ever.
        told.cut()
        for client in clients { await client.value }
        // The kernel keeps the mounts, which lead nowhere.
        let dead = Self.mounts(in: directory)
        #expect(dead.count == 2 && !dead.contains(where: Self.isAlive), "\(dead)")
      }
      let up = try Up(directory)
      try await eventually("the cluster runs again", seconds: 120) { up.hasSaid("The cluster runs") }
      #expect(Self.mounts(in: directory).allSatisfy(Self.isAlive), "dead mounts are left")
      #expect(Self.mounts(in: directory).count == 2)
      try await expectRows(told, try Self.target(of: "orders-1", in: directory))
      let reader = try Self.target(of: "orders-2", in: directory)
      try await eventually("the reader has them") {
        try await Self.ask("SELECT 1 FROM t", reader).count >= told.all.count
      }
      up.process.signal(SIGTERM)
      let process = up.process
      #expect(await onThread { process.waitForEnd(milliseconds: 30_000) } == .exited(0), "\(up.words)")
      #expect(Self.mounts(in: directory) == [])
      #expect(Self.servers(of: directory) == [])
    }
    private func expectRows(_ told: Told, _ writer: ConnectionTarget) async throws {
      let there = Set(try await Self.ask("SELECT id FROM t", writer).map { row in try row.get(0, as: Int.self) })
      #expect(Set(told.all).subtracting(there) == [], "acknowledged and lost")
    }
  }
}
