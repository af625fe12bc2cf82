import Borealis
import BorealisRuntime
import Foundation

/// Opening after kill -9, with many records that no node has coalesced: must not depend on their number.
enum OpenBenchmark {
  static func run(_ name: String, records: Int, in directory: String) throws -> [Measurement] {
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let child = try ChildProcess(["fill", directory, "--records", String(records)])
    while let line = child.readLine(), line != "filled" {}
    child.kill()
    var times: [Double] = []
    for _ in 0..<3 {
      let start = ContinuousClock.now
      let fleet = try StorageFleet.files(at: directory, configuration: ChildCommand.idleNodes)
      let volume = try Volume.open(on: fleet)
      times.append((ContinuousClock.now - start).seconds)
      var buffer = [UInt8](repeating: 0, count: volume.metadata.pageSize)
      try buffer.withUnsafeMutableBytes { _ = try volume.read(PageID(object: ObjectID(1), index: 5), into: $0) }
      guard buffer.contains(where: { $0 != 0 }) else { throw BenchError("page 5 is empty after opening") }
      volume.close()
      fleet.stop()
    }
    // The first time is the one after kill -9; the others show the spread.
    return [
      Measurement(
        name: name, value: times[0], unit: "s", target: "< 1, flat",
        note: note("six nodes started and the volume recovered; again: %.3f s, %.3f s", times[1], times[2]))
    ]
  }
}
