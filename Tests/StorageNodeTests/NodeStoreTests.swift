import BorealisCore
import BorealisStorageBackend
import BorealisStorageNode
import BorealisWire
import Testing

@Suite struct NodeStoreTests {
  /// Random operations against the model; crashes at any operation of any job, failed and torn writes, forgotten syncs.
  @Test(arguments: 0..<40) func survivesCrashes(seed: Int) throws {
    let world = try StoreWorld(seed: UInt64(seed))
    for _ in 0..<600 where world.problems.isEmpty { try world.step(faults: true) }
    #expect(world.problems.isEmpty, "seed \(seed): \(world.problems.prefix(3))")
    #expect(world.crashes > 0)
  }

  /// Without faults the same world must come round: chunks sealed, retired, their slots used again.
  @Test func reusesSlots() throws {
    let world = try StoreWorld(seed: 99)
    for _ in 0..<4000 where world.problems.isEmpty { try world.step(faults: false) }
    #expect(world.problems.isEmpty, "\(world.problems.prefix(3))")
    #expect(world.sealings > 12, "sealed \(world.sealings)")
    #expect(world.retirements > 10, "retired \(world.retirements)")
    // Eight chunks and the two kept for repairs.
    let size = try world.disk.size(of: .log).value
    #expect(size <= 10 * UInt64(world.store.log.chunkSize), "the log has grown to \(size)")
    try world.crash(.dropAll)
    #expect(world.problems.isEmpty, "\(world.problems.prefix(3))")
  }
}
