/// A set of offsets as sorted ranges that do not touch.
///
/// In place of the standard library's `RangeSet`, whose code is not specialised for a client's types: this is on every
/// write of a simulated disk.
package struct ByteRanges: Equatable, Sendable {
  /// The ranges, in order.
  package private(set) var ranges: [Range<UInt64>] = []

  package init() {}
  package init(_ range: Range<UInt64>) { insert(range) }

  /// Adds a range.
  package mutating func insert(_ range: Range<UInt64>) {
    if range.isEmpty { return }
    let first = firstIndex(endingAtOrAfter: range.lowerBound)
    var last = first
    var merged = range
    while last < ranges.count, ranges[last].lowerBound <= range.upperBound {
      merged = min(merged.lowerBound, ranges[last].lowerBound)..<max(merged.upperBound, ranges[last].upperBound)
      last += 1
    }
    if last == first + 1 { ranges[first] = merged } else { ranges.replaceSubrange(first..<last, with: [merged]) }
  }
  /// Takes a range out.
  package mutating func remove(_ range: Range<UInt64>) {
    if range.isEmpty || ranges.isEmpty { return }
    var index = firstIndex(endingAtOrAfter: range.lowerBound + 1)
    while index < ranges.count, ranges[index].lowerBound < range.upperBound {
      let found = ranges[index]
      let before = found.lowerBound..<max(found.lowerBound, range.lowerBound)
      let after = min(range.upperBound, found.upperBound)..<found.upperBound
      switch (before.isEmpty, after.isEmpty) {
      case (true, true): ranges.remove(at: index)
      case (false, true):
        ranges[index] = before
        index += 1
      case (true, false):
        ranges[index] = after
        index += 1
      case (false, false):
        ranges[index] = before
        ranges.insert(after, at: index + 1)
        return
      }
    }
  }
  /// Adds all of another set.
  package mutating func formUnion(_ other: ByteRanges) {
    for range in other.ranges { insert(range) }
  }
  /// Empties the set and keeps its memory.
  package mutating func removeAll() { ranges.removeAll(keepingCapacity: true) }

  /// Whether the offset is in the set.
  package func contains(_ offset: UInt64) -> Bool { covers(offset..<offset + 1) }
  /// Whether all of the range is in the set.
  package func covers(_ range: Range<UInt64>) -> Bool {
    let index = firstIndex(endingAtOrAfter: range.upperBound)
    return index < ranges.count && ranges[index].lowerBound <= range.lowerBound
  }
  /// Whether any of the range is in the set.
  package func intersects(_ range: Range<UInt64>) -> Bool {
    if range.isEmpty { return false }
    let index = firstIndex(endingAtOrAfter: range.lowerBound + 1)
    return index < ranges.count && ranges[index].lowerBound < range.upperBound
  }

  private func firstIndex(endingAtOrAfter offset: UInt64) -> Int {
    var low = 0
    var high = ranges.count
    while low < high {
      let middle = (low + high) / 2
      if ranges[middle].upperBound < offset { low = middle + 1 } else { high = middle }
    }
    return low
  }
}
