import Borealis
import BorealisControl
import Foundation
import Testing

@Suite("Control of a running cluster over its socket")
struct ControlTests {
  /// A cluster with a server, in a directory that is removed.
  private func withServer(
    readers: Int = 1, _ body: (Cluster, String) async throws -> Void
  ) async throws {
    let directory = FileManager.default.temporaryDirectory.appendingPathComponent("b-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let cluster = try await Cluster.inMemory("orders", readers: readers)
    let server = try ControlServer(cluster, directory: directory)
    try await body(cluster, directory)
    server.stop()
    await cluster.stop()
  }
  /// Asks on a thread that may block.
  private func ask(
    _ directory: String, _ requests: [ControlRequest]
  ) async throws -> [(replies: [ControlReply], result: Result<String, ControlError>)] {
    try await withCheckedThrowingContinuation { continuation in
      Thread.detachNewThread {
        continuation.resume(
          with: Result {
            let client = try ControlClient(directory: directory)
            return requests.map { request in
              var replies: [ControlReply] = []
              do throws(ControlError) {
                let text = try client.ask(request) { replies.append($0) }
                return (replies, .success(text))
              } catch { return (replies, .failure(error)) }
            }
          })
      }
    }
  }
  private func ask(_ directory: String, _ request: ControlRequest) async throws -> (
    replies: [ControlReply], result: Result<String, ControlError>
  ) { try await ask(directory, [request])[0] }

  @Test("status is the cluster's")
  func status() async throws {
    try await withServer { cluster, directory in
      let answer = try await ask(directory, ControlRequest("status"))
      guard case .status(let status) = try #require(answer.replies.first) else { return #expect(Bool(false)) }
      #expect(status.identifier == "orders" && status.instances.map(\.role) == ["writer", "reader"])
      #expect(status.nodes.count == 6 && status.nodes.allSatisfy(\.isRunning))
      #expect(status.endpoints.map(\.members) == [["orders-1"], ["orders-2"]])
    }
  }

  @Test("SQL of one connection shares its transaction; every kind of value comes over as it is")
  func sql() async throws {
    try await withServer { _, directory in
      let values: [ControlValue] = [.integer(-7), .real(0.1), .text("tea \"☕\"\n"), .blob([0, 255, 16]), .null]
      let answers = try await ask(
        directory,
        [
          ControlRequest("sql", ["sql": "CREATE TABLE t (a, b, c, d, e)"]), ControlRequest("sql", ["sql": "BEGIN"]),
          ControlRequest("sql", ["sql": "INSERT INTO t VALUES (?, ?, ?, ?, ?)"], parameters: values),
          ControlRequest("sql", ["sql": "COMMIT"]), ControlRequest("sql", ["sql": "SELECT * FROM t"]),
        ])
      for answer in answers { _ = try answer.result.get() }
      #expect(answers[2].replies == [.statement(changes: 1, isInTransaction: true)])
      #expect(
        answers[4].replies == [
          .columns(["a", "b", "c", "d", "e"]), .rows([values]), .statement(changes: nil, isInTransaction: false),
        ])
    }
  }

