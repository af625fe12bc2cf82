import BorealisCore
import BorealisClusterModel
import BorealisComputeEngine
import BorealisFileSystem
import BorealisRuntime
import BorealisVolume
import Synchronization

/// What was done to keep a reader's view near its writer.
public struct ViewStatistics: Sendable, Hashable {
  /// Times that the view was moved to a newer read point.
  public var moves: UInt64 = 0
  /// Pages of the overlay that were compared with the shared volume's.
  public var pagesCompared: UInt64 = 0
  /// Pages of those that were given back: the shared volume has them.
  public var pagesGivenBack: UInt64 = 0
  /// Files of replayed log that were emptied.
  public var logFilesEmptied: UInt64 = 0
  /// What went wrong the last time that something did.
  public var lastProblem: String?
}

/// Keeps a reader's view near its writer, on a thread of its own.
///
/// It moves the view to newer read points, gives back pages of the overlay, and empties log that was replayed. Why this is
/// safe: Documentation/PostgreSQL.md.
final class ViewUpkeep: Sendable {
  /// A read point that the view may move to when the standby has replayed up to a position of the writer's log.
  private struct Candidate {
    let space: ReadPointSpace
    let position: SQLValue
  }
  /// How far the standby has come.
  private struct Progress {
    var hasPassed = false
    /// The number of the log's segment that it replays.
    var segment: UInt64 = 0
    var segmentSize: UInt64 = 0
    /// Somebody reads its log: then that stays.
    var isLogRead = true
  }
  /// How often it is looked whether there is anything to do, in milliseconds.
  private static let tickMilliseconds: UInt64 = 250
  /// How long a round waits for the standby, in milliseconds; the next one goes on with the same read point.
  private static let waitMilliseconds: UInt64 = 2000
  /// Pages compared in one round.
  private static let pagesMax = 8192

  private let reader: VolumeReaderInstance
  private let files: VolumeFileSystem
  private let overlay: OverlaySpace
  private let server: PostgreSQLServer
  private let writer: ConnectionTarget
  private let instance: InstanceIdentifier
  private let options: PostgreSQLOptions
  private let isEnded = Atomic(false)
  private let signal = ThreadSignal()
  private let counters = Mutex(ViewStatistics())
  private let movedAt = Mutex(SystemClock.now)

  init(
    _ reader: VolumeReaderInstance, _ files: VolumeFileSystem, _ overlay: OverlaySpace, _ server: PostgreSQLServer,
    writer: ConnectionTarget, _ instance: InstanceIdentifier, _ options: PostgreSQLOptions
  ) {
    self.reader = reader
    self.files = files
    self.overlay = overlay
    self.server = server
    self.writer = writer
    self.instance = instance
    self.options = options
  }
  func start() { _ = WorkerThread { self.run() } }
  /// Does not wait: a round under way ends by itself, and harms nobody.
  func end() {
    isEnded.store(true, ordering: .releasing)
    signal.raise()
  }
  var statistics: ViewStatistics { counters.withLock { $0 } }
  /// For how long the view has not come nearer to a writer that went on.
  var heldMilliseconds: UInt64 {
    let moved = movedAt.withLock { $0 }
    return (SystemClock.now.nanoseconds - min(moved.nanoseconds, SystemClock.now.nanoseconds)) / 1_000_000
  }
  private var hasEnded: Bool { isEnded.load(ordering: .acquiring) }

  private func run() {
    guard let follower = ViewFollower(files) else { return }
    let log = LogEmptier(files)
    var candidate: Candidate?
    var last = SystemClock.now
    while true {
      signal.wait(milliseconds: Self.tickMilliseconds)
      if hasEnded { return }
      // An overlay that fills up is looked after without delay.
      let isFull = overlay.statistics.bytes > overlay.limit.value / 2
      let pause = isFull ? min(options.trimMilliseconds, 1000) : options.trimMilliseconds
      guard SystemClock.now >= last.advanced(byMilliseconds: pause) else { continue }
      do { try round(follower, log, &candidate) } catch {
        let text = "\(error)"
        counters.withLock { $0.lastProblem = text }
      }
      last = SystemClock.now
    }
  }

