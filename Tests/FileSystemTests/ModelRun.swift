import Borealis
import Testing

/// Random operations on a file system and on the model, with what must be found at each LSN.
struct ModelRun {
  /// What a prefix must equal.
  enum Expected {
    case exact([String])
    /// A file is being cut: any size between, on this state before.
    case cutting(ModelFileSystem, Int)
  }
  struct Handle {
    var id: Int
    var file: OpenFile
  }
  let seed: UInt64
  var g: DeterministicGenerator
  var model = ModelFileSystem()
  var space: any WritablePageSpace
  /// The space, where it keeps its history.
  var memory: InMemoryPageSpace? { space as? InMemoryPageSpace }
  /// Ends the use of the space as a crash does, and gives what is found then; where it is no `memory`.
  let reopen: (() throws -> any WritablePageSpace)?
  /// What may be found after a crash: everything since the last sync.
  var states: [ModelFileSystem] = []
  var files: VolumeFileSystem
  var handles: [Handle] = []
  var expected: [UInt64: Expected] = [:]
  var log: [String] = []
  let options: FileSystemOptions
  let names: [FileName]
  let fileBytesMax: UInt64

  init(seed: UInt64, on given: (any WritablePageSpace)? = nil, reopen: (() throws -> any WritablePageSpace)? = nil)
    throws
  {
    self.seed = seed
    self.reopen = reopen
    g = DeterministicGenerator(seed: seed)
    let drawn = [2048, 2048, 4096][g.index(3)]
    let pageSize = given?.pageSize ?? drawn
    space = given ?? InMemoryPageSpace(pageSize: pageSize)
    var options = FileSystemOptions()
    options.reclaiming = .byHand
    options.treeCacheBytes = ByteCount(UInt64(g.chance(1, in: 2) ? 16 : 200) * UInt64(pageSize))
    options.writeBytesMax = ByteCount(4 * UInt64(pageSize))
    options.discardPagesMax = given == nil ? 8 : 64
    options.discardPagesSmall = 3
    if g.chance(1, in: 3) { options.nameHash = { UInt64($0.count % 3) << 40 } }
    let clock = Counter()
    options.clock = { clock.next() }
    self.options = options
    let count = [6, 30, 300][g.index(3)]
    let length = [1, 20, 240][g.index(3)]
    names = (0..<count).map { FileName("\($0)" + String(repeating: "n", count: $0 % length)) }
    fileBytesMax = UInt64(pageSize) * (count > 100 ? 4 : 30)
    files = try VolumeFileSystem.format(on: space, options: options)
    note()
  }

  private mutating func note() {
    if let memory { expected[memory.lastLSN.value] = .exact(model.dump()) } else { states.append(model) }
  }
  private mutating func name() -> FileName { names[g.index(names.count)] }
  private mutating func pick(_ isWanted: (ModelFileSystem.Node) -> Bool) -> Int? {
    let found = model.nodes.filter { isWanted($0.value) }.keys.sorted()
    return found.isEmpty ? nil : found[g.index(found.count)]
  }
  private mutating func directory() -> Int { pick { $0.type == .directory } ?? 0 }
  func inode(_ id: Int) -> InodeNumber { model.nodes[id]!.inode }
  private mutating func bytes(_ count: Int) -> [UInt8] {
    let first = UInt8(truncatingIfNeeded: g.next())
    return (0..<count).map { first &+ UInt8(truncatingIfNeeded: $0) | 1 }
  }

  /// Expects what the model says of an operation.
  private func expect(_ code: FileSystemError.Code?, _ what: String, _ body: () throws(FileSystemError) -> Void) {
    var got: FileSystemError.Code?
    do throws(FileSystemError) { try body() } catch { got = error.code }
    #expect(got == code, "seed \(seed): \(what)")
  }

