import BorealisCore
import Synchronization

/// The snapshot taken last, as long as somebody holds it or nothing new has come.
final class SharedSnapshot: Sendable {
  private struct Last: Sendable {
    weak var snapshot: Snapshot?
  }
  private let last = Mutex(Last())

  /// A snapshot of now.
  func current(_ origin: PageOrigin) -> Snapshot {
    last.withLock { last in
      if let known = last.snapshot, known.lsn == origin.current { return known }
      let new = Snapshot(origin)
      last.snapshot = new
      return new
    }
  }
}
