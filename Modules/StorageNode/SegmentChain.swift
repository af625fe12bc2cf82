import BorealisCore

/// The segment chain of one group at one node: SCL, and runs of records above it whose predecessors are missing.
///
/// Follows `previousInGroup`. Knows LSNs only, not epochs or contents; the caller never inserts void records that it
/// knows to be void, and rebuilds the chain when it learns of a truncation.
struct SegmentChain: Sendable, Equatable {
  /// A run of linked records that does not reach SCL.
  struct Island: Sendable, Equatable {
    /// What the first record links back to: the missing record, or one in another island.
    var after: LSN
    /// The first record.
    var first: LSN
    /// The last record.
    var last: LSN
  }

  /// Durable and linked without gap up to and including here.
  private(set) var scl: LSN
  /// By `first`, ascending.
  private(set) var islands: [Island] = []

  /// A chain that begins at `base`.
  init(base: LSN = .zero) { scl = base }

  /// Highest record held, linked or not.
  var highest: LSN { islands.reduce(scl) { max($0, $1.last) } }

  /// Adds a record.
  ///
  /// Records at or below SCL, and those within an island, change nothing.
  mutating func insert(_ lsn: LSN, previous: LSN) {
    if previous == scl {
      guard lsn > scl else { return }
      scl = lsn
      if !islands.isEmpty { connect() }
      return
    }
    guard lsn > scl else { return }
    let at = firstIsland(above: lsn)  // islands[at - 1].first <= lsn < islands[at].first
    if at > 0 {
      // Held already: all of the chain between an island's ends is. (A record off it would be void: the live branch is
      // the higher one.) A second island inside the first would tear it apart when the gap below is filled.
      if lsn <= islands[at - 1].last { return }
      if islands[at - 1].last == previous {
        islands[at - 1].last = lsn
        if let next = branch(off: lsn, from: at) { islands[at - 1].last = islands.remove(at: next).last }
        return
      }
    }
    var island = Island(after: previous, first: lsn, last: lsn)
    if let next = branch(off: lsn, from: at) { island.last = islands.remove(at: next).last }
    islands.insert(island, at: at)
  }

  /// The island that goes on from `lsn`, among those from the place `start` on: the highest, where several branch off.
  private func branch(off lsn: LSN, from start: Int) -> Int? {
    for i in (start..<islands.count).reversed() where islands[i].after == lsn { return i }
    return nil
  }

  /// Begins anew at `base`, forgetting all islands: after a truncation, or when a baseline was installed.
  ///
  /// The caller inserts the records that it still holds above `base`.
  mutating func reset(to base: LSN) {
    scl = base
    islands.removeAll(keepingCapacity: true)
  }

  /// Number of islands whose first record is at or below `lsn`.
  private func firstIsland(above lsn: LSN) -> Int {
    var low = 0
    var high = islands.count
    while low < high {
      let middle = (low + high) / 2
      if islands[middle].first <= lsn { low = middle + 1 } else { high = middle }
    }
    return low
  }

  /// Joins islands that now touch SCL, and drops those that it has passed.
  ///
  /// Two islands may branch off the same record: one of them is void under a truncation that this node has not heard
  /// of. The higher one is the later writer's, hence the live one.
  private mutating func connect() {
    var found = true
    while found {
      found = false
      for i in islands.indices.reversed() where islands[i].after == scl && islands[i].last > scl {
        scl = islands[i].last
        islands.remove(at: i)
        found = true
        break
      }
    }
    islands.removeAll { $0.last <= scl }
  }
}
