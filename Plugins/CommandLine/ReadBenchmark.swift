import Borealis
import BorealisRuntime
import Foundation

/// Page reads: from one segment, through the whole message path, and from the writer's cache.
enum ReadBenchmark {
  static func run(in directory: String) throws -> [Measurement] {
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let fleet = try StorageFleet.files(at: directory)
    defer { fleet.stop() }
    var options = VolumeOptions()
    options.cacheBytes = .mebibytes(4)
    let volume = try Volume.create(on: fleet, options: options)
    defer { volume.close() }
    let pages: UInt64 = 16_384
    var generator = DeterministicGenerator(seed: 3)
    var image = [UInt8](repeating: 0, count: volume.metadata.pageSize)
    var last = LSN.zero
    for index in 0..<pages {
      for k in stride(from: 0, to: image.count, by: 8) { image.storeInteger(generator.next(), at: k) }
      last = try volume.write { $0.write(PageID(object: ObjectID(1), index: index), at: 0, image) }
      if index % 256 == 255 { try volume.waitUntilDurable(last) }
    }
    try volume.waitUntilDurable(last)
    let cold = try sample(volume, count: 20_000) { PageID(object: ObjectID(1), index: $0.below(pages)) }
    let warm = try sample(volume, count: 200_000) { PageID(object: ObjectID(1), index: pages - 1 - $0.below(64)) }
    return [
      Measurement(
        name: "read-segment", value: cold.microseconds(0.5), unit: "us", target: "< 20",
        note: note("p99 %.1f us; 128 MiB of 8 KiB pages through a 4 MiB cache", cold.microseconds(0.99))),
      Measurement(
        name: "read-cache", value: warm.microseconds(0.5), unit: "us", target: "< 1",
        note: note("p99 %.2f us, clock included", warm.microseconds(0.99))),
    ]
  }

  private static func sample(
    _ volume: Volume, count: Int, page: (inout DeterministicGenerator) -> PageID
  ) throws -> Latencies {
    var generator = DeterministicGenerator(seed: 4)
    var buffer = [UInt8](repeating: 0, count: volume.metadata.pageSize)
    var latencies: [UInt64] = []
    latencies.reserveCapacity(count)
    for _ in 0..<count {
      let id = page(&generator)
      let start = SystemClock.now
      try buffer.withUnsafeMutableBytes { _ = try volume.read(id, into: $0) }
      latencies.append(SystemClock.now.nanoseconds(since: start))
    }
    return Latencies(latencies)
  }
}
