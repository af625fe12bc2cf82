/// A set of page numbers of one object: bits in chunks, so that neighbours cost a bit each and the next one is found without
/// looking at all.
struct PageSet: Sendable {
  private struct Chunk: Sendable {
    var number: UInt64
    /// As many words as the highest page needs.
    var words: [UInt64] = []
    var count = 0
  }
  /// Pages of a chunk: 64 words of 64 bits.
  private static let chunkPages: UInt64 = 4096

  /// In order of their numbers; none is empty.
  private var chunks: [Chunk] = []
  /// How many pages are in it.
  private(set) var count = 0

  var isEmpty: Bool { count == 0 }
  /// About what it takes in memory.
  var byteCount: Int { chunks.reduce(0) { $0 + 48 + 8 * $1.words.count } }

  /// The first chunk at or after a number.
  private func place(of number: UInt64) -> Int {
    var (low, high) = (0, chunks.count)
    while low < high {
      let middle = (low + high) / 2
      if chunks[middle].number < number { low = middle + 1 } else { high = middle }
    }
    return low
  }
  private static func parts(_ index: UInt64) -> (number: UInt64, word: Int, bit: UInt64) {
    let inside = Int(index % chunkPages)
    return (index / chunkPages, inside / 64, 1 << UInt64(inside % 64))
  }

  func contains(_ index: UInt64) -> Bool {
    let (number, word, bit) = PageSet.parts(index)
    let at = place(of: number)
    guard at < chunks.count, chunks[at].number == number, word < chunks[at].words.count else { return false }
    return chunks[at].words[word] & bit != 0
  }
  mutating func insert(_ index: UInt64) {
    let (number, word, bit) = PageSet.parts(index)
    let at = place(of: number)
    if at == chunks.count || chunks[at].number != number { chunks.insert(Chunk(number: number), at: at) }
    while chunks[at].words.count <= word { chunks[at].words.append(0) }
    guard chunks[at].words[word] & bit == 0 else { return }
    chunks[at].words[word] |= bit
    chunks[at].count += 1
    count += 1
  }
  mutating func remove(_ index: UInt64) {
    let (number, word, bit) = PageSet.parts(index)
    let at = place(of: number)
    guard at < chunks.count, chunks[at].number == number, word < chunks[at].words.count,
      chunks[at].words[word] & bit != 0
    else { return }
    chunks[at].words[word] &= ~bit
    chunks[at].count -= 1
    count -= 1
    if chunks[at].count == 0 { chunks.remove(at: at) }
  }
  /// Removes this page and all after it.
  mutating func removeAll(from index: UInt64) {
    while let page = next(from: index) { remove(page) }
  }
  /// The first page at or after `index`.
  func next(from index: UInt64) -> UInt64? {
    let (number, first, bit) = PageSet.parts(index)
    var at = place(of: number)
    var word = at < chunks.count && chunks[at].number == number ? first : 0
    // Bits below `index` in its own word do not count.
    var mask = at < chunks.count && chunks[at].number == number ? ~(bit - 1) : ~0
    while at < chunks.count {
      while word < chunks[at].words.count {
        let bits = chunks[at].words[word] & mask
        if bits != 0 {
          return chunks[at].number * PageSet.chunkPages + UInt64(word * 64 + bits.trailingZeroBitCount)
        }
        mask = ~0
        word += 1
      }
      at += 1
      (word, mask) = (0, ~0)
    }
    return nil
  }
  /// The first pages at or after `index` that are side by side.
  func run(from index: UInt64) -> Range<UInt64>? {
    guard let first = next(from: index) else { return nil }
    var end = first + 1
    while contains(end) { end += 1 }
    return first..<end
  }
}
