import BorealisCore

/// Read points that are in use, counted, in order.
struct ReadPoints: Sendable {
  private struct Point: Sendable {
    var lsn: LSN
    var count: Int
  }
  private var points: [Point] = []

  /// The lowest one in use.
  var lowest: LSN? { points.first?.lsn }
  /// The highest one in use.
  var highest: LSN? { points.last?.lsn }
  /// Number of different ones.
  var count: Int { points.count }

  private func position(of lsn: LSN) -> Int {
    var (low, high) = (0, points.count)
    while low < high {
      let middle = (low + high) / 2
      if points[middle].lsn < lsn { low = middle + 1 } else { high = middle }
    }
    return low
  }
  func contains(_ lsn: LSN) -> Bool {
    let at = position(of: lsn)
    return at < points.count && points[at].lsn == lsn
  }
  func hasPoint(from lower: LSN, below upper: LSN) -> Bool {
    let at = position(of: lower)
    return at < points.count && points[at].lsn < upper
  }
  mutating func open(_ lsn: LSN) {
    let at = position(of: lsn)
    if at < points.count, points[at].lsn == lsn {
      points[at].count += 1
    } else {
      points.insert(Point(lsn: lsn, count: 1), at: at)
    }
  }
  /// Gives one use back; false where there was none.
  @discardableResult mutating func close(_ lsn: LSN) -> Bool {
    let at = position(of: lsn)
    guard at < points.count, points[at].lsn == lsn else { return false }
    points[at].count -= 1
    if points[at].count == 0 { points.remove(at: at) }
    return true
  }
  mutating func removeAll() { points.removeAll() }
}

/// `tail(g, P)`: the last LSN issued to a group at or below a read point, for the current VDL and the read points in
/// use.
///
/// Older ones are kept only where a read point in use needs them, so the history is about as long as the list of those.
struct TailHistory: Sendable {
  /// The tail at the current VDL (a reader: at the applied VDL).
  private(set) var current: LSN
  private(set) var older: [LSN] = []

  init(_ tail: LSN) { current = tail }

  /// A record of the group has come to lie at or below VDL; `points` hold only LSNs below it.
  mutating func advance(to lsn: LSN, points: borrowing ReadPoints) {
    if let highest = points.highest {
      if highest >= current { older.append(current) }
      // Points close in any order: those that nobody needs any more go when they are the greater part.
      if older.count > 2 * points.count + 8 { compact(below: lsn, points: points) }
    } else if !older.isEmpty {
      older.removeAll(keepingCapacity: true)
    }
    current = lsn
  }
  /// Keeps only the tails of read points in use.
  private mutating func compact(below end: LSN, points: borrowing ReadPoints) {
    var kept = 0
    for i in older.indices {
      let next = i + 1 < older.count ? older[i + 1] : older[i] < current ? current : end
      guard points.hasPoint(from: older[i], below: next) else { continue }
      older[kept] = older[i]
      kept += 1
    }
    older.removeLast(older.count - kept)
  }
  /// An LSN that a segment must have reached to serve reads at `readPoint`: exactly the tail for a read point in use
  /// (or the current VDL), at least the tail for another.
  func required(at readPoint: LSN, points: borrowing ReadPoints) -> LSN {
    if readPoint >= current { return current }
    if points.contains(readPoint) {
      for tail in older.reversed() where tail <= readPoint { return tail }
    }
    for tail in older where tail > readPoint { return tail }
    return current
  }
}
