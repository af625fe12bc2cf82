#if GRDB
  import Foundation
  import GRDB

  // An ordinary application of GRDB, which knows nothing of volumes.

  struct Customer: Codable, Equatable, FetchableRecord, MutablePersistableRecord {
    static let orders = hasMany(Order.self)
    var id: Int64?
    var name: String
    var joined: Date
    mutating func didInsert(_ inserted: InsertionSuccess) { id = inserted.rowID }
    var orders: QueryInterfaceRequest<Order> { request(for: Customer.orders) }
  }

  struct Order: Codable, Equatable, FetchableRecord, MutablePersistableRecord {
    static let customer = belongsTo(Customer.self)
    enum State: String, Codable, DatabaseValueConvertible { case open, paid, sent }
    var id: Int64?
    var customerId: Int64
    var what: String
    var price: Double
    var state = State.open
    var note: Data?
    mutating func didInsert(_ inserted: InsertionSuccess) { id = inserted.rowID }
  }

  struct OrderInfo: Codable, Equatable, FetchableRecord {
    var order: Order
    var customer: Customer
  }

  enum Shop {
    static var migrator: DatabaseMigrator {
      var migrator = DatabaseMigrator()
      migrator.registerMigration("tables") { db in
        try db.create(table: "customer") { table in
          table.autoIncrementedPrimaryKey("id")
          table.column("name", .text).notNull().unique()
          table.column("joined", .datetime).notNull()
        }
        try db.create(table: "order") { table in
          table.autoIncrementedPrimaryKey("id")
          table.belongsTo("customer", onDelete: .cascade).notNull()
          table.column("what", .text).notNull()
          table.column("price", .double).notNull().check { $0 >= 0 }
          table.column("note", .blob)
        }
      }
      migrator.registerMigration("states") { db in
        try db.alter(table: "order") { table in
          table.add(column: "state", .text).notNull().defaults(to: "open")
        }
        try db.create(virtualTable: "orderText", using: FTS5()) { table in
          table.synchronize(withTable: "order")
          table.column("what")
        }
      }
      return migrator
    }

    /// Works on the shop from an empty database to a full one; what it has seen, line by line.
    static func work(_ writer: any DatabaseWriter) throws -> [String] {
      var seen: [String] = []
      func see(_ what: String, _ value: Any) { seen.append("\(what): \(value)") }
      try migrator.migrate(writer)
      see("migrations", try writer.read { try migrator.appliedMigrations($0) })
      let joined = Date(timeIntervalSince1970: 1_700_000_000)
      try writer.write { db in
        for n in 1...20 {
          var customer = Customer(id: nil, name: "customer \(n)", joined: joined + Double(n))
          try customer.insert(db)
          for m in 0..<n {
            var order = Order(
              id: nil, customerId: customer.id ?? 0, what: m % 3 == 0 ? "green tea" : "coffee \(m)",
              price: Double(m) * 1.25, note: m % 4 == 0 ? Data(repeating: UInt8(m), count: m * 700) : nil)
            try order.insert(db)
          }
        }
      }
      try seeQueries(writer, see)
      try seeErrors(writer, see)
      try writer.writeWithoutTransaction { db in
        try db.inTransaction {
          try db.execute(sql: "UPDATE \"order\" SET price = price + 1 WHERE customerId = 3")
          try db.inSavepoint {
            try Order.deleteAll(db)
            return .rollback
          }
          try db.inSavepoint {
            try Order.filter(Column("customerId") == 4).deleteAll(db)
            return .commit
          }
          return .commit
        }
      }
      see("after savepoints", try writer.read { try Order.fetchCount($0) })
      try writer.write { db in _ = try Customer.deleteOne(db, key: 20) }
      see("after the cascade", try writer.read { try Order.fetchCount($0) })
      try writer.write { db in
        guard var customer = try Customer.fetchOne(db, key: 7) else { return }
        customer.name = "Zoë"
        try customer.update(db)
        var other = Customer(id: nil, name: "Zoë", joined: joined)
        _ = try other.upsertAndFetch(db, onConflict: ["name"])
      }
      try writer.vacuum()
      see("everything", try everything(writer))
      return seen
    }
    private static func seeQueries(_ writer: any DatabaseWriter, _ see: (String, Any) -> Void) throws {
      try writer.read { db in
        see("paid", try Order.filter(Column("state") == Order.State.paid).fetchCount(db))
        see("dearest", try Order.order(Column("price").desc, Column("id")).limit(3).fetchAll(db).map(\.price))
        let infos = try Order.including(required: Order.customer).filter(Column("price") > 20)
          .order(Column("id")).asRequest(of: OrderInfo.self).fetchAll(db)
        see("infos", infos.map { "\($0.customer.name) \($0.order.what)" })
        see("of customer 5", try Customer.fetchOne(db, key: 5)?.orders.fetchCount(db) ?? -1)
        let pattern = FTS5Pattern(matchingAllTokensIn: "tea")
        see(
          "teas",
          try Int.fetchOne(
            db, sql: "SELECT count(*) FROM orderText WHERE orderText MATCH ?",
            arguments: [pattern]) ?? -1)
        let sums = try Row.fetchAll(
          db, sql: "SELECT customerId, sum(price) AS total FROM \"order\" GROUP BY 1 ORDER BY 2 DESC LIMIT 2")
        see("sums", sums.map { "\($0["customerId"] as Int64) \($0["total"] as Double)" })
        var lengths = 0
        let cursor = try Order.filter(Column("note") != nil).fetchCursor(db)
        while let order = try cursor.next() { lengths += order.note?.count ?? 0 }
        see("notes", lengths)
      }
    }
    private static func seeErrors(_ writer: any DatabaseWriter, _ see: (String, Any) -> Void) throws {
      func code(_ body: (Database) throws -> Void) -> String {
        do {
          try writer.write(body)
          return "none"
        } catch {
          return (error as? DatabaseError).map { "\($0.extendedResultCode) \($0.message ?? "")" } ?? "\(error)"
        }
      }
      see(
        "twice",
        code { db in
          var customer = Customer(id: nil, name: "customer 1", joined: .distantPast)
          try customer.insert(db)
        })
      see(
        "no customer",
        code { db in
          var order = Order(id: nil, customerId: 999, what: "x", price: 1)
          try order.insert(db)
        })
      see("no table", code { db in try db.execute(sql: "DELETE FROM nowhere") })
      struct Stop: Error {}
      see(
        "thrown",
        code { db in
          try Order.deleteAll(db)
          throw Stop()
        })
      see(
        "a write in a read",
        {
          do {
            try writer.read { db in _ = try Order.deleteAll(db) }
            return "none"
          } catch { return "\((error as? DatabaseError)?.resultCode ?? .SQLITE_OK)" }
        }())
    }
    /// All rows of all tables.
    static func everything(_ reader: any DatabaseReader) throws -> [String] {
      try reader.read { db in
        let customers = try Customer.order(Column("id")).fetchAll(db).map { "\($0)" }
        let orders = try Order.order(Column("id")).fetchAll(db).map { order in
          "\(order.id ?? 0) \(order.customerId) \(order.what) \(order.price) \(order.state) \(order.note?.count ?? -1)"
        }
        return customers + orders + [try String.fetchOne(db, sql: "PRAGMA integrity_check") ?? ""]
      }
    }
  }
#endif
