/// What an instance does in its cluster.
public enum InstanceRole: String, Hashable, Sendable, Codable, CustomStringConvertible {
  /// The one that writes.
  case writer
  /// One of up to fifteen that only read.
  case reader
  /// `writer` or `reader`.
  public var description: String { rawValue }
}

/// How early an instance is promoted when the writer fails: 0 first, 15 last.
///
/// Source: Aurora user guide, "Fault tolerance for an Aurora DB cluster": 0 to 15, default 1.
public struct PromotionTier: Hashable, Comparable, Sendable, ExpressibleByIntegerLiteral, CustomStringConvertible {
  /// The tiers there are.
  public static let range = 0...15
  /// The tier of an instance for which none is given.
  public static let standard: PromotionTier = 1
  /// The tier, as given; outside of `range` it is refused when the configuration is checked.
  public let value: Int
  /// Makes a tier, checked later.
  public init(_ value: Int) { self.value = value }
  /// Makes a tier, checked later.
  public init(integerLiteral value: Int) { self.value = value }
  /// Whether `lhs` is promoted earlier.
  public static func < (lhs: PromotionTier, rhs: PromotionTier) -> Bool { lhs.value < rhs.value }
  /// The number.
  public var description: String { "\(value)" }
}
