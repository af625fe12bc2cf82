import BorealisCore
import BorealisVolume

/// The tree of metadata in object 1 of a page space: cached pages, and the changes of the operation under way.
///
/// An operation changes copies of pages; `commit` writes them as one mini-transaction and only then makes them the
/// cached ones, `rollback` throws them away. So a failed operation leaves nothing behind, in memory or on the volume.
struct TreeStore: Sendable {
  /// The object that holds the tree.
  static let object = ObjectID(1)

  struct Edited: Sendable {
    var index: UInt64
    var page: TreePage
  }
  struct Observed: Sendable {
    var index: UInt64
    var lsn: LSN
  }
  let space: any PageSpace
  let isStill: Bool
  let pageSize: Int
  var cache: TreePageCache
  /// As committed.
  private(set) var superblock: Superblock
  /// With the changes of the operation under way.
  var edited: Superblock
  private(set) var edits: [Edited] = []
  /// Writes and discards of data that belong to the operation under way.
  var transaction: MiniTransaction
  /// Pages read since the last `beginSnapshot`, where the space is not still.
  private(set) var observed: [Observed] = []
  private(set) var readCount: UInt64 = 0
  /// Named in errors.
  var operation: StaticString = "mount"

  init(_ space: any PageSpace, superblock: Superblock, cachePages: Int) {
    self.space = space
    isStill = space.isStill
    pageSize = space.pageSize
    cache = TreePageCache(capacity: cachePages)
    self.superblock = superblock
    edited = superblock
    transaction = MiniTransaction(pageSize: space.pageSize)
  }

  // MARK: Pages

  func damaged(_ error: DecodeError, page: UInt64) -> FileSystemError {
    FileSystemError(.corrupt, operation: operation, detail: "tree page \(page): \(error)")
  }
  func damaged(_ what: String) -> FileSystemError { FileSystemError(.corrupt, operation: operation, detail: what) }

  /// The page as the operation under way sees it.
  mutating func page(_ index: UInt64, level: Int) throws(FileSystemError) -> TreePage {
    let page = try load(index)
    guard page.kind == (level == 0 ? .leaf : .branch), page.level == level else {
      throw damaged("tree page \(index) is not at level \(level)")
    }
    return page
  }
  mutating func load(_ index: UInt64) throws(FileSystemError) -> TreePage {
    for edit in edits where edit.index == index { return edit.page }
    let known = cache.find(index)
    if isStill, let known { return known.page }
    guard index > 0, !isStill || index < edited.pageCount else { throw damaged("no tree page \(index)") }
    let (bytes, lsn) = try readBytes(index)
    if !isStill {
      observed.append(Observed(index: index, lsn: lsn))
      if let known, known.lsn == lsn, lsn > .zero { return known.page }
    }
    let page = TreePage(unchecked: bytes)
    do throws(DecodeError) { try page.validate(index: index) } catch { throw damaged(error, page: index) }
    cache.insert(index, page, lsn: lsn)
    return page
  }
  private mutating func readBytes(_ index: UInt64) throws(FileSystemError) -> ([UInt8], LSN) {
    readCount += 1
    do throws(VolumeError) {
      return try TreeStore.read(space, PageID(object: TreeStore.object, index: index))
    } catch { throw FileSystemError(error, operation: operation) }
  }
  /// A whole page of a space.
  static func read(_ space: any PageSpace, _ page: PageID) throws(VolumeError) -> ([UInt8], LSN) {
    var result: Result<LSN, VolumeError> = .success(.zero)
    let bytes = [UInt8](unsafeUninitializedCapacity: space.pageSize) { buffer, count in
      let raw = UnsafeMutableRawBufferPointer(buffer)
      do throws(VolumeError) { result = .success(try space.read(page, into: raw)) } catch {
        raw.initializeMemory(as: UInt8.self, repeating: 0)
        result = .failure(error)
      }
      count = buffer.count
    }
    return (bytes, try result.get())
  }
  /// Makes `page` part of the operation under way.
  mutating func put(_ page: TreePage) {
    let index = page.index
    for i in edits.indices where edits[i].index == index {
      edits[i].page = page
      return
    }
    edits.append(Edited(index: index, page: page))
  }
  /// Changes a page in place.
  mutating func edit<T>(_ page: consuming TreePage, _ body: (inout TreePage) -> T) -> T {
    let index = page.index
    for i in edits.indices where edits[i].index == index {
      _ = consume page
      return body(&edits[i].page)
    }
    edits.append(Edited(index: index, page: page))
    return body(&edits[edits.count - 1].page)
  }
  /// A page that was free, or never used.
  mutating func allocate(_ kind: TreePage.Kind, level: Int) throws(FileSystemError) -> TreePage {
    let index: UInt64
    if edited.freeHead != 0 {
      index = edited.freeHead
      let free = try load(index)
      guard free.kind == .free, edited.freeCount > 0, free.nextFree < edited.pageCount,
        (free.nextFree == 0) == (edited.freeCount == 1)
      else { throw damaged("the list of free pages is broken at \(index)") }
      edited.freeHead = free.nextFree
      edited.freeCount -= 1
    } else {
      index = edited.pageCount
      edited.pageCount += 1
    }
    let page = TreePage(kind, level: level, index: index, pageSize: pageSize)
    put(page)
    return page
  }
  mutating func free(_ index: UInt64) {
    put(TreePage(freeAt: index, next: edited.freeHead, pageSize: pageSize))
    edited.freeHead = index
    edited.freeCount += 1
  }

