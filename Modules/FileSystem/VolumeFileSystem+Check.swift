import BorealisCore
import BorealisVolume

extension VolumeFileSystem {
  /// What a check found.
  public struct CheckReport: Sendable {
    /// What is wrong; empty when nothing is.
    public var problems: [String] = []
    /// Files and symbolic links.
    public var files = 0
    /// Directories.
    public var directories = 0
    /// Files without a name, still open or waiting for the next mount.
    public var orphans = 0
    /// Objects with data, doomed ones too.
    public var objects: Set<ObjectID> = []
    /// Objects that wait to be given back.
    public var doomed = 0
  }

  /// Reads all metadata and checks it: order and reach of the tree, free pages, names against inodes, link counts,
  /// directories reachable from the root, objects used once, no data beyond the end of a file.
  ///
  /// Takes the lock for as long as it runs, and memory for every inode: for tests, and for people.
  /// - Throws: `.volume` where pages cannot be read; malformed ones are problems.
  public func check() throws(FileSystemError) -> CheckReport {
    try query("check") { core throws(FileSystemError) in
      var check = FileSystemCheck(core.tree)
      do throws(FileSystemError) { try check.run(pageSize: self.pageSize) } catch {
        guard error.code == .corrupt else { throw error }
        check.report.problems.append("\(error)")
      }
      // A space that moves must find what was read unchanged.
      core.tree = check.tree
      return check.report
    }
  }
}

/// A check under way: one pass over the tree, then over what it gathered.
struct FileSystemCheck {
  private struct Inode {
    var attributes: FileAttributes
    var names: UInt64 = 0
    var container = InodeNumber(0)
    var isOrphan = false
  }
  private struct Name {
    var directory: InodeNumber
    var inode: InodeNumber
    var type: FileType
  }
  private struct Place {
    var index: UInt64
    var level: Int
    var lower: [UInt8]
    var upper: [UInt8]?
  }
  var tree: TreeStore
  var report = VolumeFileSystem.CheckReport()
  private var inodes: [InodeNumber: Inode] = [:]
  private var names: [Name] = []
  private var orphans: [InodeNumber] = []
  private var seen: Set<UInt64> = []

  init(_ tree: TreeStore) { self.tree = tree }

  private mutating func problem(_ text: String) {
    if report.problems.count < 100 { report.problems.append(text) }
  }

  mutating func run(pageSize: Int) throws(FileSystemError) {
    try walkTree()
    try walkFreePages()
    if UInt64(seen.count) + 1 != tree.superblock.pageCount {
      problem("\(seen.count) tree pages can be reached or are free, of \(tree.superblock.pageCount - 1)")
    }
    checkNames()
    checkDirectories()
    for entry in inodes.sorted(by: { $0.key < $1.key }) { try checkData(entry.value.attributes, pageSize) }
  }

  // MARK: The tree

  private mutating func walkTree() throws(FileSystemError) {
    var stack = [Place(index: tree.superblock.root, level: tree.superblock.level, lower: [], upper: nil)]
    while let place = stack.popLast() {
      guard seen.insert(place.index).inserted else {
        problem("tree page \(place.index) is reached twice")
        continue
      }
      if place.index >= tree.superblock.pageCount { problem("tree page \(place.index) is beyond the last one") }
      let page = try tree.page(place.index, level: place.level)
      if page.count == 0, place.index != tree.superblock.root { problem("tree page \(place.index) is empty") }
      for i in 0..<page.count {
        let key = Array(page.key(i))
        // The first cell of a branch has no lower bound of its own.
        let lower = place.level > 0 && i == 0 ? place.lower : key
        if lower.lexicographicallyPrecedes(place.lower) { problem("tree page \(place.index): a key is too low") }
        if let upper = place.upper, !lower.lexicographicallyPrecedes(upper) {
          problem("tree page \(place.index): a key is too high")
        }
        if place.level == 0 {
          try take(key, page.value(i))
        } else {
          let upper = i + 1 < page.count ? Array(page.key(i + 1)) : place.upper
          stack.append(Place(index: page.child(i), level: place.level - 1, lower: lower, upper: upper))
        }
      }
    }
  }
  private mutating func walkFreePages() throws(FileSystemError) {
    var next = tree.superblock.freeHead
    var count: UInt64 = 0
    var store = tree
    while next != 0 {
      guard seen.insert(next).inserted else {
        problem("tree page \(next) is free, and in use or free twice")
        return
      }
      next = try store.freePage(next)
      count += 1
    }
    if count != tree.superblock.freeCount { problem("\(count) tree pages are free, not \(tree.superblock.freeCount)") }
  }
  private mutating func take(_ key: [UInt8], _ value: ArraySlice<UInt8>) throws(FileSystemError) {
    let inode = InodeNumber(TreeKey.number(key, at: 0))
    switch (TreeKey.Kind(rawValue: key[8]), inode.value == 0) {
    case (.attributes, false) where key.count == TreeKey.prefixSize:
      do throws(DecodeError) {
        inodes[inode] = Inode(attributes: try InodeRecord.decode(value, inode))
      } catch { problem("inode \(inode): \(error)") }
      if inode.value >= tree.superblock.inodesReserved { problem("inode \(inode) was never given out") }
    case (.entry, false) where key.count > TreeKey.prefixSize + 8:
      do throws(DecodeError) {
        let entry = try InodeRecord.decodeEntry(value)
        names.append(Name(directory: inode, inode: entry.inode, type: entry.type))
      } catch { problem("entry in \(inode): \(error)") }
    case (.orphan, true) where key.count == 17: orphans.append(InodeNumber(TreeKey.number(key, at: 9)))
    case (.doomed, true) where key.count == 17:
      report.doomed += 1
      use(TreeKey.number(key, at: 9), "the list of doomed objects")
    default: problem("an item of no known kind: \(key)")
    }
  }
  private mutating func use(_ object: UInt64, _ user: String) {
    if object <= 1 || object >= tree.superblock.objectsReserved {
      problem("object \(object) of \(user) was never given out")
    }
    if !report.objects.insert(ObjectID(object)).inserted { problem("object \(object) is used twice, by \(user) too") }
  }

