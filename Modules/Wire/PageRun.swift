public import BorealisCore

/// Versions of pages that lie one behind the other, inside a message's bytes: shared, never copied.
///
/// Each is its LSN, the number of its bytes (trailing zeros left out) and those; `.zero` and none where the page does not
/// exist.
public struct PageRun: Sendable {
  /// Bytes of a version besides its image.
  public static let overhead = 12
  /// The bytes of the whole message.
  public let bytes: [UInt8]
  /// Where the versions stand in them.
  public let range: Range<Int>
  /// How many pages there are.
  public let count: Int
  /// Makes a run of versions: of consecutive pages, from the first one on.
  public init(_ pages: [(lsn: LSN, image: [UInt8])]) {
    var bytes: [UInt8] = []
    for page in pages { page.image.withUnsafeBytes { PageRun.append(page.lsn, $0, to: &bytes) } }
    self.bytes = bytes
    range = 0..<bytes.count
    count = pages.count
  }
  /// Reads and checks a run of `count` versions, to the end of `r`; `bytes` is what `r` reads.
  init(count: Int, from r: inout ByteReader, bytes: [UInt8]) throws(DecodeError) {
    let start = r.offset
    for _ in 0..<count {
      _ = try r.lsn()
      _ = try r.raw(Int(try r.u32()))
    }
    self.bytes = bytes
    range = start..<r.offset
    self.count = count
  }

  /// Appends one version to a message.
  public static func append(_ lsn: LSN, _ image: UnsafeRawBufferPointer, to bytes: inout [UInt8]) {
    bytes.append(lsn)
    bytes.appendInteger(UInt32(image.count))
    bytes.append(contentsOf: image)
  }
  /// Calls `body` with the number, from 0 on, the LSN and the image of each version.
  public func forEach(_ body: (Int, LSN, UnsafeRawBufferPointer) -> Void) {
    bytes.withUnsafeBytes { raw in
      var at = range.lowerBound
      for number in 0..<count {
        let lsn = LSN(UInt64(littleEndian: raw.loadUnaligned(fromByteOffset: at, as: UInt64.self)))
        let length = Int(UInt32(littleEndian: raw.loadUnaligned(fromByteOffset: at + 8, as: UInt32.self)))
        at += PageRun.overhead
        body(number, lsn, UnsafeRawBufferPointer(rebasing: raw[at..<(at + length)]))
        at += length
      }
    }
  }
}

extension PageRun: Hashable {
  /// Whether the versions are the same, whatever message they stand in.
  public static func == (a: PageRun, b: PageRun) -> Bool {
    a.count == b.count && a.bytes[a.range] == b.bytes[b.range]
  }
  /// Hashes the versions.
  public func hash(into hasher: inout Hasher) {
    hasher.combine(count)
    hasher.combine(bytes[range])
  }
}
