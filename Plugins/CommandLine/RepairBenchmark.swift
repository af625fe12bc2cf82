import Borealis
import BorealisRuntime
import Foundation
import Synchronization

/// Repair of a lost 256 MiB segment under load: a node's disk is lost, a spare takes its place.
enum RepairBenchmark {
  static func run(in directory: String) throws -> [Measurement] {
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let fleet = try StorageFleet.files(at: directory, spares: 1)
    defer { fleet.stop() }
    let volume = try Volume.create(on: fleet)
    defer { volume.close() }
    let pages = UInt64(256 << 20) / UInt64(volume.metadata.pageSize)
    var image = [UInt8](repeating: 0, count: volume.metadata.pageSize)
    var generator = DeterministicGenerator(seed: 8)
    var last = LSN.zero
    for index in 0..<pages {
      for k in stride(from: 0, to: image.count, by: 8) { image.storeInteger(generator.next(), at: k) }
      last = try volume.write { $0.write(PageID(object: ObjectID(9), index: index), at: 0, image) }
    }
    try volume.waitUntilDurable(last)
    let before = try load(volume, seconds: 5, until: { false })
    let lost = fleet.topology[0]
    guard let spare = fleet.topology.last else { throw BenchError("no spare") }
    fleet.stop(lost.node)
    try FileManager.default.removeItem(atPath: "\(directory)/zone-\(lost.zone)/node-\(lost.node.value)")
    let group = ProtectionGroupID(0)
    let start = ContinuousClock.now
    try volume.change(group, to: .replace(lost.node, with: SegmentMember(node: spare.node, zone: lost.zone)))
    let during = try load(volume, seconds: 600) {
      guard let configuration = volume.configurations.first(where: { $0.group == group }) else { return false }
      return configuration.pending == nil && configuration.index(of: lost.node) == nil
    }
    let seconds = (ContinuousClock.now - start).seconds
    guard volume.configurations[0].index(of: spare.node) != nil else { throw BenchError("the repair did not end") }
    return [
      Measurement(
        name: "repair-256m", value: seconds, unit: "s",
        note: note(
          "%.0f MiB/s; from losing the disk to the new member's full vote, four clients committing", 256 / seconds)),
      Measurement(
        name: "repair-256m-commit-p99", value: during.microseconds(0.99), unit: "us",
        peer: before.microseconds(0.99), ratio: during.microseconds(0.99) / before.microseconds(0.99),
        note: "peer: the same load before the loss"),
    ]
  }

  /// Four clients commit until `isDone` or the time is over.
  private static func load(_ volume: Volume, seconds: Double, until isDone: @escaping @Sendable () -> Bool) throws
    -> Latencies
  {
    var all: [UInt64] = []
    let start = ContinuousClock.now
    var round = 0
    while !isDone(), (ContinuousClock.now - start).seconds < seconds {
      round += 1
      for latencies in try CommitBenchmark.clients(4, commits: 100, of: volume, seed: 1000 + round) { all += latencies }
    }
    return Latencies(all)
  }
}
