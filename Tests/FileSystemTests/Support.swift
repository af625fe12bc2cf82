import Borealis
import Foundation
import Synchronization

/// A clock that goes one nanosecond a look.
final class Counter: Sendable {
  private let value = Atomic<Int64>(1_000_000)
  func next() -> Int64 { value.wrappingAdd(1, ordering: .relaxed).newValue }
}

/// A new file system in memory, whose deleted files are given back by hand.
func makeFiles(_ change: (inout FileSystemOptions) -> Void = { _ in }) throws -> (
  VolumeFileSystem, InMemoryPageSpace
) {
  let space = InMemoryPageSpace()
  var options = FileSystemOptions()
  options.reclaiming = .byHand
  change(&options)
  return (try VolumeFileSystem.format(on: space, options: options), space)
}

/// A directory of its own, removed at the end.
final class TemporaryDirectory {
  let path: String
  init() throws {
    path = NSTemporaryDirectory() + "/borealis-fs-test-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }
  deinit { try? FileManager.default.removeItem(atPath: path) }
}

/// A number of the environment, so that a longer campaign needs no edit.
func environment(_ name: String, default value: UInt64) -> UInt64 {
  ProcessInfo.processInfo.environment[name].flatMap { UInt64($0) } ?? value
}
