import BorealisCore
import BorealisStorageBackend

/// A version of a page that the page store gave.
package struct StoredPage: Hashable, Sendable {
  /// LSN of the last record in the image.
  package var lsn: LSN
  /// Whether the page is absent as of that LSN (discarded); the buffer then holds zeros.
  package var isAbsent: Bool
}

/// What a step of the scrub found.
package enum ScrubResult: Hashable, Sendable {
  /// A good slot, an empty one, or one that was superseded.
  case good
  /// The slot's bytes are not this page version: fetch it from a peer and stage it again with the same or a higher LSN.
  case damaged(ProtectionGroupID, PageID, LSN)
  /// All slots have been visited: begin again at 0.
  case end
}

/// Slots of page images, and the index from page to slot.
///
/// Only installed versions are seen.
///
/// A version is written to a free slot, synced, and only then installed by a journal frame, which also frees what it
/// supersedes; a freed slot is used again only after that frame is durable.
package struct PageStore: ~Copyable, Sendable {
  /// A version waiting for the next job.
  struct Staged: Sendable {
    var installed: InstalledPage
    var bytes: [UInt8]
    /// Slots that it supersedes.
    var freed: [UInt32]
  }
  struct Key: Hashable, Sendable {
    var group: ProtectionGroupID
    var page: PageID
  }

  let backend: any StorageBackend
  let identity: StoreIdentity
  let pageSize: Int
  var table = PageTable()
  var staged: [Staged] = []
  /// Place in `staged`; only looked up in, never iterated.
  var stagedPlaces: [Key: Int] = [:]
  /// Slots to free besides those that staged versions supersede.
  var stagedFrees: [UInt32] = []
  /// Slots already among those to free in the next job; only looked up in.
  var freeing: Set<UInt32> = []
  /// What the job under way installs and frees.
  var flight: (installs: [InstalledPage], frees: [UInt32])?
  /// Sorted pages of one group, for baselines.
  private var listing: (group: ProtectionGroupID, pages: [PageID])?

  /// Bytes of images staged before `stage` asks for a job.
  static let stagedBytesMax = 2 << 20

  init(backend: any StorageBackend, identity: StoreIdentity, pageSize: Int) {
    self.backend = backend
    self.identity = identity
    self.pageSize = pageSize
  }

  var slotSize: Int { pageSize + PageSlot.headerSize }
  func position(_ slot: UInt32) -> UInt64 { UInt64(slot) * UInt64(slotSize) }

  // MARK: Look-ups

  func slot(_ group: ProtectionGroupID, _ page: PageID, atOrBelow bound: LSN) -> UInt32? {
    var at = table.head(group, page)
    while let slot = at, table.lsn(slot) > bound { at = table.older(slot) }
    return at
  }

  /// LSN of the newest version at or below `bound`, nil when there is none.
  ///
  /// From memory.
  package func version(
    _ group: ProtectionGroupID, _ page: PageID, atOrBelow bound: LSN = .max
  ) -> LSN? { slot(group, page, atOrBelow: bound).map { table.lsn($0) } }

  /// Reads that version into `buffer` (of the page size), verified; nil when there is none, and `buffer` is untouched.
  package func read(
    _ group: ProtectionGroupID, _ page: PageID, atOrBelow bound: LSN, into buffer: UnsafeMutableRawBufferPointer
  ) throws(StoreReadError) -> StoredPage? {
    precondition(buffer.count == pageSize)
    guard let slot = slot(group, page, atOrBelow: bound) else { return nil }
    return try read(slot, PageSlot(group: group, page: page, lsn: table.lsn(slot), isAbsent: false), into: buffer)
  }

  /// Reads and verifies a slot that should hold `wanted`; the image goes to `buffer` where there is one.
  private func read(
    _ slot: UInt32, _ wanted: PageSlot, into buffer: UnsafeMutableRawBufferPointer?
  ) throws(StoreReadError) -> StoredPage {
    let result: Result<StoredPage, StoreReadError> = withUnsafeTemporaryAllocation(byteCount: slotSize, alignment: 8) {
      raw in
      do throws(StorageBackendError) { try backend.read(.pages, at: position(slot), into: raw) } catch {
        return .failure(.backend(error))
      }
      guard var found = try? PageSlot.decode(UnsafeRawBufferPointer(raw), pageSize: pageSize, identity: identity)
      else { return .failure(.damaged) }
      let stored = StoredPage(lsn: found.lsn, isAbsent: found.isAbsent)
      found.isAbsent = false
      guard found == wanted else { return .failure(.damaged) }
      buffer?.copyMemory(from: UnsafeRawBufferPointer(rebasing: raw[PageSlot.headerSize...]))
      return .success(stored)
    }
    return try result.get()
  }

  /// Pages with at least one version.
  package func pageCount(of group: ProtectionGroupID) -> Int { table.total(of: group).pages }
  /// Bytes of slots of the group.
  package func bytes(of group: ProtectionGroupID) -> UInt64 {
    UInt64(table.total(of: group).slots) * UInt64(slotSize)
  }

  /// Appends at most `limit` pages of the group above `cursor`, ascending (for baselines).
  ///
  /// The sorted list is made at the first call (`cursor` nil, or another group) and kept until `endListing`; pages
  /// installed since then are not in it, pages dropped since then still are.
  package mutating func pages(
    of group: ProtectionGroupID, after cursor: PageID?, limit: Int, into pages: inout [PageID]
  ) {
    if cursor == nil || listing?.group != group { listing = (group, table.pages(of: group)) }
    guard let sorted = listing?.pages else { return }
    var (low, high) = (0, sorted.count)
    while let cursor, low < high {
      let middle = (low + high) / 2
      if sorted[middle] <= cursor { low = middle + 1 } else { high = middle }
    }
    pages.append(contentsOf: sorted[low..<min(sorted.count, low + max(0, limit))])
  }
  /// Lets the sorted list go.
  package mutating func endListing() { listing = nil }

  /// Verifies the slot at `cursor` and moves on.
  package func scrub(_ cursor: inout Int) throws(StorageBackendError) -> ScrubResult {
    guard cursor >= 0, cursor < table.slotCount else { return .end }
    let slot = UInt32(cursor)
    cursor += 1
    guard let page = table.contents(slot) else { return .good }
    do throws(StoreReadError) {
      _ = try read(slot, PageSlot(group: page.group, page: page.page, lsn: page.lsn, isAbsent: false), into: nil)
      return .good
    } catch {
      if case .backend(let failure) = error { throw failure }
      return .damaged(page.group, page.page, page.lsn)
    }
  }
  /// Slots of the page file.
  package var slotCount: Int { table.slotCount }
  /// Slots that hold nothing.
  package var freeSlotCount: Int { table.freeCount }
}
