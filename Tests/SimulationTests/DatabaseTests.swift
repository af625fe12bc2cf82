import BorealisCore
import BorealisSimulation
import Testing

@Suite("Simulated clients that use the volume as SQLite does") struct DatabaseTests {
  private static func options(_ seed: UInt64) -> SimulationOptions {
    var options = SimulationOptions(seed: seed)
    options.workload = .sql
    return options
  }

  @Test("whole databases are read and judged, under all kinds of trouble", arguments: 1...24 as ClosedRange<UInt64>)
  func seedPasses(seed: UInt64) {
    let report = Simulation.run(Self.options(seed))
    #expect(report.passed, "\(report.explanation)")
    #expect(report.counts.transactions > 0)
    #expect(report.counts.snapshots > 0)
  }

  @Test(
    "seeds that once found a bug",
    arguments: [
      // A node asked for whole pages in place of records that peers still had, above PGMRPL.
      1139
    ] as [UInt64])
  func regression(seed: UInt64) {
    let report = Simulation.run(Self.options(seed))
    #expect(report.passed, "\(report.explanation)")
  }

  @Test("the same seed gives the same digest")
  func digestIsDeterministic() {
    let first = Simulation.run(Self.options(17))
    let second = Simulation.run(Self.options(17))
    #expect(first.digest == second.digest)
    #expect(first.counts == second.counts)
    #expect(Simulation.run(SimulationOptions(seed: 17)).digest != first.digest)
  }

  /// Bugs of writers, readers, nodes and recovery that a reader of a whole database must notice, whoever else does.
  static let visible: [PlantedBug] = [
    .readerAppliesAboveVDL, .partialMiniTransactionVisible, .dropPendingMissRecords, .evictDirtyPage,
    .wakeOnVCLNotVDL, .ackBeforeFlush, .collectIgnoringReadPoint, .vdlAtNonConsistencyPoint, .serveIncompleteRead,
  ]

  @Test("the prefix checker, alone, finds planted bugs", arguments: visible)
  func isFound(bug: PlantedBug) {
    var found: SimulationReport?
    for seed in 1...60 as ClosedRange<UInt64> {
      var options = PlantedBugCampaign.options(bug, seed: seed)
      options.workload = .sql
      options.ignoredInvariants = Set(Invariant.allCases).subtracting([.prefix])
      let report = Simulation.run(options)
      guard !report.passed else { continue }
      found = report
      break
    }
    #expect(found?.violations.first?.invariant == .prefix, "\(bug) was not found in 60 seeds")
  }
}

@Suite("What the pages of a simulated database say") struct DatabaseModelTests {
  /// A model with three transactions: makes pages 0 to 2, changes page 2, cuts page 2 off.
  private func model() -> (DatabaseModel, states: [[[UInt8]]]) {
    let model = DatabaseModel(pageCount: 4, pageSize: 512)
    var chance = DeterministicGenerator(seed: 3)
    var states = [[[UInt8]](repeating: [UInt8](repeating: 0, count: 512), count: 4)]
    for (number, (pages, size)) in [([0, 1, 2], 3), ([0, 2], 3), ([0], 2)].enumerated() {
      let plan = DatabaseModel.Plan(reads: [], writes: pages, size: size)
      let images = model.images(of: plan, on: number, &chance)
      var state = states[number]
      for image in images { state[image.page] = image.bytes }
      for page in size..<4 { state[page] = [UInt8](repeating: 0, count: 512) }
      states.append(state)
      #expect(
        model.commit(
          parent: number, size: size, images: images, oracleNumber: number, lsn: LSN(UInt64(number + 1) * 10))
          == number + 1)
    }
    return (model, states)
  }
  private func number(_ result: Result<Int, DatabaseFault>) -> Int? { try? result.get() }

  @Test("the state after each transaction is known as such")
  func wholeStates() {
    let (model, states) = model()
    for (i, state) in states.enumerated() { #expect(number(model.judge(state)) == i) }
    #expect(model.contains(1, in: 3) && !model.contains(3, in: 2) && model.contains(0, in: 0))
  }

  @Test("every mixture of two states, and every wrong byte, is seen")
  func torn() {
    let (model, states) = model()
    for (a, first) in states.enumerated() {
      for (b, second) in states.enumerated() where a != b {
        for mask in 1..<15 {
          let mixed = (0..<4).map { mask >> $0 & 1 == 1 ? first[$0] : second[$0] }
          guard !states.contains(mixed) else { continue }
          #expect(number(model.judge(mixed)) == nil, "pages of \(a) and \(b), mask \(mask)")
        }
      }
    }
    for page in 0..<4 {
      for at in [0, 8, 12, 20, 31, 100, 511] {
        var state = states[2]
        state[page][at] ^= 1
        #expect(number(model.judge(state)) == nil, "page \(page), byte \(at)")
      }
    }
  }

  @Test("transactions of a writer that is fenced are a branch of their own")
  func branches() {
    let (model, _) = model()
    let branch = model.commit(parent: 1, size: 3, images: [], oracleNumber: 3, lsn: LSN(90))
    #expect(model.contains(1, in: branch) && !model.contains(2, in: branch) && !model.contains(branch, in: 3))
  }
}
