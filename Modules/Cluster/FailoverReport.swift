public import BorealisClusterModel

/// What a failover did, and when: all times in nanoseconds since 1970.
public struct FailoverReport: Hashable, Sendable, Codable, CustomStringConvertible {
  /// Why it happened.
  public enum Cause: String, Hashable, Sendable, Codable {
    /// Somebody asked for it.
    case planned
    /// The writer has ended.
    case writerEnded
    /// The writer did not answer any more.
    case writerUnresponsive
    /// The writer's zone was lost.
    case zoneLost
  }
  /// Why.
  public var cause: Cause
  /// The writer before.
  public var oldWriter: String
  /// The writer after.
  public var newWriter: String
  /// The volume epoch before, and after: the old writer cannot commit below it.
  public var oldEpoch: UInt64
  /// The volume epoch after.
  public var newEpoch: UInt64
  /// Last sign of life of the old writer; when it was asked for, where it was planned.
  public var failedAt: UInt64
  /// When the cluster knew.
  public var detectedAt: UInt64
  /// When the volume was the new writer's: the old one fenced, and the volume recovered.
  public var fencedAt: UInt64
  /// When the new writer's engine worked.
  public var promotedAt: UInt64
  /// When the cluster endpoint led to it.
  public var endpointMovedAt: UInt64

  /// From the last sign of life to the endpoint's move, in milliseconds.
  public var milliseconds: Double { Double(endpointMovedAt &- failedAt) / 1_000_000 }

  /// The time line in one line, for people.
  public var description: String {
    func after(_ time: UInt64) -> UInt64 { (time &- min(time, failedAt)) / 1_000_000 }
    return "\(oldWriter) -> \(newWriter), epoch \(newEpoch): detected after \(after(detectedAt)), "
      + "fenced \(after(fencedAt)), promoted \(after(promotedAt)), endpoint moved \(after(endpointMovedAt)) ms"
  }
  /// The time line, a line each, for people.
  public var timeline: String {
    func line(_ name: String, _ time: UInt64) -> String {
      let tenths = (time &- min(time, failedAt)) / 100_000
      let text = "+\(tenths / 10).\(tenths % 10) ms"
      return "  " + name + String(repeating: " ", count: max(1, 34 - name.count - text.count)) + text
    }
    return [
      "failover (\(cause.rawValue)): \(oldWriter), epoch \(oldEpoch) -> \(newWriter), epoch \(newEpoch)",
      line(cause == .planned ? "asked for" : "last sign of life", failedAt), line("detected", detectedAt),
      line("fenced and recovered", fencedAt), line("promoted", promotedAt), line("endpoint moved", endpointMovedAt),
    ].joined(separator: "\n")
  }
}

/// Who is promoted when the writer fails.
public enum FailoverChoice {
  /// An instance that could be promoted.
  public struct Candidate: Hashable, Sendable {
    /// The instance.
    public var instance: InstanceIdentifier
    /// Its tier.
    public var tier: PromotionTier
    /// What it has.
    public var capacity: InstanceCapacity
    /// Makes a candidate.
    public init(_ instance: InstanceIdentifier, tier: PromotionTier, capacity: InstanceCapacity) {
      self.instance = instance
      self.tier = tier
      self.capacity = capacity
    }
  }
  /// The candidates, the one to be promoted first: best tier, then the largest, then by name.
  ///
  /// Source: Aurora user guide, "Fault tolerance": tier, then size, then arbitrary. By name is our choice, so that people
  /// know beforehand.
  public static func order(_ candidates: [Candidate]) -> [Candidate] {
    candidates.sorted {
      if $0.tier != $1.tier { return $0.tier < $1.tier }
      if $0.capacity != $1.capacity { return $0.capacity > $1.capacity }
      return $0.instance < $1.instance
    }
  }
}
