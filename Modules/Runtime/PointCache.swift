import BorealisCore
import BorealisVolume

/// Pages as they were at read points, of those that have changed since: a bounded number, evicted by a clock hand.
///
/// A page at a read point never changes, so nothing here is ever wrong; what belongs to a read point that was given back is
/// not asked for any more, and leaves by itself.
struct PointCache: Sendable {
  private struct Key: Hashable, Sendable {
    var page: PageID
    var point: LSN
  }
  private struct Frame: Sendable {
    var key: Key
    var image: PageImage
    var isReferenced: Bool
  }
  /// The most pages that are kept.
  let capacity: Int
  private var frames: [Frame] = []
  private var places: [Key: Int] = [:]
  private var hand = 0

  init(capacity: Int) { self.capacity = max(8, capacity) }

  var count: Int { frames.count }

  mutating func find(_ page: PageID, at point: LSN) -> PageImage? {
    guard let at = places[Key(page: page, point: point)] else { return nil }
    frames[at].isReferenced = true
    return frames[at].image
  }
  mutating func insert(_ page: PageID, at point: LSN, _ image: PageImage) {
    let key = Key(page: page, point: point)
    let frame = Frame(key: key, image: image, isReferenced: false)
    if let at = places[key] {
      frames[at] = frame
    } else if frames.count < capacity {
      places[key] = frames.count
      frames.append(frame)
    } else {
      while frames[hand].isReferenced {
        frames[hand].isReferenced = false
        hand = hand + 1 == frames.count ? 0 : hand + 1
      }
      places[frames[hand].key] = nil
      places[key] = hand
      frames[hand] = frame
      hand = hand + 1 == frames.count ? 0 : hand + 1
    }
  }
}
