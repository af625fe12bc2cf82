import BorealisCore
import BorealisWire

/// Reads the catalog from storage when a volume is opened or a reader attaches: the superblock, then the pages of
/// entries, several at once.
struct CatalogLoader: Sendable {
  /// Pages under way at once.
  static let parallelMax = 16

  enum Phase: Sendable, Equatable {
    case idle, superblock, entries, done
    /// The superblock was never written.
    case absent
    /// What was read is no catalog of this volume.
    case failed
  }
  private(set) var phase = Phase.idle
  private(set) var readPoint = LSN.zero
  private(set) var failure: DecodeError?
  private var pageCount = 0
  private var nextPage = 0
  private var loaded = 0

  /// Begins; the superblock is to be read first.
  mutating func start(at readPoint: LSN) {
    self = CatalogLoader()
    self.readPoint = readPoint
    phase = .superblock
  }
  mutating func cancel() { phase = .idle }
  /// Nothing has to be read.
  mutating func finish() { phase = .done }

  /// The next page to ask for, where more may be under way.
  mutating func next() -> PageID? {
    guard phase == .entries, nextPage < pageCount, nextPage - loaded < CatalogLoader.parallelMax else { return nil }
    nextPage += 1
    return PageID(object: .catalog, index: UInt64(nextPage))
  }
  /// A page of the catalog has been read.
  mutating func receive(_ page: PageID, lsn: LSN, image: [UInt8], into catalog: inout VolumeCatalog) {
    do throws(DecodeError) {
      switch phase {
      case .superblock where page.index == 0:
        if lsn == .zero {
          phase = .absent
          return
        }
        let bytes = image + [UInt8](repeating: 0, count: max(0, VolumeCatalog.superblockSize - image.count))
        pageCount = try bytes.withUnsafeBytesTyped { raw throws(DecodeError) in
          try catalog.load(superblock: raw)
        }
        phase = .entries
      case .entries where page.index > 0 && page.index <= UInt64(pageCount):
        var bytes = image
        while bytes.count % VolumeCatalog.entrySize != 0 { bytes.append(0) }
        let first = Int(page.index - 1) * catalog.entriesPerPage
        try bytes.withUnsafeBytesTyped { raw throws(DecodeError) in
          try catalog.apply(entries: raw, from: first, lsn: readPoint)
        }
        loaded += 1
      default: return
      }
      if phase == .entries, loaded == pageCount { phase = .done }
    } catch {
      failure = error
      phase = .failed
    }
  }
}
