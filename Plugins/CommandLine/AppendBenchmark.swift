import Borealis
import BorealisRuntime
import Foundation

/// Records a second through all six copies, with backends in memory: what the code itself costs.
enum AppendBenchmark {
  static func run() throws -> [Measurement] {
    var nodes = StorageNodeConfiguration()
    nodes.logLimit = ByteCount.gibibytes(1).value
    let fleet = try StorageFleet.inMemory(configuration: nodes)
    defer { fleet.stop() }
    let volume = try Volume.create(on: fleet)
    defer { volume.close() }
    _ = try append(100_000, to: volume, seed: 1)
    let count = 1_000_000
    let start = ContinuousClock.now
    let waits = try append(count, to: volume, seed: 2)
    let rate = Double(count) / (ContinuousClock.now - start).seconds
    return [
      Measurement(
        name: "append-memory", value: rate, unit: "1/s", target: ">= 200000",
        note: "200-byte records, 16 a mini-transaction, one client, six copies; waited for durability \(waits) times")
    ]
  }

  /// Appends `count` records of 200 bytes and waits until the last is durable; how often it waited in between.
  @discardableResult
  static func append(_ count: Int, to volume: Volume, seed: UInt64) throws -> Int {
    var generator = DeterministicGenerator(seed: seed)
    var payload = [UInt8](repeating: 0, count: 200)
    var transaction = MiniTransaction(pageSize: volume.metadata.pageSize)
    var last = LSN.zero
    var waits = 0
    for i in 0..<(count / 16) {
      transaction.removeAll()
      for _ in 0..<16 {
        // 200 fresh bytes each time: identical bytes would be recognised and not written.
        for k in stride(from: 0, to: 200, by: 8) { payload.storeInteger(generator.next(), at: k) }
        transaction.write(
          PageID(object: ObjectID(1), index: generator.below(4096)), at: Int(generator.below(39)) * 200, payload)
      }
      last = try volume.commit(transaction)
      if i % 4096 == 4095 {
        try volume.waitUntilDurable(last)
        waits += 1
      }
    }
    try volume.waitUntilDurable(last)
    return waits
  }
}
