import Borealis
import BorealisCore
import BorealisRuntime
import Foundation
import Testing

@testable import BorealisPostgreSQL

extension PostgreSQLTests {
  /// All nodes and the server lose power at once, under load; what was not synced is kept or lost sector by sector.
  ///
  /// `BOREALIS_PG_POWER_LOSSES` sets how often, `BOREALIS_PG_SEED` how.
  @Suite(.serialized) struct PowerLossTests {
    private static func environment(_ name: String) -> UInt64? {
      ProcessInfo.processInfo.environment[name].flatMap { UInt64($0) }
    }
    private static func expectSound(_ load: MoneyLoad, _ writer: TestWriter, _ when: Comment) async throws {
      #expect(try await load.problems(writer) == [], when)
      #expect(try await writer.damages() == [], when)
    }

    @Test func afterLossesOfPowerEverythingAcknowledgedIsThere() async throws {
      let seed = Self.environment("BOREALIS_PG_SEED") ?? SystemClock.wallClock
      let rounds = Self.environment("BOREALIS_PG_POWER_LOSSES") ?? 4
      print("losses of power: \(rounds), BOREALIS_PG_SEED=\(seed)")
      var generator = DeterministicGenerator(seed: seed)
      try await withEngine { engine in
        let disks = TestDisks()
        let load = MoneyLoad()
        var atStake = 0
        for round in 1...rounds {
          let writer = try await TestWriter(engine, disks)
          if round == 1 { try await MoneyLoad.prepare(writer) }
          try await Self.expectSound(load, writer, "seed \(seed), after \(round - 1) losses of power")
          let before = load.acknowledgedCount
          let clients = load.run(writer, clients: 4, using: &generator)
          try await eventually("transfers are acknowledged", seconds: 60) { load.acknowledgedCount >= before + 20 }
          try await Task.sleep(for: .milliseconds(generator.index(1500)))
          disks.cutPower()
          await writer.terminate()
          await clients.value
          let report = disks.crash(generator.chance(1, in: 4) ? .dropAll : .random, using: &generator)
          atStake += report.lostSectors + report.keptSectors
          print(
            "loss \(round): \(load.acknowledgedCount - before) transfers acknowledged, \(report.lostSectors) sectors lost,"
              + " \(report.keptSectors) kept")
        }
        #expect(atStake > 0, "power was never lost while anything was to be lost")
        let writer = try await TestWriter(engine, disks)
        try await Self.expectSound(load, writer, "seed \(seed), after all losses of power")
        #expect(writer.volume.checkInvariants() == [])
        await writer.stop()
      }
    }

    /// The checks above are worth something: disks that lie about their syncs are seen.
    @Test func disksThatLieAboutSyncsAreSeen() async throws {
      var generator = DeterministicGenerator(seed: 1)
      try await withEngine { engine in
        let disks = TestDisks()
        let load = MoneyLoad()
        let writer = try await TestWriter(engine, disks)
        try await MoneyLoad.prepare(writer)
        disks.lieAboutSyncs()
        let clients = load.run(writer, clients: 4, using: &generator)
        try await eventually("transfers are acknowledged", seconds: 60) { load.acknowledgedCount >= 50 }
        disks.cutPower()
        await writer.terminate()
        await clients.value
        _ = disks.crash(.dropAll, using: &generator)
        disks.stopLying()
        // All six went back to one moment before, so that nothing but the clients' memory can tell.
        let next = try await TestWriter(engine, disks)
        let problems = try await load.problems(next)
        #expect(problems.contains { $0.contains("acknowledged and lost") }, "\(problems)")
        await next.terminate()
      }
    }
  }
}
