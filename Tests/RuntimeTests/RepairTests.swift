import Borealis
import Foundation
import Synchronization
import Testing

/// What repair decided, in order.
final class RepairLog: Sendable {
  private let actions = Mutex<[RepairPlanner.Action]>([])
  init(_ volume: Volume) {
    volume.onEvent { [weak self] event in
      guard case .repair(let action) = event else { return }
      self?.actions.withLock { $0.append(action) }
    }
  }
  var plans: [MembershipPlan] { actions.withLock { $0.map(\.plan) } }
}

/// Clients that commit all the time; each page holds the number of the last commit to it.
final class Load: Sendable {
  private let volume: Volume
  private let isStopping = Atomic<Bool>(false)
  private let acknowledged = Mutex<[UInt64]>([0, 0])
  private let failure = Mutex<VolumeError?>(nil)
  private let ended = DispatchSemaphore(value: 0)

  init(_ volume: Volume) {
    self.volume = volume
    for client in 0..<2 {
      Thread { [self] in run(client) }.start()
    }
  }
  private func run(_ client: Int) {
    defer { ended.signal() }
    var count: UInt64 = 0
    while !isStopping.load(ordering: .relaxed) {
      count += 1
      let bytes = withUnsafeBytes(of: count.littleEndian) { Array($0) }
      do throws(VolumeError) {
        let target = page(Load.index(client, count))
        try volume.waitUntilDurable(try volume.write { $0.write(target, at: 0, bytes) })
      } catch {
        failure.withLock { $0 = error }
        return
      }
      acknowledged.withLock { $0[client] = count }
    }
  }
  private static func index(_ client: Int, _ count: UInt64) -> UInt64 { UInt64(client) * 64 + count % 64 }
  /// Commits acknowledged so far, by all clients.
  var commits: UInt64 { acknowledged.withLock { $0.reduce(0, +) } }
  /// Whether commits go on.
  func goesOn() -> Bool {
    let before = commits
    return eventually { commits > before + 20 }
  }
  func stop() throws {
    isStopping.store(true, ordering: .relaxed)
    for _ in 0..<2 { ended.wait() }
    if let error = failure.withLock({ $0 }) { throw error }
  }
  /// Pages that do not hold what was acknowledged, through any opening of the volume.
  func missing(in volume: Volume) throws -> Int {
    var missing = 0
    for (client, last) in acknowledged.withLock({ $0 }).enumerated() {
      for count in (last > 64 ? last - 63 : 1)...max(last, 1) where last > 0 {
        let bytes = try volume.bytes(page(Load.index(client, count)))
        let found = bytes.withUnsafeBytes { UInt64(littleEndian: $0.loadUnaligned(as: UInt64.self)) }
        // A later commit to the page may have been applied without having been waited for.
        if found < count { missing += 1 }
      }
    }
    return missing
  }
}

@Suite("Volumes that heal by themselves")
struct RepairTests {
  static let group = ProtectionGroupID(0)
  /// Short times, so that tests are quick; long against what a busy machine delays a message by.
  static func options(zoneLostAfter: UInt64 = 600_000, downAfter: UInt64 = 1500) -> VolumeOptions {
    var settings = RepairPlanner.Settings()
    settings.downAfter = downAfter * 1_000_000
    settings.zoneLostAfter = zoneLostAfter * 1_000_000
    settings.backAfter = 300_000_000
    settings.checkEvery = 50_000_000
    var options = VolumeOptions()
    options.repair = settings
    return options
  }
  static func members(_ volume: Volume) -> Set<UInt32> {
    Set((volume.configurations.first?.members ?? []).map(\.node.value))
  }
  /// Whether the group comes to have these members, and no change under way.
  static func comesToRest(_ volume: Volume, _ nodes: Set<UInt32>) -> Bool {
    eventually { volume.configurations.first?.pending == nil && members(volume) == nodes }
  }

  @Test("a lost disk is replaced by a spare without anybody asking, under load; its node comes back as nobody")
  func lostDisk() throws {
    let directory = try TemporaryDirectory()
    let fleet = try StorageFleet.files(at: directory.path, spares: 3)
    defer { fleet.stop() }
    let volume = try Volume.create(on: fleet, options: Self.options())
    let log = RepairLog(volume)
    let load = Load(volume)
    #expect(load.goesOn())
    #expect(log.plans.isEmpty)
    let lost = fleet.topology[1]
    let place = "\(directory.path)/zone-\(lost.zone)/node-\(lost.node.value)"
    fleet.stop(lost.node)
    try FileManager.default.moveItem(atPath: place, toPath: directory.path + "/elsewhere")
    #expect(load.goesOn())
    #expect(Self.comesToRest(volume, [0, 2, 3, 4, 5, 7]), "\(volume.configurations)")
    #expect(load.goesOn())
    let spare = SegmentMember(node: NodeID(7), zone: lost.zone)
    #expect(log.plans == [.replace(lost.node, with: spare)])
    // Its disk turns up again.
    try FileManager.default.moveItem(atPath: directory.path + "/elsewhere", toPath: place)
    try fleet.start(lost.node)
    #expect(eventually { fleet.host(lost.node)?.status(of: Self.group) == nil }, "the segment is dropped")
    #expect(load.goesOn())
    try load.stop()
    #expect(try load.missing(in: volume) == 0)
    #expect(volume.checkInvariants() == [])
    #expect(Self.members(volume) == [0, 2, 3, 4, 5, 7])
    // With two of the old members gone the new one is needed: it must know everything.
    volume.close()
    for node in [UInt32(0), 2] { fleet.stop(NodeID(node)) }
    #expect(try load.missing(in: try Volume.open(on: fleet, options: Self.options())) == 0)
  }

