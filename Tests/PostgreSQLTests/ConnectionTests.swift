import BorealisClusterModel
import BorealisComputeEngine
import BorealisCore
import BorealisRuntime
import Foundation
import Testing

@testable import BorealisPostgreSQL

extension PostgreSQLTests {
  /// Sessions of libpq: values, errors, transactions, rows as they come, and lost connections.
  @Suite struct ConnectionTests {
    private func withThread(
      _ body: (TestServers, PostgreSQLServer, SessionThread) async throws -> Void
    ) async throws {
      try await withServers { servers in
        try await servers.initialize()
        let server = try await servers.start(servers.configuration())
        let thread = try await SessionThread.connect(server.ownTarget(), instance: "writer")
        try await body(servers, server, thread)
        thread.close()
      }
    }

    @Test func valuesGoThereAndBack() async throws {
      try await withThread { _, _, thread in
        let row = try await thread.perform { session in
          try session.query(
            """
            select 1::int2, -2::int4, 9223372036854775807::int8, 1.5::float4, 'NaN'::float8, 12.340::numeric, true, false,
              'ä€😀'::text, '\\x00ff10'::bytea, null::int, '2026-01-02'::date, ''::text
            """, parameters: [])
        }
        let values = try #require(row.first).values
        #expect(values[..<4] == [.integer(1), .integer(-2), .integer(.max), .real(1.5)])
        guard case .real(let number) = values[4] else { throw SQLError(.mismatch, "\(values[4])") }
        #expect(number.isNaN)
        #expect(values[5...8] == [.text("12.340"), .integer(1), .integer(0), .text("ä€😀")])
        #expect(values[9...] == [.blob([0, 255, 16]), .null, .text("2026-01-02"), .text("")])

        try await thread.perform { session in
          try session.execute("create table v (i int8, s int2, r float8, t text, b bytea, n numeric)", parameters: [])
          let inputs: [SQLValue] = [
            .integer(.min), .integer(7), .real(-0.1), .text("it's; \"x\""), .blob([0, 1, 254]), .real(2.5),
          ]
          #expect(try session.execute("insert into v values ($1, $2, $3, $4, $5, $6)", parameters: inputs) == 1)
          #expect(
            try session.query("select i, s, r, t, b, n from v", parameters: []).first?.values
              == inputs.dropLast() + [.text("2.5")])
          let nulls = [SQLValue](repeating: .null, count: 6)
          #expect(try session.execute("insert into v values ($1, $2, $3, $4, $5, $6)", parameters: nulls) == 1)
          #expect(try session.query("select count(*) from v where i is null", parameters: []).first?[0] == .integer(1))
          #expect(try session.execute("insert into v (i) values ($1)", parameters: [.integer(3)]) == 1)
          #expect(try session.execute("update v set s = 1", parameters: []) == 3)
          #expect(try session.query("select $1::bytea", parameters: [.blob([])]).first?[0] == .blob([]))
        }
      }
    }

    @Test(arguments: [
      ("select * from nothing", SQLError.Code.statement, "42P01"), ("selct 1", .statement, "42601"),
      ("insert into u values (1)", .constraint, "23505"), ("select 1 / 0", .statement, "22012"),
      ("copy u from stdin", .engine, ""), ("copy u to stdout", .statement, ""),
    ])
    func errorsHaveTheirKindAndSQLSTATE(sql: String, code: SQLError.Code, state: String) async throws {
      try await withThread { _, _, thread in
        try await thread.perform { session in
          try session.execute("create table u (a int primary key); insert into u values (1)", parameters: [])
          let error = #expect(throws: SQLError.self) { try session.execute(sql, parameters: []) }
          #expect(error?.code == code, "\(String(describing: error))")
          #expect(state.isEmpty || error?.engineCode == "SQLSTATE \(state)")
          #expect(error?.sql == sql)
          #expect(error?.isOutcomeUnknown == false)
          // The connection goes on.
          #expect(try session.query("select a from u", parameters: []).count == 1)
        }
      }
    }

