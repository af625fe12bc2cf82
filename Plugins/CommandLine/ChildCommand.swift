import ArgumentParser
import Borealis
import BorealisRuntime
import Foundation

/// `borealis child`: what benchmarks and the crash harness run in a process of its own, to be killed.
struct ChildCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "child", shouldDisplay: false,
    subcommands: [Fill.self, Resident.self, CrashChild.self, SQLCrashChild.self])

  /// Nodes that do not coalesce: every record stays in the log.
  static var idleNodes: StorageNodeConfiguration {
    var nodes = StorageNodeConfiguration()
    nodes.isCoalescing = false
    nodes.logLimit = ByteCount.gibibytes(2).value
    return nodes
  }

  /// Appends records and then waits to be killed.
  struct Fill: ParsableCommand {
    @Argument var directory: String
    @Option var records: Int

    func run() throws {
      let fleet = try StorageFleet.files(at: directory, configuration: ChildCommand.idleNodes)
      let volume = try Volume.create(on: fleet)
      try AppendBenchmark.append(records, to: volume, seed: 5)
      print("filled")
      fflush(nil)
      while true { sleep(60) }
    }
  }

  /// Writes many bytes through a small cache and prints the largest resident size seen.
  struct Resident: ParsableCommand {
    @Argument var directory: String
    @Option var bytes: UInt64

    func run() throws {
      let fleet = try StorageFleet.files(at: directory)
      var options = VolumeOptions()
      options.cacheBytes = .mebibytes(64)
      let volume = try Volume.create(on: fleet, options: options)
      let pageSize = volume.metadata.pageSize
      var image = [UInt8](repeating: 0, count: pageSize)
      var generator = DeterministicGenerator(seed: 6)
      var peak: UInt64 = 0
      var last = LSN.zero
      for index in 0..<(bytes / UInt64(pageSize)) {
        for k in stride(from: 0, to: pageSize, by: 8) { image.storeInteger(generator.next(), at: k) }
        last = try volume.write { $0.write(PageID(object: ObjectID(1), index: index), at: 0, image) }
        if index % 256 == 0 { peak = max(peak, residentBytes()) }
      }
      try volume.waitUntilDurable(last)
      peak = max(peak, residentBytes())
      print("peak \(peak)")
      volume.close()
      fleet.stop()
    }
  }
}
