import BorealisCore

/// Pages of the tree in memory, as committed: a bounded number, evicted by a clock hand.
struct TreePageCache: Sendable {
  private struct Frame: Sendable {
    var index: UInt64
    var lsn: LSN
    var page: TreePage
    var isReferenced: Bool
  }
  /// The most pages that are kept.
  let capacity: Int
  private var frames: [Frame] = []
  private var places: [UInt64: Int] = [:]
  private var hand = 0

  init(capacity: Int) { self.capacity = max(16, capacity) }

  var count: Int { frames.count }

  mutating func find(_ index: UInt64) -> (page: TreePage, lsn: LSN)? {
    guard let at = places[index] else { return nil }
    frames[at].isReferenced = true
    return (frames[at].page, frames[at].lsn)
  }
  mutating func insert(_ index: UInt64, _ page: TreePage, lsn: LSN) {
    let frame = Frame(index: index, lsn: lsn, page: page, isReferenced: true)
    if let at = places[index] {
      frames[at] = frame
    } else if frames.count < capacity {
      places[index] = frames.count
      frames.append(frame)
    } else {
      while frames[hand].isReferenced {
        frames[hand].isReferenced = false
        hand = hand + 1 == frames.count ? 0 : hand + 1
      }
      places[frames[hand].index] = nil
      places[index] = hand
      frames[hand] = frame
      hand = hand + 1 == frames.count ? 0 : hand + 1
    }
  }
}
