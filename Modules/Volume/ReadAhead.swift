import BorealisCore

/// Who reads pages one after the other, and how far ahead of them storage was asked.
///
/// A few places of reading are remembered, the one not used for the longest time makes room. A reader is taken to be
/// reading on when it has read `proof` pages in order; pages left out in between, as the inner pages of a tree are, do not
/// matter. Then `window` pages beyond it are wanted, and asked for in runs when half of them are used up.
struct ReadAhead: Sendable {
  private struct Stream: Sendable {
    var object: ObjectID
    /// The page behind the one read last.
    var next: UInt64
    /// Pages below were asked for, or needed not to be.
    var asked: UInt64
    var inOrder: Int
    var usedAt: UInt64
  }
  /// Pages in order that make a reader one that reads on.
  private static let proof: Int = 4
  /// Pages that may be left out.
  private static let gapMax: UInt64 = 4
  /// Places remembered.
  private static let streamsMax = 8
  /// Pages asked for in one message.
  static let runMax = 32

  /// Pages ahead of a reader; 0: none ever.
  let window: Int
  private var streams: [Stream] = []
  private var clock: UInt64 = 0
  /// The stream that wants pages.
  private var wanting: Int?
  /// Whether somebody has been told that pages are wanted.
  private var isTold = false

  /// - Parameter capacity: pages of the cache: an eighth of it is the most that reading ahead may take.
  init(window: Int, capacity: Int) {
    self.window = min(window, capacity / 8)
  }

  /// A page is being read.
  mutating func note(_ page: PageID) {
    guard window > 0 else { return }
    clock += 1
    for i in streams.indices where streams[i].object == page.object {
      // The page read last, once more.
      if page.index &+ 1 == streams[i].next { return }
      guard page.index >= streams[i].next, page.index - streams[i].next <= ReadAhead.gapMax else { continue }
      streams[i].next = page.index &+ 1
      streams[i].inOrder += 1
      streams[i].usedAt = clock
      if wants(i, half: true) { wanting = i }
      return
    }
    let new = Stream(
      object: page.object, next: page.index &+ 1, asked: page.index &+ 1, inOrder: 0, usedAt: clock)
    guard streams.count == ReadAhead.streamsMax else { return streams.append(new) }
    var oldest = 0
    for i in streams.indices where streams[i].usedAt < streams[oldest].usedAt { oldest = i }
    if wanting == oldest { wanting = nil }
    streams[oldest] = new
  }
  private func wants(_ i: Int, half: Bool) -> Bool {
    let stream = streams[i]
    guard stream.inOrder >= ReadAhead.proof, stream.next < .max - UInt64(2 * window) else { return false }
    return max(stream.asked, stream.next) < stream.next + UInt64(half ? (window + 1) / 2 : window)
  }

  /// True once when pages have come to be wanted: somebody should ask for `next`.
  mutating func takeWish() -> Bool {
    guard wanting != nil, !isTold else { return false }
    isTold = true
    return true
  }
  /// Whoever was told could not ask now: the next page read tells again.
  mutating func postpone() { isTold = false }

  /// The pages to ask for next, at most a run; nil where no more are wanted now.
  ///
  /// They count as asked for.
  mutating func next() -> Range<PageID>? {
    guard let i = wanting, wants(i, half: false) else {
      wanting = nil
      isTold = false
      return nil
    }
    let start = max(streams[i].asked, streams[i].next)
    let end = min(start + UInt64(ReadAhead.runMax), streams[i].next + UInt64(window))
    streams[i].asked = end
    let object = streams[i].object
    return PageID(object: object, index: start)..<PageID(object: object, index: end)
  }
  /// Fewer pages than `next` gave were asked for: those from `index` on are still wanted.
  mutating func giveBack(_ object: ObjectID, from index: UInt64) {
    guard let i = wanting, streams[i].object == object else { return }
    streams[i].asked = min(streams[i].asked, max(index, streams[i].next))
  }
  /// Whether a page was the last one of a reader who reads on: where it is missing, more will be.
  ///
  /// Then those up to the end of the range count as asked for.
  mutating func follows(_ page: PageID) -> Range<PageID>? {
    guard window > 0 else { return nil }
    for i in streams.indices where streams[i].object == page.object && streams[i].next == page.index &+ 1 {
      guard wants(i, half: false) else { return nil }
      // What was asked for before and has left the cache again is not wanted anew by others.
      let end = page.index + UInt64(min(ReadAhead.runMax, window))
      streams[i].asked = max(streams[i].asked, end)
      return page..<PageID(object: page.object, index: end)
    }
    return nil
  }
}
