import BorealisCore
import BorealisStorageBackend

extension PageStore {
  /// Whether anything waits for a job.
  var hasStaged: Bool { !staged.isEmpty || !stagedFrees.isEmpty }

  /// See `NodeStore.stagePage`.
  mutating func stage(
    _ group: ProtectionGroupID, _ page: PageID, lsn: LSN, image: UnsafeRawBufferPointer?, pins: [LSN]
  ) -> Bool {
    // While a job is under way the versions that it frees are not settled.
    guard flight == nil, staged.isEmpty || staged.count * slotSize < Self.stagedBytesMax else { return false }
    let key = Key(group: group, page: page)
    let place = stagedPlaces[key]
    if let place {
      let earlier = staged[place].installed.lsn
      if lsn < earlier { return true }
      // A pin between the two needs both: the earlier one must be installed first.
      for pin in pins where earlier <= pin && pin < lsn { return false }
      for slot in staged[place].freed { freeing.remove(slot) }
    }
    // Newest first: the versions there are (those that go in this job anyway left out), and where the new one comes.
    var newer: LSN?
    var freed: [UInt32] = []
    var above = lsn
    var at = table.head(group, page)
    while let slot = at {
      at = table.older(slot)
      if freeing.contains(slot) { continue }
      let version = table.lsn(slot)
      if version > lsn {
        newer = version
      } else if version == lsn || !Self.isPinned(version, below: above, pins) {
        freed.append(slot)
      } else {
        above = version
      }
    }
    if let newer, !Self.isPinned(lsn, below: newer, pins) {
      // Nobody will ever see it; what was staged before stays.
      if let place { freeing.formUnion(staged[place].freed) }
      return true
    }
    for slot in freed { freeing.insert(slot) }
    if let place {
      staged[place].installed.lsn = lsn
      staged[place].bytes = encoded(group, page, lsn, image)
      staged[place].freed = freed
      return true
    }
    stagedPlaces[key] = staged.count
    staged.append(
      Staged(
        installed: InstalledPage(group: group, page: page, lsn: lsn, slot: table.allocate()),
        bytes: encoded(group, page, lsn, image), freed: freed))
    return true
  }
  private func encoded(_ group: ProtectionGroupID, _ page: PageID, _ lsn: LSN, _ image: UnsafeRawBufferPointer?)
    -> [UInt8]
  {
    PageSlot(group: group, page: page, lsn: lsn, isAbsent: image == nil).encoded(
      image ?? UnsafeRawBufferPointer(start: nil, count: 0), pageSize: pageSize, identity: identity)
  }
  /// Whether a pin sees the version at `lsn` although there is one at `above`.
  private static func isPinned(_ lsn: LSN, below above: LSN, _ pins: [LSN]) -> Bool {
    for pin in pins where lsn <= pin && pin < above { return true }
    return false
  }

  /// See `NodeStore.stageDrop`.
  mutating func stageDrop(_ group: ProtectionGroupID, _ page: PageID) -> Bool {
    guard flight == nil, stagedPlaces[Key(group: group, page: page)] == nil else { return false }
    var at = table.head(group, page)
    while let slot = at {
      if freeing.insert(slot).inserted { stagedFrees.append(slot) }
      at = table.older(slot)
    }
    return true
  }

  /// Stages the release of older versions that pins kept and `pins` no longer need, looking at `limit` slots from
  /// `cursor`, which is 0 again at the end.
  package mutating func stagePrune(pins: [LSN], cursor: inout Int, limit: Int) {
    guard flight == nil else { return }
    let end = min(table.slotCount, cursor + limit)
    while cursor < end {
      let slot = UInt32(cursor)
      cursor += 1
      // From the newest version of a page only, so that each list is walked once.
      guard let page = table.contents(slot), table.head(page.group, page.page) == slot,
        stagedPlaces[Key(group: page.group, page: page.page)] == nil
      else { continue }
      var above = page.lsn
      var at = table.older(slot)
      while let old = at {
        let version = table.lsn(old)
        if Self.isPinned(version, below: above, pins) {
          above = version
        } else if freeing.insert(old).inserted {
          stagedFrees.append(old)
        }
        at = table.older(old)
      }
    }
    if cursor >= table.slotCount { cursor = 0 }
  }

  // MARK: Jobs

  /// What to write and sync before the journal entries, and the entries.
  mutating func beginJob() -> (operations: [StorageOperation], entries: [JournalEntry]) {
    var operations: [StorageOperation] = []
    var frees = stagedFrees
    var installs: [InstalledPage] = []
    for version in staged {
      operations.append(.write(.pages, at: position(version.installed.slot), version.bytes))
      installs.append(version.installed)
      frees += version.freed
    }
    if !operations.isEmpty { operations.append(.sync(.pages)) }
    staged.removeAll(keepingCapacity: true)
    stagedPlaces.removeAll(keepingCapacity: true)
    stagedFrees.removeAll(keepingCapacity: true)
    freeing.removeAll(keepingCapacity: true)
    flight = (installs, frees)
    var entries: [JournalEntry] = []
    // Frees first: in replay a slot may be freed and, in a later frame, taken again, never the other way round.
    if !frees.isEmpty { entries.append(.slotsFreed(frees)) }
    if !installs.isEmpty { entries.append(.pagesInstalled(installs)) }
    return (operations, entries)
  }
  /// The entries are durable (or not); returns the number of versions installed and freed.
  mutating func endJob(succeeded: Bool) -> Int {
    guard let (installs, frees) = flight else { return 0 }
    flight = nil
    if succeeded {
      for slot in frees {
        table.remove(slot)
        table.giveBack(slot)
      }
      for page in installs { table.install(page) }
      return installs.count + frees.count
    }
    for page in installs { table.giveBack(page.slot) }
    return 0
  }

  // MARK: Giving space back

  /// Whether enough slots have become free to look for space to give back.
  var wantsRelease: Bool {
    let bytes = table.freedSlots * slotSize
    return bytes >= 256 << 10 && bytes >= table.slotCount * slotSize / 16
  }
  /// Cuts the file after its last slot in use, and gives back runs of at least 64 KiB.
  mutating func beginRelease() -> [StorageOperation] {
    let least = ((64 << 10) + slotSize - 1) / slotSize
    var operations: [StorageOperation] = []
    if table.trim(least: least) {
      operations.append(.truncate(.pages, to: UInt64(table.slotCount) * UInt64(slotSize)))
    }
    for run in table.takeFreeRuns(least: least, limit: 64) {
      operations.append(.release(.pages, from: position(UInt32(run.lowerBound)), length: UInt64(run.count * slotSize)))
    }
    return operations
  }
}
