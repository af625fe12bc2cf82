import Borealis
import Foundation
import Synchronization
import Testing

@Suite("File system on a real volume")
struct VolumeModelTests {
  @Test(
    "random operations with the writer crashing in between",
    arguments: 1...environment("BOREALIS_FS_VOLUME_SEEDS", default: 4))
  func randomOperations(seed: UInt64) throws {
    let fleet = try StorageFleet.inMemory(configuration: StorageNodeConfiguration(pageSize: 4096))
    defer { fleet.stop() }
    let volume = Mutex(try Volume.create(on: fleet))
    var run = try ModelRun(seed: seed, on: volume.withLock { $0 }) {
      try volume.withLock { volume in
        volume.close()
        volume = try Volume.open(on: fleet)
        return volume
      }
    }
    for _ in 0..<600 { try run.step() }
    #expect(try run.files.dump() == run.model.dump())
    #expect(volume.withLock { $0.checkInvariants() } == [])
    volume.withLock { $0.close() }
  }

  @Test("what was synced is there on files after everything stopped, and objects of deleted files are given back")
  func files() throws {
    let directory = try TemporaryDirectory()
    for round in 0..<3 {
      let fleet = try StorageFleet.files(at: directory.path)
      let volume = round == 0 ? try Volume.create(on: fleet) : try Volume.open(on: fleet)
      let files = round == 0 ? try VolumeFileSystem.format(on: volume) : try VolumeFileSystem.mount(volume)
      for earlier in 0..<round {
        let file = try files.file(at: "/d/\(earlier)")
        #expect(try files.read(file, at: 0, count: 1 << 20) == [UInt8](repeating: UInt8(earlier + 1), count: 100_000))
      }
      let file = try files.file(
        at: "/d/\(round)".replacingOccurrences(of: "/d", with: round == 0 ? "/" : "/d"), .exclusive)
      try files.write(file, at: 0, [UInt8](repeating: UInt8(round + 1), count: 100_000))
      if round == 0 {
        let d = try files.makeDirectory("d", in: .root)
        try files.rename("0", in: .root, to: "0", in: d)
        try files.sync(d)
      }
      try files.sync(file)
      try files.create("lost or not", in: .root, .openExisting)
      volume.close()
      fleet.stop()
    }
  }

  @Test("a reader instance sees the file system move on, whole at each moment, and refuses changes")
  func readers() throws {
    let fleet = try StorageFleet.inMemory()
    defer { fleet.stop() }
    let volume = try Volume.create(on: fleet)
    let files = try VolumeFileSystem.format(on: volume)
    let file = try files.file(at: "/f", .exclusive)
    for i in 0..<200 { try files.create(FileName("before \(i)"), in: .root) }
    try files.syncAll()
    let reader = try VolumeReaderInstance(of: volume)
    defer { reader.close() }
    #expect(reader.waitUntilApplied(volume.vdl))
    let view = try VolumeFileSystem.readOnly(on: reader)
    let pinned = try VolumeFileSystem.mount(OverlaySpace(on: ReadPointSpace(reader), limit: .mebibytes(8)))
    let seen = try view.file(at: "/f")
    // A writer that appends whole stretches, and renames a directory to and fro with a file in it.
    let isDone = Atomic<Bool>(false)
    let writer = WorkerTask {
      let d = try files.makeDirectory("d0", in: .root)
      try files.create("inside", in: d)
      for i in 0..<300 {
        try files.write(file, at: UInt64(i) * 10_000, [UInt8](repeating: UInt8(i % 250 + 1), count: 10_000))
        try files.rename(FileName("d\(i)"), in: .root, to: FileName("d\(i + 1)"), in: .root)
        try files.create(FileName("new \(i)"), in: .root)
      }
      try files.syncAll()
    } finally: {
      isDone.store(true, ordering: .releasing)
    }
    var last: UInt64 = 0
    while !isDone.load(ordering: .acquiring) {
      let size = try view.attributes(of: seen).size
      #expect(size >= last && size % 10_000 == 0)
      last = size
      if size > 0 {
        let tail = try view.read(seen, at: size - 1, count: 1)
        #expect(tail == [UInt8((size / 10_000 - 1) % 250 + 1)])
      }
      let listed = try view.list(.root, limit: 10_000)
      #expect(listed.filter { $0.name.description.hasPrefix("d") }.count <= 1)
      expectCode(.readOnly) { try view.create("x", in: .root) }
    }
    try writer.join()
    #expect(reader.waitUntilApplied(volume.vdl))
    #expect(try view.attributes(of: seen).size == 3_000_000)
    #expect(try view.check().problems == [])
    // The view that was pinned before has not moved, and keeps its own changes to itself.
    #expect(try pinned.attributes(at: "/f").size == 0)
    try pinned.create("mine", in: .root)
    try pinned.unlink("before 7", in: .root)
    #expect(try pinned.check().problems == [])
    #expect(try files.lookup("before 7", in: .root).type == .file)
    expectCode(.notFound) { _ = try files.lookup("mine", in: .root) }
    volume.close()
  }

  @Test("many threads at once: the result is consistent, and everything is there")
  func threads() throws {
    let fleet = try StorageFleet.inMemory()
    defer { fleet.stop() }
    let volume = try Volume.create(on: fleet)
    let files = try VolumeFileSystem.format(on: volume)
    let shared = try files.file(at: "/shared", .exclusive)
    try files.write(shared, at: 0, [UInt8](repeating: 0, count: 1 << 20))
    let tasks = (0..<6).map { t in
      WorkerTask {
        let d = try files.makeDirectory(FileName("t\(t)"), in: .root)
        for i in 0..<100 {
          let file = try files.open(try files.create(FileName("\(i)"), in: d))
          try files.write(file, at: 0, [UInt8](repeating: UInt8(t), count: 9000))
          try files.write(shared, at: UInt64(t * 100 + i) % 128 * 8192, [UInt8](repeating: UInt8(t + 1), count: 8192))
          // A page that is written whole is seen whole.
          let page = try files.read(shared, at: UInt64(i) * 8192, count: 8192)
          if Set(page).count != 1 { throw TestFailure("torn page") }
          if i % 3 == 0 { try files.unlink(FileName("\(i)"), in: d) }
          if i % 10 == 0 { try files.sync(file) }
          try files.close(file)
        }
      }
    }
    for task in tasks { try task.join() }
    try files.reclaim()
    let report = try files.check()
    #expect(report.problems == [] && report.doomed == 0 && report.orphans == 0)
    #expect(report.files == 6 * 66 + 1)
    try files.unmount()
    volume.close()
  }
}

/// A thread whose error is thrown by `join`.
final class WorkerTask: Sendable {
  private let failure = Mutex<(any Error)?>(nil)
  private let isDone = DispatchSemaphore(value: 0)
  init(_ body: @escaping @Sendable () throws -> Void, finally: @escaping @Sendable () -> Void = {}) {
    Thread.detachNewThread { [self] in
      do { try body() } catch { failure.withLock { $0 = error } }
      finally()
      isDone.signal()
    }
  }
  func join() throws {
    isDone.wait()
    if let error = failure.withLock({ $0 }) { throw error }
  }
}

struct TestFailure: Error {
  let text: String
  init(_ text: String) { self.text = text }
}
