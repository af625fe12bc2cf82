import BorealisCore
import BorealisStorageBackend

/// What can happen next.
enum SimulationEvent {
  /// A message arrives.
  case deliver(from: PeerID, to: PeerID, bytes: [UInt8])
  /// A node's periodic work; void when the node has been restarted since.
  case nodeTick(Int, incarnation: UInt32)
  /// A node's disk has finished what it was doing in a lane.
  case storage(Int, incarnation: UInt32, StorageLane)
  /// A node's process starts.
  case nodeStart(Int)
  /// An instance's periodic work.
  case instanceTick(PeerID)
  /// The metadata service answers an opener; `read` is the epoch that it read first.
  case metadata(PeerID, read: VolumeEpoch)
  /// Look whether a writer must be started.
  case supervise
  /// Look whether readers must be started.
  case superviseReaders
  /// A client does something.
  case client(Int)
  /// A read point that a client held is let go.
  case closePoint(PeerID, LSN)
  /// A client of the database has all the pages that it wanted.
  case databaseTask(Int)
  /// A client of the database reads a page at its read point, after the head was of no use.
  case databaseRead(task: Int, page: Int)
  /// A client of the database reads a snapshot again that it has held.
  case databaseSnapshot(Int)
  /// Another fault begins.
  case fault
  /// A fault ends.
  case heal(Healing)
  /// Progress of the liveness phase is looked at.
  case liveness
}

/// The end of a fault.
enum Healing {
  case mend(cut: Int)
  case disk(Int)
  case metadata
  case network
  case maintenance(Int)
}
