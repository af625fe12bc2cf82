#if GRDB
  import Borealis
  import BorealisGRDB
  import BorealisRuntime
  import BorealisSQLite
  import Dispatch
  import GRDB
  import Synchronization
  import Testing

  #if canImport(Glibc)
    import Glibc
  #elseif canImport(Musl)
    import Musl
  #elseif canImport(Darwin)
    import Darwin
  #endif

  @Suite("GRDB on a volume: who waits for whom", .timeLimit(.minutes(5)))
  struct ConcurrencyTests {
    private func makeAccounts(_ writer: any DatabaseWriter) throws {
      try writer.write { db in
        try db.execute(sql: "CREATE TABLE account (id INTEGER PRIMARY KEY, amount INTEGER NOT NULL)")
        for n in 1...10 { try db.execute(sql: "INSERT INTO account VALUES (?, 100)", arguments: [n]) }
      }
    }
    private func transfer(_ db: Database, _ n: Int) throws {
      try db.execute(sql: "UPDATE account SET amount = amount - 1 WHERE id = ?", arguments: [n % 10 + 1])
      try db.execute(sql: "UPDATE account SET amount = amount + 1 WHERE id = ?", arguments: [(n + 3) % 10 + 1])
    }
    private static let sum = "SELECT sum(amount) FROM account"

    @Test("reads of a pool see one moment each, while the writer commits; two queues and a session take turns")
    func snapshots() throws {
      let cluster = try Cluster()
      defer { cluster.fleet.stop() }
      let pool = try VolumeDatabasePool(cluster.vfs, "/bank.db")
      try makeAccounts(pool)
      let (instance, readerVFS) = try cluster.reader()
      defer { instance.close() }
      #expect(instance.waitUntilApplied(cluster.volume.vdl))
      let reader = try VolumeDatabasePool(readerVFS, "/bank.db")
      let vfs = cluster.vfs
      withExtendedLifetime(Stop()) { stop in
        let readers = [pool, pool, reader, reader].map { pool in
          WorkerThread {
            while !stop.isSet {
              do {
                let sums = try pool.read { db in
                  let first = try Int.fetchOne(db, sql: Self.sum)
                  let rows = try Int.fetchAll(db, sql: "SELECT amount FROM account")
                  return (first, rows.reduce(0, +))
                }
                if sums.0 != 1000 || sums.1 != 1000 { stop.problem("a sum of \(sums)") }
              } catch { stop.problem("read: \(error)") }
            }
          }
        }
        let writers = (0..<3).map { client in
          WorkerThread {
            do {
              if client == 2 {
                let session = try SQLiteSession(vfs, "/bank.db", busyTimeoutMilliseconds: 60_000)
                for n in 0..<60 {
                  try session.execute("UPDATE account SET amount = amount WHERE id = ?", n % 10 + 1)
                  usleep(2000)
                }
                return
              }
              var configuration = Configuration()
              configuration.busyMode = .timeout(60)
              let writer: any DatabaseWriter =
                client == 0 ? pool : try DatabaseQueue(borealis: vfs, "/bank.db", configuration: configuration)
              for n in 0..<60 {
                try writer.write { db in try self.transfer(db, n + client) }
              }
            } catch { stop.problem("writer \(client): \(error)") }
          }
        }
        for thread in writers { thread.join() }
        stop.set()
        for thread in readers { thread.join() }
        #expect(stop.problems == [])
      }
    }

    @Test("a write that is under way holds up no read, and a read that stays open sees what it saw")
    func nobodyWaits() throws {
      let cluster = try Cluster()
      defer { cluster.fleet.stop() }
      let pool = try VolumeDatabasePool(cluster.vfs, "/bank.db")
      try makeAccounts(pool)
      try pool.writeWithoutTransaction { db in
        try db.inTransaction {
          try db.execute(sql: "UPDATE account SET amount = 0")
          // On this thread the writer is held; the reads go on beside it.
          let seen = try pool.read { try Int.fetchOne($0, sql: Self.sum) }
          #expect(seen == 1000)
          return .rollback
        }
        let concurrent = Collected<Int?>()
        let go = DispatchSemaphore(value: 0)
        pool.spawnConcurrentRead { result in
          go.wait()
          concurrent.add(try? Int.fetchOne(try result.get(), sql: Self.sum))
        }
        try db.execute(sql: "UPDATE account SET amount = 1")
        go.signal()
        #expect(concurrent.wait { $0 == [1000] })
      }
      #expect(try pool.read { try Int.fetchOne($0, sql: Self.sum) } == 10)
      try pool.barrierWriteWithoutTransaction { try $0.execute(sql: "UPDATE account SET amount = 2") }
      #expect(
        try pool.unsafeReentrantRead { db in
          try pool.unsafeReentrantRead { try Int.fetchOne($0, sql: Self.sum) == Int.fetchOne(db, sql: Self.sum) }
        })
      try pool.close()
      #expect(throws: DatabaseError.self) { try pool.read { try Int.fetchOne($0, sql: Self.sum) } }
    }

    @Test("tasks read and write")
    func tasks() async throws {
      let cluster = try Cluster()
      defer { cluster.fleet.stop() }
      let pool = try VolumeDatabasePool(cluster.vfs, "/bank.db")
      try makeAccounts(pool)
      try await withThrowingTaskGroup(of: Void.self) { group in
        for n in 0..<40 {
          group.addTask { try await pool.write { db in try self.transfer(db, n) } }
          group.addTask {
            let sum = try await pool.read { try Int.fetchOne($0, sql: Self.sum) }
            #expect(sum == 1000)
          }
        }
        try await group.waitForAll()
      }
      try await pool.barrierWriteWithoutTransaction { try $0.execute(sql: "DELETE FROM account WHERE id = 1") }
      #expect(try await pool.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM account") } == 9)
      try await pool.vacuum()
    }

    @Test("a writer that was taken over fails, and what it had committed is there")
    func fenced() throws {
      let cluster = try Cluster()
      defer { cluster.fleet.stop() }
      let queue = try DatabaseQueue(borealis: cluster.vfs, "/bank.db")
      try makeAccounts(queue)
      let volume = try Volume.open(on: cluster.fleet)
      let next = try DatabaseQueue(borealis: SQLiteVFS(writer: VolumeFileSystem.mount(volume)), "/bank.db")
      let error = #expect(throws: DatabaseError.self) { try queue.write { try self.transfer($0, 1) } }
      #expect(error?.resultCode == .SQLITE_IOERR)
      #expect(try next.read { try Int.fetchOne($0, sql: Self.sum) } == 1000)
      try next.write { try transfer($0, 1) }
    }
  }

  /// Ends threads, and keeps what they have to say.
  private final class Stop: Sendable {
    private let state = Mutex<(isSet: Bool, problems: [String])>((false, []))
    var isSet: Bool { state.withLock { $0.isSet } }
    var problems: [String] { state.withLock { $0.problems } }
    func set() { state.withLock { $0.isSet = true } }
    func problem(_ text: String) { state.withLock { $0.problems.append(text) } }
  }
#endif
