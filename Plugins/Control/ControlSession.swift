import Borealis
import BorealisSQLShell
import Dispatch
import Foundation
import Synchronization

/// One client of a cluster's socket, on a thread of its own.
final class ControlSession {
  private static let rowsTogether = 256
  private let socket: LineSocket
  let cluster: Cluster
  private let onChange: @Sendable () async -> Void
  let onEndpoints: @Sendable ([String: UInt16]) async throws -> Void
  private let onStop: @Sendable () -> Void
  private let endpointChanges: OneAtATime
  private var connection: (any SQLConnection)?

  init(
    _ socket: LineSocket, _ cluster: Cluster, onChange: @escaping @Sendable () async -> Void,
    onEndpoints: @escaping @Sendable ([String: UInt16]) async throws -> Void, onStop: @escaping @Sendable () -> Void,
    _ endpointChanges: OneAtATime
  ) {
    self.socket = socket
    self.cluster = cluster
    self.onChange = onChange
    self.onEndpoints = onEndpoints
    self.onStop = onStop
    self.endpointChanges = endpointChanges
  }
  deinit { connection?.close() }

  func run() {
    do throws(ControlError) {
      while let request = try socket.read(ControlRequest.self) {
        do {
          let text = try carryOut(request)
          try socket.write(ControlReply.done(text))
        } catch let error as SQLError {
          try socket.write(
            ControlReply.error(
              text: "\(error)", code: error.engineCode.isEmpty ? error.code.rawValue : error.engineCode,
              isOutcomeUnknown: error.isOutcomeUnknown))
        } catch let error as SQLiteError {
          try socket.write(
            ControlReply.error(
              text: "\(error)", code: "(\(error.extendedCode))", isOutcomeUnknown: error.isOutcomeUnknown))
        } catch let error as ControlError {
          try socket.write(ControlReply.error(text: error.description, code: "", isOutcomeUnknown: false))
        } catch {
          try socket.write(ControlReply.error(text: "\(error)", code: "", isOutcomeUnknown: false))
        }
      }
    } catch {
      // The client is gone, or sent what is no request: nobody is there to be told.
    }
  }

  private func carryOut(_ request: ControlRequest) throws -> String {
    let (cluster, arguments) = (cluster, request.arguments)
    switch request.command {
    case "status":
      try socket.write(ControlReply.status(try wait { await cluster.status() }))
      return ""
    case "events": return try sendEvents(follow: arguments["follow"] == "yes")
    case "add-reader":
      let capacity = try capacity(arguments["class"] ?? InstanceClass.localSmall.name)
      let tier = try number(arguments["tier"], "tier").map { PromotionTier($0) } ?? .standard
      let name = try wait {
        try await cluster.addReader(
          .provisioned(capacity), tier: tier, identifier: arguments["name"].map { InstanceIdentifier($0) },
          zone: arguments["zone"])
      }
      try wait(onChange)
      return name.name
    case "remove":
      let name = InstanceIdentifier(try required(arguments, "instance"))
      try wait { try await cluster.remove(name) }
      // It has left the endpoints' lists, too.
      let onEndpoints = onEndpoints
      try endpointChanges.run { try wait { try await onEndpoints([:]) } }
      try wait(onChange)
      return name.name
    case "modify":
      let name = InstanceIdentifier(try required(arguments, "instance"))
      let tier = try number(arguments["tier"], "tier").map { PromotionTier($0) }
      let capacity: ProvisionedScaler? = try arguments["class"].map { (size: String) throws -> ProvisionedScaler in
        ProvisionedScaler(try self.capacity(size))
      }
      try wait { try await cluster.modify(name, tier: tier, capacity: capacity) }
      try wait(onChange)
      return name.name
    case "failover":
      let target = arguments["instance"].map { InstanceIdentifier($0) }
      let report = try wait { try await cluster.failover(to: target) }
      try socket.write(ControlReply.failover(report))
      try wait(onChange)
      return report.newWriter
    case "endpoint":
      let name = try required(arguments, "name")
      try endpointChanges.run { try changeEndpoint(name, arguments) }
      try wait(onChange)
      return name
    case "chaos": return try chaos(try required(arguments, "fault"), arguments["target"])
    case "connect":
      connection?.close()
      connection = try connect(arguments["endpoint"] ?? "cluster")
      return connection?.instance.name ?? ""
    case "sql": return try sql(try required(arguments, "sql"), request.parameters ?? [])
    case "import":
      try importDatabase(try required(arguments, "path"), isReplacing: arguments["replace"] == "yes")
      return ""
    case "stop":
      onStop()
      return ""
    default: throw ControlError("'\(request.command)' is no request that this cluster knows; are both of one version?")
    }
  }

  private func chaos(_ fault: String, _ target: String?) throws -> String {
    let chaos = cluster.chaos
    func named() throws -> String {
      guard let target else { throw ControlError("'\(fault)' needs a target: an instance, a node (n0) or a zone (a)") }
      return target
    }
    func node() throws -> NodeID {
      let digits = try named().drop { $0 == "n" }
      guard let value = UInt32(digits) else { throw ControlError("'\(digits)' is no storage node; give n0, n1, …") }
      return NodeID(value)
    }
    switch fault {
    case "kill-writer": return try wait { try await chaos.killWriter() }.name
    case "kill-during-commit": return try wait { try await chaos.killWriterDuringNextCommit() }.name
    case "kill":
      let name = InstanceIdentifier(try named())
      try wait { try await chaos.kill(name) }
    case "isolate":
      let name = InstanceIdentifier(try named())
      try wait { try await chaos.isolate(name) }
    case "kill-node":
      let node = try node()
      try wait { try await chaos.stopNode(node) }
    case "start-node":
      let node = try node()
      try wait { try await chaos.startNode(node) }
    case "zone-down":
      let zone = try named()
      try wait { try await chaos.loseZone(zone) }
    case "zone-up":
      let zone = try named()
      try wait { try await chaos.restoreZone(zone) }
    default:
      throw ControlError(
        "'\(fault)' is no fault; there are kill-writer, kill-during-commit, kill, isolate, kill-node, start-node, "
          + "zone-down, zone-up")
    }
    return target ?? ""
  }

