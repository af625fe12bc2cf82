public import BorealisCore
import BorealisWire

/// Page writes and discards that become visible together or not at all (MTR).
///
/// A plain list: nothing happens before `VolumeWriter.commit`. Made once and reused with `removeAll`, it does not
/// allocate. Source: P17 §4.1, P18 §3.3.
public struct MiniTransaction: Sendable {
  /// One entry: `count` bytes from `start` in the contents, to be written at `offset`; a discard has `count` -1.
  struct Entry: Sendable {
    var page: PageID
    var offset: Int32
    var count: Int32
    var start: Int
    var isDiscard: Bool { count < 0 }
  }
  /// Bytes of a page.
  public let pageSize: Int
  private(set) var entries: [Entry] = []
  private(set) var contents: [UInt8] = []

  /// An empty mini-transaction for pages of this many bytes.
  public init(pageSize: Int) {
    precondition(pageSize > 0 && pageSize <= 65536)
    self.pageSize = pageSize
  }
  /// Adds a write of `bytes` at byte `offset` of `page`.
  ///
  /// The range must lie within the page and not be empty; object 0 is the volume's own.
  public mutating func write(_ page: PageID, at offset: Int, _ bytes: UnsafeRawBufferPointer) {
    precondition(offset >= 0 && !bytes.isEmpty && offset <= pageSize - bytes.count, "write outside the page")
    entries.append(
      Entry(page: page, offset: Int32(offset), count: Int32(bytes.count), start: contents.count))
    contents.append(contentsOf: bytes)
  }
  /// Adds a write of `bytes` at byte `offset` of `page`.
  public mutating func write(_ page: PageID, at offset: Int, _ bytes: [UInt8]) {
    bytes.withUnsafeBytes { write(page, at: offset, $0) }
  }
  /// Adds giving `page` back: it reads as zeros until it is written again.
  public mutating func discard(_ page: PageID) {
    entries.append(Entry(page: page, offset: 0, count: -1, start: contents.count))
  }
  /// Makes room for so many whole pages, so that adding them does not move what is there.
  package mutating func reserve(pages: Int) {
    entries.reserveCapacity(entries.count + pages)
    contents.reserveCapacity(contents.count + pages * pageSize)
  }
  /// Calls `body` with each write (page, offset, bytes) and discard (bytes nil), in order.
  package borrowing func forEach<E: Error>(
    _ body: (PageID, Int, UnsafeRawBufferPointer?) throws(E) -> Void
  ) throws(E) {
    for entry in entries {
      guard !entry.isDiscard else {
        try body(entry.page, 0, nil)
        continue
      }
      try contents.withUnsafeBytesTyped { raw throws(E) in
        try body(
          entry.page, Int(entry.offset),
          UnsafeRawBufferPointer(rebasing: raw[entry.start..<(entry.start + Int(entry.count))]))
      }
    }
  }
  /// Whether there is nothing in it.
  public var isEmpty: Bool { entries.isEmpty }
  /// Number of writes and discards.
  public var count: Int { entries.count }
  /// Bytes to be written.
  public var byteCount: Int { contents.count }
  /// Empties it, keeping its capacity.
  public mutating func removeAll() {
    entries.removeAll(keepingCapacity: true)
    contents.removeAll(keepingCapacity: true)
  }
}
