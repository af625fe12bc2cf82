import BorealisCore

/// The index from page versions to slots, in memory: 24 bytes a slot and about 6 for the hash.
///
/// Versions of a page form a list from the newest to the oldest; nearly always there is one. The hash holds the number
/// of the slot of the newest version and nothing else; keys are compared in the slot table.
struct PageTable: Sendable {
  /// Highest slot number: 2 TiB of 1 KiB pages.
  ///
  /// A journal that says more is malformed.
  static let slotMax: UInt32 = 1 << 31

  private struct Slot: Sendable {
    var lsn = LSN.zero
    /// The page's index in its object; of a free slot, 1 when its space was given back.
    var index: UInt64 = 0
    /// Group and object, as a number; or `free` or `taken`.
    var space: UInt32 = PageTable.free
    /// The next older version.
    var older: UInt32 = PageTable.none
  }
  /// The slots, in pieces: an array that doubles would hold half as much again for nothing, and copy itself.
  private struct SlotList: Sendable {
    private static let bits = 12
    private var pieces: [[Slot]] = []
    private(set) var count = 0

    var last: Slot? { count == 0 ? nil : self[count - 1] }
    subscript(_ i: Int) -> Slot {
      get { pieces[i >> Self.bits][i & (1 << Self.bits - 1)] }
      _modify { yield &pieces[i >> Self.bits][i & (1 << Self.bits - 1)] }
    }
    mutating func append(_ slot: Slot) {
      if count & (1 << Self.bits - 1) == 0 {
        var piece: [Slot] = []
        piece.reserveCapacity(1 << Self.bits)
        pieces.append(piece)
      }
      pieces[pieces.count - 1].append(slot)
      count += 1
    }
    mutating func removeLast() {
      pieces[pieces.count - 1].removeLast()
      if pieces[pieces.count - 1].isEmpty { pieces.removeLast() }
      count -= 1
    }
  }
  private struct Space: Hashable, Sendable {
    var group: ProtectionGroupID
    var object: ObjectID
  }
  private struct GroupTotal: Sendable {
    var group: ProtectionGroupID
    var pages = 0
    var slots = 0
  }

  static let none = UInt32.max
  private static let free = UInt32.max
  /// Allocated, and not installed yet.
  private static let taken = UInt32.max - 1

  private var slots = SlotList()
  private var table = [UInt32](repeating: PageTable.none, count: 64)
  private var spaces: [Space] = []
  /// Only looked up in, never iterated.
  private var spaceNumbers: [Space: UInt32] = [:]
  private var totals: [GroupTotal] = []
  private var freeSlots: [UInt32] = []
  private(set) var pageCount = 0
  /// Slots freed since space was last given back.
  private(set) var freedSlots = 0

  var slotCount: Int { slots.count }
  var freeCount: Int { freeSlots.count }

  // MARK: Look-ups