  mutating func step() throws {
    switch g.below(100) {
    case 0..<18: try makeFile()
    case 18..<24: makeDirectory()
    case 24..<28: makeSymbolicLink()
    case 28..<32: makeLink()
    case 32..<42: unlink()
    case 42..<46: removeDirectory()
    case 46..<56: rename()
    case 56..<62: try open()
    case 62..<66: try close()
    case 66..<80: try write()
    case 80..<86: try truncate()
    case 86..<89: try punch()
    case 89..<92: try setMode()
    case 92..<95: try writeAtomically()
    case 95..<97: try files.reclaim()
    case 97: try read()
    case 98:
      try files.syncAll()
      states = []
    default: if g.chance(1, in: 4) { try restart() }
    }
    note()
  }

  private mutating func makeFile() throws {
    let (directory, name, exclusive) = (directory(), name(), g.chance(2, in: 3))
    log.append("create \(inode(directory)) \(name)")
    let (code, id) = model.make(name, in: directory, .file, mode: 0o640, exclusive: exclusive)
    var made: InodeNumber?
    expect(code, "create") { () throws(FileSystemError) in
      made = try files.create(
        name, in: inode(directory), exclusive ? .exclusive : .openExisting, owner: FileOwner(mode: 0o640))
    }
    if let id, let made {
      if inode(id).value == 0 { model.nodes[id]?.inode = made } else { #expect(inode(id) == made) }
    }
  }
  private mutating func makeDirectory() {
    let (directory, name) = (directory(), name())
    log.append("mkdir \(inode(directory)) \(name)")
    let (code, id) = model.make(name, in: directory, .directory, mode: 0o700)
    expect(code, "mkdir") { () throws(FileSystemError) in
      let made = try files.makeDirectory(name, in: inode(directory), owner: FileOwner(mode: 0o700))
      if let id { model.nodes[id]?.inode = made }
    }
  }
  private mutating func makeSymbolicLink() {
    let (directory, name, target) = (directory(), name(), bytes(1 + g.index(4000)))
    log.append("symlink \(inode(directory)) \(name)")
    let (code, id) = model.make(name, in: directory, .symbolicLink, mode: 0o777, target: target)
    expect(code, "symlink") { () throws(FileSystemError) in
      let made = try files.makeSymbolicLink(name, in: inode(directory), target: target)
      if let id { model.nodes[id]?.inode = made }
    }
  }
  private mutating func makeLink() {
    guard let id = pick({ $0.inode.value > 1 }) else { return }
    let (directory, name) = (directory(), name())
    log.append("link \(inode(id)) \(inode(directory)) \(name)")
    let source = inode(id)
    expect(model.link(id, name, in: directory), "link") { () throws(FileSystemError) in
      try files.link(source, as: name, in: inode(directory))
    }
  }
  /// Mostly a name that is there.
  private mutating func place() -> (Int, FileName) {
    let directory = directory()
    let there = model.nodes[directory]!.entries.keys.sorted { $0.bytes.lexicographicallyPrecedes($1.bytes) }
    return (directory, there.isEmpty || g.chance(1, in: 8) ? name() : there[g.index(there.count)])
  }
  private mutating func unlink() {
    let (directory, name) = place()
    log.append("unlink \(inode(directory)) \(name)")
    let inode = inode(directory)
    expect(model.unlink(name, in: directory), "unlink") { () throws(FileSystemError) in
      try files.unlink(name, in: inode)
    }
  }
  private mutating func removeDirectory() {
    let (directory, name) = place()
    log.append("rmdir \(inode(directory)) \(name)")
    let inode = inode(directory)
    expect(model.removeDirectory(name, in: directory), "rmdir") { () throws(FileSystemError) in
      try files.removeDirectory(name, in: inode)
    }
  }
  private mutating func rename() {
    let (directory, name) = place()
    let (to, newName) = place()
    let mode = [RenameMode.replace, .replace, .noReplace, .exchange][g.index(4)]
    log.append("rename \(inode(directory)) \(name) \(inode(to)) \(newName) \(mode)")
    let (from, target) = (inode(directory), inode(to))
    expect(model.rename(name, in: directory, to: newName, in: to, mode), "rename") { () throws(FileSystemError) in
      try files.rename(name, in: from, to: newName, in: target, mode)
    }
  }
  private mutating func open() throws {
    guard handles.count < 12, let id = pick({ $0.type != .directory && $0.links > 0 }) else { return }
    handles.append(Handle(id: id, file: try files.open(inode(id))))
    model.open(id)
  }
  private mutating func close() throws {
    guard !handles.isEmpty else { return }
    let handle = handles.remove(at: g.index(handles.count))
    log.append("close \(handle.file.inode)")
    try files.close(handle.file)
    model.close(handle.id)
  }
  /// A regular file that is open, with or without a name, or is opened for it.
  private mutating func withFile(_ body: (inout ModelRun, Int, OpenFile) throws -> Void) throws {
    let open = handles.filter { model.nodes[$0.id]!.type == .file }
    if !open.isEmpty, g.chance(3, in: 4) {
      let handle = open[g.index(open.count)]
      return try body(&self, handle.id, handle.file)
    }
    guard let id = pick({ $0.type == .file && $0.links > 0 }) else { return }
    let file = try files.open(inode(id))
    try body(&self, id, file)
    note()
    try files.close(file)
  }
  private mutating func write() throws {
    try withFile { run, id, file in
      let offset = Int(run.g.below(run.fileBytesMax))
      let count = run.g.chance(1, in: 3) ? run.space.pageSize : 1 + run.g.index(6 * run.space.pageSize)
      let at = run.g.chance(1, in: 3) ? offset / run.space.pageSize * run.space.pageSize : offset
      run.log.append("write \(file.inode) \(at) \(count)")
      let data = run.bytes(count)
      let before = run.memory?.lastLSN.value ?? 0
      try run.files.write(file, at: UInt64(at), data)
      // One mini-transaction for each part: each is a state of its own.
      let part = Int(run.options.writeBytesMax.value)
      var done = 0
      var lsn = before
      while done < count {
        let size = count <= part ? count : min(part - (at + done) % part, count - done)
        run.model.write(id, at: at + done, Array(data[done..<(done + size)]))
        lsn += 1
        if run.memory != nil { run.expected[lsn] = .exact(run.model.dump()) } else { run.note() }
        done += size
      }
      guard let memory = run.memory else { return }
      #expect(memory.lastLSN.value == lsn, "seed \(run.seed): a write takes one mini-transaction a part")
    }
  }
  private mutating func truncate() throws {
    try withFile { run, id, file in
      let size = run.g.chance(1, in: 3) ? 0 : Int(run.g.below(run.fileBytesMax))
      run.log.append("truncate \(file.inode) \(size)")
      let (before, first) = (run.model, run.memory?.lastLSN.value ?? 0)
      try run.files.truncate(file, to: UInt64(size))
      run.model.resize(id, size)
      let last = run.memory?.lastLSN.value ?? 0
      for lsn in (first + 1)..<(max(last, first + 1)) { run.expected[lsn] = .cutting(before, id) }
    }
  }
  private mutating func punch() throws {
    try withFile { run, id, file in
      let at = Int(run.g.below(run.fileBytesMax))
      let count = run.g.index(run.options.discardPagesMax * run.space.pageSize)
      run.log.append("punch \(file.inode) \(at) \(count)")
      try run.files.punchHole(file, at: UInt64(at), count: UInt64(count))
      run.model.punch(id, at: at, count)
    }
  }
  private mutating func setMode() throws {
    guard let id = pick({ $0.links > 0 }) else { return }
    var change = AttributeChange()
    change.mode = UInt16(g.below(0o10000))
    change.uid = UInt32(g.below(100))
    change.modified = Int64(g.below(1000))
    log.append("set \(inode(id))")
    try files.setAttributes(of: inode(id), change)
    model.nodes[id]?.mode = change.mode ?? 0
    model.nodes[id]?.uid = change.uid ?? 0
    #expect(try files.attributes(of: inode(id)).modified == change.modified)
  }
  private mutating func writeAtomically() throws {
    try withFile { run, id, file in
      let size = run.g.chance(1, in: 2) ? Int(run.g.below(run.fileBytesMax)) : nil
      let writes = (0..<run.g.index(4)).map { _ in
        FileWrite(at: run.g.below(run.fileBytesMax), run.bytes(run.g.index(2 * run.space.pageSize)))
      }
      run.log.append("atomic \(file.inode) \(writes.map { ($0.offset, $0.bytes.count) }) \(String(describing: size))")
      let before = run.memory?.lastLSN.value ?? 0
      do throws(FileSystemError) {
        _ = try run.files.writeAtomically(file, writes, size: size.map { UInt64($0) })
      } catch {
        #expect(error.code == .tooLarge)
        #expect(run.memory?.lastLSN.value ?? before == before)
        return
      }
      #expect(run.memory?.lastLSN.value ?? before + 1 == before + 1)
      for write in writes { run.model.write(id, at: Int(write.offset), write.bytes) }
      if let size { run.model.resize(id, size) }
    }
  }
  private mutating func read() throws {
    for handle in handles {
      let data = model.nodes[handle.id]!.data
      let from = g.index(data.count + 10)
      let count = g.index(3 * space.pageSize)
      let wanted = from < data.count ? Array(data[from..<min(data.count, from + count)]) : []
      #expect(try files.read(handle.file, at: UInt64(from), count: count) == wanted, "seed \(seed): read")
    }
  }
  /// A clean unmount, or a crash at the last LSN: then what is still open writes to a volume that nobody looks at.
  private mutating func restart() throws {
    log.append("restart")
    if g.chance(1, in: 2) {
      try files.unmount()
      states = []
      note()
    }
    if let memory { space = memory.prefix(upTo: memory.lastLSN) }
    if let reopen { space = try reopen() }
    handles = []
    files = try VolumeFileSystem.mount(space, options: options)
    if memory == nil {
      // A prefix of what was done, and at least what was synced.
      let found = try files.dump()
      #expect(try files.check().problems == [], "seed \(seed)")
      let state = states.reversed().first { $0.dump() == found }
      model = try #require(state, "seed \(seed): no state since the last sync is what was found")
      states = []
    }
    model.crash()
  }

  // MARK: Prefixes

  /// Mounts the file system as of each of these LSNs, and checks it.
  func verify(_ lsns: [UInt64]) throws {
    guard let memory else { return }
    let past = InMemoryPageSpace(pageSize: space.pageSize)
    for lsn in lsns.sorted() {
      past.advance(along: memory, to: LSN(lsn))
      guard let expected = expected[lsn] else { continue }
      try ModelRun.verify(past, expected, options, "seed \(seed), LSN \(lsn) of \(memory.lastLSN)")
    }
  }
  static func verify(
    _ past: any PageSpace, _ expected: Expected, _ options: FileSystemOptions, _ where_: String
  ) throws {
    let overlay = OverlaySpace(on: past, limit: .mebibytes(64))
    let asFound = try VolumeFileSystem.readOnly(on: past, options: options).check()
    #expect(asFound.problems == [], "\(where_), as found")
    let files = try VolumeFileSystem.mount(overlay, options: options)
    try files.reclaim()
    let report = try files.check()
    #expect(report.problems == [] && report.orphans == 0 && report.doomed == 0, "\(where_), mounted")
    let found = try files.dump()
    switch expected {
    case .exact(let lines): #expect(found == lines, "\(where_): \(Set(found).symmetricDifference(lines))")
    case .cutting(var model, let id):
      guard let node = model.nodes[id], node.links > 0 else { return }
      let size = try files.attributes(of: node.inode).size
      #expect(size <= UInt64(node.data.count))
      model.crash()
      model.resize(id, Int(size))
      #expect(found == model.dump(), "\(where_), cutting: \(Set(found).symmetricDifference(model.dump()))")
    }
    guard let past = past as? InMemoryPageSpace else { return }
    // Nothing has pages that is neither in use nor was on the list to be given back.
    for object in past.objects.keys where object != ObjectID(1) {
      #expect(asFound.objects.contains(object), "\(where_): object \(object) was lost")
    }
  }
}
