import BorealisClusterModel
import BorealisComputeEngine
import BorealisCore
import BorealisRuntime
import Foundation
import Testing

@testable import BorealisPostgreSQL

extension PostgreSQLTests {
  /// Finding, making, starting and ending servers, on plain directories.
  @Suite struct ServerTests {
    @Test func aServerIsInstalled() throws {
      let newest = try PostgreSQLInstallation.find()
      #expect(PostgreSQLInstallation.versions.contains(newest.version))
      #expect(newest.fullVersion.hasPrefix("\(newest.version)"))
      #expect(PostgreSQLInstallation.all().first == newest)
    }

    @Test func aMissingServerIsToldWithWhatInstallsIt() throws {
      let none = #expect(throws: PostgreSQLError.self) { try PostgreSQLInstallation.find(in: ["/nowhere"]) }
      #expect(none?.code == .notInstalled)
      #expect(none?.description.contains("apt-get install postgresql") == true)
      let other = #expect(throws: PostgreSQLError.self) { try PostgreSQLInstallation.find(version: 12) }
      #expect(other?.description.contains("apt-get install postgresql-12") == true)
      #expect(other?.description.contains("pg_dump") == true)
    }

    @Test func aServerStartsStopsAndKeepsItsData() async throws {
      try await withServers { servers in
        try await servers.initialize()
        let configuration = servers.configuration()
        let first = try await servers.start(configuration)
        #expect(first.isRunning)
        try await first.rows("create table t as select 1 as a")
        #expect(try await blocking { try !first.isInRecovery(milliseconds: 2000) })
        #expect(await onThread { first.stop() })
        #expect(!first.isRunning)
        #expect(servers.logHas("database system is shut down"))
        let second = try await servers.start(configuration)
        #expect(try await second.rows("select a from t").first?.values == [.integer(1)])
      }
    }

