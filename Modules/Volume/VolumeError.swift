public import BorealisCore

/// Why an operation of a volume failed, what may have happened, and what to do.
public struct VolumeError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The kinds of failure.
  public enum Code: String, Hashable, Sendable {
    /// Another writer has opened the volume at a higher epoch: this one can do nothing any more.
    case fenced
    /// The mini-transaction can never fit: more records than LAL, or more bytes than may be in flight.
    case tooLarge
    /// No segment could serve the request in time.
    case unavailable
    /// The read point is below PGMRPL: versions may be gone.
    case readPointTooOld
    /// No room at the moment (back-pressure): nothing was applied; try again after `VolumeEffects.hasRoom`.
    case wouldBlock
    /// The volume is not open (yet, or any more).
    case closed
    /// Bytes that should be there are malformed on every copy that could be asked.
    case damaged
    /// An argument is outside its range: page size, offset, object 0, a read point above VDL.
    case invalidArgument
    /// The volume, group or page named does not exist.
    case notFound
    /// Another change of the same kind is under way.
    case conflict
  }
  /// What may have happened to the operation that failed.
  public enum Outcome: String, Hashable, Sendable {
    /// Nothing of it took effect, nor will.
    case notApplied
    /// It may or may not be found applied later.
    case unknown
  }
  /// The kind of failure.
  public let code: Code
  /// What may have happened.
  public let outcome: Outcome
  /// The operation that failed: `commit`, `read`.
  public let operation: StaticString
  /// The LSN concerned, where there is one.
  public let lsn: LSN?
  /// The page concerned, where there is one.
  public let page: PageID?
  /// The group concerned, where there is one.
  public let group: ProtectionGroupID?
  /// Whether it failed for want of room that waiting does not bring.
  public let isFull: Bool
  /// More for people.
  public let detail: String

  /// Makes an error.
  public init(
    _ code: Code, operation: StaticString, outcome: Outcome = .notApplied, lsn: LSN? = nil, page: PageID? = nil,
    group: ProtectionGroupID? = nil, isFull: Bool = false, detail: String = ""
  ) {
    self.code = code
    self.outcome = outcome
    self.operation = operation
    self.lsn = lsn
    self.page = page
    self.group = group
    self.isFull = isFull
    self.detail = detail
  }
  /// Whether the same call may succeed later on the same instance.
  public var isRetryable: Bool {
    switch code {
    case .unavailable, .wouldBlock, .conflict: true
    case .fenced, .tooLarge, .readPointTooOld, .closed, .damaged, .invalidArgument, .notFound: false
    }
  }
  /// What to do about it.
  public var hint: String {
    switch code {
    case .fenced: "another writer owns the volume; open it again to take it back"
    case .tooLarge: "split the mini-transaction, or raise the limit"
    case .unavailable: "check which storage nodes are reachable; a read needs one full segment, a commit a write quorum"
    case .readPointTooOld: "take a new read point"
    case .wouldBlock: "wait until the volume has room and try again"
    case .closed: "open the volume first"
    case .damaged: "check the devices of the group's nodes"
    case .invalidArgument: "correct the argument"
    case .notFound: "check the name"
    case .conflict: "wait until the change under way has ended"
    }
  }
  /// One line for people.
  public var description: String {
    var text = "volume \(operation) failed: \(code.rawValue)"
    if let page { text += ", page \(page)" }
    if let group { text += ", \(group)" }
    if let lsn { text += ", LSN \(lsn)" }
    if !detail.isEmpty { text += " (\(detail))" }
    if outcome == .unknown { text += "; whether it took effect is unknown" }
    return text + "; " + hint
  }
  /// Equal when everything but the detail is.
  public static func == (lhs: VolumeError, rhs: VolumeError) -> Bool {
    lhs.code == rhs.code && lhs.outcome == rhs.outcome && lhs.lsn == rhs.lsn && lhs.page == rhs.page
      && lhs.group == rhs.group && lhs.operation.description == rhs.operation.description
  }
  /// Hashes code, LSN and page.
  public func hash(into hasher: inout Hasher) {
    hasher.combine(code)
    hasher.combine(lsn)
    hasher.combine(page)
  }
}
