public import BorealisCore
public import BorealisRuntime
public import BorealisVolume

/// Pages to read: the head of a volume, a reader instance, a read point.
///
/// ## Contract
/// 1. `read` fills the whole page; a page never written reads as zeros.
/// 2. The LSN that it gives is that of the page's last change: the same LSN (above 0) means the same bytes.
/// 3. All methods may be called from any thread.
public protocol PageSpace: AnyObject, Sendable {
  /// Bytes of a page: a power of two from 512 to 65,536.
  var pageSize: Int { get }
  /// Whether pages change only by this object's own `commit` and `discard`, so that what was read may be kept.
  ///
  /// A reader instance follows its writer and says false.
  var isStill: Bool { get }
  /// Reads a page into `buffer`, which must hold a whole page; may block. Gives the LSN of its last change.
  func read(_ page: PageID, into buffer: UnsafeMutableRawBufferPointer) throws(VolumeError) -> LSN
  /// The first range of pages of `object` at or after `index` that may hold anything but zeros; nil where there is none.
  ///
  /// Never leaves a page out that holds data; may name pages that hold none.
  func pagesInUse(of object: ObjectID, from index: UInt64) throws(VolumeError) -> Range<UInt64>?
}

extension PageSpace {
  /// True: nobody else changes the pages.
  public var isStill: Bool { true }
}

/// Pages to read and to change, by mini-transactions.
///
/// ## Contract
/// 1. `commit` applies all of a mini-transaction or, where it throws, nothing of it; it gives rising LSNs.
/// 2. Reads see what was committed at once.
/// 3. What `waitUntilDurable` has returned for is never lost; nor is anything below it.
public protocol WritablePageSpace: PageSpace {
  /// Applies a mini-transaction; may block while there is no room. Gives the LSN of its consistency point.
  func commit(_ transaction: borrowing MiniTransaction) throws(VolumeError) -> LSN
  /// `commit` for what nobody waits for yet; `waitUntilDurable` for it, or for anything later, has it sent.
  func commitLater(_ transaction: borrowing MiniTransaction) throws(VolumeError) -> LSN
  /// Gives back all pages of an object, perhaps in several steps; nil where it has none.
  func discard(_ object: ObjectID) throws(VolumeError) -> LSN?
  /// Blocks until everything up to `lsn` is durable.
  func waitUntilDurable(_ lsn: LSN) throws(VolumeError)
  /// Hears that a file was cut to `end` pages, after the mini-transaction that did it.
  func cut(_ object: ObjectID, to end: UInt64)
}

extension WritablePageSpace {
  /// The same as `commit`.
  public func commitLater(_ transaction: borrowing MiniTransaction) throws(VolumeError) -> LSN {
    try commit(transaction)
  }
  /// Does nothing.
  public func cut(_ object: ObjectID, to end: UInt64) {}
}

extension Volume: WritablePageSpace {
  /// Reads a page at the head.
  public func read(_ page: PageID, into buffer: UnsafeMutableRawBufferPointer) throws(VolumeError) -> LSN {
    try read(page, at: nil, into: buffer)
  }
}

extension VolumeReaderInstance: PageSpace {
  /// False: the pages follow the writer.
  public var isStill: Bool { false }
  /// Reads a page at the applied VDL.
  public func read(_ page: PageID, into buffer: UnsafeMutableRawBufferPointer) throws(VolumeError) -> LSN {
    try read(page, at: nil, into: buffer)
  }
}
