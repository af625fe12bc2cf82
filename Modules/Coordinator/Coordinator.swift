import BorealisCore

/// What the control plane knows of a volume: its shape, fixed at creation, and its volume epoch.
public struct VolumeMetadata: Sendable, Hashable {
  /// The volume.
  public var volume: VolumeID
  /// The highest epoch that anybody was given.
  public var epoch: VolumeEpoch
  /// Bytes of a page.
  public var pageSize: Int
  /// Pages of an extent, the unit in which objects are assigned to protection groups.
  public var extentPages: Int
  /// Pages of a protection group.
  public var groupPages: Int
  /// Name of the replication policy.
  public var policy: String
  /// LSN allocation limit (LAL), in records.
  public var allocationLimit: UInt64

  /// Makes metadata.
  public init(
    volume: VolumeID, epoch: VolumeEpoch, pageSize: Int, extentPages: Int, groupPages: Int, policy: String,
    allocationLimit: UInt64
  ) {
    self.volume = volume
    self.epoch = epoch
    self.pageSize = pageSize
    self.extentPages = extentPages
    self.groupPages = groupPages
    self.policy = policy
    self.allocationLimit = allocationLimit
  }
}

/// Where cluster metadata lives: asked when a volume is created or opened, never on the data path (I15).
///
/// Contract:
/// 1. `advanceEpoch` is a compare-and-swap: of several callers with the same `from`, one gets `from.next`, the others
///    `.conflict`.
/// 2. What a call returned is durable.
/// 3. Calls may block; they never run on Swift's pool.
public protocol Coordinator: Sendable {
  /// The metadata of `volume`; nil where there is none.
  func load() throws(CoordinatorError) -> VolumeMetadata?
  /// Records a new volume; `.conflict` where there is one.
  func create(_ metadata: VolumeMetadata) throws(CoordinatorError)
  /// Step 1 of recovery (protocol §5.6): epoch `from` becomes `from.next`, which is returned.
  func advanceEpoch(from: VolumeEpoch) throws(CoordinatorError) -> VolumeEpoch
}

/// What went wrong at the coordinator.
public struct CoordinatorError: Error, Sendable, CustomStringConvertible {
  /// The kinds of failure.
  public enum Code: String, Sendable, Hashable {
    /// Somebody else was first: load again.
    case conflict
    /// The store cannot be reached or written now.
    case unavailable
    /// What is stored cannot be read.
    case corrupt
    /// There is no such volume.
    case notFound
  }
  /// The kind.
  public let code: Code
  /// For people.
  public let detail: String
  /// Makes an error.
  public init(_ code: Code, _ detail: String) {
    self.code = code
    self.detail = detail
  }
  /// Whether the same call may succeed later.
  public var isRetryable: Bool { code == .unavailable || code == .conflict }
  /// One line for people.
  public var description: String { "volume metadata: \(code.rawValue): \(detail)" }
}