  private func find(_ space: UInt32, _ index: UInt64) -> Int {
    let mask = table.count - 1
    var place = hash(space, index) & mask
    while table[place] != Self.none {
      let slot = slots[Int(table[place])]
      if slot.index == index, slot.space == space { break }
      place = (place + 1) & mask
    }
    return place
  }
  private func hash(_ space: UInt32, _ index: UInt64) -> Int {
    let page = PageID(object: ObjectID(UInt64(space)), index: index)
    return Int(truncatingIfNeeded: pageHash(ProtectionGroupID(0), page))
  }
  /// Slot of the newest version.
  func head(_ group: ProtectionGroupID, _ page: PageID) -> UInt32? {
    guard let space = spaceNumbers[Space(group: group, object: page.object)] else { return nil }
    let slot = table[find(space, page.index)]
    return slot == Self.none ? nil : slot
  }
  /// LSN of the version in a slot.
  func lsn(_ slot: UInt32) -> LSN { slots[Int(slot)].lsn }
  /// The next older version.
  func older(_ slot: UInt32) -> UInt32? {
    let next = slots[Int(slot)].older
    return next == Self.none ? nil : next
  }
  /// What is installed in a slot.
  func contents(_ slot: UInt32) -> InstalledPage? {
    let entry = slots[Int(slot)]
    guard entry.space < Self.taken else { return nil }
    let space = spaces[Int(entry.space)]
    return InstalledPage(
      group: space.group, page: PageID(object: space.object, index: entry.index), lsn: entry.lsn, slot: slot)
  }
  /// The installed slots from a number on, at most `limit`, and where to go on.
  func installed(from slot: Int, limit: Int) -> ([InstalledPage], Int) {
    var pages: [InstalledPage] = []
    var at = slot
    while at < slots.count, pages.count < limit {
      if let page = contents(UInt32(at)) { pages.append(page) }
      at += 1
    }
    return (pages, at)
  }
  /// Pages of a group, ascending.
  func pages(of group: ProtectionGroupID) -> [PageID] {
    var result: [PageID] = []
    for place in table where place != Self.none {
      let entry = slots[Int(place)]
      let space = spaces[Int(entry.space)]
      if space.group == group { result.append(PageID(object: space.object, index: entry.index)) }
    }
    result.sort()
    return result
  }
  /// Groups with at least one slot.
  var groups: [ProtectionGroupID] { totals.filter { $0.slots > 0 }.map(\.group) }
  /// Number of pages and of slots of a group.
  func total(of group: ProtectionGroupID) -> (pages: Int, slots: Int) {
    for total in totals where total.group == group { return (total.pages, total.slots) }
    return (0, 0)
  }

  // MARK: Changes

  /// Takes a free slot, or one more.
  mutating func allocate() -> UInt32 {
    if let slot = freeSlots.popLast() {
      slots[Int(slot)] = Slot(space: Self.taken)
      return slot
    }
    slots.append(Slot(space: Self.taken))
    return UInt32(slots.count - 1)
  }
  /// Returns a slot that was taken and not installed.
  mutating func giveBack(_ slot: UInt32) {
    slots[Int(slot)] = Slot()
    freeSlots.append(slot)
    freedSlots += 1
  }

  private mutating func spaceNumber(_ space: Space) -> UInt32 {
    if let number = spaceNumbers[space] { return number }
    spaces.append(space)
    spaceNumbers[space] = UInt32(spaces.count - 1)
    return UInt32(spaces.count - 1)
  }
  private mutating func count(_ group: ProtectionGroupID, pages: Int, slots: Int) {
    if let i = totals.firstIndex(where: { $0.group == group }) {
      totals[i].pages += pages
      totals[i].slots += slots
    } else {
      totals.append(GroupTotal(group: group, pages: pages, slots: slots))
    }
  }

  /// Puts a version into a slot that is taken (or, in replay, not known yet).
  mutating func install(_ page: InstalledPage) {
    let number = Int(page.slot)
    if slots.count <= number {
      // In replay; `finishReplay` finds the free ones.
      while slots.count <= number { slots.append(Slot()) }
    }
    if contents(page.slot) == page { return }
    remove(page.slot)
    let space = spaceNumber(Space(group: page.group, object: page.page.object))
    slots[number] = Slot(lsn: page.lsn, index: page.page.index, space: space)
    if (pageCount + 1) * 4 > table.count * 3 { grow() }
    let place = find(space, page.page.index)
    let head = table[place]
    var isNew = false
    if head == Self.none {
      isNew = true
      table[place] = page.slot
      pageCount += 1
    } else if slots[Int(head)].lsn <= page.lsn {
      slots[number].older = head
      table[place] = page.slot
    } else {
      var at = head
      while true {
        let next = slots[Int(at)].older
        if next == Self.none || slots[Int(next)].lsn <= page.lsn { break }
        at = next
      }
      slots[number].older = slots[Int(at)].older
      slots[Int(at)].older = page.slot
    }
    count(page.group, pages: isNew ? 1 : 0, slots: 1)
  }

