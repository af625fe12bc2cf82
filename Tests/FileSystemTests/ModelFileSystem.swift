import Borealis

/// What a file system should be, as plainly as possible: dictionaries and arrays, no pages.
struct ModelFileSystem {
  struct Node {
    var type: FileType
    var mode: UInt16
    var uid: UInt32 = 0
    var links = 1
    var data: [UInt8] = []
    var entries: [FileName: Int] = [:]
    var parent = 0
    var inode: InodeNumber
    var opens = 0
    var digest: UInt64 = ModelFileSystem.digest([])
  }
  static let root = 0
  var nodes: [Int: Node] = [0: Node(type: .directory, mode: 0o755, inode: .root)]
  private var next = 1

  static func digest(_ bytes: [UInt8]) -> UInt64 {
    bytes.withUnsafeBytes { UInt64(CRC32C.checksum($0)) << 32 | UInt64(bytes.count) }
  }

  // MARK: Looking

  private func node(_ id: Int) -> Node { nodes[id]! }
  func find(_ name: FileName, in directory: Int) -> Int? { node(directory).entries[name] }
  func isInside(_ directory: Int, _ ancestor: Int) -> Bool {
    var at = directory
    while true {
      if at == ancestor { return true }
      if at == ModelFileSystem.root { return false }
      at = node(at).parent
    }
  }
  /// One line for each path, in order.
  func dump() -> [String] {
    var lines: [String] = []
    var stack = [("", ModelFileSystem.root)]
    while let (path, id) = stack.popLast() {
      let n = node(id)
      lines.append(ModelFileSystem.line(path, n.type, n.mode, n.uid, n.links, n.digest))
      for (name, child) in n.entries { stack.append((path + "/" + name.description, child)) }
    }
    return lines.sorted()
  }
  static func line(
    _ path: String, _ type: FileType, _ mode: UInt16, _ uid: UInt32, _ links: Int, _ digest: UInt64
  ) -> String {
    "\(path) \(type) \(mode) \(uid) \(links) \(digest)"
  }

  // MARK: Changing; each gives the code of the error that is due

  typealias Code = FileSystemError.Code

