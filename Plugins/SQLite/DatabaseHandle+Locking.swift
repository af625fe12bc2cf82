import BorealisCore
import BorealisRuntime
import BorealisVolume
import CBorealisSQLite

// SQLite's five locks, on snapshots.
extension DatabaseHandle {
  /// SQLite asks for a lock; its result code.
  func lock(to wanted: Int32) -> Int32 {
    guard !isBroken else {
      return fail(
        VolumeError(
          .closed, operation: "lock", outcome: .unknown,
          detail: "a commit of several files failed in between: open the connection anew"), .lock)
    }
    if level >= wanted { return SQLITE_OK }
    do {
      if level < Level.shared {
        let code = try share()
        guard code == SQLITE_OK else { return code }
      }
      if wanted >= Level.reserved, !holdsWriteLock {
        let code = try reserve()
        guard code == SQLITE_OK else { return code }
      }
    } catch { return fail(error, .lock) }
    level = wanted
    return SQLITE_OK
  }

  /// Takes a snapshot; who has declared to write takes the write lock first, and sees the head.
  private func share() throws -> Int32 {
    // SQLite may have all that it needs in its own cache, and never notice.
    if case .writer(let volume) = vfs.origin, volume.isFenced { throw VolumeError(.fenced, operation: "lock") }
    if let file, scope.intent == .write {
      guard file.acquire(number, timeoutMilliseconds: scope.lockTimeoutMilliseconds) else { return SQLITE_BUSY }
      holdsWriteLock = true
      snapshot = scope.enter()
      moment = nil
      let head = file.head
      view = head.view
      stamp = nil
      scope.owed = max(scope.owed, head.lsn)
    } else {
      let now = scope.enter()
      snapshot = now
      moment = now.lsn
      if let file {
        let version = file.version(at: now.lsn)
        view = version.view
        stamp = version.stamp
      } else {
        do { view = try now.file(at: path) ?? FileView(object: nil, size: 0) } catch {
          snapshot = nil
          scope.leave()
          throw error
        }
      }
    }
    level = Level.shared
    return SQLITE_OK
  }
  /// Becomes the file's one writer, as long as nothing was committed since the snapshot.
  private func reserve() throws -> Int32 {
    guard let file else { return SQLITE_READONLY }
    if scope.intent == .write {
      guard file.acquire(number, timeoutMilliseconds: scope.lockTimeoutMilliseconds) else { return SQLITE_BUSY }
    } else {
      guard file.tryAcquire(number) else { return SQLITE_BUSY }
    }
    let head = file.head.lsn
    guard let moment, head <= moment else {
      file.release(number)
      // A snapshot that shows the head can be had once that is durable, which it never is where the volume was taken.
      try vfs.waitUntilDurable(head)
      // SQLITE_BUSY_SNAPSHOT: SQLite makes SQLITE_BUSY of it where nothing was read yet, and begins anew.
      return SQLITE_BUSY | 2 << 8
    }
    self.moment = nil
    stamp = nil
    holdsWriteLock = true
    return SQLITE_OK
  }

  /// SQLite lets go of a lock: down to SHARED the transaction is over, down to NONE the snapshot too.
  func unlock(to wanted: Int32) -> Int32 {
    guard postponedLevel == nil else {
      postponedLevel = wanted
      return SQLITE_OK
    }
    guard level > wanted else { return SQLITE_OK }
    if isPrepared, !isFinal { scope.abandonCommit() }
    endTransaction()
    level = wanted
    guard wanted == Level.none, snapshot != nil else { return SQLITE_OK }
    snapshot = nil
    stamp = nil
    scope.leave()
    return SQLITE_OK
  }
  /// Throws away what is staged and lets go of the write lock; what is seen stays what it is.
  func endTransaction() {
    isPrepared = false
    isFinal = false
    staging.removeAll()
    guard holdsWriteLock, let file else { return }
    holdsWriteLock = false
    let head = file.head
    view = head.view
    moment = max(snapshot?.lsn ?? .zero, head.lsn)
    stamp = nil
    file.release(number)
  }
}
