import BorealisCore
import BorealisWire

/// Which protection group holds which extent of which object: object 0 of the volume, held in memory.
///
/// Page 0 of object 0 is the superblock; the following pages hold entries of 32 bytes. The writer writes entries in the
/// mini-transaction that first touches the extent; readers apply the records of object 0. The mapping lives as long as
/// the object; when the object is discarded its entries die, and are forgotten once no read point can need them.
struct VolumeCatalog: Sendable {
  /// Bytes of an entry: object u64 | extent u64 | group u32 | state u32 (0 never used, 1 live, 2 free) | zero u64.
  static let entrySize = 32
  private static let magic: UInt64 = 0x474F_4C54_4143_5242
  /// Version 2 has a first extent of another size.
  private static let versions: ClosedRange<UInt32> = 1...2
  /// Bytes of the superblock: magic u64 | version u32 | page size u32 | extent pages u64 | group pages u64 | entries u64
  /// | (version 2) pages of the first extent u64.
  static let superblockSize = 48

  enum State: UInt8, Sendable {
    case free, planned, live, dying
  }
  struct Entry: Sendable {
    var object: UInt64 = 0
    var extent: UInt64 = 0
    /// LSN of the record that ended it, where it is dying.
    var diedAt = LSN.zero
    var group: UInt32 = 0
    /// Pages of the extent from here on were never written.
    var touched: UInt32 = 0
    /// The next entry of the object + 1; 0 at the end.
    var nextOfObject: UInt32 = 0
    var state = State.free
  }
  let pageSize: Int
  private(set) var layout: ExtentLayout
  private(set) var groupPages: UInt64
  private(set) var entries: [Entry] = []
  /// Entry number + 1 by (object, extent): open addressing; 0 is empty.
  private var slots = [UInt32](repeating: 0, count: 64)
  private(set) var mappedCount = 0
  /// First entry of an object + 1.
  private var heads: [UInt64: UInt32] = [:]
  private var freeEntries: [UInt32] = []
  private var dying = Ring(filler: UInt32.max)
  /// Pages of the extents in use, by group.
  private(set) var used: [Int] = []
  /// No group below this one has room.
  private var allocationHint = 0

  init(pageSize: Int, extentPages: UInt64, groupPages: UInt64, firstExtentPages: UInt64 = 0) {
    self.pageSize = pageSize
    layout = ExtentLayout(pages: extentPages, firstPages: firstExtentPages)
    self.groupPages = max(layout.pages, groupPages)
  }

  // MARK: Finding

  /// The place of a page in its extent.
  private func place(of page: PageID, _ entry: Int) -> UInt64 { page.index - firstPage(ofEntry: entry) }
  /// The first page of an entry's extent.
  func firstPage(ofEntry entry: Int) -> UInt64 { layout.start(of: entries[entry].extent) }
  /// The entry of the extent that holds a page.
  func entry(of page: PageID) -> Int? { find(object: page.object.value, extent: layout.extent(of: page.index)) }
  /// The group that holds a page; nil where its extent was never touched.
  func group(of page: PageID) -> ProtectionGroupID? {
    if page.object == .catalog { return ProtectionGroupID(0) }
    guard let entry = entry(of: page) else { return nil }
    return ProtectionGroupID(entries[entry].group)
  }
  /// Whether a page was certainly never written: only for extents begun by this instance.
  func isUntouched(_ page: PageID, entry: Int) -> Bool {
    place(of: page, entry) >= UInt64(entries[entry].touched)
  }
  mutating func touch(_ page: PageID, entry: Int) {
    let place = UInt32(truncatingIfNeeded: place(of: page, entry))
    if place >= entries[entry].touched { entries[entry].touched = place + 1 }
  }
  /// The first entry of an object; follow `nextOfObject`.
  func firstEntry(of object: ObjectID) -> Int? { heads[object.value].map { Int($0) - 1 } }

