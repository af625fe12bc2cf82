/// Why bytes were refused by a decoder: what was malformed, in which structure, and where.
public struct DecodeError: Error, Hashable, Sendable, CustomStringConvertible {
  /// The kinds of malformed input.
  public enum Code: String, Hashable, Sendable {
    /// Fewer bytes than the structure needs or its length field says.
    case truncated
    /// The first bytes are not this structure's.
    case badMagic
    /// A version that this build does not read.
    case unsupportedVersion
    /// The checksum does not match the bytes.
    case checksumMismatch
    /// A field holds a value outside its range.
    case invalidField
    /// More bytes than the structure has.
    case trailingBytes
  }
  /// What was malformed.
  public let code: Code
  /// The structure, and the field where one is known: `record.length`.
  public let structure: StaticString
  /// Byte offset into the input.
  public let offset: Int

  /// Makes an error.
  public init(_ code: Code, _ structure: StaticString, offset: Int = 0) {
    self.code = code
    self.structure = structure
    self.offset = offset
  }
  /// One line for people.
  public var description: String { "\(structure): \(code.rawValue) at byte \(offset)" }
  /// Equal when code, structure and offset are.
  public static func == (lhs: DecodeError, rhs: DecodeError) -> Bool {
    lhs.code == rhs.code && lhs.offset == rhs.offset && lhs.structure.description == rhs.structure.description
  }
  /// Hashes code and offset.
  public func hash(into hasher: inout Hasher) {
    hasher.combine(code)
    hasher.combine(offset)
  }
}
