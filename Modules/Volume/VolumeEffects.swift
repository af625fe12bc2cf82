public import BorealisCore
public import BorealisWire

/// Names somebody who waits for an LSN to become durable; chosen by the shell.
public typealias WaiterID = UInt64
/// Names a page read; chosen by the shell, unique among those under way.
public typealias ReadID = UInt64

/// A page as of some read point.
public struct PageImage: Hashable, Sendable {
  /// LSN of the last record applied; `.zero` where the page was never written.
  public var lsn: LSN
  /// The whole page: its count is the page size.
  public var bytes: [UInt8]
  /// Makes an image.
  public init(lsn: LSN, bytes: [UInt8]) {
    self.lsn = lsn
    self.bytes = bytes
  }
}

/// The end of a page read.
public struct CompletedRead: Sendable {
  /// The read, as it was named when it began.
  public var id: ReadID
  /// The page, or why there is none.
  public var result: Result<PageImage, VolumeError>
  /// Makes one.
  public init(id: ReadID, result: Result<PageImage, VolumeError>) {
    self.id = id
    self.result = result
  }
}

/// Something that people or the control plane may want to know of; nothing depends on it.
public enum VolumeEvent: Sendable, Hashable {
  /// A node refused this instance because of a higher volume epoch.
  case fenced(by: VolumeEpoch)
  /// The volume has grown by this group, which may be written to from now on.
  case grown(ProtectionGroupID)
  /// Growth is needed and the policy finds no place for another group, or no answer comes.
  case growthStalled(ProtectionGroupID, reason: String)
  /// A configuration is in force: decided on a write quorum, or learnt from a node.
  case configured(GroupConfiguration)
  /// A reader attached.
  case readerAttached(PeerID)
  /// A reader's registration expired; its read point holds nothing back any more.
  case readerExpired(PeerID)
  /// This reader (re)attached to its writer at a VDL, with an empty cache.
  case attached(vdl: LSN)
  /// This reader lost its stream and attaches anew.
  case lostStream(reason: String)
  /// Repair has begun, or taken back, a change of members.
  case repair(RepairPlanner.Action)
  /// Repair wanted a change that cannot be made now; it is tried again later.
  case repairRefused(RepairPlanner.Action, reason: String)
  /// A node says that its disk is full or failed.
  case nodeTrouble(NodeID, RejectReason)
}

/// What a volume's machine wants done, and what it has to tell.
///
/// Reused by the shell, which clears it before each step.
public struct VolumeEffects: Sendable {
  /// Messages to send, in order.
  public var sends: [Outgoing] = []
  /// Waiters whose LSN is durable now.
  public var durable: [WaiterID] = []
  /// Waiters that will never know, because the instance is fenced: whether their LSN is durable is unknown.
  public var failedWaiters: [WaiterID] = []
  /// Page reads that ended.
  public var reads: [CompletedRead] = []
  /// The new VDL, where it advanced in this step (a reader: the applied VDL).
  public var vdl: LSN?
  /// Whether a commit that was refused with `.wouldBlock` may be tried again.
  public var hasRoom = false
  /// Whether the instance is fenced.
  public var isFenced = false
  /// When the machine wants a `tick`, where the next one would be too late.
  public var timer: Instant?
  /// News for people.
  public var events: [VolumeEvent] = []

  /// No effects.
  public init() {}
  /// Clears everything, keeping capacity.
  public mutating func removeAll() {
    sends.removeAll(keepingCapacity: true)
    durable.removeAll(keepingCapacity: true)
    failedWaiters.removeAll(keepingCapacity: true)
    reads.removeAll(keepingCapacity: true)
    vdl = nil
    hasRoom = false
    isFenced = false
    timer = nil
    events.removeAll(keepingCapacity: true)
  }
  /// Whether there is nothing to do or tell.
  public var isEmpty: Bool {
    sends.isEmpty && durable.isEmpty && failedWaiters.isEmpty && reads.isEmpty && vdl == nil && !hasRoom
      && !isFenced && timer == nil && events.isEmpty
  }
}
