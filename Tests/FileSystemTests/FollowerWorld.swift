import Borealis
import BorealisCore

@testable import BorealisFileSystem

/// A writer, a standby on a view of its files, and the follower that moves the view.
struct FollowerWorld {
  typealias Block = FollowerModel.Block
  typealias Failure = FollowerModel.Failure

  /// What the writer has still to do.
  private enum Late {
    /// The log says so, the file is still longer.
    case cut(file: Int, blocks: UInt64)
    /// The log says so, the file is still there.
    case remove(file: Int)
    /// The file is gone, and the log does not say so yet.
    case say(file: Int)
  }
  /// Files that are there when the view is made.
  static let files = 8

  let shared: InMemoryPageSpace
  let overlay: OverlaySpace
  let follower: ViewFollower
  /// Whether the view waits for the replay before it moves: what a faulty follower would not do.
  let waits: Bool
  var random: DeterministicGenerator
  var writer: FollowerModel.Side
  var standby: FollowerModel.Side
  var log: [FollowerModel.Record] = []
  /// Records that the standby has replayed.
  var applied = 0
  private var late: Late?
  var live: [Int] = []
  private var nextFile = 0
  /// A file that is not followed, as the standby knows it.
  private var own: [UInt8]
  private var candidate: (base: InMemoryPageSpace, position: Int)?
  var moves = 0
  var dropped = 0
  var refused = 0

  init(seed: UInt64, waits: Bool = true) throws {
    var random = DeterministicGenerator(seed: seed)
    self.waits = waits
    var options = FileSystemOptions()
    options.reclaiming = .byHand
    shared = InMemoryPageSpace(pageSize: 2048)
    var writer = FollowerModel.Side(files: try VolumeFileSystem.format(on: shared, options: options))
    try writer.files.makeDirectories(at: "/rel")
    own = (0..<5000).map { UInt8(truncatingIfNeeded: $0) }
    try writer.files.write(try writer.files.file(at: "/own", .exclusive), at: 0, own)
    for file in 0..<FollowerWorld.files {
      _ = try writer.files.file(at: "/rel/\(file)", .exclusive)
      try writer.extend(file, to: 3 + random.below(20), &random)
      for number in 0..<(try writer.blocks(file)) {
        log.append(.set(file: file, block: number, value: number))
        try writer.write(file, number, Block(lsn: UInt64(log.count), value: number))
        writer.truth[file, default: []].append(Block(lsn: UInt64(log.count), value: number))
      }
      live.append(file)
    }
    nextFile = live.count
    applied = log.count
    overlay = OverlaySpace(on: shared.prefix(upTo: shared.lastLSN), limit: .mebibytes(64))
    standby = FollowerModel.Side(files: try VolumeFileSystem.mount(overlay, options: options), truth: writer.truth)
    guard let follower = ViewFollower(standby.files) else { throw Failure(description: "no overlay") }
    self.follower = follower
    self.writer = writer
    self.random = random
  }

  // MARK: The writer

  mutating func write() throws {
    if late != nil {
      // Whoever removes or cuts a file keeps others away from it until that is done; here, from everything.
      if random.chance(1, in: 4) { try finishLate() }
      return
    }
    let what = random.below(1000)
    guard what >= 10, let file = live.isEmpty ? nil : live[random.index(live.count)] else {
      _ = try writer.files.file(at: "/rel/\(nextFile)", .exclusive)
      log.append(.make(file: nextFile))
      writer.truth[nextFile] = []
      live.append(nextFile)
      nextFile += 1
      return
    }
    switch what {
    case 10..<930:
      let blocks = try writer.blocks(file)
      let number = random.below(min(blocks + 1, 40))
      if number >= blocks { try writer.extend(file, to: number + 1 + random.below(4), &random) }
      let value = random.next()
      log.append(.set(file: file, block: number, value: value))
      writer.buffers[file, default: [:]][number] = (Block(lsn: UInt64(log.count), value: value), true)
    case 930..<960:
      let file = try writer.files.file(at: "/own")
      try writer.files.write(file, at: random.below(6000), [UInt8](repeating: 0xEE, count: 700))
    case 960..<995:
      let blocks = try writer.blocks(file) / 4 * random.below(4)
      log.append(.cut(file: file, blocks: blocks))
      writer.buffers[file] = writer.buffers[file]?.filter { $0.key < blocks }
      late = .cut(file: file, blocks: blocks)
    default:
      live.removeAll { $0 == file }
      writer.buffers[file] = nil
      if random.chance(1, in: 2) {
        log.append(.drop(file: file))
        late = .remove(file: file)
      } else {
        try remove(file, writer)
        late = .say(file: file)
      }
    }
  }
  private mutating func finishLate() throws {
    switch late {
    case .cut(let file, let blocks): try cut(file, blocks, writer)
    case .remove(let file): try remove(file, writer)
    case .say(let file): log.append(.drop(file: file))
    case nil: break
    }
    late = nil
  }
  private func remove(_ file: Int, _ side: FollowerModel.Side) throws {
    let (directory, name) = try side.files.parent(of: "/rel/\(file)")
    try side.files.unlink(name, in: directory)
    if side.files === writer.files { try side.files.reclaim() }
  }
  private func cut(_ file: Int, _ blocks: UInt64, _ side: FollowerModel.Side) throws {
    let open = try side.open(file)
    defer { try? side.files.close(open) }
    let size = blocks * UInt64(side.files.pageSize)
    if try side.files.attributes(of: open).size > size { try side.files.truncate(open, to: size) }
  }

