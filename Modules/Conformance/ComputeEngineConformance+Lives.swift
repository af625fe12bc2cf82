import BorealisClusterModel
import BorealisComputeEngine
import BorealisCore
import BorealisRuntime
import Synchronization

// Health, the end of an instance, and calls from many tasks.
extension ComputeEngineConformance {
  private static func health(
    _ trial: EngineTrial, _ instance: any EngineInstance, milliseconds: UInt64 = 10_000
  ) async throws -> EngineError.Code? {
    let error = try await trial.failure(of: "a health check of \(milliseconds) ms") {
      try await instance.checkHealth(timeoutMilliseconds: milliseconds)
    }
    guard let error else { return nil }
    guard let found = error as? EngineError else { throw Finding("a health check throws \(error), no EngineError") }
    return found.code
  }

  /// Stops an instance while a transaction of it is under way, and expects that it ends well.
  private static func stopDuringTransaction(_ trial: EngineTrial, firstRow: Int, isFirst: Bool) async throws {
    let instance = isFirst ? try await trial.startWithTable().instance : try await trial.startWriter().instance
    let (began, isStopping) = (Gate(patience: trial.patience), Gate(patience: 500))
    try await trial.success(of: "a transaction under way during stop") {
      try await withThrowingTaskGroup(of: Void.self) { group in
        let connection = try await instance.connect()
        group.addTask {
          try await connection.transaction { db in
            try db.insert(firstRow)
            began.open()
            isStopping.enter()
            try db.insert(firstRow + 1)
          }
        }
        group.addTask {
          while !began.isOpen { try await Task.sleep(for: .milliseconds(1)) }
          await instance.stop()
        }
        group.addTask {
          // Who stops takes no connections any more, or not for long.
          while !began.isOpen { try await Task.sleep(for: .milliseconds(1)) }
          while let other = try? await instance.connect() { other.close() }
          isStopping.open()
        }
        try await group.waitForAll()
      }
    }
    try await trial.sqlError(of: "a connection after stop") { _ = try await instance.connect() }
    try await trial.success(of: "stopping twice") { await instance.stop() }
    let there = try await trial.rowsForNextWriter()
    try demand(there.contains(firstRow) && there.contains(firstRow + 1), "what was committed during stop is not there")
  }

  static let lives: [Check] = [
    Check(name: "5 health is told within the time limit, of the engine itself") { trial in
      let writer = try await trial.startWithTable()
      let reader = try await trial.startReader(of: writer)
      for instance in [writer.instance, reader.instance] {
        try demand(try await health(trial, instance) == nil, "a healthy \(instance.role) is not")
      }
      reader.instance.inject(.isolate)
      let silent = try await health(trial, reader.instance, milliseconds: 100)
      try demand(silent == .unresponsive, "an instance out of reach: \(silent.map(\.rawValue) ?? "healthy")")
      reader.instance.terminate()
      let ended = try await health(trial, reader.instance)
      try demand(ended == .terminated, "an instance that has ended: \(ended.map(\.rawValue) ?? "healthy")")
      // A writer notices when it next reaches storage; the volume is told at once where another opens it.
      _ = try await trial.openVolume()
      try await trial.eventually("a writer whose volume was taken says so") {
        _ = try? await writer.instance.connect().insert(1)
        return try await health(trial, writer.instance) == .fenced
      }
    },
    Check(name: "6 terminate ends the instance at once and for good") { trial in
      let writer = try await trial.startWithTable()
      let connection = try await writer.instance.connect()
      try await connection.execute("BEGIN")
      try await connection.insert(1)
      writer.instance.terminate()
      try demand(!connection.isUsable, "a connection can be used after terminate")
      try await trial.sqlError(of: "COMMIT after terminate") { try await connection.execute("COMMIT") }
      let instance = writer.instance
      try await trial.sqlError(of: "a connection after terminate") { _ = try await instance.connect() }
      instance.terminate()
      try await trial.success(of: "stop after terminate") { await instance.stop() }
      try demand(try await trial.rowsForNextWriter() == [], "what was not committed is there")
    },
    Check(name: "6 stop lets transactions under way end") { trial in
      // A stop has a limit: a machine that is busy elsewhere may need another try.
      var finding: (any Error)?
      for attempt in 1...3 {
        do {
          try await stopDuringTransaction(trial, firstRow: attempt * 10, isFirst: attempt == 1)
          return
        } catch { finding = error }
      }
      if let finding { throw finding }
    },
    Check(name: "7 many tasks may call at once") { trial in
      let writer = try await trial.startWithTable()
      let instance = writer.instance
      try await trial.success(of: "eight tasks at once") {
        try await withThrowingTaskGroup(of: Void.self) { group in
          for client in 0..<8 {
            group.addTask {
              for round in 0..<5 {
                let connection = try await instance.connect()
                let id = client * 100 + round
                while true {
                  do throws(SQLError) { try await connection.insert(id) } catch {
                    guard error.isRetryable else { throw error }
                    continue
                  }
                  break
                }
                try demand(try await connection.ids().contains(id), "row \(id) is not there")
                try await instance.checkHealth(timeoutMilliseconds: trial.patience)
                connection.close()
              }
            }
          }
          try await group.waitForAll()
        }
      }
      let there = try await writer.instance.connect().ids()
      try demand(there.count == 40, "\(there.count) rows of 40 are there")
    },
    Check(name: "7 no call blocks a thread of the task pool") { trial in
      let writer = try await trial.startWithTable()
      let instance = writer.instance
      // More transactions than the pool has threads on most machines, each of which waits for a task.
      let gate = Gate(patience: trial.patience / 2)
      try await trial.success(of: "transactions that wait for a task") {
        try await withThrowingTaskGroup(of: Void.self) { group in
          for _ in 0..<64 {
            let connection = try await instance.connect()
            group.addTask { try await connection.transaction(.read) { _ in gate.enter() } }
          }
          group.addTask {
            while gate.inside < 64, !gate.gaveUp { try await Task.sleep(for: .milliseconds(1)) }
            gate.open()
          }
          try await group.waitForAll()
        }
      }
      try demand(!gate.gaveUp, "tasks do not go on while transactions wait")
    },
  ]
}

/// Where threads wait for a task.
private final class Gate: Sendable {
  private let count = Atomic(0)
  private let opened = Atomic(false)
  private let isTooLate = Atomic(false)
  private let patience: UInt64
  init(patience: UInt64) { self.patience = patience }
  var inside: Int { count.load(ordering: .acquiring) }
  var gaveUp: Bool { isTooLate.load(ordering: .acquiring) }
  var isOpen: Bool { opened.load(ordering: .acquiring) }
  func open() { opened.store(true, ordering: .releasing) }

  /// Waits until the gate is open; when its patience ends, it gives up for all.
  func enter() {
    count.wrappingAdd(1, ordering: .acquiringAndReleasing)
    let deadline = SystemClock.now.advanced(byMilliseconds: patience)
    let pause = ThreadSignal()
    while !isOpen, !gaveUp {
      if SystemClock.now >= deadline { isTooLate.store(true, ordering: .releasing) }
      pause.wait(milliseconds: 2)
    }
  }
}
