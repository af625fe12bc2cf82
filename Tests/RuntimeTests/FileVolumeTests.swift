import Borealis
import Foundation
import Testing

@Suite("Volume on files")
struct FileVolumeTests {
  @Test("what was durable is there after every process-wide stop, many times")
  func reopening() throws {
    let directory = try TemporaryDirectory()
    for round in 1...5 {
      let fleet = try StorageFleet.files(at: directory.path)
      let volume = round == 1 ? try Volume.create(on: fleet) : try Volume.open(on: fleet)
      for earlier in 1..<round { #expect(try volume.bytes(page(UInt64(earlier)))[0] == UInt8(earlier)) }
      try volume.waitUntilDurable(try volume.write { $0.write(page(UInt64(round)), at: 0, [UInt8(round)]) })
      volume.close()
      fleet.stop()
    }
  }

  @Test("a directory that is in use is refused")
  func locked() throws {
    let directory = try TemporaryDirectory()
    let fleet = try StorageFleet.files(at: directory.path)
    let error = #expect(throws: StorageBackendError.self) { try StorageFleet.files(at: directory.path) }
    #expect(error?.code == .locked)
    fleet.stop()
    try StorageFleet.files(at: directory.path).stop()
  }

  @Test("a lost disk is replaced by a spare and hydrated from its peers")
  func replacement() throws {
    let directory = try TemporaryDirectory()
    let fleet = try StorageFleet.files(at: directory.path, spares: 1)
    defer { fleet.stop() }
    let volume = try Volume.create(on: fleet)
    for i in 0..<300 {
      try volume.waitUntilDurable(try volume.write { $0.write(page(UInt64(i)), at: 0, [UInt8(i % 251 + 1)]) })
    }
    let lost = fleet.topology[2]
    fleet.stop(lost.node)
    try FileManager.default.removeItem(atPath: "\(directory.path)/zone-\(lost.zone)/node-\(lost.node.value)")
    let group = ProtectionGroupID(0)
    try volume.change(group, to: .replace(lost.node, with: SegmentMember(node: NodeID(6), zone: lost.zone)))
    let done = try eventually {
      try volume.waitUntilDurable(try volume.write { $0.write(page(1000), at: 0, [1]) })
      let configuration = try #require(volume.configurations.first)
      return configuration.pending == nil && configuration.index(of: lost.node) == nil
    }
    #expect(done)
    // With two old members gone the new one is needed for the write quorum: it must know everything.
    volume.close()
    for node in [0, 1] { fleet.stop(NodeID(UInt32(node))) }
    let again = try Volume.open(on: fleet)
    for i in 0..<300 { #expect(try again.bytes(page(UInt64(i)))[0] == UInt8(i % 251 + 1)) }
  }
}

extension FileVolumeTests {
  @Test("a node whose directory has vanished is not made anew under its old number")
  func vanishedDirectory() throws {
    let directory = try TemporaryDirectory()
    var fleet = try StorageFleet.files(at: directory.path)
    let volume = try Volume.create(on: fleet)
    try volume.waitUntilDurable(try volume.write { $0.write(page(1), at: 0, [3]) })
    volume.close()
    fleet.stop()
    try FileManager.default.removeItem(atPath: directory.path + "/zone-a/node-0")
    fleet = try StorageFleet.files(at: directory.path)
    defer { fleet.stop() }
    #expect(fleet.startFailure(of: NodeID(0))?.code == .cannotOpen)
    #expect(fleet.host(NodeID(0)) == nil)
    let again = try Volume.open(on: fleet)
    #expect(try again.bytes(page(1))[0] == 3)
  }
}

extension FileVolumeTests {
  @Test("a zone and one node more are lost for good: the volume goes on with three copies, and repairs itself to six")
  func zoneAndOneMore() throws {
    let directory = try TemporaryDirectory()
    var fleet = try StorageFleet.files(at: directory.path, spares: 6)
    let volume = try Volume.create(on: fleet)
    for i in 0..<100 {
      try volume.waitUntilDurable(try volume.write { $0.write(page(UInt64(i)), at: 0, [UInt8(i + 1)]) })
    }
    volume.close()
    fleet.stop()
    let lost = fleet.topology.prefix(6).filter { $0.zone == ZoneID(2) || $0.node == NodeID(1) }
    #expect(lost.count == 3)
    for node in lost {
      try FileManager.default.removeItem(atPath: "\(directory.path)/zone-\(node.zone)/node-\(node.node.value)")
    }
    fleet = try StorageFleet.files(at: directory.path, spares: 6)
    defer { fleet.stop() }
    let refusal = #expect(throws: VolumeError.self) { try Volume.open(on: fleet, timeoutMilliseconds: 500) }
    #expect(refusal?.code == .unavailable)
    let wrong = #expect(throws: VolumeError.self) { try Volume.open(on: fleet, lost: [NodeID(0)]) }
    #expect(wrong?.code == .invalidArgument)
    let again = try Volume.open(on: fleet, options: RepairTests.options(zoneLostAfter: 3000), lost: lost.map(\.node))
    for i in 0..<100 { #expect(try again.bytes(page(UInt64(i)))[0] == UInt8(i + 1)) }
    try again.waitUntilDurable(try again.write { $0.write(page(200), at: 0, [7]) })
    #expect(again.configurations[0].rule.members.count == 4)
    let healed = try eventually {
      try again.waitUntilDurable(try again.write { $0.write(page(201), at: 0, [8]) })
      let configuration = again.configurations[0]
      return configuration.pending == nil && configuration.rule.members.count == 6
        && lost.allSatisfy { configuration.index(of: $0.node) == nil }
    }
    #expect(healed, "\(again.configurations[0])")
  }
}

@Suite("Coordinators")
struct CoordinatorTests {
  private static let metadata = VolumeMetadata(
    volume: VolumeID(7), epoch: .zero, pageSize: 8192, extentPages: 16, groupPages: 64, policy: "aurora",
    allocationLimit: 1000)

  @Test("the epoch is a compare-and-swap and survives", arguments: [false, true])
  func compareAndSwap(onFiles: Bool) throws {
    let directory = try TemporaryDirectory()
    let coordinator: any Coordinator = onFiles ? FileCoordinator(directory: directory.path) : InMemoryCoordinator()
    #expect(try coordinator.load() == nil)
    let missing = #expect(throws: CoordinatorError.self) { try coordinator.advanceEpoch(from: .zero) }
    #expect(missing?.code == .notFound)
    try coordinator.create(Self.metadata)
    #expect(throws: CoordinatorError.self) { try coordinator.create(Self.metadata) }
    #expect(try coordinator.advanceEpoch(from: .zero) == VolumeEpoch(1))
    let late = #expect(throws: CoordinatorError.self) { try coordinator.advanceEpoch(from: .zero) }
    #expect(late?.code == .conflict)
    let again: any Coordinator = onFiles ? FileCoordinator(directory: directory.path) : coordinator
    #expect(try again.load()?.epoch == VolumeEpoch(1))
    #expect(try again.load()?.policy == "aurora")
  }

  @Test("damaged metadata is refused")
  func damaged() throws {
    let directory = try TemporaryDirectory()
    let coordinator = FileCoordinator(directory: directory.path)
    try coordinator.create(Self.metadata)
    let path = directory.path + "/volume.meta"
    let text = try String(contentsOfFile: path, encoding: .utf8)
    try text.replacingOccurrences(of: "pageSize 8192", with: "pageSize 4096").write(
      toFile: path, atomically: true, encoding: .utf8)
    let error = #expect(throws: CoordinatorError.self) { try coordinator.load() }
    #expect(error?.code == .corrupt)
  }
}
