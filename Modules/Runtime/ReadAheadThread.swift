import BorealisCore
import Synchronization

/// A thread that asks for pages ahead of those who read one after the other: made when the first of them comes.
///
/// Where nodes are in this process, they serve the pages on this thread too, beside the reader's.
final class ReadAheadThread: Sendable {
  /// Bytes of pages that are wanted ahead of a reader.
  static let bytes = 1 << 20

  private let signal = ThreadSignal()
  private let thread = Mutex<WorkerThread?>(nil)
  private let isEnded = Atomic<Bool>(false)

  /// Has the work done until it says that there is no more for now.
  ///
  /// - Parameter work: what to call; the same each time, since only the first is kept.
  func wake(_ work: @escaping @Sendable () -> Bool) {
    signal.raise()
    thread.withLock { thread in
      if thread != nil || isEnded.load(ordering: .acquiring) { return }
      thread = WorkerThread { [self] in
        while true {
          signal.wait()
          if isEnded.load(ordering: .acquiring) { return }
          while work() {}
        }
      }
    }
  }
  /// Lets the thread end; it does nothing more, once what it is doing is done.
  func end() {
    isEnded.store(true, ordering: .releasing)
    signal.raise()
  }
}
