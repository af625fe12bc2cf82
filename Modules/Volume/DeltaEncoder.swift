import BorealisCore
import BorealisWire

/// Finds which bytes of a page a write changes: the ranges of a delta record.
struct DeltaEncoder: Sendable {
  /// Equal bytes between two differences that are worth a range of their own: a range costs 8 bytes, and cutting 8 to 15
  /// equal bytes out would save next to nothing for another step on every segment.
  static let gapMin = 16

  struct Span: Sendable, Equatable {
    var offset: Int32
    var count: Int32
  }
  /// The ranges found last, within the page.
  private(set) var spans: [Span] = []

  /// Bytes of a delta's payload with these ranges.
  var payloadSize: Int {
    var size = 0
    for span in spans { size += Int(span.count) + RecordPayload.rangeOverhead }
    return size
  }
  mutating func set(offset: Int, count: Int) {
    spans.removeAll(keepingCapacity: true)
    spans.append(Span(offset: Int32(offset), count: Int32(count)))
  }

  /// Compares `count` bytes; `offset` is where they lie in the page.
  mutating func compare(
    old: UnsafeRawPointer, new: UnsafeRawPointer, count: Int, at offset: Int
  ) {
    spans.removeAll(keepingCapacity: true)
    var at = DeltaEncoder.difference(old, new, from: 0, limit: count)
    while at < count {
      let start = at
      var end = at + 1
      while true {
        // The next difference within the gap; a whole word of differences is passed in one step.
        if end + 8 <= count {
          let word =
            old.loadUnaligned(fromByteOffset: end, as: UInt64.self)
            ^ new.loadUnaligned(fromByteOffset: end, as: UInt64.self)
          if word != 0 {
            end += 8 - UInt64(littleEndian: word).leadingZeroBitCount / 8
            continue
          }
        }
        at = DeltaEncoder.difference(old, new, from: end, limit: min(count, end + DeltaEncoder.gapMin))
        if at >= min(count, end + DeltaEncoder.gapMin) { break }
        end = at + 1
      }
      spans.append(Span(offset: Int32(offset + start), count: Int32(end - start)))
      at = DeltaEncoder.difference(old, new, from: end, limit: count)
    }
  }
  /// The first place from `from` on where the bytes differ, `limit` where there is none.
  private static func difference(_ old: UnsafeRawPointer, _ new: UnsafeRawPointer, from: Int, limit: Int) -> Int {
    var at = from
    while at + 8 <= limit {
      let word =
        old.loadUnaligned(fromByteOffset: at, as: UInt64.self) ^ new.loadUnaligned(fromByteOffset: at, as: UInt64.self)
      if word != 0 { return at + UInt64(littleEndian: word).trailingZeroBitCount / 8 }
      at += 8
    }
    while at < limit {
      if old.load(fromByteOffset: at, as: UInt8.self) != new.load(fromByteOffset: at, as: UInt8.self) { return at }
      at += 1
    }
    return limit
  }
  /// Bytes of `page` without its trailing zeros.
  static func trimmedCount(_ page: UnsafeRawBufferPointer) -> Int {
    var end = page.count
    while end >= 8, page.loadUnaligned(fromByteOffset: end - 8, as: UInt64.self) == 0 { end -= 8 }
    while end > 0, page[end - 1] == 0 { end -= 1 }
    return end
  }
}