  mutating func make(
    _ name: FileName, in directory: Int, _ type: FileType, mode: UInt16, exclusive: Bool = true, target: [UInt8] = []
  ) -> (Code?, Int?) {
    if let found = find(name, in: directory) {
      if exclusive { return (.exists, nil) }
      return node(found).type == .directory ? (.isDirectory, nil) : (nil, found)
    }
    let id = next
    next += 1
    nodes[id] = Node(type: type, mode: mode, data: target, parent: directory, inode: InodeNumber(0))
    nodes[id]?.digest = ModelFileSystem.digest(target)
    nodes[directory]?.entries[name] = id
    return (nil, id)
  }
  mutating func link(_ id: Int, _ name: FileName, in directory: Int) -> Code? {
    if node(id).type == .directory { return .tooManyLinks }
    if node(id).links == 0 { return .notFound }
    if find(name, in: directory) != nil { return .exists }
    nodes[directory]?.entries[name] = id
    nodes[id]?.links += 1
    return nil
  }
  private mutating func lostName(_ id: Int) {
    nodes[id]?.links -= 1
    if node(id).links == 0, node(id).opens == 0 { nodes[id] = nil }
  }
  mutating func unlink(_ name: FileName, in directory: Int) -> Code? {
    guard let id = find(name, in: directory) else { return .notFound }
    if node(id).type == .directory { return .isDirectory }
    nodes[directory]?.entries[name] = nil
    lostName(id)
    return nil
  }
  mutating func removeDirectory(_ name: FileName, in directory: Int) -> Code? {
    guard let id = find(name, in: directory) else { return .notFound }
    if node(id).type != .directory { return .notDirectory }
    if !node(id).entries.isEmpty { return .notEmpty }
    nodes[directory]?.entries[name] = nil
    nodes[id] = nil
    return nil
  }
  mutating func rename(
    _ name: FileName, in directory: Int, to newName: FileName, in newDirectory: Int, _ mode: RenameMode
  ) -> Code? {
    guard let id = find(name, in: directory) else { return .notFound }
    if node(id).type == .directory, isInside(newDirectory, id) { return .invalidArgument }
    let other = find(newName, in: newDirectory)
    if mode == .exchange, other == nil { return .notFound }
    if let other {
      if mode == .noReplace { return .exists }
      if other == id { return nil }
      if mode == .exchange {
        if node(other).type == .directory, isInside(directory, other) { return .invalidArgument }
        nodes[directory]?.entries[name] = other
        nodes[newDirectory]?.entries[newName] = id
        nodes[other]?.parent = directory
        nodes[id]?.parent = newDirectory
        return nil
      }
      if node(other).type == .directory {
        if node(id).type != .directory { return .isDirectory }
        if !node(other).entries.isEmpty { return .notEmpty }
        nodes[other] = nil
      } else {
        if node(id).type == .directory { return .notDirectory }
        lostName(other)
      }
    }
    nodes[directory]?.entries[name] = nil
    nodes[newDirectory]?.entries[newName] = id
    nodes[id]?.parent = newDirectory
    return nil
  }
  mutating func write(_ id: Int, at offset: Int, _ bytes: [UInt8]) {
    if bytes.isEmpty { return }
    let end = offset + bytes.count
    resize(id, max(node(id).data.count, end))
    nodes[id]?.data.replaceSubrange(offset..<end, with: bytes)
    redigest(id)
  }
  mutating func resize(_ id: Int, _ size: Int) {
    let count = node(id).data.count
    if size < count {
      nodes[id]?.data.removeLast(count - size)
    } else {
      nodes[id]?.data.append(contentsOf: [UInt8](repeating: 0, count: size - count))
    }
    redigest(id)
  }
  mutating func punch(_ id: Int, at offset: Int, _ count: Int) {
    let end = min(offset + count, node(id).data.count)
    guard offset < end else { return }
    nodes[id]?.data.replaceSubrange(offset..<end, with: [UInt8](repeating: 0, count: end - offset))
    redigest(id)
  }
  private mutating func redigest(_ id: Int) {
    let digest = ModelFileSystem.digest(node(id).data)
    nodes[id]?.digest = digest
  }
  mutating func open(_ id: Int) { nodes[id]?.opens += 1 }
  mutating func close(_ id: Int) {
    nodes[id]?.opens -= 1
    if node(id).opens == 0, node(id).links == 0 { nodes[id] = nil }
  }
  /// Nothing is open any more.
  mutating func crash() {
    for id in nodes.keys.sorted() {
      nodes[id]?.opens = 0
      if node(id).links == 0 { nodes[id] = nil }
    }
  }
}

extension VolumeFileSystem {
  /// What `ModelFileSystem.dump` gives, from the volume.
  func dump() throws(FileSystemError) -> [String] {
    var lines: [String] = []
    var stack: [(String, InodeNumber)] = [("", .root)]
    while let (path, inode) = stack.popLast() {
      let a = try attributes(of: inode)
      let data = a.type == .directory ? [] : try contents(inode)
      lines.append(ModelFileSystem.line(path, a.type, a.mode, a.uid, Int(a.links), ModelFileSystem.digest(data)))
      guard a.type == .directory else { continue }
      var cookie: UInt64 = 0
      while true {
        let batch = try list(inode, after: cookie, limit: 5)
        guard let last = batch.last else { break }
        for entry in batch { stack.append((path + "/" + entry.name.description, entry.inode)) }
        cookie = last.cookie
      }
    }
    return lines.sorted()
  }
  func contents(_ inode: InodeNumber) throws(FileSystemError) -> [UInt8] {
    let file = try open(inode)
    let data = try read(file, at: 0, count: 1 << 30)
    try close(file)
    return data
  }
}
