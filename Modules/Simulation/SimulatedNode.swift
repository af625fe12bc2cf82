import BorealisCore
import BorealisStorageBackend
import BorealisStorageNode

/// The running process of a storage node: gone in a crash.
final class NodeProcess {
  var machine: StorageNode
  init(_ machine: consuming StorageNode) { self.machine = machine }
}

/// A storage node: a disk that outlives crashes, and a process.
final class SimulatedNode {
  /// A job of a lane that is under way.
  struct Lane {
    var job: StorageJob?
    var next = 0
    /// Whether the time that the next operation takes has been spent.
    var isDue = false
  }
  let id: NodeID
  let zone: ZoneID
  let disk: SimulatedDisk
  /// Nil while it is down.
  var process: NodeProcess?
  /// Counts process starts: events of an earlier one are void.
  var incarnation: UInt32 = 0
  var lanes: [Lane] = [Lane(), Lane()]
  /// What a sync's time is multiplied by.
  var slowness: UInt64 = 1
  /// The disk is gone, and the node with it.
  var isLost = false
  /// Down until somebody starts it (a zone without power).
  var isHeldDown = false
  /// Down because the liveness phase begins without it.
  var isKeptDown = false
  /// Why the last start failed, for the story.
  var startFailures = 0

  init(id: NodeID, zone: ZoneID, disk: SimulatedDisk) {
    self.id = id
    self.zone = zone
    self.disk = disk
  }
  /// Whether its process runs.
  var isUp: Bool { process != nil }
  /// Its address.
  var peer: PeerID { .node(id) }
}
