// The first hour with a PostgreSQL cluster: create it, connect with psql, add a reader, fail over.
//
//     swift run -c release --traits Router PostgresFirstHour
//
// prints, with figures of the machine:
//
//     OUTPUT

import Borealis
import BorealisMount
import BorealisPostgreSQL
import BorealisRouter
import Foundation

@main
struct PostgresFirstHour {
  let psql: String, engine: PostgreSQLEngine, cluster: Cluster
  /// Where clients connect: the endpoints' own addresses, or, without the trait Router, those of instances.
  let address: @Sendable (_ isWriter: Bool) -> EngineAddress?

  static func main() async {
    let directory = FileManager.default.temporaryDirectory.appending(path: "borealis-\(UUID().uuidString)").path
    do { try await run(in: directory) } catch {
      FileHandle.standardError.write(Data("PostgresFirstHour: \(error)\n".utf8))
      exit(1)
    }
  }
  static func run(in directory: String) async throws {
    let server = try PostgreSQLInstallation.find()
    let engine = try PostgreSQLEngine(at: directory + "/servers", mounter: FUSEMounter())
    defer { removeWhenUnmounted(directory) }
    print("1. a cluster: one writer, six copies in three zones, \(server)")
    let cluster = try await Cluster.start(
      ClusterConfiguration("demo") {
        Storage(.files(at: directory + "/volume"))
        Engine(engine)
        Writer()
      })
    let result: Result<Void, any Error>
    do {
      #if Router
        let router = try await EndpointRouter.start(cluster, [Route(cluster.writer), Route(cluster.reader)])
        let addresses = router.routes.map(\.address)
        let address = { @Sendable isWriter in isWriter ? addresses[0] : addresses[1] }
      #else
        let address = { @Sendable isWriter in (isWriter ? cluster.writer : cluster.reader).target()?.address }
      #endif
      try await PostgresFirstHour(
        psql: server.directory + "/psql", engine: engine, cluster: cluster, address: address
      ).steps()
      #if Router
        await router.stop()
      #endif
      result = .success(())
    } catch { result = .failure(error) }
    await cluster.stop()
    try result.get()
  }

  func steps() async throws {
    try showEndpoints()
    print("2. psql on the cluster endpoint")
    try ask(true, "CREATE TABLE orders (id int PRIMARY KEY, item text)")
    try ask(true, "INSERT INTO orders SELECT i, 'item ' || i FROM generate_series(1, 1000) i")
    print("3. a reader more, on the same storage")
    let (began, name) = (ContinuousClock.now, try await cluster.addReader())
    print("   \(name) takes connections after \(Int((ContinuousClock.now - began) / .milliseconds(1))) ms")
    try showEndpoints()
    try expect(try ask(false, "SELECT count(*) FROM orders"), ["1000"], "the reader shows every row")
    try expect(try ask(false, "SELECT pg_is_in_recovery()"), ["t"], "the reader only reads")
    print("4. the writer is killed (kill -9)")
    let (killed, old) = (ContinuousClock.now, try await cluster.chaos.killWriter())
    while await cluster.failoverReports.isEmpty {
      guard ContinuousClock.now - killed < .seconds(60) else { throw NotTrue(description: "a failover in a minute") }
      try await Task.sleep(for: .milliseconds(5))
    }
    print(await cluster.failoverReports[0].timeline.split(separator: "\n").map { "   " + $0 }.joined(separator: "\n"))
    try expect(try ask(true, "SELECT count(*) FROM orders"), ["1000"], "every row is there")
    try expect(try ask(true, "SHOW cluster_name"), [name.name], "the reader is the writer now")
    while await cluster.status().instances.contains(where: { $0.state != "available" }) {
      guard ContinuousClock.now - killed < .seconds(60) else { throw NotTrue(description: "\(old) comes back") }
      try await Task.sleep(for: .milliseconds(5))
    }
    print("   \(old) is back, as a reader")
    try showEndpoints()
    try ask(true, "INSERT INTO orders VALUES (1001, 'after the failover') RETURNING id")
  }
  /// Which instance each endpoint leads to, as psql sees it.
  func showEndpoints() throws {
    for (isWriter, name, endpoint) in [(true, "cluster", cluster.writer), (false, "reader", cluster.reader)] {
      let found = try run(isWriter, "SHOW cluster_name").joined()
      print("   endpoint \(name.padding(toLength: 8, withPad: " ", startingAt: 0)) -> \(found)")
      try expect([found], endpoint.members.map(\.instance.name), "psql comes to where the endpoint leads")
    }
  }
}
