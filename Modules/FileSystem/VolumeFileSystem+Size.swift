public import BorealisCore
import BorealisVolume
import Synchronization

extension VolumeFileSystem {
  /// Cuts or grows a file; bytes beyond the old end read as zeros.
  ///
  /// One mini-transaction for growing, for cutting to nothing, and for cutting off up to
  /// `FileSystemOptions.discardPagesMax` pages. Where more are cut off, several, from the end: after a crash in between
  /// the file has a size between the old and the new one, and the data up to there. Where the size stays, none.
  /// - Throws: `.tooLarge` beyond 16 TiB, `.isDirectory`, `.badHandle`, `.readOnly`, `.volume`.
  public func truncate(_ file: OpenFile, to size: UInt64) throws(FileSystemError) {
    let live = try file.check("truncate", self)
    guard size <= VolumeFileSystem.fileSizeMax else {
      throw FileSystemError(.tooLarge, operation: "truncate", inode: file.inode)
    }
    guard live.attributes.type == .file else {
      throw FileSystemError(.isDirectory, operation: "truncate", inode: file.inode)
    }
    while true {
      let isDone = try change("truncate") { core throws(FileSystemError) in
        try live.order.withLock { _ throws(FileSystemError) in try core.truncate(live, to: size) }
      }
      if isDone { return }
    }
  }
  /// Makes a file at least `size` bytes long; one mini-transaction, or none where it is.
  ///
  /// Reserves nothing: a volume has no blocks to reserve.
  public func allocate(_ file: OpenFile, to size: UInt64) throws(FileSystemError) {
    let live = try file.check("allocate", self)
    guard target != nil else { throw FileSystemError(.readOnly, operation: "allocate", inode: file.inode) }
    if live.attributes.size < size { try truncate(file, to: size) }
  }
  /// Makes a range of a file read as zeros and gives its whole pages back; the size stays.
  ///
  /// One mini-transaction for each `FileSystemOptions.discardPagesMax` pages in use, in order.
  public func punchHole(_ file: OpenFile, at offset: UInt64, count: UInt64) throws(FileSystemError) {
    let live = try file.check("punchHole", self)
    guard live.attributes.type == .file else {
      throw FileSystemError(.isDirectory, operation: "punchHole", inode: file.inode)
    }
    var at = offset
    let (sum, overflow) = offset.addingReportingOverflow(count)
    let end = overflow ? .max : sum
    while at < end {
      at = try change("punchHole") { core throws(FileSystemError) in
        try live.order.withLock { _ throws(FileSystemError) in try core.punchHole(live, from: at, to: end) }
      }
    }
  }

  /// The first offset from `offset` on where there may be data; found by whole extents of the volume.
  ///
  /// - Throws: `.noSuchOffset` where only a hole is left, or nothing.
  public func seekData(_ file: OpenFile, from offset: UInt64) throws(FileSystemError) -> UInt64 {
    let attributes = try attributes(of: file)
    guard attributes.type == .file else {
      throw FileSystemError(.isDirectory, operation: "seekData", inode: file.inode)
    }
    let index = offset / UInt64(pageSize)
    let range = offset < attributes.size ? try pagesInUse(attributes, from: index) : nil
    let found = range.map { max(offset, $0.lowerBound.multipliedReportingOverflow(by: UInt64(pageSize)).partialValue) }
    guard let found, found < attributes.size else {
      throw FileSystemError(.noSuchOffset, operation: "seekData", inode: file.inode)
    }
    return found
  }
  /// The first offset from `offset` on where there is certainly no data; the end of the file counts as a hole.
  public func seekHole(_ file: OpenFile, from offset: UInt64) throws(FileSystemError) -> UInt64 {
    let attributes = try attributes(of: file)
    guard attributes.type == .file, offset < attributes.size else {
      throw FileSystemError(
        attributes.type == .file ? .noSuchOffset : .isDirectory, operation: "seekHole", inode: file.inode)
    }
    var at = offset
    while at < attributes.size {
      let index = at / UInt64(pageSize)
      guard let range = try pagesInUse(attributes, from: index), range.lowerBound <= index else { return at }
      at = min(attributes.size, range.upperBound.multipliedReportingOverflow(by: UInt64(pageSize)).partialValue)
    }
    return attributes.size
  }
  /// Bytes of pages that a file may have on the volume, by whole extents.
  public func bytesInUse(of file: OpenFile) throws(FileSystemError) -> ByteCount {
    let attributes = try attributes(of: file)
    let end = (attributes.size + UInt64(pageSize) - 1) / UInt64(pageSize)
    var (at, pages) = (UInt64(0), UInt64(0))
    while at < end, let range = try pagesInUse(attributes, from: at), range.lowerBound < end {
      at = min(end, range.upperBound)
      pages += at - range.lowerBound
    }
    return ByteCount(pages * UInt64(pageSize))
  }
  private func pagesInUse(_ attributes: FileAttributes, from index: UInt64) throws(FileSystemError) -> Range<UInt64>? {
    guard attributes.object != 0 else { return nil }
    do throws(VolumeError) { return try space.pagesInUse(of: ObjectID(attributes.object), from: index) } catch {
      throw FileSystemError(error, operation: "seek", inode: attributes.inode)
    }
  }

