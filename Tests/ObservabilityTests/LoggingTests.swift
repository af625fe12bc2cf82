#if Observability
  import Borealis
  import BorealisObservability
  import Logging
  import Synchronization
  import Testing

  /// Keeps what is logged.
  struct MemoryLogHandler: LogHandler {
    struct Entry: Sendable {
      let level: Logger.Level
      let message: String
      let metadata: Logger.Metadata
    }
    final class Entries: Sendable {
      private let entries = Mutex<[Entry]>([])
      var all: [Entry] { entries.withLock { $0 } }
      func add(_ entry: Entry) { entries.withLock { $0.append(entry) } }
      func all(_ event: String) -> [Entry] { all.filter { $0.metadata["event"] == "\(event)" } }
    }
    let entries: Entries
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.trace
    init(_ entries: Entries) { self.entries = entries }
    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
      get { metadata[key] }
      set { metadata[key] = newValue }
    }
    func log(
      level: Logger.Level, message: Logger.Message, metadata extra: Logger.Metadata?, source _: String, file _: String,
      function _: String, line _: UInt
    ) {
      entries.add(Entry(level: level, message: "\(message)", metadata: metadata.merging(extra ?? [:]) { $1 }))
    }
  }

  /// Waits until `condition` holds, generously.
  func eventually(_ what: Comment, _ condition: () async throws -> Bool) async throws {
    let deadline = ContinuousClock.now + .seconds(60)
    while try await !condition() {
      guard ContinuousClock.now < deadline else {
        Issue.record(what)
        return
      }
      try await Task.sleep(for: .milliseconds(5))
    }
  }

  @Suite("Observability: events in a log", .serialized)
  struct LoggingTests {
    @Test("every event is written once, with level and metadata, those before the call too; it ends with the cluster")
    func events() async throws {
      let (cluster, entries) = (try await Cluster.inMemory("orders"), MemoryLogHandler.Entries())
      let logging = Task { await cluster.log(to: Logger(label: "test") { _ in MemoryLogHandler(entries) }) }
      try await eventually("the past is written") { entries.all("clusterStarted").count == 1 }
      try await cluster.addReader(identifier: "extra")
      try await cluster.remove("extra")
      try await cluster.chaos.stopNode(NodeID(5))
      try await cluster.chaos.startNode(NodeID(5))
      try await cluster.chaos.killWriter()
      try await eventually("a failover is written") { entries.all("failoverCompleted").count == 1 }
      await cluster.stop()
      await logging.value

      let all = entries.all
      #expect(all.count == cluster.recentEvents.count)
      #expect(all.map { $0.metadata["time"] } == cluster.recentEvents.map { "\($0.time)" })
      #expect(all.allSatisfy { $0.metadata["cluster"] == "orders" && $0.metadata["event"] != nil })
      let added = try #require(entries.all("instanceAdded").first)
      #expect(added.level == .info && added.metadata["instance"] == "extra" && added.metadata["bytesCopied"] != nil)
      #expect(entries.all("instanceRemoved").map { $0.metadata["instance"] } == ["extra"])
      #expect(entries.all("storageNode").map(\.level) == [.warning, .info])
      let failed = try #require(entries.all("instanceFailed").first)
      #expect(failed.level == .warning && failed.metadata["instance"] == "orders-1")
      #expect(failed.metadata["role"] == "writer")
      let moved = try #require(entries.all("failoverCompleted").first)
      #expect(moved.metadata["oldWriter"] == "orders-1" && moved.metadata["instance"] == "orders-2")
      #expect(moved.metadata["cause"] == "writerEnded" && moved.metadata["epoch"] == "2")
      #expect(moved.message == "failover from orders-1 to orders-2 is over: writerEnded")
      #expect(all.last?.metadata["event"] == "clusterStopped")
    }

    @Test("cancelling the task ends it while the cluster goes on")
    func cancellation() async throws {
      let (cluster, entries) = (try await Cluster.inMemory("orders", readers: 0), MemoryLogHandler.Entries())
      let logging = Task { await cluster.log(to: Logger(label: "test") { _ in MemoryLogHandler(entries) }) }
      try await eventually("the past is written") { entries.all("clusterStarted").count == 1 }
      logging.cancel()
      await logging.value
      try await cluster.addReader()
      #expect(entries.all("instanceAdded").isEmpty)
      await cluster.stop()
    }
  }
#endif