  /// The first pages of `object` from `index` on whose extent is mapped, or still needed by a read point; nil where none.
  func pagesInUse(of object: ObjectID, from index: UInt64) -> Range<UInt64>? {
    guard object != .catalog, heads[object.value] != nil else { return nil }
    // Probing first: the extents of a dense object lie side by side, and its list is long.
    let first = layout.extent(of: index)
    var found: UInt64?
    for extent in first..<(first + 16) where find(object: object.value, extent: extent) != nil {
      found = extent
      break
    }
    if found == nil {
      var next = firstEntry(of: object)
      while let number = next {
        let extent = entries[number].extent
        if extent >= first, extent < found ?? .max { found = extent }
        next = entries[number].nextOfObject == 0 ? nil : Int(entries[number].nextOfObject) - 1
      }
    }
    guard let found else { return nil }
    let start = layout.start(of: found)
    return max(index, start)..<(start + layout.size(of: found))
  }

  private func slot(object: UInt64, extent: UInt64) -> Int {
    var x = object &* 0x9E37_79B9_7F4A_7C15 ^ extent &* 0xC2B2_AE3D_27D4_EB4F
    x ^= x >> 29
    x = x &* 0x94D0_49BB_1331_11EB
    x ^= x >> 32
    return Int(truncatingIfNeeded: x) & (slots.count - 1)
  }
  private func find(object: UInt64, extent: UInt64) -> Int? {
    var at = slot(object: object, extent: extent)
    while slots[at] != 0 {
      let entry = Int(slots[at] - 1)
      if entries[entry].object == object, entries[entry].extent == extent { return entry }
      at = (at + 1) & (slots.count - 1)
    }
    return nil
  }

  // MARK: Room

  /// Pages of extents that a group can hold: fewer in group 0, which also holds the catalog.
  func capacity(of group: Int) -> Int {
    let extents = max(1, Int(groupPages / layout.pages))
    return (group == 0 ? max(1, extents - max(1, extents / 20)) : extents) * Int(layout.pages)
  }
  /// Whether so little of the last group is left that the next one should be made.
  func needsGrowth(groupCount: Int) -> Bool {
    guard groupCount > 0 else { return false }
    let last = groupCount - 1
    let free = capacity(of: last) - (last < used.count ? used[last] : 0)
    return free * 8 <= capacity(of: last)
  }
  /// Maps the extent of a page for a mini-transaction that is being planned; nil where no group has room.
  mutating func plan(_ page: PageID, groupCount: Int) -> Int? {
    while used.count < groupCount { used.append(0) }
    while allocationHint < groupCount, used[allocationHint] >= capacity(of: allocationHint) { allocationHint += 1 }
    let extent = layout.extent(of: page.index)
    let size = Int(layout.size(of: extent))
    var group = allocationHint
    while group < groupCount, used[group] + size > capacity(of: group) { group += 1 }
    guard group < groupCount else { return nil }
    let number: Int
    if let free = freeEntries.popLast() {
      number = Int(free)
    } else {
      number = entries.count
      entries.append(Entry())
    }
    entries[number] = Entry(
      object: page.object.value, extent: extent, group: UInt32(group), state: .planned)
    link(number)
    return number
  }
  /// Takes a planned entry back.
  mutating func unplan(_ number: Int) {
    precondition(entries[number].state == .planned)
    release(number)
  }
  mutating func makeLive(_ number: Int) { entries[number].state = .live }
  /// Marks an entry as ended by the record at `lsn`.
  mutating func markDying(_ number: Int, at lsn: LSN) {
    precondition(entries[number].state == .live)
    entries[number].state = .dying
    entries[number].diedAt = lsn
    dying.append(UInt32(number))
  }
  /// Forgets entries that ended at or below `readPoint`, the lowest one in use.
  mutating func purge(upTo readPoint: LSN) {
    while let number = dying.first {
      let entry = entries[Int(number)]
      if entry.state == .dying {
        guard entry.diedAt <= readPoint else { return }
        release(Int(number))
      }
      dying.popFirst()
    }
  }

