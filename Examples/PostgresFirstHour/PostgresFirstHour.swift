// The first hour with a PostgreSQL cluster: create it, connect with psql, add a reader, fail over.
//
//     swift run -c release --traits Router PostgresFirstHour
//
// prints, with figures of the machine:
//
//     1. a cluster: one writer, six copies in three zones, PostgreSQL 15.20 in /usr/lib/postgresql/15/bin
//     2. psql on the cluster endpoint
//        cluster=# CREATE TABLE orders (id int PRIMARY KEY, item text);   CREATE TABLE
//        cluster=# INSERT INTO orders SELECT i, 'item ' || i FROM generate_series(1, 1000) i;   INSERT 0 1000
//     3. a reader more, on the same storage
//        demo-2 takes connections after 470 ms
//        cluster=# SHOW cluster_name;   demo-1
//        reader=# SHOW cluster_name;   demo-2
//        reader=# SELECT count(*), pg_is_in_recovery() FROM orders;   1000|t
//     4. fail over
//        demo-1 -> demo-2, epoch 2: detected after 0, fenced 9, promoted 371, endpoint moved 371 ms
//        cluster=# SELECT count(*) FROM orders;   1000
//        cluster=# SHOW cluster_name;   demo-2
//        reader=# SHOW cluster_name;   demo-1
//        cluster=# INSERT INTO orders VALUES (1001, 'after the failover') RETURNING id;   1001, INSERT 0 1

#if Router
  import Borealis
  import BorealisMount
  import BorealisPostgreSQL
  import BorealisRouter
  import Foundation

  @main
  struct PostgresFirstHour {
    struct NotTrue: Error { let claim: String }
    let cluster: Cluster, engine: PostgreSQLEngine, psql: String, addresses: [EngineAddress]

    static func main() async throws {
      let directory = FileManager.default.temporaryDirectory.appending(path: "borealis-\(UUID().uuidString)").path
      let server = try PostgreSQLInstallation.find()
      let engine = try PostgreSQLEngine(at: directory + "/servers", mounter: FUSEMounter())
      print("1. a cluster: one writer, six copies in three zones, \(server)")
      let cluster = try await Cluster.start(
        ClusterConfiguration("demo") {
          Storage(.files(at: directory + "/volume"))
          Engine(engine)
          Writer()
        })
      let router = try await EndpointRouter.start(cluster, [Route(cluster.writer), Route(cluster.reader)])
      let hour = PostgresFirstHour(
        cluster: cluster, engine: engine, psql: server.directory + "/psql", addresses: router.routes.map(\.address))
      let outcome = await Task { try await hour.steps() }.result
      await router.stop()
      await cluster.stop()
      try FileManager.default.removeItem(atPath: directory)
      try outcome.get()
    }

    func steps() async throws {
      print("2. psql on the cluster endpoint")
      try ask(0, "CREATE TABLE orders (id int PRIMARY KEY, item text)")
      try ask(0, "INSERT INTO orders SELECT i, 'item ' || i FROM generate_series(1, 1000) i")
      print("3. a reader more, on the same storage")
      let (began, name) = (ContinuousClock.now, try await cluster.addReader())
      print("   \(name) takes connections after \(Int((ContinuousClock.now - began) / .milliseconds(1))) ms")
      try showEndpoints()
      try ask(1, "SELECT count(*), pg_is_in_recovery() FROM orders", ["1000|t"])
      print("4. fail over")
      print("   \(try await cluster.failover())")
      try ask(0, "SELECT count(*) FROM orders", ["1000"])
      try showEndpoints()
      try ask(0, "INSERT INTO orders VALUES (1001, 'after the failover') RETURNING id")
    }

    /// Which instance each endpoint leads to, as psql sees it.
    func showEndpoints() throws {
      try ask(0, "SHOW cluster_name", cluster.writer.members.map(\.instance.name))
      try ask(1, "SHOW cluster_name", cluster.reader.members.map(\.instance.name))
    }
    /// Runs a statement with psql on the cluster (0) or the reader (1) endpoint.
    func ask(_ endpoint: Int, _ sql: String, _ right: [String]? = nil) throws {
      let (process, output, address) = (Process(), Pipe(), addresses[endpoint])
      process.executableURL = URL(fileURLWithPath: psql)
      let target = "host=\(address.host) port=\(address.port) user=postgres dbname=postgres sslmode=verify-full"
      process.arguments = ["-XAt", "-c", sql, "\(target) sslrootcert=\(engine.authorityFile(of: "demo"))"]
      let password = try String(contentsOfFile: engine.passwordFile(of: "demo"), encoding: .utf8)
      process.environment = ["PGPASSWORD": password.trimmingCharacters(in: .newlines)]
      process.standardOutput = output
      try process.run()
      let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
      process.waitUntilExit()
      let lines = text.split(separator: "\n").map(String.init)
      print("   \(["cluster", "reader"][endpoint])=# \(sql);   \(lines.joined(separator: ", "))")
      guard process.terminationStatus == 0, lines == right ?? lines else { throw NotTrue(claim: sql) }
    }
  }
#else
  @main
  enum PostgresFirstHour {
    static func main() { print("endpoints need a router: swift run -c release --traits Router PostgresFirstHour") }
  }
#endif
