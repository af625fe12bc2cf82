import BorealisFileSystem
import CBorealisFUSE
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

// Listing directories: from an offset on, without anything kept between two calls.
extension FUSEMount {
  /// Offsets of "." and ".."; cookies of entries begin at 16.
  private static let selfOffset: UInt64 = 1
  private static let parentOffset: UInt64 = 2

  func openDirectory(_ information: fuse_file_info) -> Answer {
    // "Not needed": the kernel opens directories without us from then on, and keeps what it has listed until it
    // changes something in the directory itself.
    directoriesNeedNoOpen.load(ordering: .relaxed) ? .error(ENOSYS) : .opened(information)
  }

  /// Fills `buffer` with entries after `offset`.
  func list(
    _ directory: InodeNumber, after offset: UInt64, into buffer: UnsafeMutableRawBufferPointer,
    _ request: FUSERequest, withAttributes: Bool
  ) throws(FileSystemError) -> Answer {
    var page = DirectoryPage(buffer, request, caching, withAttributes: withAttributes)
    do throws(FileSystemError) {
      if offset < FUSEMount.parentOffset {
        let own = try files.attributes(of: directory)
        if offset < FUSEMount.selfOffset {
          _ = page.add(FileName(bytes: [46]), directory, .directory, nil, next: FUSEMount.selfOffset)
        }
        _ = page.add(FileName(bytes: [46, 46]), own.parent, .directory, nil, next: FUSEMount.parentOffset)
      }
      var cookie = max(offset, FUSEMount.parentOffset)
      while true {
        let entries = try files.list(directory, after: cookie, limit: page.entriesLikely)
        guard let last = entries.last, try add(entries, to: &page) else { break }
        cookie = last.cookie
      }
    } catch {
      // A directory that was removed while a process had it open has no entries.
      guard error.code == .notFound, removed.attributes(directory) != nil else { throw error }
    }
    return .bytes(page.filled)
  }
  /// Adds entries as far as there is room; whether all were added.
  private func add(_ entries: [DirectoryEntry], to page: inout DirectoryPage) throws(FileSystemError) -> Bool {
    for (index, entry) in entries.enumerated() {
      // Names that share a cookie: whoever stops between them begins with the first one again, rather than lose one.
      let isShared = index + 1 < entries.count && entries[index + 1].cookie == entry.cookie
      let attributes = page.withAttributes ? try? files.attributes(of: entry.inode) : nil
      guard page.add(entry.name, entry.inode, entry.type, attributes, next: entry.cookie - (isShared ? 1 : 0)) else {
        return false
      }
    }
    return true
  }
}

/// The answer to a listing, as it is filled.
private struct DirectoryPage {
  /// Bytes of an entry, roughly: as many are listed at once as will fit.
  private static let entryBytes = 48
  private static let entryBytesWithAttributes = 176

  let withAttributes: Bool
  private let buffer: UnsafeMutableRawBufferPointer
  private let request: FUSERequest
  private let caching: KernelCaching
  private var count = 0

  init(
    _ buffer: UnsafeMutableRawBufferPointer, _ request: FUSERequest, _ caching: KernelCaching, withAttributes: Bool
  ) {
    self.buffer = buffer
    self.request = request
    self.caching = caching
    self.withAttributes = withAttributes
  }
  var filled: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: buffer[..<count]) }
  /// How many more will fit, and one.
  var entriesLikely: Int {
    (buffer.count - count) / (withAttributes ? DirectoryPage.entryBytesWithAttributes : DirectoryPage.entryBytes) + 1
  }
  /// Adds an entry; false where it does not fit.
  mutating func add(
    _ name: FileName, _ inode: InodeNumber, _ type: FileType, _ attributes: FileAttributes?, next: UInt64
  ) -> Bool {
    let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[count...])
    let needed = (name.bytes + [0]).withUnsafeBytes { raw -> Int in
      let text = raw.assumingMemoryBound(to: CChar.self)
      guard let text = text.baseAddress else { return .max }
      return withAttributes
        ? request.add(text, inode, type, attributes, caching, next: next, to: rest)
        : request.add(text, inode, type, next: next, to: rest)
    }
    guard needed <= rest.count else { return false }
    count += needed
    return true
  }
}