  private mutating func link(_ number: Int) {
    let entry = entries[number]
    let group = Int(entry.group)
    while used.count <= group { used.append(0) }
    used[group] += Int(layout.size(of: entry.extent))
    mappedCount += 1
    if mappedCount * 2 > slots.count { rehash() } else { place(number) }
    entries[number].nextOfObject = heads[entry.object] ?? 0
    heads[entry.object] = UInt32(number + 1)
  }
  private mutating func place(_ number: Int) {
    var at = slot(object: entries[number].object, extent: entries[number].extent)
    while slots[at] != 0 { at = (at + 1) & (slots.count - 1) }
    slots[at] = UInt32(number + 1)
  }
  private mutating func rehash() {
    slots = [UInt32](repeating: 0, count: slots.count * 2)
    for number in entries.indices where entries[number].state != .free { place(number) }
  }
  private mutating func release(_ number: Int) {
    let entry = entries[number]
    let mask = slots.count - 1
    var hole = slot(object: entry.object, extent: entry.extent)
    while slots[hole] != UInt32(number + 1) { hole = (hole + 1) & mask }
    var next = (hole + 1) & mask
    while slots[next] != 0 {
      let other = entries[Int(slots[next] - 1)]
      let home = slot(object: other.object, extent: other.extent)
      if (next &- home) & mask >= (next &- hole) & mask {
        slots[hole] = slots[next]
        hole = next
      }
      next = (next + 1) & mask
    }
    slots[hole] = 0
    // The object's list is short, and the newest entry is its head.
    if heads[entry.object] == UInt32(number + 1) {
      heads[entry.object] = entry.nextOfObject == 0 ? nil : entry.nextOfObject
    } else if var at = heads[entry.object] {
      while entries[Int(at - 1)].nextOfObject != UInt32(number + 1) { at = entries[Int(at - 1)].nextOfObject }
      entries[Int(at - 1)].nextOfObject = entry.nextOfObject
    }
    used[Int(entry.group)] -= Int(layout.size(of: entry.extent))
    allocationHint = min(allocationHint, Int(entry.group))
    mappedCount -= 1
    entries[number] = Entry()
    freeEntries.append(UInt32(number))
  }

  // MARK: Bytes

