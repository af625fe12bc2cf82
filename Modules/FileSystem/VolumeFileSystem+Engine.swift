package import BorealisCore
package import BorealisVolume
import Synchronization

/// What one file gets in a mini-transaction of an engine.
package struct EngineWrite {
  /// The file.
  package let file: OpenFile
  /// Its size afterwards; pages beyond it are given back.
  package let size: UInt64
  /// Adds the pages of the object that holds the file's data; bytes beyond the new size must be zeros.
  package let pages: (ObjectID, inout MiniTransaction) -> Void
  /// Makes a write.
  package init(_ file: OpenFile, size: UInt64, pages: @escaping (ObjectID, inout MiniTransaction) -> Void) {
    self.file = file
    self.size = size
    self.pages = pages
  }
}

extension FileAttributes {
  /// The object with the file's data; nil where nothing was ever written.
  package var dataObject: ObjectID? { object == 0 ? nil : ObjectID(object) }
}

// How an engine that works in pages commits: several files at once, page by page.
extension VolumeFileSystem {
  /// Writes pages of several files and sets their sizes, all in one mini-transaction.
  ///
  /// Where one file keeps its size, it touches nothing but data pages.
  /// - Parameter writes: one for each file.
  /// - Returns: the LSN of the mini-transaction. - Throws: as `writeAtomically`.
  package func commit(_ writes: [EngineWrite]) throws(FileSystemError) -> LSN {
    guard let target else { throw FileSystemError(.readOnly, operation: "commit") }
    if writes.count == 1, let lsn = try commitInside(writes[0], target) { return lsn }
    for write in writes {
      _ = try write.file.check("commit", self)
      guard write.size <= VolumeFileSystem.fileSizeMax else {
        throw FileSystemError(.tooLarge, operation: "commit", inode: write.file.inode)
      }
    }
    // The locks of several files are taken in one order.
    let ordered = writes.sorted { $0.file.inode < $1.file.inode }
    return try change("commit") { core throws(FileSystemError) in
      defer {
        if core.tree.transaction.byteCount > 64 << 10 {
          core.tree.transaction = MiniTransaction(pageSize: self.pageSize)
        }
      }
      return try core.commit(ordered[...])
    }
  }
  /// Commits pages within the size of a file; nil where it has another size, or no object yet.
  private func commitInside(
    _ write: EngineWrite, _ target: any WritablePageSpace
  ) throws(FileSystemError) -> LSN? {
    let live = try write.file.check("commit", self)
    return try live.order.withLock { transaction throws(FileSystemError) -> LSN? in
      let (size, object) = live.state.withLock { ($0.attributes.size, $0.attributes.object) }
      guard object != 0, write.size == size else { return nil }
      write.pages(ObjectID(object), &transaction)
      return try commitData(&transaction, live, target, "commit", isAwaited: true)
    }
  }
}

extension FileSystemCore {
  /// Pages that an engine's transaction may cut off: their records have no payload, 16 million make about 1 GiB.
  private static let engineDiscardMax = 1 << 24

  /// Stages the first of `writes` and those behind it, each under the lock of its file, then commits all.
  fileprivate mutating func commit(_ writes: ArraySlice<EngineWrite>) throws(FileSystemError) -> LSN {
    guard let write = writes.first else { return try finish() }
    let live = write.file.live
    return try live.order.withLock { _ throws(FileSystemError) in
      var attributes = live.attributes
      let old = attributes.size
      if attributes.object == 0, write.size > 0 { attributes.object = newObject() }
      if attributes.object != 0 { write.pages(ObjectID(attributes.object), &tree.transaction) }
      if write.size < old, attributes.object != 0 {
        try stageCut(attributes.object, from: write.size, to: old, FileSystemCore.engineDiscardMax, written: [])
      }
      attributes.size = write.size
      attributes.modified = time
      attributes.changed = attributes.modified
      try stage(attributes)
      guard write.size < old else { return try commit(writes.dropFirst()) }
      return try live.cut { () throws(FileSystemError) in try commit(writes.dropFirst()) }
    }
  }
}