    @Test func transactionsAreWholeOrNotThere() async throws {
      struct Enough: Error {}
      try await withThread { _, server, thread in
        try await thread.perform { session in
          try session.execute("create table t (a int primary key)", parameters: [])
          let sum = try session.transaction(.write) { db in
            try db.execute("insert into t values ($1)", 1)
            try db.execute("insert into t values ($1)", 2)
            return try db.query("select sum(a) from t").first?[0]
          }
          #expect(sum == .integer(3))
          #expect(throws: Enough.self) {
            try session.transaction(.write) { db in
              try db.execute("insert into t values (3)")
              throw Enough()
            }
          }
          #expect(!session.isInTransaction)
          // A failed statement whose error is swallowed: COMMIT rolls back, and must not look like success.
          let swallowed = #expect(throws: SQLError.self) {
            try session.transaction(.write) { db in
              try db.execute("insert into t values (4)")
              _ = try? db.execute("insert into t values (1)")
            }
          }
          #expect(swallowed?.message.contains("rolled back") == true)
          let written = #expect(throws: SQLError.self) {
            try session.transaction(.read) { db in try db.execute("insert into t values (5)") }
          }
          #expect(written?.code == .readOnly)
          #expect(try session.query("select a from t order by a", parameters: []).map(\.values) == [[1], [2]])
        }
        #expect(try await server.rows("select count(*) from t").first?[0] == .integer(2))
      }
    }

    @Test func rowsComeAsTheyAreFound() async throws {
      try await withThread { _, _, thread in
        let feed = thread.feed("select i, repeat('x', 100) from generate_series(1, 100000) i", parameters: []) {
          $1
        }
        var (count, sum) = (0, Int64(0))
        while true {
          let rows = try await feed.next()
          if rows.isEmpty { break }
          #expect(rows.count <= 512)
          for row in rows {
            count += 1
            if case .integer(let i) = row[0] { sum += i }
          }
        }
        #expect(count == 100_000)
        #expect(sum == 5_000_050_000)
        // A loop that ends early cancels the statement, and the connection goes on.
        do {
          let endless = thread.feed("select generate_series(1, 1000000000)", parameters: []) { $1 }
          #expect(try await !endless.next().isEmpty)
        }
        #expect(try await thread.perform { try $0.query("select 1", parameters: []).count } == 1)
        let failing = thread.feed("select 10 / (500 - i) from generate_series(1, 1000) i", parameters: []) {
          $1
        }
        let error = await #expect(throws: SQLError.self) { while try await !failing.next().isEmpty {} }
        #expect(error?.engineCode == "SQLSTATE 22012")
      }
    }

    @Test func aLostConnectionIsToldAndSaysWhatMayHaveHappened() async throws {
      try await withThread { _, server, thread in
        try await thread.perform { _ = try $0.execute("create table t (a int)", parameters: []) }
        // Ended by the server in good order, within a transaction: nothing was committed, and that is known.
        try await thread.perform { session in
          try session.execute("begin; insert into t values (1)", parameters: [])
        }
        try await server.rows(
          "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'borealis' and pid <> pg_backend_pid()"
        )
        try await Task.sleep(for: .milliseconds(200))
        let known = await #expect(throws: SQLError.self) {
          try await thread.perform { _ = try $0.execute("commit", parameters: []) }
        }
        #expect(known?.code == .connectionLost)
        #expect(known?.isOutcomeUnknown == false)
        #expect(try await server.rows("select count(*) from t").first?[0] == .integer(0))
        // Killed while a commit is under way, which a deferred trigger holds up: nobody knows.
        try await server.rows(
          """
          create function slow() returns trigger language plpgsql as 'begin perform pg_sleep(5); return null; end';
          create constraint trigger slow after insert on t deferrable initially deferred for each row execute function slow()
          """)
        let second = try await SessionThread.connect(server.ownTarget(), instance: "writer") { server.terminate() }
        let unknown = await #expect(throws: SQLError.self) {
          try await second.perform { session in
            try session.transaction(.write) { _ = try $0.execute("insert into t values (2)") }
          }
        }
        #expect(unknown?.code == .connectionLost)
        #expect(unknown?.isOutcomeUnknown == true)
        let later = await #expect(throws: SQLError.self) {
          try await second.perform { _ = try $0.query("select 1", parameters: []) }
        }
        #expect(later?.code == .connectionLost)
        #expect(later?.isRetryable == true)
        second.close()
      }
    }

    @Test func aStatementUnderWayEndsWhenTheConnectionIsClosed() async throws {
      try await withThread { _, _, thread in
        let sleeping = Task { try await thread.perform { try $0.query("select pg_sleep(60)", parameters: []) } }
        try await Task.sleep(for: .milliseconds(300))
        let began = Date()
        thread.close()
        await #expect(throws: SQLError.self) { _ = try await sleeping.value }
        #expect(Date().timeIntervalSince(began) < 5)
      }
    }

    @Test(arguments: [
      ("COMMIT", false, true), (" end", true, true), ("insert into t values (1)", false, true),
      ("insert into t values (1)", true, false), ("select 1; commit", true, true), ("begin", false, false),
      ("rollback;\n", true, false), ("select ';'", true, true),
    ])
    func whatMayCommitIsKnown(sql: String, isIn: Bool, may: Bool) {
      #expect(StatementKind(sql).mayCommit(isInTransaction: isIn) == may)
    }
  }
}
