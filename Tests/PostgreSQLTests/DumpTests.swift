import Borealis
import BorealisComputeEngine
import BorealisCore
import Foundation
import Testing

@testable import BorealisPostgreSQL

extension PostgreSQLTests {
  /// Data comes in and goes out with PostgreSQL's own programs, and its extensions work.
  @Suite(.serialized) struct DumpTests {
    private static let schema = """
      CREATE EXTENSION pgcrypto; CREATE EXTENSION hstore;
      CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
      CREATE TABLE people (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, mood mood,
        tags hstore, secret bytea, born date, UNIQUE (name));
      CREATE TABLE orders (id int PRIMARY KEY, person bigint REFERENCES people, at timestamptz, lines jsonb, total numeric(12, 2));
      CREATE INDEX ON orders USING gin (lines);
      CREATE INDEX ON orders (person) WHERE total > 100;
      CREATE VIEW rich AS SELECT name, sum(total) FROM people JOIN orders ON person = people.id GROUP BY name;
      CREATE FUNCTION greet(text) RETURNS text LANGUAGE sql AS $$ SELECT 'hello, ' || $1 $$;
      CREATE SEQUENCE s START 17; SELECT nextval('s');
      INSERT INTO people (name, mood, tags, secret, born) SELECT 'n' || i || E'\\\\ ''"\\n', 'ok', 'a=>1, b=>NULL', digest(i::text, 'sha256'),
        '2000-01-01'::date + i FROM generate_series(1, 2000) i;
      INSERT INTO orders SELECT i, i % 2000 + 1, '2026-01-01Z'::timestamptz + i * '1 minute'::interval,
        jsonb_build_object('i', i, 'x', repeat('y', i % 50)), i * 1.01 FROM generate_series(1, 5000) i;
      SELECT lo_from_bytea(4711, '\\x00ff10');
      """

    @Test(arguments: ["plain", "custom"]) func aDatabaseGoesOutAndComesIn(format: String) async throws {
      try await withEngine { engine in
        let writer = try await TestWriter(engine, TestDisks())
        try await writer.execute(Self.schema)
        try await writer.execute("CREATE DATABASE copy")
        let file = "\(engine.directory)/dump"
        _ = try await run("pg_dump", ["-F", format, "-f", file, "postgres"], on: writer.instance)
        if format == "plain" {
          _ = try await run("psql", ["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", file, "copy"], on: writer.instance)
        } else {
          _ = try await run("pg_restore", ["-e", "-j", "2", "-d", "copy", file], on: writer.instance)
        }
        // The same text goes out of the copy.
        func text(_ database: String) async throws -> [String] {
          let lines = try await run("pg_dump", [database], on: writer.instance)
          // Newer versions put a random word into every dump.
          return lines.filter { !$0.hasPrefix("\\restrict") && !$0.hasPrefix("\\unrestrict") }
        }
        let (before, after) = (try await text("postgres"), try await text("copy"))
        #expect(before.count > 7000)
        #expect(before == after)
        let question = "SELECT greet(name) FROM rich ORDER BY sum DESC LIMIT 1"
        let answer = try await run("psql", ["-XAt", "-c", question, "copy"], on: writer.instance)
        #expect(answer.first?.hasPrefix("hello, n") == true)
        await writer.stop()
      }
    }

    @Test func everyExtensionThatIsInstalledCanBeMade() async throws {
      try await withEngine { engine in
        let writer = try await TestWriter(engine, TestDisks())
        let names = try await writer.rows(
          "SELECT name FROM pg_available_extensions WHERE installed_version IS NULL ORDER BY name"
        ).map { row in try row.get(0, as: String.self) }
        // Debian's package has all of contrib.
        #expect(names.count >= 30, "only \(names): `apt-get install postgresql-contrib`")
        for name in names {
          do { try await writer.execute("CREATE EXTENSION IF NOT EXISTS \"\(name)\" CASCADE") } catch {
            Issue.record("\(name): \(error)")
          }
        }
        let there = try await writer.rows("SELECT extname FROM pg_extension").count
        #expect(there > names.count)
        // Some that do something with files, memory and indexes of their own.
        try await writer.execute(
          """
          CREATE TABLE words (w text, v int[]); INSERT INTO words SELECT md5(i::text), ARRAY[i, i % 7] FROM generate_series(1, 3000) i;
          CREATE INDEX words_trgm ON words USING gin (w gin_trgm_ops); CREATE INDEX words_int ON words USING gist (v gist__intbig_ops);
          CREATE INDEX words_bloom ON words USING bloom (w); SET enable_seqscan = off;
          """)
        let part = "substr(md5('77'), 5, 9)"
        #expect(try await writer.value("SELECT count(*) FROM words WHERE w LIKE '%' || \(part) || '%'") == 1)
        #expect(try await writer.value("SELECT count(*) FROM words WHERE v @> ARRAY[2999]") == 1)
        #expect(try await writer.value("SELECT pg_prewarm('words') > 0") == 1)
        #expect(try await writer.value("SELECT count(*) > 0 FROM pg_buffercache") == 1)
        try await writer.execute("CHECKPOINT")
        #expect(try await writer.damages() == [])
        await writer.stop()
      }
    }
  }
}