  // MARK: The standby

  mutating func replay() throws {
    guard applied < log.count else { return }
    let lsn = UInt64(applied + 1)
    switch log[applied] {
    case .set(let file, let number, let value):
      if try standby.blocks(file) <= number { try standby.extend(file, to: number + 1, &random) }
      let found = try load(file, number)
      guard found?.lsn ?? 0 < lsn else { throw Failure(description: "block \(file).\(number) is ahead of the replay") }
      let new = Block(lsn: lsn, value: value)
      standby.buffers[file, default: [:]][number] = (new, true)
      while standby.truth[file, default: []].count <= Int(number) { standby.truth[file, default: []].append(nil) }
      standby.truth[file]?[Int(number)] = new
    case .cut(let file, let blocks):
      standby.buffers[file] = standby.buffers[file]?.filter { $0.key < blocks }
      try cut(file, blocks, standby)
      standby.truth[file] = Array((standby.truth[file] ?? []).prefix(Int(blocks)))
    case .make(let file):
      _ = try standby.files.file(at: "/rel/\(file)", .exclusive)
      standby.truth[file] = []
    case .drop(let file):
      standby.buffers[file] = nil
      standby.truth[file] = nil
      try remove(file, standby)
      if random.chance(1, in: 2) { try standby.files.reclaim() }
    }
    applied += 1
  }
  /// A block as the standby has it, which must be what its replay says.
  @discardableResult
  mutating func load(_ file: Int, _ number: UInt64) throws -> Block? {
    if let found = standby.buffers[file]?[number] { return found.block }
    let found = try standby.read(file, number)
    let truth = standby.truth[file] ?? []
    let expected = Int(number) < truth.count ? truth[Int(number)] : nil
    guard found == expected else {
      throw Failure(
        description: "block \(file).\(number) is \(String(describing: found)), not \(String(describing: expected))")
    }
    if let found, random.chance(1, in: 2) { standby.buffers[file, default: [:]][number] = (found, false) }
    return found
  }
  mutating func query() throws {
    guard let file = standby.truth.keys.sorted().randomElement(using: &random) else { return }
    let blocks = try standby.blocks(file)
    if blocks > 0 { try load(file, random.below(blocks)) }
    let mine = try standby.files.file(at: "/own")
    if random.chance(1, in: 5) {
      let at = Int(random.below(4000))
      own.replaceSubrange(at..<(at + 900), with: [UInt8](repeating: UInt8(at % 251), count: 900))
      try standby.files.write(mine, at: UInt64(at), Array(own[at..<(at + 900)]))
    }
    guard try standby.files.read(mine, at: 0, count: 10_000) == own else {
      throw Failure(description: "a file that is not followed has changed by itself")
    }
  }
  /// Every block of every file, from disk where no buffer has it.
  mutating func checkAll() throws {
    for file in standby.truth.keys.sorted() {
      for number in 0..<(try standby.blocks(file)) { try load(file, number) }
    }
    let report = try standby.files.check()
    guard report.problems.isEmpty else { throw Failure(description: "\(report.problems)") }
  }

  // MARK: The follower

  mutating func follow() throws {
    guard let (base, position) = candidate else {
      let base = shared.prefix(upTo: shared.lastLSN)
      // The position is asked for later, when the writer has gone on.
      for _ in 0..<random.index(4) { try write() }
      candidate = (base, log.count)
      return
    }
    guard applied >= position || !waits else { return }
    candidate = nil
    if !follower.isFollowing {
      let directory = try standby.files.attributes(at: "/rel").inode
      try follower.begin(following: Set(try standby.files.list(directory).map(\.inode)))
    }
    do throws(FileSystemError) { try follower.advance(to: base) } catch {
      guard error.code == .noSpace else { throw error }
      refused += 1
      return
    }
    moves += 1
    dropped += try follower.trim(most: random.index(60)) { own, below in
      func lsn(_ page: UnsafeRawBufferPointer) -> UInt64 { page.loadUnaligned(as: UInt64.self) }
      return lsn(own) > 0 && lsn(own) <= lsn(below)
    }.dropped
  }
  mutating func step() throws {
    switch random.below(20) {
    case 0..<6: try write()
    case 6: try writer.work(&random, hints: true)
    case 7..<13: try replay()
    case 13: try standby.work(&random, hints: false)
    case 14..<19: try query()
    default: try follow()
    }
  }
  /// Both sides write everything, and the view moves to that.
  mutating func settle() throws {
    try finishLate()
    while applied < log.count { try replay() }
    for _ in 0..<60 {
      try writer.work(&random, hints: true)
      try standby.work(&random, hints: false)
    }
    candidate = nil
    try follow()
    while applied < log.count { try replay() }
    try follow()
  }
}
