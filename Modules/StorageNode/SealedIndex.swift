import BorealisCore
import BorealisWire

/// A set of pages that may say "perhaps" wrongly (about 1 in 1000), never "no": sixteen bits a record, six tests.
struct PageFilter: Sendable, Hashable {
  private static let tests = 6
  private(set) var words: [UInt64]

  /// Words for an index of `records` records.
  static func wordCount(_ records: Int) -> Int { (records * 16 + 63) / 64 }

  init(_ entries: [RecordEntry]) {
    words = [UInt64](repeating: 0, count: Self.wordCount(entries.count))
    for entry in entries {
      let hash = pageHash(entry.group, entry.page)
      for i in 0..<Self.tests {
        let bit = place(hash, i)
        words[bit >> 6] |= 1 << UInt64(bit & 63)
      }
    }
  }
  init(words: [UInt64]) { self.words = words }

  private func place(_ hash: UInt64, _ i: Int) -> Int {
    let mixed = UInt32(truncatingIfNeeded: hash) &+ UInt32(i) &* (UInt32(truncatingIfNeeded: hash >> 32) | 1)
    return Int((UInt64(mixed) &* UInt64(words.count * 64)) >> 32)
  }
  /// Whether the page may have records in the chunk.
  func mayContain(_ group: ProtectionGroupID, _ page: PageID) -> Bool {
    if words.isEmpty { return false }
    let hash = pageHash(group, page)
    for i in 0..<Self.tests {
      let bit = place(hash, i)
      if words[bit >> 6] >> UInt64(bit & 63) & 1 == 0 { return false }
    }
    return true
  }
}

/// The index of a sealed chunk, in memory: entries by group and LSN, and a permutation that puts pages together.
struct SealedIndex: Sendable {
  /// By group, then LSN.
  let entries: [RecordEntry]
  /// Entry numbers by (bucket of the page's hash, group, page, LSN).
  private var order: [UInt32]
  /// Where each bucket begins in `order`; one more than there are buckets.
  private var buckets: [UInt32]
  private let shift: UInt64

  /// Bytes of memory for an index of `records` records, roughly.
  static func memory(_ records: Int) -> Int { records * (RecordEntry.size + 8) + 64 }
  var memory: Int { Self.memory(entries.count) }

  /// Makes the permutation; `entries` must be by group, then LSN.
  init(_ entries: [RecordEntry]) {
    self.entries = entries
    var bits: UInt64 = 1
    while 1 << bits < entries.count { bits += 1 }
    shift = 64 - bits
    buckets = [UInt32](repeating: 0, count: 1 << Int(bits) + 1)
    order = [UInt32](repeating: 0, count: entries.count)
    // A counting sort by bucket, stable, so that within a bucket the entries stay by group and LSN.
    for entry in entries { buckets[bucket(entry.group, entry.page) + 1] += 1 }
    for i in 1..<buckets.count { buckets[i] += buckets[i - 1] }
    var next = buckets
    for i in entries.indices {
      let b = bucket(entries[i].group, entries[i].page)
      order[Int(next[b])] = UInt32(i)
      next[b] += 1
    }
    for b in 0..<(buckets.count - 1) { settle(Int(buckets[b])..<Int(buckets[b + 1])) }
  }

  private func bucket(_ group: ProtectionGroupID, _ page: PageID) -> Int {
    Int(truncatingIfNeeded: pageHash(group, page) >> shift)
  }
  private func isOrdered(_ a: UInt32, _ b: UInt32) -> Bool {
    let (x, y) = (entries[Int(a)], entries[Int(b)])
    if x.group != y.group { return x.group < y.group }
    return x.page == y.page ? x.lsn < y.lsn : x.page < y.page
  }
  /// Puts the pages of one bucket together, where it holds more than one page.
  private mutating func settle(_ range: Range<Int>) {
    var isMixed = false
    for i in range.dropFirst() where !isOrdered(order[i - 1], order[i]) { isMixed = true }
    if !isMixed { return }
    let sorted = order[range].sorted(by: isOrdered)
    for (i, number) in sorted.enumerated() { order[range.lowerBound + i] = number }
  }

  /// First entry of (group, LSN) above the given one.
  private func upperBound(_ group: ProtectionGroupID, _ lsn: LSN) -> Int {
    var (low, high) = (0, entries.count)
    while low < high {
      let middle = (low + high) / 2
      let entry = entries[middle]
      if entry.group < group || (entry.group == group && entry.lsn <= lsn) { low = middle + 1 } else { high = middle }
    }
    return low
  }
  /// The entry of a record.
  func entry(_ group: ProtectionGroupID, _ lsn: LSN) -> RecordEntry? {
    guard let entry = last(of: group, atOrBelow: lsn), entry.lsn == lsn else { return nil }
    return entry
  }
  /// The last record of the group at or below `lsn`.
  func last(of group: ProtectionGroupID, atOrBelow lsn: LSN) -> RecordEntry? {
    let at = upperBound(group, lsn)
    guard at > 0, entries[at - 1].group == group else { return nil }
    return entries[at - 1]
  }
  /// Appends at most `limit` records of the group in `(after, through]` that are not void, ascending.
  func collect(
    _ group: ProtectionGroupID, after: LSN, through: LSN, limit: Int, void: TruncationList,
    into result: inout [RecordEntry]
  ) {
    var left = limit
    var at = upperBound(group, after)
    while left > 0, at < entries.count, entries[at].group == group, entries[at].lsn <= through {
      if !void.isVoid(entries[at].lsn) {
        result.append(entries[at])
        left -= 1
      }
      at += 1
    }
  }
  /// Appends the records of the page in `(after, through]` that are not void, ascending.
  func collect(
    _ group: ProtectionGroupID, page: PageID, after: LSN, through: LSN, void: TruncationList,
    into result: inout [RecordEntry]
  ) {
    let b = bucket(group, page)
    let end = Int(buckets[b + 1])
    // First place of the bucket above (group, page, after).
    var (low, high) = (Int(buckets[b]), end)
    while low < high {
      let middle = (low + high) / 2
      let entry = entries[Int(order[middle])]
      let isBelow =
        entry.group != group
        ? entry.group < group : entry.page != page ? entry.page < page : entry.lsn <= after
      if isBelow { low = middle + 1 } else { high = middle }
    }
    while low < end {
      let entry = entries[Int(order[low])]
      if entry.page != page || entry.group != group || entry.lsn > through { return }
      if !void.isVoid(entry.lsn) { result.append(entry) }
      low += 1
    }
  }
  /// Appends the records of the page at `cursor` of the permutation and moves past them; false at the end.
  func nextPage(_ cursor: inout Int, void: TruncationList, into result: inout [RecordEntry]) -> Bool {
    while cursor >= 0, cursor < order.count {
      let first = entries[Int(order[cursor])]
      let start = result.count
      while cursor < order.count {
        let entry = entries[Int(order[cursor])]
        if entry.page != first.page || entry.group != first.group { break }
        if !void.isVoid(entry.lsn) { result.append(entry) }
        cursor += 1
      }
      if result.count > start { return true }
    }
    return false
  }
}
