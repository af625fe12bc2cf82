/// The name of a directory entry: 1 to 255 bytes, none of them `/` or 0; not `.` or `..`.
///
/// Bytes, as POSIX has it; a `String` is taken as UTF-8. The rules are checked where the name is used.
public struct FileName: Hashable, Sendable, ExpressibleByStringLiteral, CustomStringConvertible {
  /// The most bytes of a name.
  public static let lengthMax = 255
  /// The name.
  public let bytes: [UInt8]
  /// A name of these bytes.
  public init(bytes: [UInt8]) { self.bytes = bytes }
  /// A name in UTF-8.
  public init(_ text: some StringProtocol) { bytes = Array(text.utf8) }
  /// A name in UTF-8.
  public init(stringLiteral value: String) { bytes = Array(value.utf8) }
  /// The name as text; bytes that are not UTF-8 are replaced.
  public var description: String { String(decoding: bytes, as: UTF8.self) }

  func check(_ operation: StaticString) throws(FileSystemError) {
    guard bytes.count <= FileName.lengthMax else {
      throw FileSystemError(.nameTooLong, operation: operation, path: description)
    }
    guard !bytes.isEmpty, bytes != [46], bytes != [46, 46], !bytes.contains(47), !bytes.contains(0) else {
      throw FileSystemError(.invalidArgument, operation: operation, path: description, detail: "not a name")
    }
  }

  /// The hash by which entries are ordered, and their cookie: FNV-1a, mixed, in 16...2^63-1.
  static func hash(_ bytes: [UInt8]) -> UInt64 {
    var h: UInt64 = 0xCBF2_9CE4_8422_2325
    for byte in bytes { h = (h ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
    h = (h ^ (h >> 30)) &* 0xBF58_476D_1CE4_E5B9
    h = (h ^ (h >> 27)) &* 0x94D0_49BB_1331_11EB
    return h ^ (h >> 31)
  }
}
