import Borealis
import Testing

@Suite("Cluster: instances, endpoints and statements")
struct ClusterTests {
  @Test("three lines make a cluster whose reader sees what the writer has committed")
  func threeLines() async throws {
    let cluster = try await Cluster.inMemory("orders")
    try await cluster.writer.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)")
    try await cluster.writer.execute("INSERT INTO t (v) VALUES (?), (?)", "tea", "milk")
    var seen: [String] = []
    for try await row in cluster.reader.query("SELECT v FROM t ORDER BY id") { seen.append(try row.get("v")) }
    #expect(seen == ["tea", "milk"])
    await cluster.stop()
  }

  @Test("a write through the reader endpoint is refused, and the error says where")
  func readerRefuses() async throws {
    let cluster = try await Cluster.inMemory("orders")
    try await cluster.writer.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    try await eventually { (try? await cluster.reader.rows("SELECT count(*) FROM t")) != nil }
    let error = await #expect(throws: SQLError.self) { try await cluster.reader.execute("INSERT INTO t VALUES (1)") }
    #expect(error?.code == .readOnly)
    #expect(error?.instance == "orders-2")
    #expect(error?.engineCode.hasPrefix("SQLITE_READONLY") == true)
    await cluster.stop()
  }

  @Test("what was committed through the cluster is seen by what is read next, on every reader")
  func readsOwnWrites() async throws {
    let cluster = try await Cluster.inMemory("orders", readers: 3)
    try await cluster.writer.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    for i in 1...200 {
      if i.isMultiple(of: 2) {
        try await cluster.writer.execute("INSERT INTO t VALUES (?)", i)
      } else {
        try await cluster.writer.transaction { db in _ = try db.execute("INSERT INTO t VALUES (?)", i) }
      }
      #expect(try await cluster.reader.rows("SELECT count(*) FROM t")[0][0] == .integer(Int64(i)))
    }
    // And through a failover: the old writer's commits are seen by readers of the new one.
    try await cluster.failover()
    #expect(try await cluster.reader.rows("SELECT count(*) FROM t")[0][0] == 200)
    await cluster.stop()
  }

  @Test("without a reader the reader endpoint leads to the writer, and leaves it when a reader comes")
  func readerFallsBack() async throws {
    let cluster = try await Cluster.inMemory("orders", readers: 0)
    #expect(cluster.reader.members.map(\.instance) == ["orders-1"])
    let added = try await cluster.addReader()
    #expect(cluster.reader.members.map(\.instance) == [added])
    try await cluster.remove(added)
    #expect(cluster.reader.members.map(\.instance) == ["orders-1"])
    await cluster.stop()
  }

  @Test("connections to the reader endpoint go round over the readers, and stay where they are")
  func roundRobin() async throws {
    let cluster = try await Cluster.inMemory("orders", readers: 3)
    var counts: [InstanceIdentifier: Int] = [:]
    var open: [any SQLConnection] = []
    for _ in 0..<30 {
      let connection = try await cluster.reader.connect()
      counts[connection.instance, default: 0] += 1
      open.append(connection)
    }
    #expect(counts == ["orders-2": 10, "orders-3": 10, "orders-4": 10])
    let status = await cluster.status()
    #expect(status.instances.filter { $0.role == "reader" }.map(\.connections) == [10, 10, 10])
    for connection in open { connection.close() }
    await cluster.stop()
  }

  @Test("custom endpoints: a static list, an exclusion list, and readers only")
  func customEndpoints() async throws {
    let cluster = try await Cluster.start(
      ClusterConfiguration("orders") {
        Writer()
        Readers(2)
        CustomEndpoint("pair", .any, .only(["orders-1", "orders-3"]))
        CustomEndpoint("analytics", .reader, .allExcept(["orders-2"]))
      })
    #expect(try cluster.endpoint("pair").members.map(\.instance) == ["orders-1", "orders-3"])
    #expect(try cluster.endpoint("analytics").members.map(\.instance) == ["orders-3"])
    let added = try await cluster.addReader()
    #expect(try cluster.endpoint("pair").members.map(\.instance) == ["orders-1", "orders-3"])
    #expect(try cluster.endpoint("analytics").members.map(\.instance) == ["orders-3", added])
    #expect(throws: ClusterError.self) { try cluster.endpoint("nowhere") }
    await cluster.stop()
  }

  @Test("fifteen readers are allowed, a sixteenth is refused")
  func sixteenthReader() async throws {
    let cluster = try await Cluster.inMemory("orders", readers: 15)
    let error = await #expect(throws: ClusterError.self) { try await cluster.addReader() }
    guard case .refused(let why) = error else {
      return #expect(Bool(false), "not refused: \(String(describing: error))")
    }
    #expect(why.contains("15 readers"))
    #expect(await cluster.status().instances.count == 16)
    await cluster.stop()
  }

  @Test("a new reader copies next to nothing, whatever the size of the database")
  func readerCopiesNothing() async throws {
    let cluster = try await Cluster.inMemory("orders", readers: 0)
    try await cluster.writer.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB)")
    try await cluster.writer.execute(
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000) INSERT INTO t SELECT i, randomblob(4000) FROM n"
    )
    try await cluster.addReader()
    let bytes = cluster.recentEvents.compactMap { event -> UInt64? in
      if case .instanceAdded(_, let bytes) = event.kind { bytes } else { nil }
    }
    #expect(bytes.count == 1 && bytes[0] < 1 << 20, "\(bytes) of 8 MB")
    #expect(try await cluster.reader.rows("SELECT count(*) FROM t")[0][0] == 2000)
    await cluster.stop()
  }

  @Test("a transaction is whole or not there, and its error comes through")
  func transactions() async throws {
    struct Broken: Error {}
    let cluster = try await Cluster.inMemory("orders")
    try await cluster.writer.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    await #expect(throws: Broken.self) {
      try await cluster.writer.transaction { db in
        try db.execute("INSERT INTO t VALUES (1)")
        throw Broken()
      }
    }
    let count = try await cluster.writer.transaction { db in
      try db.execute("INSERT INTO t VALUES (2)")
      return try db.query("SELECT count(*) FROM t")[0].get(0, as: Int.self)
    }
    #expect(count == 1)
    await cluster.stop()
  }

  @Test("a statement's BEGIN does not leak to the next user of the endpoint")
  func noLeakedTransaction() async throws {
    let cluster = try await Cluster.inMemory("orders")
    try await cluster.writer.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    try await cluster.writer.execute("BEGIN IMMEDIATE")
    try await cluster.writer.execute("INSERT INTO t VALUES (1)")
    #expect(try await cluster.writer.rows("SELECT count(*) FROM t")[0][0] == 1)
    await cluster.stop()
  }

  @Test("the status counts an instance's commits and the time that they took, a failover included")
  func commitTime() async throws {
    let cluster = try await Cluster.inMemory("orders")
    try await cluster.writer.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    for i in 1...5 { try await cluster.writer.execute("INSERT INTO t VALUES (?)", i) }
    let before = await cluster.status().instances
    #expect(before.map(\.commits) == [6, 0])
    #expect(before[0].commitNanoseconds > 0 && before[1].commitNanoseconds == 0)
    try await cluster.failover()
    try await cluster.writer.execute("INSERT INTO t VALUES (6)")
    let after = await cluster.status().instances
    #expect(after.map(\.identifier) == ["orders-2", "orders-1"] && after.map(\.commits) == [1, 6])
    #expect(after[1].commitNanoseconds == before[0].commitNanoseconds && after[0].commitNanoseconds > 0)
    await cluster.stop()
  }

  @Test("an instance refuses connections beyond what its class allows")
  func connectionLimit() async throws {
    let cluster = try await Cluster.start(
      ClusterConfiguration("orders") {
        Writer(.provisioned(InstanceClass("tiny", processors: 1, memory: .mebibytes(64))))
      })
    var open: [any SQLConnection] = []
    for _ in 0..<10 { open.append(try await cluster.writer.connect()) }
    let error = await #expect(throws: SQLError.self) { try await cluster.writer.connect() }
    #expect(error?.code == .tooManyConnections)
    try await cluster.modify("orders-1", capacity: .provisioned(.localMedium))
    open.append(try await cluster.writer.connect())
    for connection in open { connection.close() }
    await cluster.stop()
  }

  @Test("a cluster on files is there again when it is started again")
  func onFiles() async throws {
    try await withTemporaryDirectory { directory in
      let first = try await Cluster.files("orders", at: directory)
      try await first.writer.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
      try await first.writer.execute("INSERT INTO t VALUES (7)")
      await first.stop()
      let second = try await Cluster.files("orders", at: directory, readers: 2)
      #expect(try await second.reader.rows("SELECT id FROM t")[0][0] == 7)
      #expect(await second.status().epoch == 2)
      await second.stop()
    }
  }

  @Test("events come in order, to everybody who listens, and end with the cluster")
  func events() async throws {
    let cluster = try await Cluster.inMemory("orders", readers: 0)
    let events = cluster.events
    let listener = Task {
      var lines: [String] = []
      for await event in events { lines.append(event.description) }
      return lines
    }
    try await cluster.addReader(identifier: "extra")
    try await cluster.remove("extra")
    await cluster.stop()
    let lines = await listener.value.filter { !$0.hasPrefix("volume:") }
    #expect(lines.first == "extra takes connections as reader")
    #expect(lines.suffix(2) == ["extra was removed", "the cluster has ended"])
  }
}
