import Borealis
import BorealisMount
import Foundation
import Testing

/// What is durable when, and what happens to those who wait for it.
@Suite("Mount: durability", .serialized)
struct DurabilityTests {
  /// A sync waits for the write quorum, and returns when it is there again; reads go on meanwhile.
  @Test func syncsWaitForTheQuorum() throws {
    let mounted = try Mounted { $0.threads = 2 }
    try mounted.check("mark")
    mounted.loseQuorum()
    var waiting: [Started] = []
    for i in 0..<8 {
      let folder = mounted.path("d\(i)")
      try mounted.files.makeDirectory(FileName("d\(i)"), in: .root)
      waiting.append(try Started([try Programs.path(Programs.probe), folder, "check", "sync"]))
    }
    for one in waiting { #expect(one.line(with: "syncing") != nil) }
    #expect(!waiting[0].ends(within: 0.5))
    // More syncs wait than there were threads; still somebody answers.
    let listing = try Programs.run(["timeout", "10", "ls", mounted.point])
    #expect(listing.status == 0 && listing.text.contains("mark"))
    for node in 0..<3 { try mounted.fleet.start(NodeID(UInt32(node))) }
    for one in waiting {
      #expect(one.readAll().contains("fsync: ok"))
      #expect(one.wait() == 0)
    }
  }
  /// A process that waits for a quorum that does not come can be killed.
  @Test func whoeverWaitsCanBeKilled() throws {
    let mounted = try Mounted()
    mounted.loseQuorum()
    let one = try Started([try Programs.path(Programs.probe), mounted.point, "check", "sync"])
    #expect(one.line(with: "syncing") != nil)
    usleep(300_000)
    // A signal that ends nobody changes nothing.
    one.signal(SIGCONT)
    #expect(!one.ends(within: 0.5))
    one.signal(SIGKILL)
    #expect(one.ends(within: 5))
  }
  @Test func abortReleasesWhoeverWaits() throws {
    let mounted = try Mounted()
    mounted.loseQuorum()
    let one = try Started([try Programs.path(Programs.probe), mounted.point, "check", "sync"])
    #expect(one.line(with: "syncing") != nil)
    usleep(300_000)
    mounted.mount.abort()
    let text = one.readAll()
    #expect(text.contains("fsync: ECONNABORTED") || text.contains("fsync: ENOTCONN"), "\(text)")
    #expect(!mounted.mount.isMounted)
    // The directory is free again.
    #expect(try FileManager.default.contentsOfDirectory(atPath: mounted.point) == [])
    for node in 0..<3 { try mounted.fleet.start(NodeID(UInt32(node))) }
    try mounted.mountAgain()
    try mounted.check("mark")
  }
  /// Whoever lost the volume to another writer is told so, at every call.
  @Test func aFencedVolumeFailsEveryCall() throws {
    let mounted = try Mounted()
    try mounted.files.create("known", in: .root)
    let one = try Started([try Programs.path(Programs.probe), mounted.point, "check", "fenced"])
    #expect(one.line(with: "open") != nil)
    let next = try Volume.open(on: mounted.fleet)
    defer { next.close() }
    one.input.fileHandleForWriting.write(Data("x".utf8))
    let text = one.readAll()
    #expect(text.contains("fenced: done"), "\(text)")
  }
  @Test func anOpenFileKeepsAMountBusy() throws {
    let mounted = try Mounted()
    let holder = try Started([try Programs.path(Programs.probe), mounted.point, "check", "hold"])
    #expect(holder.line(with: "open") != nil)
    #expect { try mounted.mount.unmount(timeoutMilliseconds: 200) } throws: { ($0 as? MountError)?.code == .busy }
    #expect(mounted.mount.isMounted)
    mounted.mount.abort()
    holder.input.fileHandleForWriting.write(Data("x".utf8))
    let text = holder.readAll()
    #expect(text.contains("write: ENOTCONN") || text.contains("write: ECONNABORTED"), "\(text)")
  }
  /// Files that were open when a mount was aborted, and had no name, are gone all the same.
  @Test func abortLeavesNothingBehind() throws {
    let mounted = try Mounted()
    let holder = try Started([try Programs.path(Programs.probe), mounted.point, "check", "hold"])
    #expect(holder.line(with: "open") != nil)
    #expect(try Programs.run(["rm", mounted.path("held")]).status == 0)
    mounted.mount.abort()
    holder.signal(SIGKILL)
    _ = holder.wait()
    try mounted.mountAgain()
    try mounted.check("mark")
    usleep(200_000)
    try mounted.expectSound()
    #expect(try mounted.files.check().files == 1)
  }

  /// The process that serves is killed: what was synced is there, and the next start cleans the mount away.
  @Test func afterKillNine() throws {
    try Mounted.requireDevice()
    let directory = try TemporaryDirectory()
    let point = try directory.make("point")
    let volume = directory.path + "/volume"
    let tool = try Programs.path(Programs.tool)
    #expect(try Programs.run([tool, "format", volume]).status == 0)
    for round in 0..<3 {
      let server = try Started([tool, "mount", volume, point])
      let line = server.line(with: "mounted at")
      try #require(line != nil, "round \(round)")
      if round > 0 { #expect(try Programs.probe(point, "check", "look").status == 0) }
      let outcome = try Programs.probe(point, "check", "synced-mark")
      #expect(outcome.status == 0, "\(outcome.text)")
      if round == 1 {
        // Another one must not take a directory that is in use.
        let other = directory.path + "/other"
        #expect(try Programs.run([tool, "format", other]).status == 0)
        let refused = try Programs.run([tool, "mount", other, point])
        #expect(refused.status != 0 && refused.text.contains("unusableDirectory"), "\(refused.text)")
      }
      server.signal(round < 2 ? SIGKILL : SIGTERM)
      #expect(server.ends(within: 20))
    }
    // Ended in order: unmounted.
    #expect(try FileManager.default.contentsOfDirectory(atPath: point) == [])
    let check = try Programs.run([tool, "fs", "check", volume])
    #expect(check.status == 0, "\(check.text)")
  }
}