  var entriesPerPage: Int { pageSize / VolumeCatalog.entrySize }
  /// The catalog page of an entry.
  func page(ofEntry number: Int) -> PageID {
    PageID(object: .catalog, index: 1 + UInt64(number / entriesPerPage))
  }
  /// Where in its page an entry stands.
  func offset(ofEntry number: Int) -> Int { number % entriesPerPage * VolumeCatalog.entrySize }
  /// Appends the bytes of an entry.
  func encodeEntry(_ number: Int, into b: inout [UInt8]) {
    let entry = number < entries.count ? entries[number] : Entry()
    let isMapped = entry.state == .live || entry.state == .planned
    b.appendInteger(isMapped ? entry.object : 0)
    b.appendInteger(isMapped ? entry.extent : 0)
    b.appendInteger(isMapped ? entry.group : 0)
    b.appendInteger(UInt32(isMapped ? 1 : number < entries.count ? 2 : 0))
    b.appendInteger(UInt64(0))
  }
  /// Appends the superblock.
  func encodeSuperblock(into b: inout [UInt8]) {
    b.appendInteger(VolumeCatalog.magic)
    b.appendInteger(layout.firstPages == 0 ? VolumeCatalog.versions.lowerBound : VolumeCatalog.versions.upperBound)
    b.appendInteger(UInt32(pageSize))
    b.appendInteger(layout.pages)
    b.appendInteger(groupPages)
    b.appendInteger(UInt64(entries.count))
    if layout.firstPages != 0 { b.appendInteger(layout.firstPages) }
  }
  /// Reads a superblock: takes the volume's extents and groups as they are, and gives the number of entry pages.
  mutating func load(superblock: UnsafeRawBufferPointer) throws(DecodeError) -> Int {
    var r = ByteReader(superblock, structure: "catalog.superblock")
    guard try r.u64() == VolumeCatalog.magic else { throw DecodeError(.badMagic, "catalog.superblock") }
    let version = try r.u32()
    guard VolumeCatalog.versions.contains(version) else {
      throw DecodeError(.unsupportedVersion, "catalog.superblock", offset: 8)
    }
    guard Int(try r.u32()) == pageSize else { throw DecodeError(.invalidField, "catalog.pageSize", offset: 12) }
    let (extent, group, count) = (try r.u64(), try r.u64(), try r.u64())
    let first = version > 1 ? try r.u64() : 0
    guard extent >= 1, extent <= 1 << 31, group >= extent, count <= UInt64(UInt32.max),
      version > 1 ? (1..<extent).contains(first) : first == 0
    else { throw DecodeError(.invalidField, "catalog.superblock", offset: 16) }
    layout = ExtentLayout(pages: extent, firstPages: first)
    groupPages = group
    return (Int(count) + entriesPerPage - 1) / entriesPerPage
  }
  /// Takes over the entries in `bytes`, the first of which has this number.
  mutating func apply(entries bytes: UnsafeRawBufferPointer, from first: Int, lsn: LSN) throws(DecodeError) {
    guard bytes.count % VolumeCatalog.entrySize == 0 else { throw DecodeError(.invalidField, "catalog.entries") }
    var r = ByteReader(bytes, structure: "catalog.entry")
    var number = first
    while r.remaining > 0 {
      let at = r.offset
      let (object, extent, group, state) = (try r.u64(), try r.u64(), try r.u32(), try r.u32())
      guard try r.u64() == 0, state <= 2, state == 1 || (object == 0 && extent == 0 && group == 0) else {
        throw DecodeError(.invalidField, "catalog.entry", offset: at)
      }
      guard state != 1 || (object != 0 && group < 1 << 24 && extent <= .max / layout.pages) else {
        throw DecodeError(.invalidField, "catalog.entry", offset: at)
      }
      if state != 0 { try apply(number, object: object, extent: extent, group: group, isLive: state == 1, lsn: lsn) }
      number += 1
    }
  }
  private mutating func apply(
    _ number: Int, object: UInt64, extent: UInt64, group: UInt32, isLive: Bool, lsn: LSN
  ) throws(DecodeError) {
    while entries.count <= number {
      freeEntries.append(UInt32(entries.count))
      entries.append(Entry())
    }
    let old = entries[number]
    if !isLive {
      if old.state == .live { markDying(number, at: lsn) }
      return
    }
    if old.state != .free, old.object == object, old.extent == extent {
      entries[number].state = .live
      return
    }
    if old.state != .free { release(number) }
    if find(object: object, extent: extent) != nil { throw DecodeError(.invalidField, "catalog.entry") }
    if let at = freeEntries.lastIndex(of: UInt32(number)) { freeEntries.remove(at: at) }
    // What was written to the extent before is not known: everything may have been.
    entries[number] = Entry(
      object: object, extent: extent, group: group, touched: UInt32(truncatingIfNeeded: layout.size(of: extent)),
      state: .live)
    link(number)
  }
  /// Applies a record of object 0: how a reader follows the writer's catalog.
  mutating func apply(_ record: RecordHeader, payload: UnsafeRawBufferPointer) throws(DecodeError) {
    if record.page.index == 0 {
      let bytes = Array(payload) + [UInt8](repeating: 0, count: max(0, VolumeCatalog.superblockSize - payload.count))
      _ = try bytes.withUnsafeBytesTyped { raw throws(DecodeError) in try load(superblock: raw) }
      return
    }
    let first = Int(record.page.index - 1) * entriesPerPage
    switch record.kind {
    case .discard: throw DecodeError(.invalidField, "catalog.record")
    case .image:
      // Trailing zeros were left out: whole entries are needed.
      var bytes = Array(payload)
      while bytes.count % VolumeCatalog.entrySize != 0 { bytes.append(0) }
      try bytes.withUnsafeBytesTyped { raw throws(DecodeError) in try apply(entries: raw, from: first, lsn: record.lsn)
      }
    case .delta:
      try RecordPayload.validate(kind: .delta, payload: payload, pageSize: pageSize)
      var r = ByteReader(payload, structure: "catalog.record")
      while r.remaining > 0 {
        let (offset, count) = (Int(try r.u32()), Int(try r.u32()))
        guard offset % VolumeCatalog.entrySize == 0 else { throw DecodeError(.invalidField, "catalog.record") }
        try apply(entries: try r.raw(count), from: first + offset / VolumeCatalog.entrySize, lsn: record.lsn)
      }
    }
  }

  /// What is wrong with the structure; empty when nothing.
  func checkInvariants() -> [String] {
    var problems: [String] = []
    var counted = [Int](repeating: 0, count: used.count)
    var mapped = 0
    for number in entries.indices where entries[number].state != .free {
      mapped += 1
      counted[Int(entries[number].group)] += Int(layout.size(of: entries[number].extent))
      if find(object: entries[number].object, extent: entries[number].extent) != number {
        problems.append("catalog: entry \(number) cannot be found")
      }
    }
    if mapped != mappedCount || counted != used { problems.append("catalog: extents do not add up") }
    return problems
  }
}
