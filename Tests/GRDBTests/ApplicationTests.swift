#if GRDB
  import Borealis
  import BorealisGRDB
  import BorealisSQLite
  import Foundation
  import GRDB
  import Testing

  @Suite("A GRDB application on a volume", .timeLimit(.minutes(5)))
  struct ApplicationTests {
    @Test("a queue and a pool on a volume give what a queue on a local file gives, and a reader instance sees it")
    func sameAsLocal() throws {
      let expected = try withLocalPath { try Shop.work(try DatabaseQueue(path: $0)) }
      #expect(expected.count == 16)
      let cluster = try Cluster()
      defer { cluster.fleet.stop() }
      let queue = try DatabaseQueue(borealis: cluster.vfs, "/queue.db")
      #expect(try Shop.work(queue) == expected)
      let pool = try VolumeDatabasePool(cluster.vfs, "/pool, of 100%?.db")
      #expect(try Shop.work(pool) == expected)
      #expect(try cluster.files.list(.root).map { "\($0.name)" }.sorted() == ["pool, of 100%?.db", "queue.db"])

      let (instance, vfs) = try cluster.reader()
      defer { instance.close() }
      #expect(instance.waitUntilApplied(cluster.volume.vdl))
      let reader = try DatabaseQueue(borealis: vfs, "/queue.db")
      #expect(reader.configuration.readonly)
      #expect(try Shop.everything(reader) == Shop.everything(queue))
      #expect(try Shop.everything(try VolumeDatabasePool(vfs, "/pool, of 100%?.db")) == Shop.everything(queue))
    }

    @Test("a reader follows the writer, through migrations too, and cannot write")
    func readerFollows() throws {
      let cluster = try Cluster()
      defer { cluster.fleet.stop() }
      let writer = try DatabaseQueue(borealis: cluster.vfs, "/shop.db")
      try Shop.migrator.migrate(writer, upTo: "tables")
      let (instance, vfs) = try cluster.reader()
      defer { instance.close() }
      #expect(instance.waitUntilApplied(cluster.volume.vdl))
      let queue = try DatabaseQueue(borealis: vfs, "/shop.db")
      let pool = try VolumeDatabasePool(vfs, "/shop.db")
      for reader in [queue, pool] as [any DatabaseReader] {
        #expect(try reader.read { db in try db.columns(in: "order").map(\.name) }.contains("state") == false)
      }
      try Shop.migrator.migrate(writer)
      try writer.write { db in
        var customer = Customer(id: nil, name: "Ann", joined: .distantPast)
        try customer.insert(db)
        var order = Order(id: nil, customerId: 1, what: "tea", price: 1, state: .sent)
        try order.insert(db)
      }
      #expect(instance.waitUntilApplied(cluster.volume.vdl))
      #expect(try pool.read { db in try db.columns(in: "order").map(\.name) }.contains("state"))
      #expect(try pool.read { try Order.fetchAll($0) }.map(\.state) == [.sent])
      // A queue is as one on a file whose schema another process changes: SQLite finds out by the first statement.
      _ = try queue.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM sqlite_master") }
      #expect(try queue.read { try Order.fetchAll($0) }.map(\.state) == [.sent])
      let error = #expect(throws: DatabaseError.self) { try pool.write { try Order.deleteAll($0) } }
      #expect(error?.resultCode == .SQLITE_READONLY)
      #expect(throws: DatabaseError.self) { try queue.write { try Order.deleteAll($0) } }
      let missing = #expect(throws: DatabaseError.self) { try DatabaseQueue(borealis: vfs, "/none.db") }
      #expect(missing?.resultCode == .SQLITE_CANTOPEN)
    }

    @Test("observations see the writer's own commits, those of sessions, and on a reader instance all of them")
    func observations() throws {
      let cluster = try Cluster()
      defer { cluster.fleet.stop() }
      let writer = try VolumeDatabasePool(cluster.vfs, "/shop.db")
      try Shop.migrator.migrate(writer)
      let (instance, vfs) = try cluster.reader()
      defer { instance.close() }
      #expect(instance.waitUntilApplied(cluster.volume.vdl))
      let reader = try VolumeDatabasePool(vfs, "/shop.db")
      let observation = ValueObservation.tracking { try Customer.fetchCount($0) }
      let (here, there) = (Collected<Int>(), Collected<Int>())
      let scheduler = AsyncValueObservationScheduler(queue: .global())
      let one = observation.start(in: writer, scheduling: scheduler, onError: { _ in }, onChange: { here.add($0) })
      let two = observation.start(in: reader, scheduling: scheduler, onError: { _ in }, onChange: { there.add($0) })
      #expect(here.wait { $0 == [0] })
      #expect(there.wait { $0 == [0] })
      for n in 1...3 {
        try writer.write { db in
          var customer = Customer(id: nil, name: "\(n)", joined: .distantPast)
          try customer.insert(db)
        }
        #expect(here.wait { $0.last == n })
        #expect(there.wait { $0.last == n })
      }
      try SQLiteSession(cluster.vfs, "/shop.db").execute(
        "INSERT INTO customer (name, joined) VALUES ('4', '2026-01-01')")
      #expect(here.wait { $0.last == 4 })
      #expect(there.wait { $0.last == 4 })
      one.cancel()
      two.cancel()
      try writer.write { _ = try Customer.deleteAll($0) }
      #expect(instance.waitUntilApplied(cluster.volume.vdl))
      usleep(200_000)
      #expect(here.values.last == 4)
      #expect(there.values.last == 4)
      // A queue observes its own writes.
      let queue = try DatabaseQueue(borealis: cluster.vfs, "/shop.db")
      let own = Collected<Int>()
      let three = observation.start(in: queue, scheduling: scheduler, onError: { _ in }, onChange: { own.add($0) })
      #expect(own.wait { $0 == [0] })
      try queue.write { db in
        var customer = Customer(id: nil, name: "own", joined: .distantPast)
        try customer.insert(db)
      }
      #expect(own.wait { $0 == [0, 1] })
      three.cancel()
    }

    @Test("WAL and GRDB's own pool are refused with a reason; a configuration that asks for WAL does without")
    func wal() throws {
      let cluster = try Cluster()
      defer { cluster.fleet.stop() }
      let error = #expect(throws: DatabaseError.self) { try DatabasePool(path: cluster.vfs.uri("/shop.db")) }
      #expect(error?.message?.contains("WAL is not for a volume") == true)
      var configuration = Configuration()
      configuration.journalMode = .wal
      let queue = try DatabaseQueue(borealis: cluster.vfs, "/shop.db", configuration: configuration)
      #expect(try queue.read { try String.fetchOne($0, sql: "PRAGMA journal_mode") } == "memory")
    }

    @Test("an application's database moves to a volume by GRDB's backup, be it in WAL mode, and back")
    func backup() throws {
      let cluster = try Cluster()
      defer { cluster.fleet.stop() }
      try withLocalPath { path in
        let local = try DatabasePool(path: path)
        _ = try Shop.work(local)
        let queue = try DatabaseQueue(borealis: cluster.vfs, "/moved.db")
        try local.backup(to: queue)
        #expect(try Shop.everything(queue) == Shop.everything(local))
        try queue.write { _ = try Customer.deleteOne($0, key: 1) }
        let other = try DatabaseQueue(borealis: cluster.vfs, "/moved.db")
        #expect(try Shop.everything(other) == Shop.everything(queue))
        let back = try DatabaseQueue()
        try other.backup(to: back)
        #expect(try Shop.everything(back) == Shop.everything(queue))
      }
    }
  }
#endif
