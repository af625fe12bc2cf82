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

/// Slots of page images, and the index from page to slot. Only installed versions are seen.
package struct PageStore: ~Copyable, Sendable {
  /// LSN of the newest version at or below `bound`, nil when there is none. From memory.
  package func version(
    _ group: ProtectionGroupID, _ page: PageID, atOrBelow bound: LSN = .max
  ) -> LSN? { fatalError() }
  /// Reads that version into `buffer` (of the page size), verified; nil when there is none, and `buffer` is untouched.
  package func read(
    _ group: ProtectionGroupID, _ page: PageID, atOrBelow bound: LSN, into buffer: UnsafeMutableRawBufferPointer
  ) throws(StoreReadError) -> StoredPage? { fatalError() }
  /// Appends at most `limit` pages of the group above `cursor`, ascending (for baselines).
  ///
  /// The sorted list is made at the first call (`cursor` nil, or another group) and kept until `endListing`; pages
  /// installed since then are not in it.
  package mutating func pages(
    of group: ProtectionGroupID, after cursor: PageID?, limit: Int, into pages: inout [PageID]
  ) { fatalError() }
  /// Lets the sorted list go.
  package mutating func endListing() { fatalError() }
  /// Verifies the slot at `cursor` and moves on.
  package func scrub(_ cursor: inout Int) throws(StorageBackendError) -> ScrubResult { fatalError() }
  /// Pages with at least one version.
  package func pageCount(of group: ProtectionGroupID) -> Int { fatalError() }
  /// Bytes of slots of the group.
  package func bytes(of group: ProtectionGroupID) -> UInt64 { fatalError() }
  /// Slots that hold older versions which pins kept: stages the release of those that `pins` no longer need, looking at
  /// `limit` slots from `cursor`, which is 0 again at the end.
  package mutating func stagePrune(pins: [LSN], cursor: inout Int, limit: Int) { fatalError() }
}
