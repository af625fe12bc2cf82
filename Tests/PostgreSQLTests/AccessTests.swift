import BorealisClusterModel
import BorealisComputeEngine
import BorealisCore
import BorealisRuntime
import Foundation
import Testing

@testable import BorealisPostgreSQL

extension PostgreSQLTests {
  /// Passwords, certificates, and standbys.
  @Suite struct AccessTests {
    private static func connect(_ target: ConnectionTarget) async throws -> [SQLRow] {
      try await blocking {
        let session = try PQSession(target)
        defer { session.close() }
        return try session.query("select ssl from pg_stat_ssl where pid = pg_backend_pid()", parameters: [])
      }
    }

    @Test func passwordsAreSCRAMAndAWrongOneIsRefused() async throws {
      try await withServers { servers in
        try await servers.initialize()
        let server = try await servers.start(servers.configuration())
        let stored = try await server.rows("select rolpassword from pg_authid where rolname = 'postgres'")
        #expect(stored.first?.values.first?.description.hasPrefix("SCRAM-SHA-256$") == true)
        let address = server.configuration.address
        var target = ConnectionTarget(
          host: address.host, port: address.port, user: "postgres", password: TestServers.password)
        #expect(try await Self.connect(target).count == 1)
        for wrong in ["wrong", nil] {
          target.password = wrong
          let refused = target
          let error = await #expect(throws: SQLError.self) { _ = try await Self.connect(refused) }
          #expect(error?.code == .engine, "\(String(describing: error))")
          #expect(error?.message.contains("password") == true)
        }
      }
    }

    @Test func certificatesAreVerifiedInFull() async throws {
      try await withServers { servers in
        try await servers.initialize()
        let directories = EngineDirectories(servers.directory + "/engine")
        let path = servers.directory + "/certificates"
        let certificates = try await blocking {
          let owner = try ServiceUser.needed("postgres")
          return try directories.certificates(of: "orders", names: ["orders.cluster.local"], in: path, owner: owner)
        }
        var configuration = servers.configuration()
        configuration.certificates = certificates
        let server = try await servers.start(configuration)
        let port = server.configuration.address.port
        let authority = directories.secrets(of: "orders") + "/ca.crt"
        for host in ["127.0.0.1", "localhost"] {
          let target = ConnectionTarget(
            host: host, port: port, user: "postgres", password: TestServers.password,
            security: .verified(authority: authority))
          #expect(try await Self.connect(target).first?.values == [.integer(1)])
        }
        // Another name than those of the certificate, and another authority.
        let other = ConnectionTarget(
          host: "127.0.0.2", port: port, user: "postgres", password: TestServers.password,
          security: .verified(authority: authority))
        await #expect(throws: SQLError.self) { _ = try await Self.connect(other) }
        _ = try await blocking {
          try directories.certificates(of: "others", names: [], in: path + "-others", owner: nil)
        }
        let stranger = ConnectionTarget(
          host: "127.0.0.1", port: port, user: "postgres", password: TestServers.password,
          security: .verified(authority: directories.secrets(of: "others") + "/ca.crt"))
        let error = await #expect(throws: SQLError.self) { _ = try await Self.connect(stranger) }
        #expect(error?.message.contains("certificate") == true)
        let names = try FileManager.default.attributesOfItem(atPath: directories.secrets(of: "orders") + "/ca.key")
        #expect(names[.posixPermissions] as? Int == 0o600)
      }
    }

    @Test func psqlConnectsWithTheAuthoritysFile() async throws {
      try await withServers { servers in
        try await servers.initialize()
        let directories = EngineDirectories(servers.directory + "/engine")
        let path = servers.directory + "/certificates"
        var configuration = servers.configuration()
        configuration.certificates = try await blocking {
          try directories.certificates(of: "orders", names: [], in: path, owner: try ServiceUser.needed("postgres"))
        }
        let server = try await servers.start(configuration)
        let authority = directories.secrets(of: "orders") + "/ca.crt"
        let line =
          "host=localhost port=\(server.configuration.address.port) user=postgres dbname=postgres "
          + "sslmode=verify-full sslrootcert=\(authority)"
        let psql = server.installation.directory + "/psql"
        let written = try await blocking {
          try ChildProcess.run(
            Program(
              path: psql, arguments: ["-X", "-At", "-c", "select 6 * 7", line],
              environment: ["PGPASSWORD=\(TestServers.password)"]), milliseconds: 10_000)
        }
        #expect(written == ["42"])
      }
    }

    /// A copy of a running server's directory is what a view of the volume at a read point is: a moment of a crash.
    @Test func aStandbyStartsFromACopyAndFollows() async throws {
      try await withServers { servers in
        try await servers.initialize()
        var primary = servers.configuration()
        primary.capacity = InstanceClass.localMedium.capacity
        let writer = try await servers.start(primary)
        try await writer.rows("create table t (a int)")
        try await writer.rows("insert into t select generate_series(1, 1000)")
        let (from, to) = (servers.directory + "/data", servers.directory + "/copy")
        try await blocking {
          // `cp -a` while nobody writes: a checkpoint could otherwise change files in between.
          _ = try ChildProcess.run(Program(path: "/bin/cp", arguments: ["-a", from, to]), milliseconds: 60_000)
          SystemFiles.removeAll(to + "/postmaster.pid")
          try SystemFiles.write("", to: to + "/standby.signal", mode: 0o600, owner: try ServiceUser.needed("postgres"))
        }
        var standby = servers.configuration("reader", data: "copy")
        standby.role = .standby(of: writer.configuration.address, authority: nil)
        let reader = try await servers.start(standby)
        #expect(try await blocking { try reader.isInRecovery(milliseconds: 2000) })
        #expect(try await reader.rows("select count(*) from t").first?.values == [.integer(1000)])
        try await writer.rows("insert into t values (1001)")
        try await eventually("the standby has the new row") {
          try await reader.rows("select count(*) from t").first?.values == [.integer(1001)]
        }
        let error = await #expect(throws: SQLError.self) { try await reader.rows("insert into t values (0)") }
        #expect(error?.code == .readOnly)
        #expect(
          try await writer.rows("select application_name from pg_stat_replication").first?.values == [.text("reader")])
        // Its class has fewer connections than the writer's, and it runs all the same.
        let wanted = InstanceClass.localMedium.capacity.connectionsMax + ServerParameter.reservedConnections
        #expect(try await reader.rows("show max_connections").first?.values == [.text("\(wanted)")])
      }
    }
  }
}
