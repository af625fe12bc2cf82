import BorealisCore
import BorealisVolume

/// The pages that a transaction has written, in private memory until it commits.
///
/// Pages of the volume, whatever the page size of the database is. Used by one connection at a time.
final class Staging {
  /// Bytes that are allocated together.
  private static let slabBytes = 1 << 20

  private let pageSize: Int
  private let pagesPerSlab: Int
  private var slabs: [UnsafeMutableRawPointer] = []
  private var places: [UInt64: Int] = [:]
  /// The page in each place; nil where it was cut off.
  private var pages: [UInt64?] = []
  /// The file's size as the transaction sees it; nil: as it was.
  var size: UInt64?
  /// Bytes of the file below which what is not staged is as it was: beyond, it was cut off, and reads as zeros.
  private(set) var kept = UInt64.max

  init(pageSize: Int) {
    self.pageSize = pageSize
    pagesPerSlab = max(1, Staging.slabBytes / pageSize)
  }
  deinit { for slab in slabs { slab.deallocate() } }

  /// Forgets everything; the memory of a small transaction is kept for the next one.
  func removeAll() {
    guard !pages.isEmpty || size != nil else { return }
    while slabs.count > 1 { slabs.removeLast().deallocate() }
    places.removeAll(keepingCapacity: pages.count <= pagesPerSlab)
    pages.removeAll(keepingCapacity: pages.count <= pagesPerSlab)
    size = nil
    kept = .max
  }
  /// Whether the transaction has changed nothing.
  var isEmpty: Bool { places.isEmpty && size == nil }
  /// Bytes of pages that are staged.
  var bytes: Int { pages.count * pageSize }

  private func pointer(_ place: Int) -> UnsafeMutableRawBufferPointer {
    UnsafeMutableRawBufferPointer(
      start: slabs[place / pagesPerSlab] + place % pagesPerSlab * pageSize, count: pageSize)
  }
  /// A page that was staged.
  func find(_ page: UInt64) -> UnsafeMutableRawBufferPointer? { places[page].map { pointer($0) } }
  /// Stages a page that is not, with the bytes that `fill` gives it.
  ///
  /// While `fill` runs the page still counts as not staged.
  func add(_ page: UInt64, fill: (UnsafeMutableRawBufferPointer) -> Void) -> UnsafeMutableRawBufferPointer {
    let place = pages.count
    if place == slabs.count * pagesPerSlab {
      slabs.append(.allocate(byteCount: pagesPerSlab * pageSize, alignment: 4096))
    }
    let target = pointer(place)
    fill(target)
    pages.append(page)
    places[page] = place
    return target
  }
  /// The file ends at `size`: what was staged beyond is forgotten; the page that holds the end is the caller's to cut.
  func truncate(to size: UInt64) {
    self.size = size
    kept = min(kept, size)
    let end = (size + UInt64(pageSize) - 1) / UInt64(pageSize)
    for place in pages.indices {
      guard let page = pages[place], page >= end else { continue }
      pages[place] = nil
      places[page] = nil
    }
  }
  /// Adds the staged pages to a mini-transaction, and zeros where the file was cut off and has grown again.
  func write(to object: ObjectID, oldSize: UInt64, newSize: UInt64, into transaction: inout MiniTransaction) {
    transaction.reserve(pages: places.count)
    for place in pages.indices {
      guard let page = pages[place] else { continue }
      transaction.write(PageID(object: object, index: page), at: 0, UnsafeRawBufferPointer(pointer(place)))
    }
    guard kept < min(oldSize, newSize) else { return }
    let size = UInt64(pageSize)
    let zeros = [UInt8](repeating: 0, count: pageSize)
    for page in ((kept + size - 1) / size)..<((min(oldSize, newSize) + size - 1) / size) where places[page] == nil {
      transaction.write(PageID(object: object, index: page), at: 0, zeros)
    }
  }
}