  // MARK: Names

  private mutating func checkNames() {
    for inode in orphans {
      report.orphans += 1
      if inodes[inode] == nil { problem("orphan \(inode) is not there") }
      inodes[inode]?.isOrphan = true
    }
    for name in names {
      guard let found = inodes[name.inode] else {
        problem("a name in \(name.directory) stands for inode \(name.inode), which is not there")
        continue
      }
      if found.attributes.type != name.type { problem("inode \(name.inode) is no \(name.type)") }
      if inodes[name.directory]?.attributes.type != .directory { problem("inode \(name.directory) is no directory") }
      inodes[name.inode]?.names += 1
      inodes[name.inode]?.container = name.directory
    }
    for (inode, found) in inodes.sorted(by: { $0.key < $1.key }) {
      let attributes = found.attributes
      if attributes.type == .directory { report.directories += 1 } else { report.files += 1 }
      if inode == .root {
        if attributes.type != .directory || found.names != 0 || attributes.links != 1 || attributes.parent != .root {
          problem("the root is malformed")
        }
      } else if found.names != UInt64(attributes.links) {
        problem("inode \(inode) has \(found.names) names and \(attributes.links) links")
      } else if (attributes.links == 0) != found.isOrphan {
        problem("inode \(inode) has \(attributes.links) links, orphan: \(found.isOrphan)")
      }
      if attributes.object != 0 { use(attributes.object, "inode \(inode)") }
    }
    if inodes[.root] == nil { problem("there is no root") }
  }
  private mutating func checkDirectories() {
    for (inode, found) in inodes where inode != .root && found.attributes.type == .directory {
      if found.attributes.parent != found.container { problem("directory \(inode) has another parent") }
      var at = inode
      var steps = 0
      while at != .root, steps <= inodes.count, let next = inodes[at]?.attributes.parent {
        at = next
        steps += 1
      }
      if at != .root { problem("directory \(inode) cannot be reached from the root") }
    }
  }

  // MARK: Data

  private mutating func checkData(_ attributes: FileAttributes, _ pageSize: Int) throws(FileSystemError) {
    guard attributes.object != 0 else { return }
    let object = ObjectID(attributes.object)
    do throws(VolumeError) {
      let whole = (attributes.size + UInt64(pageSize) - 1) / UInt64(pageSize)
      var from = attributes.size / UInt64(pageSize)
      while let range = try tree.space.pagesInUse(of: object, from: from) {
        for index in range {
          let bytes = try TreeStore.read(tree.space, PageID(object: object, index: index)).0
          let end = index < whole ? Int(attributes.size - index * UInt64(pageSize)) : 0
          if bytes[end...].contains(where: { $0 != 0 }) {
            problem("inode \(attributes.inode): data beyond its end, in page \(index)")
          }
        }
        from = range.upperBound
      }
    } catch { throw FileSystemError(error, operation: "check", inode: attributes.inode) }
  }
}
