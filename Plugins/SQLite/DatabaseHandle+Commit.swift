import BorealisCore
import BorealisFileSystem
import BorealisVolume
import CBorealisSQLite

// How a transaction becomes one mini-transaction.
extension DatabaseHandle {
  /// The second phase of SQLite's commit: the transaction is submitted, with those of the connection's other files.
  ///
  /// With a journal in memory SQLite goes through the first phase in all files of a connection and then through the
  /// second in each. So the last one to come submits for all; the ones before keep their locks until then.
  func commitPhaseTwo() -> Int32 {
    guard holdsWriteLock else { return SQLITE_OK }
    isFinal = true
    if scope.isCommitIncomplete {
      postponedLevel = level
      return SQLITE_OK
    }
    let parts = scope.handles.filter { $0.isFinal && !$0.staging.isEmpty }
    defer { for part in scope.handles where part !== self { part.completePostponed() } }
    guard !parts.isEmpty else { return SQLITE_OK }
    let lsn: LSN
    do {
      lsn = try vfs.commit(parts)
    } catch {
      let code = fail(error, .commit)
      for part in parts where part !== self { part.isBroken = true }
      return code
    }
    scope.owed = max(scope.owed, lsn)
    guard scope.intent != .write else { return SQLITE_OK }
    do { try vfs.waitUntilDurable(lsn) } catch { return fail(error, .durability) }
    return SQLITE_OK
  }
  /// The commit that this file has waited for is over: now it is unlocked as SQLite has asked before.
  func completePostponed() {
    guard let wanted = postponedLevel else { return }
    postponedLevel = nil
    if wanted < level { _ = unlock(to: wanted) } else { isFinal = false }
  }
  /// The commit that this file has waited for does not come.
  func abandon() {
    isBroken = true
    completePostponed()
  }

  /// What this file contributes to the mini-transaction.
  func engineWrite() -> EngineWrite? {
    guard let file else { return nil }
    let (staging, old, new) = (staging, view.size, size)
    return EngineWrite(file.file, size: new) { object, transaction in
      staging.write(to: object, oldSize: old, newSize: new, into: &transaction)
    }
  }
  /// The mini-transaction was applied: what was staged is the file now.
  func committed(at lsn: LSN, object: ObjectID?, lowest: LSN) {
    guard let file else { return }
    var stamp = file.head.stamp
    if let first = staging.find(0) {
      let offset = DatabaseFile.Stamp.offset
      stamp = DatabaseFile.Stamp(
        bytes: (
          first.loadUnaligned(fromByteOffset: offset, as: UInt64.self),
          first.loadUnaligned(fromByteOffset: offset + 8, as: UInt64.self)
        ))
    }
    view = FileView(object: object, size: size)
    staging.removeAll()
    file.committed(DatabaseFile.Version(lsn: lsn, view: view, stamp: stamp), lowest: lowest)
  }
}