    @Test func theServerRunsAsAnotherUserThanRootAndWithTheClustersParameters() async throws {
      try await withServers { servers in
        try await servers.initialize()
        var configuration = servers.configuration()
        configuration.capacity = InstanceClass.localMedium.capacity
        configuration.parameters = ["work_mem": "7MB", "log_min_duration_statement": "250ms"]
        let server = try await servers.start(configuration)
        var status = stat()
        #expect(stat("/proc/\(server.pid)", &status) == 0)
        #expect(status.st_uid != 0)
        func setting(_ name: String) async throws -> SQLValue? {
          try await server.rows("show \(name)").first?.values.first
        }
        for (name, value) in [
          ("full_page_writes", "off"), ("wal_init_zero", "off"), ("wal_recycle", "off"), ("fsync", "on"),
          ("checkpoint_timeout", "30s"), ("shared_buffers", "256MB"), ("work_mem", "7MB"), ("wal_level", "replica"),
          ("log_min_duration_statement", "250ms"), ("data_checksums", "off"), ("server_encoding", "UTF8"),
          ("cluster_name", "writer"), ("restart_after_crash", "off"),
        ] { #expect(try await setting(name) == .text(value), "\(name)") }
        let connections = configuration.capacity.connectionsMax + ServerParameter.reservedConnections
        #expect(try await setting("max_connections") == .text("\(connections)"))
        // What the cluster relies on cannot be switched off by SQL.
        _ = try await server.rows("alter system set fsync = off")
        _ = try await server.rows("select pg_reload_conf()")
        try await Task.sleep(for: .milliseconds(200))
        #expect(try await setting("fsync") == .text("on"))
      }
    }

    @Test func killedWithAllItsProcessesItLeavesNothingAndRecovers() async throws {
      try await withServers { servers in
        try await servers.initialize()
        let configuration = servers.configuration()
        let server = try await servers.start(configuration)
        try await server.rows("create table t (a int)")
        for i in 1...20 { try await server.rows("insert into t values (\(i))") }
        let target = server.ownTarget()
        let busy = Task { try await blocking { try PQSession(target).query("select pg_sleep(60)", parameters: []) } }
        try await eventually("the statement runs") {
          try await server.rows("select 1 from pg_stat_activity where query like '%pg_sleep(60)%'").count >= 2
        }
        let all = [server.pid] + ProcessTree.descendants(of: server.pid)
        #expect(all.count > 5)
        let segments = try #require(SystemFiles.text(of: "/proc/\(server.pid)/maps"))
        let shared = segments.split(separator: "\n").compactMap { line in
          line.firstRange(of: "/dev/shm/PostgreSQL.").map { String(line[$0.lowerBound...]) }
        }
        #expect(!shared.isEmpty)
        server.terminate()
        #expect(await onThread { server.waitForEnd(milliseconds: 5000) })
        try await eventually("all processes are gone") { all.allSatisfy { kill($0, 0) != 0 } }
        let error = await #expect(throws: SQLError.self) { _ = try await busy.value }
        #expect(error?.code == .connectionLost)
        for path in Set(shared) { #expect(!FileManager.default.fileExists(atPath: path), "\(path) is left behind") }
        let next = try await servers.start(configuration)
        #expect(try await next.rows("select count(*) from t").first?.values == [.integer(20)])
        #expect(servers.logHas("database system was not properly shut down"))
      }
    }

    /// Whoever kills the postmaster alone leaves backends, and not all of them look for it.
    @Test func aKilledPostmasterLeavesNoBackends() async throws {
      try await withServers { servers in
        try await servers.initialize()
        let server = try await servers.start(servers.configuration())
        let target = server.ownTarget()
        let cutter = PQSession.Cutter()
        let busy = Task {
          try await blocking {
            let session = try PQSession(target, cutter: cutter)
            defer { session.close() }
            return try session.execute("DO $$ BEGIN LOOP END LOOP; END $$", parameters: [])
          }
        }
        try await eventually("the loop runs") {
          try await server.rows("select 1 from pg_stat_activity where query like 'DO%' and state = 'active'").count == 1
        }
        let all = [server.pid] + ProcessTree.descendants(of: server.pid)
        #expect(kill(server.pid, SIGKILL) == 0)
        try await eventually("all processes are gone") { all.allSatisfy { kill($0, 0) != 0 } }
        for pid in all where kill(pid, 0) == 0 { kill(pid, SIGKILL) }
        cutter.cut()
        await #expect(throws: SQLError.self) { _ = try await busy.value }
      }
    }

    @Test func aServerThatCannotStartSaysWhyInItsOwnWords() async throws {
      try await withServers { servers in
        try await servers.initialize()
        var wrong = servers.configuration()
        wrong.parameters = ["shared_preload_libraries": "no_such_library"]
        let configuration = wrong
        let error = await #expect(throws: PostgreSQLError.self) { _ = try await servers.start(configuration) }
        #expect(error?.code == .notStarted)
        #expect(error?.description.contains("no_such_library") == true)
        var nowhere = servers.configuration(data: "nothing")
        nowhere.onLog = { _ in }
        let empty = nowhere
        let unusable = await #expect(throws: PostgreSQLError.self) { _ = try await servers.start(empty) }
        #expect(unusable?.code == .unusableData)
      }
    }

    @Test(arguments: [
      ("fsync", "off"), ("synchronous_commit", "off"), ("data_sync_retry", "on"), ("zero_damaged_pages", "on"),
      ("wal_level", "minimal"), ("hot_standby", "off"), ("port", "5432"), ("primary_conninfo", "host=x"),
      ("work mem", "1MB"), ("work_mem", "1MB\nfsync = off"),
    ])
    func parametersThatBreakPromisesAreRefused(name: String, value: String) throws {
      let error = #expect(throws: PostgreSQLError.self) { try ServerParameter.check(name, value) }
      #expect(error?.code == .refusedParameter)
      #expect(error?.description.contains(name) == true)
    }
    @Test(arguments: [
      ("work_mem", "64MB"), ("synchronous_commit", "remote_apply"), ("full_page_writes", "on"), ("fsync", "on"),
      ("wal_level", "logical"), ("pg_stat_statements.max", "1000"), ("search_path", "it's \\ \"x\""),
    ])
    func otherParametersAreTaken(name: String, value: String) throws { try ServerParameter.check(name, value) }

    @Test func everyParameterHasAReasonAndAppearsOnce() {
      let all = ServerParameter.table(ServerSettings(version: 15, capacity: InstanceClass.localSmall.capacity))
      #expect(Set(all.map(\.name)).count == all.count)
      for parameter in all { #expect(!parameter.reason.isEmpty, "\(parameter.name)") }
    }
    @Test func aStandbyIsNeverBelowItsWriter() throws {
      var settings = ServerSettings(version: 15, capacity: InstanceClass.localSmall.capacity)
      settings.minima = ["max_connections": 500, "max_wal_senders": 3]
      let all = try ServerParameter.table(settings, user: ["max_connections": "20"])
      #expect(all.first { $0.name == "max_connections" }?.value == "500")
      #expect(all.first { $0.name == "max_wal_senders" }?.value == "32")
    }
  }
}
