import BorealisClusterModel
import BorealisComputeEngine
import BorealisCore
import BorealisRuntime
import BorealisVolume

// What readers show, and what becomes of instances whose storage changes.
extension ComputeEngineConformance {
  static let roles: [Check] = [
    Check(name: "3 a reader shows committed transactions, whole and in order") { trial in
      let writer = try await trial.startWithTable()
      let reader = try await trial.startReader(of: writer)
      let (input, output) = (try await writer.instance.connect(), try await reader.instance.connect())
      // Each transaction has two rows: the reader may be behind, and shows 1...2n always.
      let writing = Task {
        for id in stride(from: 1, to: 400, by: 2) {
          try await input.transaction { db in
            try db.insert(id)
            try db.insert(id + 1)
          }
        }
      }
      var seen = 0
      try await trial.eventually("a reader that shows 400 rows") {
        let ids = try await output.ids()
        guard ids == (0..<ids.count).map({ $0 + 1 }), ids.count % 2 == 0 else {
          throw Finding("the reader shows \(ids.suffix(8)) at the end of \(ids.count)")
        }
        guard ids.count >= seen else { throw Finding("the reader showed \(seen) rows, and then \(ids.count)") }
        seen = ids.count
        return seen == 400
      }
      try await writing.value
    },
    Check(name: "3 a reader refuses writes") { trial in
      let writer = try await trial.startWithTable()
      let reader = try await trial.startReader(of: writer)
      let connection = try await reader.instance.connect()
      try await trial.eventually("a reader that shows the table") { try await connection.ids() == [] }
      try await trial.sqlError(of: "a write on a reader", .readOnly) { try await connection.insert(1) }
      try demand(try await writer.instance.connect().ids() == [], "a reader has written")
    },
    Check(name: "4 a promoted reader writes, and its old storage is closed") { trial in
      let writer = try await trial.startWithTable()
      let reader = try await trial.startReader(of: writer)
      let connection = try await writer.instance.connect()
      for id in 1...10 { try await connection.insert(id) }
      writer.instance.terminate()
      try await reader.instance.attach(.writer(try await trial.openVolume()))
      try demand(reader.instance.role == .writer, "a promoted instance says that it is a \(reader.instance.role)")
      let promoted = try await reader.instance.connect()
      try await promoted.insert(11)
      let shown = try await promoted.ids()
      try demand(shown == Array(1...11), "the new writer shows \(shown)")
      try await expectClosed("the storage of the reader that was promoted") {
        _ = try await reader.storage.read(PageID(object: ObjectID(1), index: 0))
      }
    },
    Check(name: "4 connections are lost when the role changes") { trial in
      let writer = try await trial.startWithTable()
      let reader = try await trial.startReader(of: writer)
      let connection = try await reader.instance.connect()
      try await trial.eventually("a reader that shows the table") { try await connection.ids() == [] }
      writer.instance.terminate()
      try await reader.instance.attach(.writer(try await trial.openVolume()))
      try await trial.sqlError(of: "a statement on a connection to the former reader", .connectionLost) {
        _ = try await connection.ids()
      }
      try demand(!connection.isUsable, "a lost connection says that it can be used")
    },
    Check(name: "4 connections outlast a change of the writer that a reader follows") { trial in
      let writer = try await trial.startWithTable()
      let reader = try await trial.startReader(of: writer)
      let connection = try await reader.instance.connect()
      try await trial.eventually("a reader that shows the table") { try await connection.ids() == [] }
      writer.instance.terminate()
      let next = try await trial.startWriter("next")
      try await next.instance.connect().insert(1)
      let storage = try await trial.attachReader(of: next.volume)
      try await reader.instance.attach(.reader(storage, writer: next.instance.address))
      try demand(reader.instance.role == .reader, "a reader has become a \(reader.instance.role)")
      try demand(connection.isUsable, "the connection was lost")
      try await trial.eventually("the same connection shows what the new writer wrote") {
        try await connection.ids() == [1]
      }
      try await expectClosed("the storage that the reader had before") {
        _ = try await reader.storage.read(PageID(object: ObjectID(1), index: 0))
      }
    },
  ]
}
