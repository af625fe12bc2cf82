public import BorealisCore
import BorealisVolume
import Synchronization

/// Bytes to be written at an offset, as part of a batch.
public struct FileWrite: Sendable {
  /// Where in the file.
  public var offset: UInt64
  /// What.
  public var bytes: [UInt8]
  /// Makes a write.
  public init(at offset: UInt64, _ bytes: [UInt8]) {
    self.offset = offset
    self.bytes = bytes
  }
}

extension VolumeFileSystem {
  // MARK: Reading

  /// Reads from `offset` on into `buffer`; bytes that were never written are zeros.
  ///
  /// Waits for nobody's change. Each page is read as it is at one moment; a page that is written whole is seen whole.
  /// - Returns: bytes read; fewer than asked for only at the end of the file.
  /// - Throws: `.badHandle`, `.isDirectory`, `.volume`.
  public func read(
    _ file: OpenFile, at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer
  ) throws(FileSystemError) -> Int {
    let live = try file.check("read", self)
    guard space.isStill else { return try readMoving(live.inode, at: offset, into: buffer) }
    while true {
      let (attributes, cuts) = live.state.withLock { ($0.attributes, $0.cuts) }
      guard attributes.type != .directory else {
        throw FileSystemError(.isDirectory, operation: "read", inode: file.inode)
      }
      if cuts % 2 == 1 {
        live.order.withLock { _ in }
        continue
      }
      let count = VolumeFileSystem.available(attributes.size, at: offset, buffer.count)
      try readPages(
        of: attributes.object, at: offset, into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<count]),
        inode: live.inode)
      if live.state.withLock({ $0.cuts }) == cuts { return count }
    }
  }
  /// Reads up to `count` bytes from `offset` on.
  public func read(_ file: OpenFile, at offset: UInt64, count: Int) throws(FileSystemError) -> [UInt8] {
    let size = try attributes(of: file).size
    let most = VolumeFileSystem.available(size, at: offset, max(0, count))
    var failure: FileSystemError?
    let bytes = [UInt8](unsafeUninitializedCapacity: most) { buffer, filled in
      do throws(FileSystemError) {
        filled = try read(file, at: offset, into: UnsafeMutableRawBufferPointer(buffer))
      } catch { failure = error }
    }
    if let failure { throw failure }
    return bytes
  }
  private static func available(_ size: UInt64, at offset: UInt64, _ count: Int) -> Int {
    offset >= size ? 0 : Int(min(UInt64(count), size - offset))
  }
  /// Reads where a writer moves on meanwhile: again, if the file got another size or other pages.
  private func readMoving(
    _ inode: InodeNumber, at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer
  ) throws(FileSystemError) -> Int {
    var before = try attributes(of: inode)
    while true {
      guard before.type != .directory else { throw FileSystemError(.isDirectory, operation: "read", inode: inode) }
      let count = VolumeFileSystem.available(before.size, at: offset, buffer.count)
      try readPages(
        of: before.object, at: offset, into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<count]), inode: inode)
      let after = try attributes(of: inode)
      if after.object == before.object, after.size >= before.size { return count }
      before = after
    }
  }
  /// Reads pages of an object.
  func readPages(
    of object: UInt64, at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer, inode: InodeNumber
  ) throws(FileSystemError) {
    guard object != 0 else {
      buffer.initializeMemory(as: UInt8.self, repeating: 0)
      return
    }
    var done = 0
    do throws(VolumeError) {
      while done < buffer.count {
        let at = offset + UInt64(done)
        let inPage = Int(at % UInt64(pageSize))
        let count = min(pageSize - inPage, buffer.count - done)
        let page = PageID(object: ObjectID(object), index: at / UInt64(pageSize))
        if count == pageSize {
          _ = try space.read(page, into: UnsafeMutableRawBufferPointer(rebasing: buffer[done..<(done + count)]))
        } else {
          let bytes = try TreeStore.read(space, page).0
          bytes.withUnsafeBytes {
            UnsafeMutableRawBufferPointer(rebasing: buffer[done..<(done + count)])
              .copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[inPage..<(inPage + count)]))
          }
        }
        done += count
      }
    } catch { throw FileSystemError(error, operation: "read", inode: inode) }
  }

  // MARK: Writing

  /// Writes `bytes` at `offset`; the file grows where needed, and what lies between reads as zeros.
  ///
  /// One mini-transaction, or, above `FileSystemOptions.writeBytesMax`, one for each part that ends at a multiple of it,
  /// in order. Within the file's size it touches nothing but data pages; beyond it, the inode also.
  /// - Returns: the LSN of the last mini-transaction; nil for no bytes. Not durable before `sync`.
  /// - Throws: `.tooLarge` beyond 16 TiB, `.isDirectory`, `.badHandle`, `.noSpace`, `.volume`; parts before the one that
  ///   failed are written.
  @discardableResult
  public func write(
    _ file: OpenFile, at offset: UInt64, _ bytes: UnsafeRawBufferPointer
  ) throws(FileSystemError) -> LSN? {
    let live = try file.check("write", self)
    guard let target else { throw FileSystemError(.readOnly, operation: "write", inode: file.inode) }
    guard UInt64(bytes.count) <= VolumeFileSystem.fileSizeMax,
      offset <= VolumeFileSystem.fileSizeMax - UInt64(bytes.count)
    else { throw FileSystemError(.tooLarge, operation: "write", inode: file.inode) }
    guard live.attributes.type == .file else {
      throw FileSystemError(.isDirectory, operation: "write", inode: file.inode)
    }
    var lsn: LSN?
    var done = 0
    while done < bytes.count {
      let at = offset + UInt64(done)
      let part = options.writeBytesMax.value
      let rest = UInt64(bytes.count - done)
      // A small write that crosses a multiple is one all the same: it is what its caller takes for one.
      let count = Int(UInt64(bytes.count) <= part ? rest : min(part - at % part, rest))
      lsn = try writePart(live, at: at, UnsafeRawBufferPointer(rebasing: bytes[done..<(done + count)]), target)
      done += count
    }
    return lsn
  }
  /// Writes `bytes` at `offset`.
  @discardableResult
  public func write(_ file: OpenFile, at offset: UInt64, _ bytes: [UInt8]) throws(FileSystemError) -> LSN? {
    let result: Result<LSN?, FileSystemError> = bytes.withUnsafeBytes { raw in
      Result { () throws(FileSystemError) in try write(file, at: offset, raw) }
    }
    return try result.get()
  }
  private func writePart(
    _ live: LiveInode, at offset: UInt64, _ bytes: UnsafeRawBufferPointer, _ target: any WritablePageSpace
  ) throws(FileSystemError) -> LSN {
    let end = offset + UInt64(bytes.count)
    let inside = try live.order.withLock { transaction throws(FileSystemError) -> LSN? in
      let (size, object) = live.state.withLock { ($0.attributes.size, $0.attributes.object) }
      guard object != 0, end <= size else { return nil }
      transaction.write(bytes, to: object, at: offset)
      return try commitData(&transaction, live, target, "write", isAwaited: false)
    }
    if let inside { return inside }
    return try change("write") { core throws(FileSystemError) in
      try live.order.withLock { _ throws(FileSystemError) in
        var attributes = live.attributes
        attributes.size = max(attributes.size, end)
        return try core.writeData(&attributes) { $0.write(bytes, to: $1, at: offset) }
      }
    }
  }
  /// Commits data within the size of a file: nothing but the pages.
  ///
  /// Where it is not awaited, it is sent with a later sync.
  func commitData(
    _ transaction: inout MiniTransaction, _ live: LiveInode, _ target: any WritablePageSpace,
    _ operation: StaticString, isAwaited: Bool
  ) throws(FileSystemError) -> LSN {
    defer {
      // Kept for the next write, but not with the room of a great one.
      if transaction.byteCount > 64 << 10 {
        transaction = MiniTransaction(pageSize: pageSize)
      } else {
        transaction.removeAll()
      }
    }
    do throws(VolumeError) {
      let lsn = isAwaited ? try target.commit(transaction) : try target.commitLater(transaction)
      live.touched(options.clock(), at: lsn)
      _ = lastDirect.max(lsn.value, ordering: .relaxed)
      return lsn
    } catch { throw FileSystemError(error, operation: operation, inode: live.inode) }
  }

  /// Writes several ranges and sets the size, all in one mini-transaction: how an engine commits atomically.
  ///
  /// - Parameters:
  ///   - writes: applied in order; they may overlap.
  ///   - size: the size afterwards; nil: as the writes make it. Pages beyond it are given back.
  /// - Returns: the LSN of the mini-transaction. - Throws: as `write`; `.tooLarge` where it exceeds what one
  ///   mini-transaction may hold (16 MiB by default): nothing was written.
  public func writeAtomically(
    _ file: OpenFile, _ writes: [FileWrite], size: UInt64? = nil
  ) throws(FileSystemError) -> LSN {
    let live = try file.check("writeAtomically", self)
    guard live.attributes.type == .file else {
      throw FileSystemError(.isDirectory, operation: "writeAtomically", inode: file.inode)
    }
    for write in writes {
      let (end, overflow) = write.offset.addingReportingOverflow(UInt64(write.bytes.count))
      guard !overflow, max(end, size ?? 0) <= VolumeFileSystem.fileSizeMax else {
        throw FileSystemError(.tooLarge, operation: "writeAtomically", inode: file.inode)
      }
    }
    return try change("writeAtomically") { core throws(FileSystemError) in
      try live.order.withLock { _ throws(FileSystemError) in
        var attributes = live.attributes
        let old = attributes.size
        for write in writes where !write.bytes.isEmpty {
          attributes.size = max(attributes.size, write.offset + UInt64(write.bytes.count))
        }
        let written = attributes.size
        attributes.size = size ?? written
        let end = attributes.size
        return try live.cut { () throws(FileSystemError) in
          try core.writeData(&attributes, needsObject: writes.contains { !$0.bytes.isEmpty }) { transaction, object in
            for write in writes where !write.bytes.isEmpty {
              write.bytes.withUnsafeBytes { transaction.write($0, to: object, at: write.offset) }
            }
          } then: { core, object throws(FileSystemError) in
            guard end < max(old, written), object != 0 else { return }
            try core.stageCut(object, from: end, to: max(old, written), self.options.discardPagesMax, written: writes)
          }
        }
      }
    }
  }
}

extension FileSystemCore {
  /// Stages data and the attributes that go with it, and commits them.
  mutating func writeData(
    _ attributes: inout FileAttributes, needsObject: Bool = true,
    _ body: (inout MiniTransaction, UInt64) -> Void,
    then: (inout FileSystemCore, UInt64) throws(FileSystemError) -> Void = { _, _ in }
  ) throws(FileSystemError) -> LSN {
    if attributes.object == 0, needsObject { attributes.object = newObject() }
    let now = time
    attributes.modified = now
    attributes.changed = now
    body(&tree.transaction, attributes.object)
    try then(&self, attributes.object)
    try stage(attributes)
    return try finish()
  }
}
