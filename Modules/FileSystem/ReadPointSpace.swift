public import BorealisCore
public import BorealisRuntime
public import BorealisVolume

/// A volume as it was at one LSN, held readable for as long as this object lives.
///
/// Old versions of pages that change meanwhile are kept by the storage nodes and read from them; so a read point that is
/// held for long costs room there, and reads that miss the cache.
public final class ReadPointSpace: PageSpace {
  private enum Source: Sendable {
    case volume(Volume)
    case reader(VolumeReaderInstance)
  }
  /// The LSN at which the volume is shown.
  public let readPoint: LSN
  /// Bytes of a page.
  public let pageSize: Int
  private let source: Source

  /// The volume at its VDL now.
  public init(_ volume: Volume) {
    source = .volume(volume)
    pageSize = volume.pageSize
    readPoint = volume.openReadPoint()
  }
  /// The volume as a reader instance shows it now.
  public init(_ reader: VolumeReaderInstance) {
    source = .reader(reader)
    pageSize = reader.pageSize
    readPoint = reader.openReadPoint()
  }
  deinit {
    switch source {
    case .volume(let volume): volume.closeReadPoint(readPoint)
    case .reader(let reader): reader.closeReadPoint(readPoint)
    }
  }

  /// Reads a page as it was at the read point.
  ///
  /// - Throws: `.readPointTooOld` where a reader instance lost its registration in the meantime; as `Volume.read`.
  public func read(_ page: PageID, into buffer: UnsafeMutableRawBufferPointer) throws(VolumeError) -> LSN {
    switch source {
    case .volume(let volume): try volume.read(page, at: readPoint, into: buffer)
    case .reader(let reader): try reader.read(page, at: readPoint, into: buffer)
    }
  }
  /// Pages that may hold data: those of the head, and those given back since.
  public func pagesInUse(of object: ObjectID, from index: UInt64) throws(VolumeError) -> Range<UInt64>? {
    switch source {
    case .volume(let volume): try volume.pagesInUse(of: object, from: index)
    case .reader(let reader): try reader.pagesInUse(of: object, from: index)
    }
  }
}
