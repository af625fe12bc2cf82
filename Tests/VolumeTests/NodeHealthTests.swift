import BorealisCore
import BorealisReplicationPolicy
import BorealisWire
import Testing

@testable import BorealisVolume

struct NodeHealthTests {
  static let second: UInt64 = 1_000_000_000
  static let topology = (0..<6).map { NodePlacement(node: NodeID(UInt32($0)), zone: ZoneID(UInt8($0 % 3))) }
  static func at(_ seconds: UInt64) -> Instant { Instant(nanoseconds: (100 + seconds) * second) }
  /// A tracker that began at second 0 and goes on as the test says; ticked every second.
  struct World {
    var tracker = NodeHealthTracker(topology.reversed(), downAfter: 10 * second, now: at(0))
    var seconds: UInt64 = 0
    mutating func pass(_ count: UInt64, hearing nodes: [UInt32] = []) {
      for _ in 0..<count {
        seconds += 1
        tracker.tick(now: at(seconds))
        for node in nodes { tracker.heard(NodeID(node), now: at(seconds)) }
      }
    }
    func isUp(_ node: UInt32) -> Bool { tracker.isUp(NodeID(node), now: at(seconds)) }
    func upSince(_ node: UInt32) -> UInt64 {
      tracker.health(now: at(seconds))[Int(node)].upSince.nanoseconds / second - 100
    }
  }

  @Test("a node never heard of is up for no time, and down when it has been silent from the beginning")
  func neverHeard() {
    var world = World()
    world.pass(9)
    #expect(world.isUp(3))
    #expect(world.upSince(3) == 9, "not up for any time")
    world.pass(1)
    #expect(!world.isUp(3))
    #expect(!world.tracker.isUp(NodeID(77), now: .zero), "a node that is not in the topology")
    #expect(world.tracker.health(now: NodeHealthTests.at(10)).map(\.node.value) == [0, 1, 2, 3, 4, 5])
    #expect(world.tracker.health(now: NodeHealthTests.at(10)).map(\.zone.value) == [0, 1, 2, 0, 1, 2])
  }

  @Test("up since the first answer, or the first after a silence of downAfter; shorter silences do not count")
  func silences() {
    var world = World()
    world.pass(2, hearing: [0])
    #expect(world.upSince(0) == 1)
    // It flaps: an answer every nine seconds, and so on.
    for _ in 0..<20 {
      world.pass(8)
      #expect(world.isUp(0))
      world.pass(1, hearing: [0])
    }
    #expect(world.upSince(0) == 1)
    world.pass(10)
    #expect(!world.isUp(0))
    world.pass(5)
    world.pass(3, hearing: [0])
    #expect(world.isUp(0))
    #expect(world.upSince(0) == world.seconds - 2)
  }

  @Test("time in which the owner did not run is not silence")
  func pauses() {
    var world = World()
    world.pass(5, hearing: [0, 1])
    world.pass(6, hearing: [0])
    // A minute in which nothing ran, then everything goes on.
    world.seconds += 60
    world.pass(1)
    #expect(world.isUp(0) && world.isUp(1))
    world.pass(3, hearing: [0])
    #expect(world.isUp(0) && world.upSince(0) == 1 && world.isUp(1))
    world.pass(1, hearing: [0])
    #expect(!world.isUp(1), "six seconds before the pause and four after it")
  }

  @Test("late and early news change nothing; equal inputs give equal trackers")
  func order() {
    var world = World()
    world.pass(5, hearing: [0])
    let before = world.tracker
    world.tracker.heard(NodeID(0), now: NodeHealthTests.at(2))
    world.tracker.heard(NodeID(99), now: NodeHealthTests.at(9))
    world.tracker.tick(now: NodeHealthTests.at(1))
    #expect(world.tracker == before)
  }
}
