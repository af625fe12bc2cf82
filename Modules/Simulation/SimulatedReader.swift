import BorealisCore
import BorealisVolume

/// The running machine of a reader.
final class ReaderProcess {
  var machine: VolumeReader
  init(_ machine: consuming VolumeReader) { self.machine = machine }
}

/// A reader instance that follows one writer until it crashes or another writer takes over.
final class SimulatedReader {
  /// A page read under way.
  struct PendingRead {
    var id: ReadID
    var page: Int
    /// Nil: as far as applied.
    var point: LSN?
    /// Applied VDL when the read began.
    var from: LSN
    /// The database task that wants it.
    var task: Int?
  }
  let peer: PeerID
  let writer: PeerID
  let zone: ZoneID
  let process: ReaderProcess
  var effects = VolumeEffects()
  var reads: [PendingRead] = []
  /// Read points that clients hold.
  ///
  /// One taken before the reader attached anew is not protected any more.
  var points: [(lsn: LSN, isLive: Bool)] = []
  var applied = LSN.zero
  /// The last transaction of the database that was seen here.
  var seen = 0
  /// When the writer last heard of this reader's read points.
  var heardAt = Instant.zero
  var isDead = false

  init(peer: PeerID, writer: PeerID, zone: ZoneID, process: ReaderProcess) {
    self.peer = peer
    self.writer = writer
    self.zone = zone
    self.process = process
  }
}