  @Test("two nodes lost one after the other are both replaced")
  func twoLost() throws {
    let fleet = try StorageFleet.inMemory(spares: 3)
    defer { fleet.stop() }
    let volume = try Volume.create(on: fleet, options: Self.options())
    let log = RepairLog(volume)
    let load = Load(volume)
    #expect(load.goesOn())
    fleet.stop(NodeID(0))
    #expect(eventually { !log.plans.isEmpty })
    fleet.stop(NodeID(4))
    #expect(load.goesOn())
    #expect(Self.comesToRest(volume, [1, 2, 3, 5, 6, 7]), "\(volume.configurations)")
    // A third one, and a fourth: borne only because the first two were replaced.
    fleet.stop(NodeID(2))
    fleet.stop(NodeID(3))
    #expect(load.goesOn())
    try load.stop()
    #expect(try load.missing(in: volume) == 0)
    #expect(volume.checkInvariants() == [])
  }

  @Test("a zone lost for long is given up, so that one node more is borne; it is taken back when it is there again")
  func lostZone() throws {
    let fleet = try StorageFleet.inMemory()
    defer { fleet.stop() }
    let volume = try Volume.create(on: fleet, options: Self.options(zoneLostAfter: 3000))
    let log = RepairLog(volume)
    let load = Load(volume)
    #expect(load.goesOn())
    fleet.stopZone(ZoneID(2))
    #expect(Self.comesToRest(volume, [0, 1, 3, 4]), "\(volume.configurations)")
    #expect(volume.configurations[0].rule.isWriteQuorum(MemberSet.first(3)), "three of four")
    fleet.stop(NodeID(0))
    #expect(load.goesOn())
    try fleet.start(NodeID(0))
    try fleet.startZone(ZoneID(2))
    #expect(Self.comesToRest(volume, [0, 1, 2, 3, 4, 5]), "\(volume.configurations)")
    #expect(load.goesOn())
    try load.stop()
    #expect(try load.missing(in: volume) == 0)
    #expect(volume.checkInvariants() == [])
    guard log.plans.count == 2, case .loseZone(ZoneID(2)) = log.plans[0], case .returnZone = log.plans[1] else {
      Issue.record("\(log.plans)")
      return
    }
    // Full again: the zone counts.
    fleet.stopZone(ZoneID(1))
    try volume.waitUntilDurable(try volume.write { $0.write(page(500), at: 0, [1]) })
  }

  @Test("a node that flaps quickly is not replaced")
  func flapping() throws {
    let fleet = try StorageFleet.inMemory(spares: 3)
    defer { fleet.stop() }
    let volume = try Volume.create(on: fleet, options: Self.options())
    let log = RepairLog(volume)
    let load = Load(volume)
    let clock = ContinuousClock()
    let start = clock.now
    var longest = Duration.zero
    while clock.now - start < .seconds(4) {
      let down = clock.now
      fleet.stop(NodeID(1))
      Thread.sleep(forTimeInterval: 0.1)
      try fleet.start(NodeID(1))
      Thread.sleep(forTimeInterval: 0.1)
      longest = max(longest, clock.now - down)
    }
    try load.stop()
    // On a machine so busy that this takes a second, a silence may well have been one.
    if longest < .seconds(1) { #expect(log.plans.isEmpty) }
    #expect(try load.missing(in: volume) == 0)
  }

  @Test("with repair off nothing happens; a writer that opens with repair on goes to work")
  func off() throws {
    let fleet = try StorageFleet.inMemory(spares: 3)
    defer { fleet.stop() }
    var options = Self.options()
    options.repair = nil
    let volume = try Volume.create(on: fleet, options: options)
    let log = RepairLog(volume)
    try volume.waitUntilDurable(try volume.write { $0.write(page(1), at: 0, [5]) })
    fleet.stop(NodeID(1))
    Thread.sleep(forTimeInterval: 3)
    try volume.waitUntilDurable(try volume.write { $0.write(page(1), at: 1, [6]) })
    #expect(log.plans.isEmpty)
    #expect(Self.members(volume) == [0, 1, 2, 3, 4, 5])
    volume.close()
    let again = try Volume.open(on: fleet, options: Self.options())
    #expect(Self.comesToRest(again, [0, 2, 3, 4, 5, 7]))
    #expect(Array(try again.bytes(page(1))[0...1]) == [5, 6])
  }

  @Test("without a spare the planner waits, and a node that comes back is a member as before")
  func noSpare() throws {
    let fleet = try StorageFleet.inMemory()
    defer { fleet.stop() }
    let volume = try Volume.create(on: fleet, options: Self.options())
    let log = RepairLog(volume)
    let load = Load(volume)
    fleet.stop(NodeID(1))
    Thread.sleep(forTimeInterval: 2.5)
    #expect(load.goesOn())
    try fleet.start(NodeID(1))
    #expect(load.goesOn())
    try load.stop()
    #expect(log.plans.isEmpty && Self.members(volume) == [0, 1, 2, 3, 4, 5])
    #expect(eventually { (fleet.host(NodeID(1))?.status(of: Self.group)?.scl ?? .zero) >= volume.vdl })
  }
}
