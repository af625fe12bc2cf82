import BorealisCore
import BorealisFileSystem
import BorealisRuntime
import BorealisVolume
import Synchronization

/// The volume that an instance shows: the one writer's, a reader's, or pages that stand still.
enum PageOrigin: Sendable {
  case writer(Volume)
  case reader(VolumeReaderInstance)
  case still(any PageSpace)

  var space: any PageSpace {
    switch self {
    case .writer(let volume): volume
    case .reader(let reader): reader
    case .still(let space): space
    }
  }
  /// Where a new snapshot would be.
  var current: LSN {
    switch self {
    case .writer(let volume): volume.vdl
    case .reader(let reader): reader.appliedVDL
    case .still: .max
    }
  }
}

/// The volume at one moment, held readable for as long as this object lives.
///
/// A page is read at the head first, where it is mostly in the cache: as long as its last change is not above the moment
/// wanted, it is that version. Only else storage is asked for an older one.
final class Snapshot: Sendable {
  /// How long a reader that has lost its stream is waited for.
  private static let patienceMilliseconds: UInt64 = 5000

  /// The moment that is held.
  let lsn: LSN
  private let origin: PageOrigin
  /// What files were found to be, for an instance that does not write itself.
  private let files = Mutex<[String: FileView]>([:])

  init(_ origin: PageOrigin) {
    self.origin = origin
    lsn =
      switch origin {
      case .writer(let volume): volume.openReadPoint()
      case .reader(let reader): reader.openReadPoint()
      case .still: .max
      }
  }
  deinit {
    switch origin {
    case .writer(let volume): volume.closeReadPoint(lsn)
    case .reader(let reader): reader.closeReadPoint(lsn)
    case .still: break
    }
  }

  /// Reads a page as it was at `moment`, which is at or above `lsn`; nil: the head, where nobody else changes it.
  func read(_ page: PageID, at moment: LSN?, into buffer: UnsafeMutableRawBufferPointer) throws(VolumeError) {
    let last = try origin.space.read(page, into: buffer)
    guard let moment, last > moment || last == .zero else { return }
    switch origin {
    case .writer(let volume):
      // A commit of this connection that is not durable yet: only durable versions can be asked for.
      if moment > lsn, moment > volume.vdl { try volume.waitUntilDurable(moment) }
      _ = try volume.read(page, at: moment, into: buffer)
    case .reader(let reader): try read(page, from: reader, into: buffer)
    case .still: break
    }
  }
  private func read(
    _ page: PageID, from reader: VolumeReaderInstance, into buffer: UnsafeMutableRawBufferPointer
  ) throws(VolumeError) {
    let deadline = SystemClock.now.advanced(byMilliseconds: Snapshot.patienceMilliseconds)
    while true {
      do throws(VolumeError) {
        _ = try reader.read(page, at: lsn, into: buffer)
        return
      } catch {
        // The reader is attaching anew: its read point is still held.
        guard error.code == .unavailable, SystemClock.now < deadline else { throw error }
        _ = reader.waitUntilApplied(.max, timeoutMilliseconds: 5)
      }
    }
  }

  /// What the file at a path was at this moment; nil where there was none.
  func file(at path: String) throws(FileSystemError) -> FileView? {
    if let known = files.withLock({ $0[path] }) { return known }
    let found: FileView
    do throws(FileSystemError) {
      let attributes = try VolumeFileSystem.readOnly(on: SnapshotSpace(self, origin.space.pageSize)).attributes(
        at: path)
      guard attributes.type == .file else {
        throw FileSystemError(.isDirectory, operation: "open", path: path)
      }
      found = FileView(object: attributes.dataObject, size: attributes.size)
    } catch {
      guard error.code == .notFound || error.code == .notDirectory else { throw error }
      return nil
    }
    files.withLock { $0[path] = found }
    return found
  }
}

/// The pages of a snapshot, for looking at its directories.
private final class SnapshotSpace: PageSpace {
  let pageSize: Int
  private let snapshot: Snapshot
  init(_ snapshot: Snapshot, _ pageSize: Int) {
    self.snapshot = snapshot
    self.pageSize = pageSize
  }
  func read(_ page: PageID, into buffer: UnsafeMutableRawBufferPointer) throws(VolumeError) -> LSN {
    try snapshot.read(page, at: snapshot.lsn, into: buffer)
    return snapshot.lsn
  }
  func pagesInUse(of object: ObjectID, from index: UInt64) throws(VolumeError) -> Range<UInt64>? { nil }
}

/// Where the bytes of a database file are, and how many.
struct FileView: Sendable, Equatable {
  /// nil: nothing was ever written.
  var object: ObjectID?
  var size: UInt64
}

/// The snapshots that a writer's connections hold: which versions of a file somebody may still want.
final class SnapshotRegistry: Sendable {
  private struct State {
    var held: [(lsn: LSN, count: Int)] = []
  }
  private let state = Mutex(State())

  /// Makes a snapshot and enters it, in one step.
  func open(_ origin: PageOrigin) -> Snapshot {
    state.withLock { state in
      let snapshot = Snapshot(origin)
      if let i = state.held.lastIndex(where: { $0.lsn == snapshot.lsn }) {
        state.held[i].count += 1
      } else {
        state.held.append((snapshot.lsn, 1))
      }
      return snapshot
    }
  }
  func close(_ snapshot: Snapshot) {
    state.withLock { state in
      guard let i = state.held.lastIndex(where: { $0.lsn == snapshot.lsn }) else { return }
      state.held[i].count -= 1
      if state.held[i].count == 0 { state.held.remove(at: i) }
    }
  }
  /// The lowest snapshot held.
  var lowest: LSN? { state.withLock { state in state.held.map(\.lsn).min() } }
}
