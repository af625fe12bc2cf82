import BorealisCore
import BorealisVolume
import Synchronization

// A view whose base moves to newer read points: `ViewFollower` says when and what that means.
extension OverlaySpace {
  /// A file was cut to `end` pages: what the base has from there on is never seen again, not even when the file grows.
  public func cut(_ object: ObjectID, to end: UInt64) {
    state.withLock { state in
      if state.followed == nil {
        state.cuts[object] = min(state.cuts[object] ?? .max, end)
      } else if let known = state.followed?[object]?.end {
        state.followed?[object]?.end = min(known, end)
        state.followed?[object]?.dropped.removeAll(from: end)
      }
    }
  }
  /// Copies a page of the base into the overlay, where it is to be seen and holds anything; whether it was copied.
  ///
  /// - Throws: `.tooLarge` with `isFull` where that would leave less than a quarter of the limit for changes.
  func keep(_ page: PageID) throws(VolumeError) -> Bool {
    guard let base = state.withLock({ $0.needsCopy(of: page) ? $0.base : nil }) else { return false }
    let bytes = try TreeStore.read(base, page).0
    let isZero = bytes.withUnsafeBytes { raw in
      stride(from: 0, to: raw.count, by: 8).allSatisfy { raw.loadUnaligned(fromByteOffset: $0, as: UInt64.self) == 0 }
    }
    guard !isZero else { return false }
    return try turn.withLock { _ throws(VolumeError) in
      try state.withLock { state throws(VolumeError) in
        guard state.needsCopy(of: page) else { return false }
        var after = state.statistics
        count(bytes, &after)
        after.kept += 1
        guard after.bytes <= limit.value / 4 * 3 else {
          throw VolumeError(.tooLarge, operation: "keep", isFull: true, detail: "the overlay may hold \(limit)")
        }
        state.put(Page(bytes: bytes, lsn: LSN(state.next)), at: page)
        state.next += 1
        state.statistics = after
        return true
      }
    }
  }
  /// From now on only these objects are seen in the base, up to a number of pages each; all else must have been kept.
  func follow(_ objects: [ObjectID: UInt64]) {
    turn.withLock { _ in
      state.withLock { state in
        var followed: [ObjectID: Followed] = [:]
        for (object, end) in objects where !state.hidden.contains(object) {
          followed[object] = Followed(end: min(end, state.cuts[object] ?? .max))
        }
        state.followed = followed
        state.cuts = [:]
      }
    }
  }
  /// Does not look at an object in the base any more.
  func unfollow(_ object: ObjectID) {
    turn.withLock { _ in state.withLock { $0.followed?[object] = nil } }
  }
  /// Puts another base below; reads under way may still end with the old one.
  func rebase(on base: any PageSpace) {
    turn.withLock { _ in state.withLock { $0.base = base } }
  }
  /// Pages of followed objects that were written here, those that were not changed for the longest time first.
  func changedPages(most: Int) -> [(page: PageID, lsn: LSN)] {
    var all = state.withLock { state -> [(page: PageID, lsn: LSN)] in
      var all: [(page: PageID, lsn: LSN)] = []
      for (object, _) in state.followed ?? [:] {
        for (index, page) in state.objects[object]?.pages ?? [:] where page.bytes != nil {
          all.append((PageID(object: object, index: index), page.lsn))
        }
      }
      return all
    }
    all.sort { $0.lsn < $1.lsn }
    return Array(all.prefix(most))
  }
  /// The bytes of a page that was written here, where it is still the one of `lsn`.
  func ownBytes(of page: PageID, at lsn: LSN) -> [UInt8]? {
    state.withLock { state in
      guard let found = state.objects[page.object]?.pages[page.index], found.lsn == lsn else { return nil }
      return found.bytes
    }
  }
  /// Forgets what was done to a page, unless it was changed since `lsn` (nil: whatever it is); whether it did.
  func drop(_ page: PageID, ifStillAt lsn: LSN?) -> Bool {
    turn.withLock { _ in
      state.withLock { state in
        guard let found = state.objects[page.object]?.pages[page.index], lsn == nil || found.lsn == lsn else {
          return false
        }
        if state.followed != nil {
          guard let end = state.followed?[page.object]?.end else { return false }
          if page.index >= end { state.followed?[page.object]?.dropped.insert(page.index) }
        }
        remove(page, from: &state)
        state.statistics.dropped += 1
        return true
      }
    }
  }
}

extension OverlaySpace.State {
  fileprivate func needsCopy(of page: PageID) -> Bool {
    objects[page.object]?.pages[page.index] == nil && sees(page)
  }
}
