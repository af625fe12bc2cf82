import BorealisCore
import BorealisWire

/// The index of a chunk that is still being filled, or is full and not sealed yet.
///
/// Entries stand in the order of insertion. By group: entry numbers in LSN order (nearly always appended). By page: an
/// open-addressing table to the page's newest entry, and from each entry to the next older one of its page. Nothing is
/// allocated per record; `removeAll` keeps the buffers.
struct OpenIndex: Sendable {
  /// The records of one group.
  struct Run: Sendable {
    var group: ProtectionGroupID
    /// Entry numbers in LSN order.
    var order: [UInt32] = []
    var minLSN = LSN.max
    var maxLSN = LSN.zero
    var bytes: UInt64 = 0
  }

  private(set) var entries: [RecordEntry] = []
  /// The groups, in order of their first record.
  private(set) var runs: [Run] = []
  /// For each entry the next older one of its page.
  private var older: [UInt32] = []
  /// Newest entry of a page; `none` where empty.
  ///
  /// A power of two.
  private var table: [UInt32]
  private var pageCount = 0
  private var lastRun = 0

  private static let none = UInt32.max

  init() { table = [UInt32](repeating: Self.none, count: 256) }

  var count: Int { entries.count }

  /// Forgets all entries, keeps the memory.
  mutating func removeAll() {
    entries.removeAll(keepingCapacity: true)
    older.removeAll(keepingCapacity: true)
    runs.removeAll(keepingCapacity: true)
    for i in table.indices { table[i] = Self.none }
    pageCount = 0
    lastRun = 0
  }

  /// The number of the group's run.
  func run(of group: ProtectionGroupID) -> Int? {
    if lastRun < runs.count, runs[lastRun].group == group { return lastRun }
    for i in runs.indices where runs[i].group == group { return i }
    return nil
  }

  /// First place in the run's order whose LSN is above `lsn`.
  private func upperBound(_ run: Int, _ lsn: LSN) -> Int {
    var (low, high) = (0, runs[run].order.count)
    while low < high {
      let middle = (low + high) / 2
      if entries[Int(runs[run].order[middle])].lsn <= lsn { low = middle + 1 } else { high = middle }
    }
    return low
  }

  /// Adds a record.
  ///
  /// Where the LSN is there already the entry is replaced (its older copy may be damaged), and the result is false.
  @discardableResult mutating func insert(_ entry: RecordEntry) -> Bool {
    let number = UInt32(truncatingIfNeeded: entries.count)
    if let found = run(of: entry.group) {
      lastRun = found
    } else {
      lastRun = runs.count
      runs.append(Run(group: entry.group))
    }
    if entry.lsn > runs[lastRun].maxLSN {
      runs[lastRun].order.append(number)
      runs[lastRun].maxLSN = entry.lsn
    } else {
      let at = upperBound(lastRun, entry.lsn)
      if at > 0 {
        let before = Int(runs[lastRun].order[at - 1])
        if entries[before].lsn == entry.lsn {
          // One LSN has one content (I3), so its page is the same and the links stay right.
          if entries[before].page == entry.page { entries[before] = entry }
          return false
        }
      }
      runs[lastRun].order.insert(number, at: at)
    }
    if entry.lsn < runs[lastRun].minLSN { runs[lastRun].minLSN = entry.lsn }
    runs[lastRun].bytes += UInt64(entry.length)
    entries.append(entry)
    link(entry, number)
    return true
  }

  /// Threads the newest entry onto its page's list, which descends by LSN.
  private mutating func link(_ entry: RecordEntry, _ number: UInt32) {
    if pageCount * 2 >= table.count { grow() }
    let place = find(entry.group, entry.page)
    let head = table[place]
    if head == Self.none {
      table[place] = number
      older.append(Self.none)
      pageCount += 1
    } else if entries[Int(head)].lsn < entry.lsn {
      table[place] = number
      older.append(head)
    } else {
      var at = head
      while older[Int(at)] != Self.none, entries[Int(older[Int(at)])].lsn > entry.lsn { at = older[Int(at)] }
      older.append(older[Int(at)])
      older[Int(at)] = number
    }
  }

