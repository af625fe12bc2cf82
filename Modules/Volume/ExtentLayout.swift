/// How the pages of an object are cut into extents, the unit in which they are assigned to groups.
///
/// All of one size, or, where `firstPages` is not 0, small ones first: the first ends at `firstPages`, each of the next
/// at sixteen times that, until they have the full size. So a small file takes little of a group's room.
struct ExtentLayout: Sendable, Equatable {
  static let growth: UInt64 = 16

  /// Pages of an extent of full size.
  let pages: UInt64
  /// Pages of the first extent; 0 where all are equal.
  let firstPages: UInt64
  /// Where the small extents end: the first at `ends[0]`, the last one at `pages`.
  private let ends: [UInt64]

  init(pages: UInt64, firstPages: UInt64) {
    self.pages = max(1, pages)
    self.firstPages = firstPages < self.pages ? firstPages : 0
    var ends: [UInt64] = []
    var end = self.firstPages
    while end > 0, end < self.pages {
      ends.append(end)
      end *= ExtentLayout.growth
    }
    if !ends.isEmpty { ends.append(self.pages) }
    self.ends = ends
  }
  /// The extent that holds a page.
  func extent(of page: UInt64) -> UInt64 {
    guard !ends.isEmpty else { return page / pages }
    guard page < pages else { return page / pages + UInt64(ends.count) - 1 }
    var extent = 0
    while page >= ends[extent] { extent += 1 }
    return UInt64(extent)
  }
  /// The first page of an extent.
  func start(of extent: UInt64) -> UInt64 {
    guard !ends.isEmpty else { return extent * pages }
    if extent >= UInt64(ends.count) { return (extent - UInt64(ends.count) + 1) * pages }
    return extent == 0 ? 0 : ends[Int(extent) - 1]
  }
  /// Pages of an extent.
  func size(of extent: UInt64) -> UInt64 {
    extent < UInt64(ends.count) ? ends[Int(extent)] - start(of: extent) : pages
  }
}
