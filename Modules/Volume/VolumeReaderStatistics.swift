import BorealisCore
import BorealisWire

/// What a reader has done since it began, and how far behind its writer it is.
public struct VolumeReaderStatistics: Sendable, Hashable {
  /// Times that it attached.
  public var attaches: UInt64 = 0
  /// Times that it lost the stream and had to attach anew.
  public var streamsLost: UInt64 = 0
  /// Records applied to pages in the cache.
  public var recordsApplied: UInt64 = 0
  /// Records queued for pages on their way.
  public var recordsQueued: UInt64 = 0
  /// Records of pages that it does not have.
  public var recordsDiscarded: UInt64 = 0
  /// Messages that could not be decoded or did not belong here.
  public var messagesDropped: UInt64 = 0
  /// Page reads served from the cache.
  public var cacheHits: UInt64 = 0
  /// Page reads that went to storage.
  public var cacheMisses: UInt64 = 0
  /// Pages asked for ahead of a reader who reads one after the other.
  public var pagesAhead: UInt64 = 0
  /// Pages in the cache at the moment.
  public var cachedPages = 0
  /// Bytes of stream messages kept at the moment.
  public var bufferedBytes = 0
  /// LSNs between the applied VDL and the writer's VDL as last heard.
  public var lagRecords: UInt64 = 0
  /// Timestamp of the last mini-transaction applied, in nanoseconds since 1970: the wall clock less this is the lag.
  public var lastTimestamp: UInt64 = 0

  /// All zero.
  public init() {}
}

extension VolumeReader {
  /// What the reader has done so far, and what it holds.
  public var statistics: VolumeReaderStatistics {
    var s = counters
    s.cachedPages = cache.count
    s.bufferedBytes = buffer.bytes
    s.lagRecords = knownVDL.value - min(appliedVDL, knownVDL).value
    return s
  }
  /// Which invariants do not hold, by number; empty when all do.
  public func checkInvariants() -> [String] {
    var problems = buffer.checkInvariants() + catalog.checkInvariants()
    if appliedVDL > knownVDL { problems.append("I8: applied \(appliedVDL) above the known VDL \(knownVDL)") }
    if !lastAppliedIsConsistencyPoint { problems.append("I8: applied \(appliedVDL) is inside a mini-transaction") }
    problems += cache.checkInvariants(lastIssued: appliedVDL)
    for group in groups where group.tail.current > appliedVDL {
      problems.append("I8: the tail of \(group.configuration.group) is above the applied VDL")
    }
    return problems
  }
}