  private func connect(_ name: String) throws -> any SQLConnection {
    let cluster = cluster
    let endpoint: ClusterEndpoint =
      switch name {
      case "cluster", "writer": cluster.writer
      case "reader": cluster.reader
      default: (try? cluster.endpoint(name)) ?? cluster.instance(InstanceIdentifier(name))
      }
    return try wait { try await endpoint.connect() }
  }

  private func sql(_ text: String, _ parameters: [ControlValue]) throws -> String {
    let connection: any SQLConnection
    if let open = self.connection, open.isUsable { connection = open } else { connection = try connect("cluster") }
    self.connection = connection
    let values = parameters.map(\.sqlValue)
    let source = try wait { try await connection.source(of: text, parameters: values) }
    var isFirst = true
    while true {
      let rows = try wait { try await source.next() }
      guard let first = rows.first else { break }
      if isFirst { try socket.write(ControlReply.columns(first.columns)) }
      isFirst = false
      for start in stride(from: 0, to: rows.count, by: ControlSession.rowsTogether) {
        let part = rows[start..<min(rows.count, start + ControlSession.rowsTogether)]
        try socket.write(ControlReply.rows(part.map { $0.values.map { ControlValue($0) } }))
      }
    }
    var changes: Int?
    if isFirst, ControlSession.changesRows(text) {
      changes = try wait { try await connection.rows("SELECT changes()", parameters: []) }.first?.get(0, as: Int.self)
    }
    try socket.write(ControlReply.statement(changes: changes, isInTransaction: connection.isInTransaction))
    return ""
  }
  private static func changesRows(_ sql: String) -> Bool {
    let word = sql.drop { $0.isWhitespace }.prefix { $0.isLetter }.lowercased()
    return ["insert", "update", "delete", "replace"].contains(word)
  }
  private func importDatabase(_ path: String, isReplacing: Bool) throws {
    guard let instance = cluster.writer.currentEngine as? SQLiteEngineInstance, let vfs = instance.vfs else {
      throw ControlError("there is no writer of SQLite at the moment")
    }
    let session = try SQLiteSession(vfs, instance.databasePath)
    defer { session.close() }
    let report = try SessionExecutor(session).importDatabase(path, replacing: isReplacing)
    try socket.write(ControlReply.imported(tables: report.tables, rows: report.rows, bytes: report.bytes))
  }

  private func sendEvents(follow: Bool) throws -> String {
    let stream = cluster.events
    for event in cluster.recentEvents { try send(event) }
    guard follow else { return "" }
    let iterator = EventIterator(stream)
    while let event = try wait({ await iterator.next() }) { try send(event) }
    return ""
  }
  private func send(_ event: ClusterEvent) throws {
    try socket.write(ControlReply.event(time: event.time, level: event.level.rawValue, text: event.description))
  }

  // MARK: Arguments

  private func required(_ arguments: [String: String], _ name: String) throws -> String {
    guard let value = arguments[name] else { throw ControlError("the request needs '\(name)'") }
    return value
  }
  private func number(_ text: String?, _ name: String) throws -> Int? {
    guard let text else { return nil }
    guard let value = Int(text) else { throw ControlError("'\(text)' is no number for '\(name)'") }
    return value
  }
  private func capacity(_ name: String) throws -> InstanceClass {
    if let found = InstanceClass.named(name) { return found }
    throw ControlError(
      "'\(name)' is no instance class; there are \(InstanceClass.all.map(\.name).joined(separator: ", "))")
  }
}

/// One listener's place in the events, used by one task at a time.
private final class EventIterator: @unchecked Sendable {
  // @unchecked: the session's thread waits for each `next` before it calls again.
  private var iterator: AsyncStream<ClusterEvent>.Iterator
  init(_ stream: AsyncStream<ClusterEvent>) { iterator = stream.makeAsyncIterator() }
  func next() async -> ClusterEvent? { await iterator.next() }
}

/// Runs `body` as a task, and blocks this thread, which is none of Swift's pool, until it is over.
public func wait<T: Sendable>(_ body: @escaping @Sendable () async throws -> T) throws -> T {
  let done = DispatchSemaphore(value: 0)
  let result = Mutex<Result<T, any Error>?>(nil)
  let box = ResultBox(result)
  Task {
    do { box.set(.success(try await body())) } catch { box.set(.failure(error)) }
    done.signal()
  }
  done.wait()
  guard let value = box.get() else { throw ControlError("a task has ended without a result") }
  return try value.get()
}

private final class ResultBox<T: Sendable>: Sendable {
  private let result: Mutex<Result<T, any Error>?>
  init(_ result: consuming Mutex<Result<T, any Error>?>) { self.result = result }
  func set(_ value: Result<T, any Error>) { result.withLock { $0 = value } }
  func get() -> Result<T, any Error>? { result.withLock { $0 } }
}