  /// The page's place in the table: its own, or the empty one where it would go.
  private func find(_ group: ProtectionGroupID, _ page: PageID) -> Int {
    let mask = table.count - 1
    var place = Int(truncatingIfNeeded: pageHash(group, page)) & mask
    while table[place] != Self.none {
      let other = entries[Int(table[place])]
      if other.page == page, other.group == group { break }
      place = (place + 1) & mask
    }
    return place
  }

  private mutating func grow() {
    let old = table
    table = [UInt32](repeating: Self.none, count: old.count * 2)
    for head in old where head != Self.none {
      let entry = entries[Int(head)]
      table[find(entry.group, entry.page)] = head
    }
  }

  // MARK: Look-ups

  /// The entry of a record.
  func entry(_ group: ProtectionGroupID, _ lsn: LSN) -> RecordEntry? {
    guard let run = run(of: group), lsn <= runs[run].maxLSN, lsn >= runs[run].minLSN else { return nil }
    let at = upperBound(run, lsn)
    guard at > 0 else { return nil }
    let entry = entries[Int(runs[run].order[at - 1])]
    return entry.lsn == lsn ? entry : nil
  }
  /// The last record of the group at or below `lsn`.
  func last(of group: ProtectionGroupID, atOrBelow lsn: LSN) -> RecordEntry? {
    guard let run = run(of: group) else { return nil }
    let at = upperBound(run, lsn)
    return at > 0 ? entries[Int(runs[run].order[at - 1])] : nil
  }
  /// Appends at most `limit` records of the group in `(after, through]` that are not void, ascending.
  func collect(
    _ group: ProtectionGroupID, after: LSN, through: LSN, limit: Int, void: TruncationList,
    into result: inout [RecordEntry]
  ) {
    guard let run = run(of: group) else { return }
    var left = limit
    var at = upperBound(run, after)
    while left > 0, at < runs[run].order.count {
      let entry = entries[Int(runs[run].order[at])]
      if entry.lsn > through { return }
      at += 1
      if void.isVoid(entry.lsn) { continue }
      result.append(entry)
      left -= 1
    }
  }
  /// Appends the records of the page in `(after, through]` that are not void, ascending.
  func collect(
    _ group: ProtectionGroupID, page: PageID, after: LSN, through: LSN, void: TruncationList,
    into result: inout [RecordEntry]
  ) {
    let start = result.count
    var at = table[find(group, page)]
    while at != Self.none {
      let entry = entries[Int(at)]
      if entry.lsn <= after { break }
      if entry.lsn <= through, !void.isVoid(entry.lsn) { result.append(entry) }
      at = older[Int(at)]
    }
    if result.count > start + 1 { result[start...].reverse() }
  }
  /// What the chunk holds, by group, ascending.
  func summary() -> [ChunkGroup] {
    runs.map {
      ChunkGroup(
        group: $0.group, minLSN: $0.minLSN, maxLSN: $0.maxLSN, count: UInt32($0.order.count), bytes: $0.bytes)
    }.sorted { $0.group < $1.group }
  }
  /// All entries by group, then LSN.
  func sorted() -> [RecordEntry] {
    var result: [RecordEntry] = []
    result.reserveCapacity(entries.count)
    for run in runs.sorted(by: { $0.group < $1.group }) {
      for number in run.order { result.append(entries[Int(number)]) }
    }
    return result
  }

  /// What is wrong in the index; empty when nothing is.
  func checkInvariants() -> [String] {
    var wrong: [String] = []
    var total = 0
    for run in runs {
      total += run.order.count
      for i in run.order.indices.dropFirst()
      where entries[Int(run.order[i - 1])].lsn >= entries[Int(run.order[i])].lsn {
        wrong.append("open index: \(run.group) out of order at \(i)")
      }
    }
    if total != entries.count { wrong.append("open index: \(total) ordered of \(entries.count)") }
    var linked = 0
    for head in table where head != Self.none {
      var at = head
      while at != Self.none, linked <= entries.count {
        linked += 1
        at = older[Int(at)]
      }
    }
    if linked != entries.count { wrong.append("open index: \(linked) linked of \(entries.count)") }
    return wrong
  }
}
