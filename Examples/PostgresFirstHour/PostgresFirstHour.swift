// The first hour with a PostgreSQL cluster: create it, connect with psql, add a reader, fail over.
//
//     swift run -c release --traits Router PostgresFirstHour
//
// prints, with figures of the machine (without the trait Router, psql connects to instances and not to endpoints):
//
//     1. a cluster: one writer, six copies in three zones, PostgreSQL 15.20 in /usr/lib/postgresql/15/bin
//        endpoint cluster -> demo-1
//        endpoint reader  -> demo-1
//     2. psql on the cluster endpoint
//        cluster=# CREATE TABLE orders (id int PRIMARY KEY, item text);   CREATE TABLE
//        cluster=# INSERT INTO orders SELECT i, 'item ' || i FROM generate_series(1, 1000) i;   INSERT 0 1000
//     3. a reader more, on the same storage
//        demo-2 takes connections after 391 ms
//        endpoint cluster -> demo-1
//        endpoint reader  -> demo-2
//        reader=# SELECT count(*) FROM orders;   1000
//        reader=# SELECT pg_is_in_recovery();   t
//     4. the writer is killed (kill -9)
//        failover (writerEnded): demo-1, epoch 1 -> demo-2, epoch 2
//          last sign of life          +0.0 ms
//          detected                  +98.7 ms
//          fenced and recovered     +107.6 ms
//          promoted                 +360.5 ms
//          endpoint moved           +360.5 ms
//        cluster=# SELECT count(*) FROM orders;   1000
//        cluster=# SHOW cluster_name;   demo-2
//        demo-1 is back, as a reader
//        endpoint cluster -> demo-2
//        endpoint reader  -> demo-1
//        cluster=# INSERT INTO orders VALUES (1001, 'after the failover') RETURNING id;   1001, INSERT 0 1

import Borealis
import BorealisMount
import BorealisPostgreSQL
import BorealisRouter
import Foundation

@main
struct PostgresFirstHour {
  let psql: String, engine: PostgreSQLEngine, cluster: Cluster
  /// Where clients connect to: the endpoints' own addresses, or, without the trait Router, those of instances.
  let address: @Sendable (_ isWriter: Bool) -> EngineAddress?

  static func run(in directory: String) async throws {
    let server = try PostgreSQLInstallation.find()
    let engine = try PostgreSQLEngine(at: directory + "/servers", mounter: FUSEMounter())
    print("1. a cluster: one writer, six copies in three zones, \(server)")
    let cluster = try await Cluster.start(
      ClusterConfiguration("demo") {
        Storage(.files(at: directory + "/volume"))
        Engine(engine)
        Writer()
      })
    var failure: (any Error)?
    do {
      #if Router
        let router = try await EndpointRouter.start(cluster, [Route(cluster.writer), Route(cluster.reader)])
        let addresses = router.routes.map(\.address)
        let address = { @Sendable isWriter in isWriter ? addresses[0] : addresses[1] }
      #else
        let address = { @Sendable isWriter in (isWriter ? cluster.writer : cluster.reader).target()?.address }
      #endif
      let psql = server.directory + "/psql"
      let demo = PostgresFirstHour(psql: psql, engine: engine, cluster: cluster, address: address)
      do { try await demo.steps() } catch { failure = error }
      #if Router
        await router.stop()
      #endif
    } catch { failure = error }
    await cluster.stop()
    if let failure { throw failure }
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
    let old = try await cluster.chaos.killWriter()
    try await until("a failover is complete") { await !cluster.failoverReports.isEmpty }
    print(await cluster.failoverReports[0].timeline.split(separator: "\n").map { "   " + $0 }.joined(separator: "\n"))
    try expect(try ask(true, "SELECT count(*) FROM orders"), ["1000"], "every row is there")
    try expect(try ask(true, "SHOW cluster_name"), [name.name], "the reader is the writer now")
    try await until("\(old) is back") { await cluster.status().instances.allSatisfy { $0.state == "available" } }
    print("   \(old) is back, as a reader")
    try showEndpoints()
    try ask(true, "INSERT INTO orders VALUES (1001, 'after the failover') RETURNING id")
  }
}