  /// Changes attributes; what is nil stays.
  ///
  /// One mini-transaction, and those of `truncate` before it where a size is set.
  public func setAttributes(of inode: InodeNumber, _ new: AttributeChange) throws(FileSystemError) {
    guard target != nil else { throw FileSystemError(.readOnly, operation: "setAttributes", inode: inode) }
    guard new.mode ?? 0 <= 0o7777 else {
      throw FileSystemError(.invalidArgument, operation: "setAttributes", inode: inode, detail: "mode")
    }
    try withOpen(inode) { file throws(FileSystemError) in
      if let size = new.size { try truncate(file, to: size) }
      guard new.mode != nil || new.uid != nil || new.gid != nil || new.modified != nil || new.accessed != nil else {
        return
      }
      try change("setAttributes") { core throws(FileSystemError) in
        try file.live.order.withLock { _ throws(FileSystemError) in
          var attributes = file.live.attributes
          attributes.mode = new.mode ?? attributes.mode
          attributes.uid = new.uid ?? attributes.uid
          attributes.gid = new.gid ?? attributes.gid
          attributes.accessed = new.accessed ?? attributes.accessed
          attributes.changed = core.time
          if let modified = new.modified {
            // May go back in time, which nothing else does.
            attributes.modified = modified
            file.live.state.withLock { $0.attributes.modified = modified }
          }
          try core.stage(attributes)
          try core.finish()
        }
      }
    }
  }
}

extension FileSystemCore {
  private func pagesInUse(_ object: UInt64, from index: UInt64) throws(FileSystemError) -> Range<UInt64>? {
    do throws(VolumeError) { return try tree.space.pagesInUse(of: ObjectID(object), from: index) } catch {
      throw FileSystemError(error, operation: tree.operation)
    }
  }
  /// Ranges of pages in use from `first` up to `end`, side by side ones as one.
  private func ranges(_ object: UInt64, from first: UInt64, to end: UInt64) throws(FileSystemError) -> [Range<UInt64>] {
    var found: [Range<UInt64>] = []
    var at = first
    while at < end, let range = try pagesInUse(object, from: at), range.lowerBound < end {
      at = min(end, range.upperBound)
      if let last = found.last, last.upperBound == range.lowerBound {
        found[found.count - 1] = last.lowerBound..<at
      } else {
        found.append(range.lowerBound..<at)
      }
    }
    return found
  }

