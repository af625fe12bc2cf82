#if GRDB
  import Dispatch
  import GRDB
  import Synchronization

  /// One of a pool's reading connections.
  final class PoolReader: Sendable {
    let number: Int
    let queue: DatabaseQueue
    private let schemaVersion = Atomic<Int>(-1)

    init(number: Int, queue: DatabaseQueue) {
      self.number = number
      self.queue = queue
    }
    /// Forgets what GRDB knows of the schema where another connection has changed it; takes the snapshot.
    func refresh(_ db: Database) throws {
      let version = try Int.fetchOne(db, sql: "PRAGMA schema_version") ?? 0
      guard schemaVersion.exchange(version, ordering: .relaxed) != version else { return }
      // SQLite itself finds out when it runs a statement, and GRDB has asked for its columns by then.
      _ = try Row.fetchOne(db, sql: "SELECT 1 FROM sqlite_master LIMIT 1")
      db.clearSchemaCache()
    }
  }

  extension Result where Success == Database, Failure == any Error {
    /// The same connection with what it knows of the schema made new.
    func refreshed(_ reader: PoolReader) -> Self {
      flatMap { db in
        Result {
          try reader.refresh(db)
          return db
        }
      }
    }
  }

  /// Lends connections, in the order of asking.
  final class PoolReaders: Sendable {
    private struct Waiter: Sendable {
      let count: Int
      let take: @Sendable ([PoolReader]) -> Void
    }
    private struct State: Sendable {
      var free: [PoolReader]
      var waiters: [Waiter] = []
    }
    let all: [PoolReader]
    private let isClosed = Atomic(false)
    private let state: Mutex<State>

    init(_ readers: [PoolReader]) {
      all = readers
      state = Mutex(State(free: readers))
    }

    /// From now on nobody reads; who closes has all connections.
    func close() { isClosed.store(true, ordering: .relaxed) }
    /// To be asked with a connection in hand: GRDB reads through a closed one without looking.
    func requireOpen() throws {
      if isClosed.load(ordering: .relaxed) {
        throw DatabaseError(resultCode: .SQLITE_MISUSE, message: "Connection is closed")
      }
    }

    /// Calls `body` with `count` connections when it is its turn, at once where they are free.
    private func take(_ count: Int, _ body: @escaping @Sendable ([PoolReader]) -> Void) {
      state.withLock { $0.waiters.append(Waiter(count: count, take: body)) }
      serve()
    }
    func give(_ readers: [PoolReader]) {
      state.withLock { $0.free.append(contentsOf: readers) }
      serve()
    }
    private func serve() {
      while true {
        let next: (waiter: Waiter, readers: [PoolReader])? = state.withLock { state in
          guard let first = state.waiters.first, first.count <= state.free.count else { return nil }
          state.waiters.removeFirst()
          let readers = Array(state.free.suffix(first.count))
          state.free.removeLast(first.count)
          return (first, readers)
        }
        guard let next else { return }
        next.waiter.take(next.readers)
      }
    }

    func take(_ body: @escaping @Sendable (PoolReader) -> Void) { take(1) { body($0[0]) } }
    func takeAll(_ body: @escaping @Sendable ([PoolReader]) -> Void) { take(all.count, body) }
    @_disfavoredOverload func take() -> PoolReader { blockingTake(1)[0] }
    @_disfavoredOverload func takeAll() -> [PoolReader] { blockingTake(all.count) }
    func take() async -> PoolReader {
      await withCheckedContinuation { continuation in take { continuation.resume(returning: $0) } }
    }
    func takeAll() async -> [PoolReader] {
      await withCheckedContinuation { continuation in takeAll { continuation.resume(returning: $0) } }
    }
    private func blockingTake(_ count: Int) -> [PoolReader] {
      let answer = Answer()
      take(count) { readers in
        answer.readers.withLock { $0 = readers }
        answer.came.signal()
      }
      answer.came.wait()
      return answer.readers.withLock { $0 }
    }
    private final class Answer: Sendable {
      let readers = Mutex<[PoolReader]>([])
      let came = DispatchSemaphore(value: 0)
    }
  }
#endif
