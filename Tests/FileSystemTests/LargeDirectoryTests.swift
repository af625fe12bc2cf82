import Borealis
import Foundation
import Testing

@Suite("Many files on a volume of files")
struct LargeDirectoryTests {
  /// `BOREALIS_FS_FILES=450000` for the real figure; `BOREALIS_FS_BYTES=1` for a page of data in each.
  static let count = Int(environment("BOREALIS_FS_FILES", default: 4000))
  static let bytes = Int(environment("BOREALIS_FS_BYTES", default: 1))

  private func measure<T>(_ what: String, each count: Int? = nil, _ body: () throws -> T) rethrows -> (T, Double) {
    let start = ContinuousClock.now
    let result = try body()
    let elapsed = ContinuousClock.now - start
    let seconds = Double(elapsed.components.seconds) + Double(elapsed.components.attoseconds) * 1e-18
    let rate = count.map { String(format: ", %.0f/s", Double($0) / seconds) } ?? ""
    print("figures: \(what): \(String(format: "%.3f", seconds)) s\(rate); resident \(resident() >> 20) MiB")
    return (result, seconds)
  }
  private func resident() -> Int {
    let text = (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8)) ?? ""
    let fields = text.split(separator: " ")
    return fields.count > 1 ? (Int(fields[1]) ?? 0) * 4096 : 0
  }

  @Test("one directory: create, look up, list, mount")
  func oneDirectory() throws {
    let directory = try TemporaryDirectory()
    let count = Self.count
    let names = (0..<count).map { FileName("base.16384.\($0)") }
    var fleet = try StorageFleet.files(at: directory.path)
    var volume = try Volume.create(on: fleet)
    var files = try VolumeFileSystem.format(on: volume)
    let d = try files.makeDirectory("d", in: .root)
    _ = try measure("create \(count) files of \(Self.bytes) bytes", each: count) {
      for name in names {
        let inode = try files.create(name, in: d)
        if Self.bytes > 0 {
          let file = try files.open(inode)
          try files.write(file, at: 0, [UInt8](repeating: 1, count: Self.bytes))
          try files.close(file)
        }
      }
      try files.syncAll()
    }
    print("figures: \(files.statistics)")
    print("figures: groups \(volume.configurations.count), \(volume.statistics)")
    let mounted = try measure("unmount, close") {
      try files.unmount()
      volume.close()
      fleet.stop()
    }
    _ = mounted
    fleet = try measure("start the nodes") { try StorageFleet.files(at: directory.path) }.0
    let (opened, _) = try measure("open the volume") { try Volume.open(on: fleet) }
    volume = opened
    let (again, mounting) = try measure("mount") { try VolumeFileSystem.mount(volume) }
    files = again
    #expect(mounting < 3, "mounting takes too long")
    let found = try measure("list", each: count) {
      var found = 0
      var cookie: UInt64 = 0
      while true {
        let batch = try files.list(d, after: cookie)
        guard let last = batch.last else { return found }
        found += batch.count
        cookie = last.cookie
      }
    }.0
    #expect(found == count)
    var g = DeterministicGenerator(seed: 1)
    _ = try measure("look up 20000 at random", each: 20_000) {
      for _ in 0..<20_000 { _ = try files.lookup(names[g.index(count)], in: d) }
    }
    _ = try measure("unlink 1000", each: 1000) {
      for i in 0..<1000 { try files.unlink(names[i * (count / 1000)], in: d) }
      try files.syncAll()
    }
    _ = try measure("reclaim") { try files.reclaim() }
    print("figures: \(files.statistics)")
    if count <= 20_000 { #expect(try files.check().problems == []) }
    try files.unmount()
    volume.close()
    fleet.stop()
  }
}