  /// One step of a truncate; whether it was the last.
  mutating func truncate(_ live: LiveInode, to size: UInt64) throws(FileSystemError) -> Bool {
    var attributes = live.attributes
    let old = attributes.size
    let object = attributes.object
    if size == old { return true }
    let page = UInt64(tree.pageSize)
    var next = size
    if size < old, object != 0 {
      let found = try ranges(object, from: (size + page - 1) / page, to: (old + page - 1) / page)
      let pages = found.reduce(0) { $0 + $1.count }
      if size == 0, pages > options.discardPagesSmall {
        try doom(object)
        attributes.object = 0
      } else {
        // From the end, as many pages as one mini-transaction may give back.
        var left = options.discardPagesMax
        for range in found.reversed() where left > 0 {
          let first = max(range.lowerBound, range.upperBound - min(UInt64(left), range.upperBound))
          for index in first..<range.upperBound {
            tree.transaction.discard(PageID(object: ObjectID(object), index: index))
          }
          left -= Int(range.upperBound - first)
          if left == 0, pages > options.discardPagesMax { next = max(size, first * page) }
        }
        if next == size { try zeroTail(object, from: size, to: (size + page - 1) / page * page) }
      }
    }
    attributes.size = next
    attributes.modified = time
    attributes.changed = attributes.modified
    try stage(attributes)
    if next < old {
      try live.cut { () throws(FileSystemError) in _ = try finish() }
    } else {
      try finish()
    }
    return next == size
  }
  /// Zeroes a range within one page, where that page may hold data.
  private mutating func zeroTail(_ object: UInt64, from begin: UInt64, to end: UInt64) throws(FileSystemError) {
    guard begin < end else { return }
    let page = UInt64(tree.pageSize)
    let index = begin / page
    guard let range = try pagesInUse(object, from: index), range.lowerBound == index else { return }
    tree.transaction.write(
      PageID(object: ObjectID(object), index: index), at: Int(begin % page),
      [UInt8](repeating: 0, count: Int(end - begin)))
  }
  /// Stages the cut of an atomic write, whose writes are staged before.
  mutating func stageCut(
    _ object: UInt64, from size: UInt64, to old: UInt64, _ most: Int, written: [FileWrite]
  ) throws(FileSystemError) {
    let page = UInt64(tree.pageSize)
    let first = (size + page - 1) / page
    var pages = try ranges(object, from: first, to: (old + page - 1) / page)
    for write in written where !write.bytes.isEmpty {
      let end = (write.offset + UInt64(write.bytes.count) + page - 1) / page
      if end > first { pages.append(max(first, write.offset / page)..<end) }
    }
    guard pages.reduce(0, { $0 + $1.count }) <= most else {
      throw error(.tooLarge, nil, nil, "more than \(most) pages to give back in one mini-transaction")
    }
    for range in pages {
      for index in range { tree.transaction.discard(PageID(object: ObjectID(object), index: index)) }
    }
    let end = min(first * page, max(size, old))
    guard size < first * page, end > size else { return }
    tree.transaction.write(
      PageID(object: ObjectID(object), index: size / page), at: Int(size % page),
      [UInt8](repeating: 0, count: Int(first * page - size)))
  }

  /// One step of a hole; where the next one begins.
  mutating func punchHole(_ live: LiveInode, from begin: UInt64, to end: UInt64) throws(FileSystemError) -> UInt64 {
    var attributes = live.attributes
    let page = UInt64(tree.pageSize)
    let object = attributes.object
    let stop = min(end, attributes.size)
    guard begin < stop, object != 0 else { return end }
    // The last page may go whole where the hole reaches the end of the file: nothing is behind it.
    let lastWhole = stop == attributes.size ? (stop + page - 1) / page : stop / page
    let firstWhole = (begin + page - 1) / page
    guard firstWhole < lastWhole else {
      // Within one page, or the edges of two.
      try zeroTail(object, from: begin, to: min(stop, firstWhole * page))
      if stop > firstWhole * page { try zeroTail(object, from: max(begin, firstWhole * page), to: stop) }
      return try endHole(&attributes, end)
    }
    try zeroTail(object, from: begin, to: firstWhole * page)
    var left = options.discardPagesMax
    for range in try ranges(object, from: firstWhole, to: lastWhole) {
      for index in range {
        if left == 0 { return try endHole(&attributes, index * page) }
        tree.transaction.discard(PageID(object: ObjectID(object), index: index))
        left -= 1
      }
    }
    if lastWhole * page < stop { try zeroTail(object, from: lastWhole * page, to: stop) }
    return try endHole(&attributes, end)
  }
  private mutating func endHole(_ attributes: inout FileAttributes, _ next: UInt64) throws(FileSystemError) -> UInt64 {
    attributes.modified = time
    attributes.changed = attributes.modified
    try stage(attributes)
    try finish()
    return next
  }
}
