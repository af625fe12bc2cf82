/// The name of an instance, unique in its cluster; also its endpoint's name.
///
/// The rules are those of RDS: 1 to 63 lower-case letters, digits and hyphens, a letter first, no hyphen at the end and
/// no two in a row. An identifier is checked when it is used (`problem`), so that all faults of a configuration are told
/// together.
public struct InstanceIdentifier: Hashable, Comparable, Sendable, ExpressibleByStringLiteral,
  ExpressibleByStringInterpolation, CustomStringConvertible
{
  /// The name.
  public let name: String
  /// Makes an identifier, checked later.
  public init(_ name: String) { self.name = name }
  /// Makes an identifier, checked later.
  public init(stringLiteral value: String) { name = value }
  /// The name.
  public var description: String { name }
  /// By name.
  public static func < (lhs: InstanceIdentifier, rhs: InstanceIdentifier) -> Bool { lhs.name < rhs.name }
  /// What is wrong with the name; nil where it may be used.
  public var problem: String? { IdentifierRules.problem(of: name) }
}

/// What clusters, instances and endpoints may be called.
public enum IdentifierRules {
  /// Characters of a name, at most.
  ///
  /// Source: `CreateDBCluster`, DBClusterIdentifier; also the limit of a label in DNS.
  public static let charactersMax = 63

  /// What is wrong with a name; nil where it may be used.
  public static func problem(of name: String) -> String? {
    let bytes = Array(name.utf8)
    let isLower: (UInt8) -> Bool = { (97...122).contains($0) }
    guard let first = bytes.first else { return "is empty; give 1 to \(charactersMax) letters, digits and hyphens" }
    if bytes.count > charactersMax { return "has \(bytes.count) characters; at most \(charactersMax) are allowed" }
    if !isLower(first) { return "begins with '\(name.prefix(1))'; begin with a lower-case letter" }
    for (i, byte) in bytes.enumerated() {
      let isHyphen = byte == 45
      if !isLower(byte), !(48...57).contains(byte), !isHyphen {
        return "has a character other than lower-case letters, digits and hyphens; replace it"
      }
      if isHyphen, i + 1 == bytes.count { return "ends with a hyphen; remove it" }
      if isHyphen, bytes[i + 1] == 45 { return "has two hyphens in a row; remove one" }
    }
    return nil
  }
}
