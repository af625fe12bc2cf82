import Borealis
import BorealisControl
import Foundation
import Synchronization
import Testing

@Suite("Control of a running cluster over its socket")
struct ControlTests {
  /// A cluster with a server, in a directory that is removed.
  private func withServer(
    readers: Int = 1, onEndpoints: @escaping @Sendable ([String: UInt16]) async throws -> Void = ControlServer.noPorts,
    _ body: (Cluster, String) async throws -> Void
  ) async throws {
    let directory = FileManager.default.temporaryDirectory.appendingPathComponent("b-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let cluster = try await Cluster.inMemory("orders", readers: readers)
    let server = try ControlServer(cluster, directory: directory, onEndpoints: onEndpoints)
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

  /// A request about a custom endpoint.
  private func endpoint(_ action: String, _ name: String, _ more: [String: String] = [:]) -> ControlRequest {
    ControlRequest("endpoint", ["action": action, "name": name].merging(more) { $1 })
  }

  @Test("custom endpoints are added, changed and removed; statements go where they lead")
  func endpoints() async throws {
    try await withServer(readers: 2) { cluster, directory in
      for request in [
        endpoint("add", "some", ["static-members": "orders-2, orders-3", "type": "reader"]), endpoint("add", "every"),
        endpoint("add", "others", ["excluded-members": "orders-1"]),
        endpoint("modify", "some", ["static-members": "orders-3"]), endpoint("modify", "others", ["type": "reader"]),
        endpoint("remove", "every"),
      ] {
        let answer = try await ask(directory, request)
        #expect(try answer.result.get() == request.arguments["name"])
      }
      #expect(
        cluster.customEndpoints == [
          CustomEndpoint("some", .reader, .only(["orders-3"])),
          CustomEndpoint("others", .reader, .allExcept(["orders-1"])),
        ])
      let listed = await cluster.status().endpoints
      #expect(listed.map(\.name) == ["cluster", "reader", "some", "others"])
      #expect(listed[2].staticMembers == ["orders-3"] && listed[2].members == ["orders-3"] && listed[2].kind == .reader)
      #expect(listed[3].excludedMembers == ["orders-1"] && listed[3].members == ["orders-2", "orders-3"])
      #expect(try await ask(directory, ControlRequest("connect", ["endpoint": "some"])).result.get() == "orders-3")
    }
  }

  @Test("endpoints that cannot be are refused, and nothing is changed")
  func refusedEndpoints() async throws {
    try await withServer { cluster, directory in
      _ = try await ask(directory, endpoint("add", "some", ["static-members": "orders-1,orders-2"])).result.get()
      let before = cluster.customEndpoints
      for (request, reason) in [
        (endpoint("add", "some"), "already"), (endpoint("add", "reader"), "is taken"),
        (endpoint("add", "orders-1"), "is taken"), (endpoint("add", "Some"), "lower-case"),
        (endpoint("add", "x", ["static-members": "orders-9"]), "orders-9"),
        (endpoint("add", "x", ["static-members": ""]), "at least one"),
        (endpoint("add", "x", ["static-members": "orders-1", "excluded-members": "orders-2"]), "not both"),
        (endpoint("add", "x", ["type": "writer"]), "any, reader"), (endpoint("add", "x", ["port": "0"]), "no port"),
        (endpoint("add", "x", ["port": "5432"]), "no ports"), (endpoint("modify", "x"), "there are: some"),
        (endpoint("remove", "cluster"), "there are: some"), (endpoint("paint", "some"), "add, modify or remove"),
      ] {
        let answer = try await ask(directory, request)
        let error = #expect(throws: ControlError.self) { try answer.result.get() }
        #expect(error?.description.contains(reason) == true, "\(request): \(error?.description ?? "")")
        #expect(cluster.customEndpoints == before)
      }
    }
  }

  @Test("an endpoint that nothing can listen for is taken back, and one that cannot be changed is as it was")
  func takenBack() async throws {
    let asked = Mutex<[[String: UInt16]]>([])
    let isBroken = Mutex(false)
    let listen: @Sendable ([String: UInt16]) async throws -> Void = { ports in
      asked.withLock { $0.append(ports) }
      if isBroken.withLock({ $0 }) { throw ControlError("the port is taken") }
    }
    try await withServer(onEndpoints: listen) { cluster, directory in
      _ = try await ask(directory, endpoint("add", "some", ["static-members": "orders-2", "port": "5434"])).result.get()
      isBroken.withLock { $0 = true }
      for request in [endpoint("add", "more"), endpoint("modify", "some", ["excluded-members": "orders-2"])] {
        let answer = try await ask(directory, request)
        let error = #expect(throws: ControlError.self) { try answer.result.get() }
        #expect(error?.description == "the port is taken")
        #expect(cluster.customEndpoints == [CustomEndpoint("some", .any, .only(["orders-2"]))])
      }
      #expect(asked.withLock { $0 } == [["some": 5434], [:], [:]])
    }
  }

  @Test("an instance that is removed leaves the endpoints' lists: cluster.json describes a cluster that can be started")
  func removedMembers() async throws {
    try await withServer(readers: 2) { cluster, directory in
      _ = try await ask(directory, endpoint("add", "some", ["static-members": "orders-2,orders-3"])).result.get()
      _ = try await ask(directory, endpoint("add", "rest", ["excluded-members": "orders-2"])).result.get()
      _ = try await ask(directory, ControlRequest("remove", ["instance": "orders-2"])).result.get()
      #expect(
        cluster.customEndpoints == [
          CustomEndpoint("some", .any, .only(["orders-3"])), CustomEndpoint("rest", .any, .allExcept([])),
        ])
      let last = try await ask(directory, ControlRequest("remove", ["instance": "orders-3"]))
      let error = #expect(throws: ControlError.self) { try last.result.get() }
      #expect(error?.description.contains("endpoint 'some'") == true)
      // Neither may one come that has an endpoint's name.
      let reader = try await ask(directory, ControlRequest("add-reader", ["name": "some"]))
      #expect(throws: ControlError.self) { try reader.result.get() }
      var file = ClusterFile(identifier: "orders", readers: 0, size: "local.small")
      file.ports = ["cluster": 5432, "dns": 5353, "gone": 5999]
      cluster.setAddress(EngineAddress(host: "127.0.0.1", port: 5440), ofEndpoint: "some")
      file.update(from: await cluster.status(), cluster.customEndpoints)
      #expect(file.ports == ["cluster": 5432, "dns": 5353, "some": 5440])
      try file.configuration(in: directory).validate()
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
