import BorealisClusterModel
import BorealisComputeEngine
import BorealisCore
import BorealisRuntime
import BorealisVolume

// Starting, and what a commit promises.
extension ComputeEngineConformance {
  static let commits: [Check] = [
    Check(name: "1 a started instance takes connections, and a first writer makes what it needs") { trial in
      let writer = try await trial.startWithTable()
      try demand(writer.instance.role == .writer, "a writer says that it is a \(writer.instance.role)")
      let connection = try await writer.instance.connect()
      try await connection.insert(1)
      try demand(try await connection.ids() == [1], "the row is not there")
      let reader = try await trial.startReader(of: writer)
      try demand(reader.instance.role == .reader, "a reader says that it is a \(reader.instance.role)")
      _ = try await reader.instance.connect().ids()
    },
    Check(name: "1 a writer that cannot start has closed its storage") { trial in
      // On a volume that was taken before the engine could make what it needs.
      let taken = try await trial.openVolume()
      _ = try await trial.openVolume()
      let error = try await trial.failure(of: "a start on a volume that was taken") {
        _ = try await trial.start("late", .writer(taken))
      }
      try demand(error is EngineError, "a start on a volume that was taken: \(error.map { "\($0)" } ?? "succeeds")")
      try await expectClosed("the volume that a failed start was given") {
        _ = try await taken.read(PageID(object: ObjectID(1), index: 0))
      }
    },
    Check(name: "2 what was acknowledged is there after kill -9") { trial in
      let writer = try await trial.startWithTable()
      let connection = try await writer.instance.connect()
      for id in 1...20 { try await connection.insert(id) }
      try await connection.transaction { db in for id in 21...25 { try db.insert(id) } }
      writer.instance.terminate()
      let there = try await trial.rowsForNextWriter()
      try demand(there == Array(1...25), "of 25 rows acknowledged the next writer finds \(there)")
    },
    Check(name: "2 nothing is acknowledged after terminate") { trial in
      let writer = try await trial.startWithTable()
      let idle = try await writer.instance.connect()
      let instance = writer.instance
      // Before the clock runs: a server takes its time for a connection.
      var connections: [any SQLConnection] = []
      for _ in 1...4 { connections.append(try await instance.connect()) }
      let acknowledged = try await withThrowingTaskGroup(of: [Int].self) { group in
        for (client, connection) in zip(1..., connections) {
          group.addTask {
            var done: [Int] = []
            while true {
              let id = client * 100_000 + done.count
              do throws(SQLError) { try await connection.insert(id) } catch { return done }
              done.append(id)
              try demand(done.count < 10_000, "the instance does not end")
            }
          }
        }
        group.addTask {
          try await Task.sleep(for: .milliseconds(50))
          instance.terminate()
          return []
        }
        return try await group.reduce(into: []) { $0 += $1 }
      }
      try await trial.sqlError(of: "a commit after terminate", .connectionLost) { try await idle.insert(1) }
      let there = Set(try await trial.rowsForNextWriter())
      let lost = acknowledged.filter { !there.contains($0) }
      try demand(lost.isEmpty && !there.contains(1), "\(lost.count) of \(acknowledged.count) acknowledged are lost")
    },
    Check(name: "2 nothing is acknowledged after the volume is fenced") { trial in
      let writer = try await trial.startWithTable()
      let connection = try await writer.instance.connect()
      try await connection.insert(1)
      let next = try await trial.start("next", .writer(try await trial.openVolume()))
      let error = try await trial.sqlError(of: "a commit on a fenced volume") { try await connection.insert(2) }
      let there = try await next.connect().ids()
      try demand(there == [1] || error.isOutcomeUnknown && there == [1, 2], "the next writer finds \(there); \(error)")
    },
    Check(name: "2 a commit cut off has an unknown outcome, and is whole or not there") { trial in
      let writer = try await trial.startWithTable()
      let connection = try await writer.instance.connect()
      writer.instance.inject(.terminateDuringNextCommit)
      let error = try await trial.sqlError(of: "a commit during which the instance ends") {
        try await connection.transaction { db in
          try db.insert(1)
          try db.insert(2)
        }
      }
      try demand(error.isOutcomeUnknown && !error.isRetryable, "the outcome is given as known: \(error)")
      let there = try await trial.rowsForNextWriter()
      try demand(there == [] || there == [1, 2], "of a transaction of rows 1 and 2 the next writer finds \(there)")
    },
  ]

  /// Expects that what was given to an engine is closed: a page cannot be read any more.
  static func expectClosed(_ what: String, _ read: () async throws -> Void) async throws {
    do { try await read() } catch let error as VolumeError {
      return try demand(error.code == .closed, "\(what) is not closed: \(error)")
    }
    throw Finding("\(what) is not closed: it can be read")
  }
}