  /// Takes the version out of a slot, which stays out of use until `giveBack`; no effect where there is none.
  mutating func remove(_ slot: UInt32) {
    guard Int(slot) < slots.count else { return }
    let entry = slots[Int(slot)]
    guard entry.space < Self.taken else { return }
    let place = find(entry.space, entry.index)
    var isGone = false
    if table[place] == slot {
      if entry.older == Self.none {
        removePlace(place)
        pageCount -= 1
        isGone = true
      } else {
        table[place] = entry.older
      }
    } else {
      var at = table[place]
      while slots[Int(at)].older != slot { at = slots[Int(at)].older }
      slots[Int(at)].older = entry.older
    }
    count(spaces[Int(entry.space)].group, pages: isGone ? -1 : 0, slots: -1)
    slots[Int(slot)] = Slot(space: Self.taken)
  }

  /// Empties a place of the hash and moves later ones up, so that every search still ends at its place.
  private mutating func removePlace(_ place: Int) {
    let mask = table.count - 1
    var hole = place
    var at = (place + 1) & mask
    while table[at] != Self.none {
      let entry = slots[Int(table[at])]
      let home = hash(entry.space, entry.index) & mask
      if (at - home) & mask >= (at - hole) & mask {
        table[hole] = table[at]
        hole = at
      }
      at = (at + 1) & mask
    }
    table[hole] = Self.none
  }
  private mutating func grow() {
    let old = table
    table = [UInt32](repeating: Self.none, count: old.count * 2)
    for head in old where head != Self.none {
      table[find(slots[Int(head)].space, slots[Int(head)].index)] = head
    }
  }

  /// After replay: everything not installed is free.
  ///
  /// The lowest slots are taken first.
  mutating func finishReplay() {
    while let last = slots.last, last.space >= Self.taken { slots.removeLast() }
    freeSlots.removeAll()
    for i in stride(from: slots.count - 1, through: 0, by: -1) where slots[i].space >= Self.taken {
      slots[i] = Slot()
      freeSlots.append(UInt32(i))
    }
    freedSlots = freeSlots.count
  }

  /// Cuts free slots off the end where there are at least `least`; whether it did.
  mutating func trim(least: Int) -> Bool {
    var end = slots.count
    while end > 0, slots[end - 1].space == Self.free { end -= 1 }
    guard slots.count - end >= max(1, least) else { return false }
    while slots.count > end { slots.removeLast() }
    freeSlots.removeAll { Int($0) >= end }
    return true
  }
  /// Runs of at least `least` free slots of which some still take space; notes them as given back.
  mutating func takeFreeRuns(least: Int, limit: Int) -> [Range<Int>] {
    var runs: [Range<Int>] = []
    var start = 0
    while start < slots.count, runs.count < limit {
      guard slots[start].space == Self.free else {
        start += 1
        continue
      }
      var end = start
      var isKept = false
      while end < slots.count, slots[end].space == Self.free {
        if slots[end].index == 0 { isKept = true }
        end += 1
      }
      if isKept, end - start >= least {
        for i in start..<end { slots[i].index = 1 }
        runs.append(start..<end)
      }
      start = end
    }
    if runs.count < limit { freedSlots = 0 }
    return runs
  }

  /// What is wrong; empty when nothing is.
  func checkInvariants() -> [String] {
    var wrong: [String] = []
    var (linked, heads) = (0, 0)
    for head in table where head != Self.none {
      heads += 1
      var at = head
      while true {
        linked += 1
        let next = slots[Int(at)].older
        if next == Self.none || linked > slots.count { break }
        if slots[Int(next)].lsn > slots[Int(at)].lsn { wrong.append("pages: versions out of order at slot \(next)") }
        if slots[Int(next)].space != slots[Int(at)].space || slots[Int(next)].index != slots[Int(at)].index {
          wrong.append("pages: slot \(next) is another page's")
        }
        at = next
      }
    }
    var (used, free) = (0, 0)
    for i in 0..<slots.count {
      let slot = slots[i]
      if slot.space == Self.free { free += 1 } else if slot.space != Self.taken { used += 1 }
    }
    if heads != pageCount { wrong.append("pages: \(heads) heads of \(pageCount)") }
    if linked != used { wrong.append("pages: \(linked) versions linked of \(used)") }
    if free != freeSlots.count { wrong.append("pages: \(free) free slots, \(freeSlots.count) listed") }
    return wrong
  }
}
