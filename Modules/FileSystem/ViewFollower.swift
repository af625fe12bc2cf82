import BorealisCore
import BorealisVolume
import Synchronization

/// Moves a copy-on-write view to newer read points while it is in use, and gives back what it need not hold itself.
///
/// For whoever replays a writer's log into a view of the writer's files: what it has replayed is, page by page, what the
/// writer has written or will write. The files for which that holds are *followed*; of all others the view gets copies of its
/// own before it leaves its first read point, so that nothing of them ever changes by itself.
///
/// ## Contract
/// A new base may be given to `advance` when the caller's replay has passed all that the writer had logged when that read
/// point was opened. For each page of a followed file that the caller has not changed in the view, and will not change by a
/// write that is under way, the page of the new base must then be as good as that of the old one. The follower sees to the
/// rest: files that the writer has removed or replaced and the view has not, ends of files, pages that were cut away.
///
/// Not thread-safe with itself: one thread calls it. The view may be used meanwhile. Documentation/PostgreSQL.md has the
/// argument for PostgreSQL.
public final class ViewFollower {
  /// Pages that may be copied for one file that the writer has removed and the view has not.
  private static let keptPagesMax = 8192

  private let files: VolumeFileSystem
  private let overlay: OverlaySpace
  private var followed: [InodeNumber: ObjectID] = [:]
  /// Whether it has begun.
  public private(set) var isFollowing = false

  /// For a file system that is mounted on an overlay; nil for another one.
  public init?(_ files: VolumeFileSystem) {
    guard let overlay = files.space as? OverlaySpace else { return nil }
    self.files = files
    self.overlay = overlay
  }

  /// Names the files to follow, and copies all others.
  ///
  /// - Parameters:
  ///   - inodes: the files to follow; such as are not in the base do not count.
  ///   - forgotten: files whose contents nobody reads any more: they are not copied, and hold zeros where the view has
  ///     changed nothing.
  /// - Throws: `.noSpace` where the copies do not fit: what was copied stays, and it may be tried again. `.volume`.
  public func begin(
    following inodes: Set<InodeNumber>, forgetting forgotten: Set<InodeNumber> = []
  ) throws(FileSystemError) {
    guard !isFollowing else { return }
    let base = overlay.base
    let original = try VolumeFileSystem.readOnly(on: base, options: files.options)
    let (all, treePages) = try original.everything()
    var ends: [ObjectID: UInt64] = [:]
    var known: [InodeNumber: ObjectID] = [:]
    for attributes in all where attributes.object != 0 {
      let object = ObjectID(attributes.object)
      if inodes.contains(attributes.inode) {
        ends[object] = pages(attributes.size)
        known[attributes.inode] = object
      } else if !forgotten.contains(attributes.inode) {
        try keep(object, upTo: pages(attributes.size))
      }
    }
    try keep(TreeStore.object, upTo: treePages)
    overlay.follow(ends)
    followed = known
    isFollowing = true
  }
  private func pages(_ size: UInt64) -> UInt64 { (size + UInt64(files.pageSize) - 1) / UInt64(files.pageSize) }
  /// Copies what the base has of an object.
  private func keep(_ object: ObjectID, upTo end: UInt64, most: Int = .max) throws(FileSystemError) {
    var (at, left) = (UInt64(0), most)
    do throws(VolumeError) {
      while at < end, let range = try overlay.base.pagesInUse(of: object, from: at), range.lowerBound < end {
        for index in range.lowerBound..<min(end, range.upperBound) {
          guard try overlay.keep(PageID(object: object, index: index)) else { continue }
          left -= 1
          if left == 0 { throw VolumeError(.tooLarge, operation: "keep", isFull: true, detail: "too many pages") }
        }
        at = range.upperBound
      }
    } catch { throw FileSystemError(error, operation: "follow") }
  }

  /// Puts a newer read point below the view.
  ///
  /// - Throws: `.noSpace` where the writer has removed a file that the view still has, and it is too great to be copied:
  ///   the view stays where it is, and a later read point may do. `.volume`, `.corrupt`.
  public func advance(to base: any PageSpace) throws(FileSystemError) {
    guard isFollowing else { throw FileSystemError(.invalidArgument, operation: "follow", detail: "not begun") }
    let new = try VolumeFileSystem.readOnly(on: base, options: files.options)
    for (inode, object) in followed {
      if try new.object(of: inode) == object { continue }
      if try files.object(of: inode) == object {
        try keep(object, upTo: pages(VolumeFileSystem.fileSizeMax), most: ViewFollower.keptPagesMax)
      }
      overlay.unfollow(object)
      followed[inode] = nil
    }
    overlay.rebase(on: base)
  }

  /// Drops pages of followed files that the base has as well, those that were not changed for the longest time first.
  ///
  /// - Parameters:
  ///   - most: pages to look at.
  ///   - isReplaced: whether the base's page (second) does as well as the view's own (first).
  /// - Returns: how many were looked at and how many were dropped.
  @discardableResult
  public func trim(
    most: Int, _ isReplaced: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> Bool
  ) throws(FileSystemError) -> (looked: Int, dropped: Int) {
    guard isFollowing else { return (0, 0) }
    let base = overlay.base
    let changed = overlay.changedPages(most: most)
    var dropped = 0
    for (page, lsn) in changed {
      guard let own = overlay.ownBytes(of: page, at: lsn) else { continue }
      let below: [UInt8]
      do throws(VolumeError) { below = try TreeStore.read(base, page).0 } catch {
        throw FileSystemError(error, operation: "trim")
      }
      let does = own.withUnsafeBytes { own in below.withUnsafeBytes { isReplaced(own, $0) } }
      if does, overlay.drop(page, ifStillAt: lsn) { dropped += 1 }
    }
    return (changed.count, dropped)
  }
}

extension VolumeFileSystem {
  /// All inodes, and the pages of the tree.
  fileprivate func everything() throws(FileSystemError) -> ([FileAttributes], treePages: UInt64) {
    try query("follow") { core throws(FileSystemError) in
      var found: [FileAttributes] = []
      var failure: DecodeError?
      try core.tree.scan(from: TreeKey.attributes(InodeNumber(1))) { key, value in
        guard key.count == TreeKey.prefixSize, key.last == TreeKey.Kind.attributes.rawValue else { return true }
        do throws(DecodeError) {
          found.append(try InodeRecord.decode(value, InodeNumber(TreeKey.number(key, at: 0))))
        } catch { failure = error }
        return failure == nil
      }
      if let failure { throw core.tree.damaged("an inode: \(failure)") }
      return (found, core.tree.edited.pageCount)
    }
  }
  /// The object with the data of an inode; nil where there is no such inode.
  fileprivate func object(of inode: InodeNumber) throws(FileSystemError) -> ObjectID? {
    do throws(FileSystemError) { return ObjectID(try attributes(of: inode).object) } catch {
      guard error.code == .notFound else { throw error }
      return nil
    }
  }
}
