import BorealisCore
import BorealisWire

/// Every record that any writer ever sent, by LSN: the truth that nodes and readers are compared with.
final class RecordLedger {
  /// What is remembered of a record.
  struct Entry {
    /// Checksum of the encoded record; it covers every byte.
    var checksum: UInt32
    var epoch: VolumeEpoch
    var group: ProtectionGroupID
    var isConsistencyPoint: Bool
    var isIssued: Bool
    var page: PageID
    static let none = Entry(
      checksum: 0, epoch: .zero, group: ProtectionGroupID(0), isConsistencyPoint: false, isIssued: false,
      page: PageID(object: .catalog, index: 0))
  }
  /// LSNs are dense enough in a simulation: the array is indexed by them.
  private var entries: [Entry] = [.none]
  /// LSNs of each group, ascending.
  private var chains: [[LSN]] = []
  /// Void ranges as decided by completed recoveries.
  private(set) var void = TruncationList()
  /// The group of each page that was ever written, by the newest record: a void one may have named another.
  private var groups: [(page: PageID, group: ProtectionGroupID, lsn: LSN)] = []
  /// Highest LSN that was seen.
  private(set) var highest = LSN.zero

  /// What is known of `lsn`; nil when nobody ever sent it.
  func entry(_ lsn: LSN) -> Entry? {
    guard lsn.value < UInt64(entries.count) else { return nil }
    let entry = entries[Int(lsn.value)]
    return entry.isIssued ? entry : nil
  }
  /// The group that holds a page; nil when it was never written.
  func group(of page: PageID) -> ProtectionGroupID? { groups.first { $0.page == page }?.group }
  /// Whether a completed recovery voided `lsn`.
  func isVoid(_ lsn: LSN) -> Bool { void.isVoid(lsn) }

  /// Takes note of a record; returns what was known of its LSN before.
  func insert(_ header: RecordHeader, checksum: UInt32) -> Entry? {
    let index = Int(header.lsn.value)
    if index >= entries.count {
      entries.append(contentsOf: repeatElement(.none, count: index + 1 - entries.count))
    }
    if entries[index].isIssued { return entries[index] }
    entries[index] = Entry(
      checksum: checksum, epoch: header.epoch, group: header.group, isConsistencyPoint: header.isConsistencyPoint,
      isIssued: true, page: header.page)
    highest = max(highest, header.lsn)
    if let i = groups.firstIndex(where: { $0.page == header.page }) {
      if groups[i].lsn < header.lsn { groups[i] = (header.page, header.group, header.lsn) }
    } else {
      groups.append((header.page, header.group, header.lsn))
    }
    let g = Int(header.group.value)
    while chains.count <= g { chains.append([]) }
    if let last = chains[g].last, header.lsn < last {
      let at = chains[g].firstIndex { $0 > header.lsn } ?? chains[g].count
      chains[g].insert(header.lsn, at: at)
    } else {
      chains[g].append(header.lsn)
    }
    return nil
  }

  /// A recovery at `epoch` was completed with this complete list of void ranges.
  func decide(_ list: TruncationList) {
    if list.epoch > void.epoch { void = list }
  }

  /// Last kept record of `group` at or below `point`.
  func tail(_ group: ProtectionGroupID, at point: LSN) -> LSN {
    let g = Int(group.value)
    guard g < chains.count else { return .zero }
    var low = 0
    var high = chains[g].count
    while low < high {
      let middle = (low + high) / 2
      if chains[g][middle] <= point { low = middle + 1 } else { high = middle }
    }
    while low > 0 {
      low -= 1
      if !isVoid(chains[g][low]) { return chains[g][low] }
    }
    return .zero
  }
}
