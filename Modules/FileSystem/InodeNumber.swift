/// The number of a file, directory or symbolic link: never used twice.
public struct InodeNumber: Hashable, Comparable, Sendable, CustomStringConvertible {
  /// The number; 1 is the root directory, 0 is none.
  public let value: UInt64
  /// Makes an inode number.
  public init(_ value: UInt64) { self.value = value }
  /// The root directory.
  public static let root = InodeNumber(1)
  /// Order by number.
  public static func < (lhs: InodeNumber, rhs: InodeNumber) -> Bool { lhs.value < rhs.value }
  /// The number in decimal.
  public var description: String { String(value) }
}

/// What an inode is.
public enum FileType: UInt8, Sendable, Hashable {
  /// A file with data.
  case file = 1
  /// A directory.
  case directory = 2
  /// A symbolic link.
  case symbolicLink = 3
}
