#if GRDB
  import Borealis
  import BorealisCore
  import BorealisFileSystem
  import BorealisGRDB
  import BorealisRuntime
  import BorealisSQLite
  import BorealisVolume
  import Foundation
  import GRDB
  import Synchronization

  /// A volume in memory, with SQLite on its writer and, where asked for, on readers.
  final class Cluster {
    let fleet: StorageFleet
    let volume: Volume
    let files: VolumeFileSystem
    let vfs: SQLiteVFS

    init() throws {
      fleet = try StorageFleet.inMemory()
      volume = try Volume.create(on: fleet)
      files = try VolumeFileSystem.format(on: volume)
      vfs = try SQLiteVFS(writer: files)
    }
    func reader() throws -> (instance: VolumeReaderInstance, vfs: SQLiteVFS) {
      let instance = try VolumeReaderInstance(of: volume)
      return (instance, SQLiteVFS(reader: instance))
    }
  }

  /// A path of the local file system that is gone afterwards.
  func withLocalPath<T>(_ body: (String) throws -> T) throws -> T {
    let directory = NSTemporaryDirectory() + "borealis-grdb-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: directory) }
    return try body(directory + "/local.db")
  }

  /// Collects values that come on other threads.
  final class Collected<Value: Sendable>: Sendable {
    private let state = Mutex<[Value]>([])
    var values: [Value] { state.withLock { $0 } }
    func add(_ value: Value) { state.withLock { $0.append(value) } }
    /// Waits until `condition` holds of what came; false after ten seconds.
    func wait(_ condition: ([Value]) -> Bool) -> Bool {
      for _ in 0..<2000 {
        if condition(values) { return true }
        usleep(5000)
      }
      return condition(values)
    }
  }
#endif