  @Test("many rows come in parts, in order")
  func manyRows() async throws {
    try await withServer { _, directory in
      let answer = try await ask(
        directory,
        ControlRequest(
          "sql",
          ["sql": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) SELECT i FROM n"]))
      let rows = answer.replies.flatMap { reply -> [[ControlValue]] in
        if case .rows(let rows) = reply { rows } else { [] }
      }
      #expect(rows == (1...5000).map { [.integer(Int64($0))] })
    }
  }

  @Test("errors name SQLite's code, and the connection goes on")
  func errors() async throws {
    try await withServer { _, directory in
      let answers = try await ask(
        directory,
        [
          ControlRequest("sql", ["sql": "SELEC"]), ControlRequest("connect", ["endpoint": "reader"]),
          ControlRequest("sql", ["sql": "CREATE TABLE x (y)"]), ControlRequest("sql", ["sql": "SELECT 1"]),
          ControlRequest("chaos", ["fault": "kill"]), ControlRequest("nonsense"),
          ControlRequest("add-reader", ["class": "db.huge"]), ControlRequest("remove", ["instance": "nobody"]),
        ])
      guard case .error(_, let code, _) = try #require(answers[0].replies.first) else { return #expect(Bool(false)) }
      #expect(code == "SQLITE_ERROR (1)")
      guard case .error(_, let readOnly, _) = try #require(answers[2].replies.first) else {
        return #expect(Bool(false))
      }
      #expect(readOnly.hasPrefix("SQLITE_READONLY"))
      #expect(answers[3].replies.contains(.rows([[.integer(1)]])))
      for answer in answers[4...] { #expect(throws: ControlError.self) { try answer.result.get() } }
    }
  }

  @Test("readers are added, modified and removed, the writer is moved and killed")
  func changes() async throws {
    try await withServer { cluster, directory in
      #expect(
        try await ask(directory, ControlRequest("add-reader", ["tier": "0", "name": "extra"])).result.get() == "extra")
      let moved = try await ask(directory, ControlRequest("failover"))
      #expect(try moved.result.get() == "extra")
      guard case .failover(let report) = try #require(moved.replies.first) else { return #expect(Bool(false)) }
      #expect(report.oldWriter == "orders-1" && report.cause == .planned)
      _ = try await ask(directory, ControlRequest("modify", ["instance": "orders-2", "tier": "0"])).result.get()
      #expect(try await ask(directory, ControlRequest("chaos", ["fault": "kill-writer"])).result.get() == "extra")
      try await cluster.writer.execute("CREATE TABLE t (id INTEGER)")
      #expect(await cluster.failoverReports.last?.newWriter == "orders-2")
      _ = try await ask(directory, ControlRequest("remove", ["instance": "orders-1"])).result.get()
      #expect(await !cluster.status().instances.contains { $0.identifier == "orders-1" })
    }
  }

  @Test("a second server in one directory is refused; a socket left by a dead process is not in the way")
  func oneServer() async throws {
    try await withServer { cluster, directory in
      #expect(ControlClient.isRunning(directory))
      #expect(throws: ControlError.self) { try ControlServer(cluster, directory: directory) }
    }
    let directory = FileManager.default.temporaryDirectory.appendingPathComponent("b-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: directory) }
    #expect(FileManager.default.createFile(atPath: ControlServer.socketPath(in: directory), contents: nil))
    #expect(!ControlClient.isRunning(directory))
    let cluster = try await Cluster.inMemory("orders", readers: 0)
    let server = try ControlServer(cluster, directory: directory)
    #expect(ControlClient.isRunning(directory))
    let attributes = try FileManager.default.attributesOfItem(atPath: ControlServer.socketPath(in: directory))
    #expect((attributes[.posixPermissions] as? NSNumber)?.intValue == 0o600)
    server.stop()
    await cluster.stop()
  }

  @Test("cluster.json describes the cluster that was described, and follows its changes")
  func file() async throws {
    let directory = FileManager.default.temporaryDirectory.appendingPathComponent("b-\(UUID().uuidString)").path
    defer { try? FileManager.default.removeItem(atPath: directory) }
    var file = ClusterFile(identifier: "orders", readers: 2, size: "local.medium")
    #expect(try ClusterFile.load(from: directory) == nil)
    try file.save(in: directory)
    #expect(try ClusterFile.load(from: directory) == file)
    let configuration = try file.configuration(in: directory)
    try configuration.validate()
    #expect(configuration.resolvedInstances.map(\.identifier) == ["orders-1", "orders-2", "orders-3"])
    #expect(configuration.instances.allSatisfy { $0.capacity.initial == InstanceClass.localMedium.capacity })

    let cluster = try await Cluster.inMemory("orders", readers: 2)
    try await cluster.setEndpoint(CustomEndpoint("some", .reader, .allExcept(["orders-3"])))
    try await cluster.failover(to: "orders-2")
    try await cluster.modify("orders-3", tier: 9)
    file.update(from: await cluster.status(), cluster.customEndpoints)
    await cluster.stop()
    let again = try file.configuration(in: directory)
    try again.validate()
    #expect(again.instances.first { $0.role == .writer }?.identifier == "orders-2")
    #expect(again.instances.first { $0.identifier == "orders-3" }?.tier == 9)
    #expect(again.customEndpoints == [CustomEndpoint("some", .reader, .allExcept(["orders-3"]))])

    try Data("{".utf8).write(to: URL(fileURLWithPath: ClusterFile.path(in: directory)))
    #expect(throws: ControlError.self) { try ClusterFile.load(from: directory) }
    file.replication = "raid"
    #expect(throws: ControlError.self) { try file.configuration(in: directory) }
  }
}