  private func round(_ follower: ViewFollower, _ log: LogEmptier, _ candidate: inout Candidate?) throws {
    if candidate == nil { candidate = try nextCandidate() }
    let progress = try self.progress(candidate?.position ?? .text("0/0"))
    if !progress.isLogRead {
      let emptied = try log.empty(before: progress.segment, segmentSize: progress.segmentSize)
      counters.withLock { $0.logFilesEmptied += UInt64(emptied) }
    }
    if let next = candidate {
      guard progress.hasPassed else { return }
      // Whatever comes of it, another try is made with a newer one.
      candidate = nil
      if !follower.isFollowing {
        let layout = try DataLayout(of: overlay.base)
        let old = layout.logFiles(before: progress.segment, segmentSize: progress.segmentSize)
        try follower.begin(following: layout.relations, forgetting: progress.isLogRead ? [] : old)
      }
      try follower.advance(to: next.space)
      movedAt.withLock { $0 = SystemClock.now }
      counters.withLock { $0.moves += 1 }
    }
    guard follower.isFollowing, overlay.statistics.bytes > overlay.limit.value / 8, files.pageSize % Block.size == 0
    else { return }
    let (looked, dropped) = try follower.trim(most: Self.pagesMax) { Block.areReplaced($0, by: $1) }
    counters.withLock { counters in
      counters.pagesCompared += UInt64(looked)
      counters.pagesGivenBack += UInt64(dropped)
    }
  }
  /// A read point, and what the writer had logged when it was open; nil where nothing has happened since the view's.
  private func nextCandidate() throws -> Candidate? {
    let space = ReadPointSpace(reader)
    if let now = overlay.base as? ReadPointSpace, now.readPoint >= space.readPoint {
      movedAt.withLock { $0 = SystemClock.now }
      return nil
    }
    // The position is asked for when the read point is open: all that its pages say was logged before. What was inserted
    // counts, not what was flushed: a file may be gone before the log that says so is durable.
    let session = try PQSession(writer, instance: instance.name, timeoutMilliseconds: Self.waitMilliseconds)
    defer { session.close() }
    let rows = try session.query("select pg_current_wal_insert_lsn()::text", parameters: [])
    guard let position = rows.first?.values.first, position != .null else { return nil }
    return Candidate(space: space, position: position)
  }
  private static let progressQuery = """
    select (pg_last_wal_replay_lsn() >= $1::pg_lsn)::int,
      trunc((pg_last_wal_replay_lsn() - '0/0'::pg_lsn) / setting::numeric)::int8, setting::int8,
      (select count(*) from pg_replication_slots) + (select count(*) from pg_stat_replication)
        + (current_setting('archive_mode') = 'always')::int
    from pg_settings where name = 'wal_segment_size'
    """
  /// Waits a while until the standby has replayed up to `position`.
  private func progress(_ position: SQLValue) throws -> Progress {
    let session = try PQSession(
      server.ownTarget(application: "borealis view"), instance: instance.name,
      timeoutMilliseconds: Self.waitMilliseconds)
    defer { session.close() }
    let deadline = SystemClock.now.advanced(byMilliseconds: Self.waitMilliseconds)
    while true {
      let rows = try session.query(Self.progressQuery, parameters: [position])
      var progress = Progress()
      if let row = rows.first, let passed: Int = try? row.get(0), let segment: Int = try? row.get(1),
        let size: Int = try? row.get(2), let users: Int = try? row.get(3)
      {
        progress = Progress(
          hasPassed: passed == 1, segment: UInt64(max(0, segment)), segmentSize: UInt64(max(0, size)),
          isLogRead: users > 0)
      }
      if progress.hasPassed || SystemClock.now >= deadline || hasEnded { return progress }
      signal.wait(milliseconds: 20)
    }
  }
}

/// A block of a relation, as every access method has it.
private enum Block {
  static let size = 8192
  /// Size and version of the layout, at offset 18: 8 KiB, version 4, of all servers since 8.3.
  private static let layout: UInt16 = 8192 | 4

  /// Whether each block of a page of the volume is at or beyond the own one: the same record, or a later one, changed it last.
  static func areReplaced(_ own: UnsafeRawBufferPointer, by shared: UnsafeRawBufferPointer) -> Bool {
    stride(from: 0, to: own.count, by: size).allSatisfy { at in
      let (mine, there) = (lsn(own, at), lsn(shared, at))
      return mine > 0 && mine <= there && word(own, at + 18) == layout && word(shared, at + 18) == layout
    }
  }
  private static func word(_ page: UnsafeRawBufferPointer, _ at: Int) -> UInt16 {
    UInt16(littleEndian: page.loadUnaligned(fromByteOffset: at, as: UInt16.self))
  }
  /// The LSN of a block: two words of 32 bits, the high one first.
  private static func lsn(_ page: UnsafeRawBufferPointer, _ at: Int) -> UInt64 {
    let high = UInt32(littleEndian: page.loadUnaligned(fromByteOffset: at, as: UInt32.self))
    let low = UInt32(littleEndian: page.loadUnaligned(fromByteOffset: at + 4, as: UInt32.self))
    return UInt64(high) << 32 | UInt64(low)
  }
}
