import BorealisCore
import BorealisVolume

/// The machine that an instance runs at the moment.
final class WriterProcess {
  var machine: VolumeWriter
  init(_ machine: consuming VolumeWriter) { self.machine = machine }
}
final class RecoveryProcess {
  var machine: VolumeRecovery
  init(_ machine: consuming VolumeRecovery) { self.machine = machine }
}
final class CreationProcess {
  var machine: VolumeCreation
  init(_ machine: consuming VolumeCreation) { self.machine = machine }
}

/// A database instance that opens the volume for writing: asks for an epoch, recovers, writes, until it crashes or is
/// fenced.
final class SimulatedWriter {
  /// A client that waits for its commit.
  struct Waiter {
    var id: WaiterID
    var transaction: Int
    var lsn: LSN
  }
  /// A page read under way.
  struct PendingRead {
    var id: ReadID
    var page: Int
    /// Nil: the head.
    var point: LSN?
    /// Number of mini-transactions that the writer had taken when the read began.
    var taken: Int
    /// The database task that wants it.
    var task: Int?
  }
  let peer: PeerID
  let zone: ZoneID
  var epoch = VolumeEpoch.zero
  var creation: CreationProcess?
  var recovery: RecoveryProcess?
  var writer: WriterProcess?
  var effects = VolumeEffects()
  /// VDL and first LSN at the opening.
  var base = LSN.zero
  var firstLSN = LSN.zero
  var waiters: [Waiter] = []
  var reads: [PendingRead] = []
  /// Read points that clients hold, ascending by age.
  var points: [LSN] = []
  /// Mini-transactions taken.
  var taken = 0
  /// The database's last transaction here, and the last one that is known to be durable.
  var head = 0
  var floor = 0
  var nextLSN = LSN.zero
  var vdl = LSN.zero
  var isFenced = false
  var isDead = false

  init(peer: PeerID, zone: ZoneID) {
    self.peer = peer
    self.zone = zone
  }
  /// Whether clients can use it.
  var isOpen: Bool {
    guard let writer, !isFenced, !isDead else { return false }
    return writer.machine.isOpen
  }
}