  // MARK: Operations

  /// Forgets the changes of the operation under way.
  mutating func rollback() {
    edits.removeAll(keepingCapacity: true)
    transaction.removeAll()
    edited = superblock
  }
  /// Whether the operation under way has changed anything.
  var hasChanges: Bool { !edits.isEmpty || !transaction.isEmpty || edited != superblock }

  /// Writes the operation under way as one mini-transaction; where that fails, nothing of it has happened.
  mutating func commit(_ target: any WritablePageSpace) throws(FileSystemError) -> LSN {
    for edit in edits {
      transaction.write(PageID(object: TreeStore.object, index: edit.index), at: 0, edit.page.bytes)
    }
    if edited != superblock {
      transaction.write(PageID(object: TreeStore.object, index: 0), at: 0, edited.encoded())
    }
    let lsn: LSN
    do throws(VolumeError) { lsn = try target.commit(transaction) } catch {
      rollback()
      throw FileSystemError(error, operation: operation)
    }
    for edit in edits { cache.insert(edit.index, edit.page, lsn: lsn) }
    superblock = edited
    edits.removeAll(keepingCapacity: true)
    transaction.removeAll()
    return lsn
  }

  // MARK: Snapshots of a space that moves

  /// Reads the superblock again where the space moves.
  mutating func beginSnapshot() throws(FileSystemError) {
    guard !isStill else { return }
    observed.removeAll(keepingCapacity: true)
    let (bytes, lsn) = try readBytes(0)
    observed.append(Observed(index: 0, lsn: lsn))
    superblock = try TreeStore.superblock(bytes, operation)
    edited = superblock
  }
  /// Whether all pages read since `beginSnapshot` are what they were: then they were all so at one moment.
  mutating func isSnapshotWhole() throws(FileSystemError) -> Bool {
    guard !isStill else { return true }
    for page in observed where try readBytes(page.index).1 != page.lsn { return false }
    return true
  }
  /// The superblock in a page.
  static func superblock(_ bytes: [UInt8], _ operation: StaticString) throws(FileSystemError) -> Superblock {
    let result: Result<Superblock?, DecodeError> = bytes.withUnsafeBytes { raw in
      Result { () throws(DecodeError) in try Superblock(raw) }
    }
    switch result {
    case .success(.some(let superblock)): return superblock
    case .success(.none):
      throw FileSystemError(.notFound, operation: operation, detail: "there is no file system on this volume")
    case .failure(let error): throw FileSystemError(.corrupt, operation: operation, detail: "\(error)")
    }
  }
}
