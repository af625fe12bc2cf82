import BorealisFileSystem
import BorealisVolume
import CBorealisFUSE
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

// How a request is served: asked of the mount, counted, answered.
extension FUSERequest {
  /// Serves what changes nothing: where its caller is killed meanwhile, it is let go.
  ///
  /// - Parameters:
  ///   - isLong: it waits for the volume as a rule.
  ///   - counted: among `others`; reads and syncs count themselves.
  func query(
    isLong: Bool = false, counted: Bool = true,
    _ body: (FUSEMount, ServingContext) throws(FileSystemError) -> Answer
  ) {
    let mount = mount
    let context = ServingContext.current
    if counted { mount.counters.other() }
    let answer = mount.waiting(self, context, isLong: isLong) {
      mount.answer { () throws(FileSystemError) in try body(mount, context) }
    }
    if let answer { send(answer, mount.caching) }
  }
  /// Serves what changes something: whoever asked waits until it has happened or failed.
  ///
  /// A change that was let go might come after what others did later.
  func change(_ body: (FUSEMount) throws(FileSystemError) -> Answer) {
    let mount = mount
    mount.counters.other()
    send(mount.answer { () throws(FileSystemError) in try body(mount) }, mount.caching)
  }
  /// Serves what opens a file; where the caller is gone, it is closed again.
  func opening(
    _ information: fuse_file_info, _ body: (FUSEMount, fuse_file_info) throws(FileSystemError) -> Answer
  ) {
    let mount = mount
    mount.counters.other()
    let answer = mount.answer { () throws(FileSystemError) in try body(mount, information) }
    if send(answer, mount.caching) { return }
    switch answer {
    case .opened(let information), .created(_, let information): mount.release(information.fh)
    default: break
    }
  }
  /// Serves a write; of a file that was opened with O_SYNC or O_DSYNC, waits until it is durable.
  func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64, _ information: fuse_file_info) {
    let mount = mount
    mount.counters.wrote(bytes.count)
    let answer = mount.answer { () throws(FileSystemError) in
      try mount.write(information.fh, at: offset, bytes)
    }
    guard case .written = answer, information.flags & O_DSYNC != 0 else {
      send(answer, mount.caching)
      return
    }
    let kind: VolumeFileSystem.SyncKind = information.flags & O_SYNC == O_SYNC ? .all : .data
    let durable = mount.waiting(self, ServingContext.current, isLong: true) {
      mount.answer { () throws(FileSystemError) in
        _ = try mount.sync(information.fh, kind)
        return answer
      }
    }
    if let durable { send(durable, mount.caching) }
  }
}

extension FUSEMount {
  /// Runs `body`; what it throws becomes an errno here and nowhere else.
  func answer(_ body: () throws(FileSystemError) -> Answer) -> Answer {
    guard !hasFailed.load(ordering: .relaxed) else {
      counters.failed()
      return .error(EIO)
    }
    do throws(FileSystemError) { return try body() } catch {
      switch error.volumeError?.code {
      // Another writer has the volume, or it was closed: what is still in memory is of no worth.
      case .fenced, .closed: hasFailed.store(true, ordering: .relaxed)
      default: break
      }
      if error.code != .notFound { counters.failed() }
      return .error(error.errno)
    }
  }
  /// Tells the kernel how this is served.
  func begin(_ connection: inout fuse_conn_info) {
    func want(_ capability: some BinaryInteger, _ isWanted: Bool) {
      let bit = UInt32(truncatingIfNeeded: capability)
      if isWanted { connection.want |= connection.capable & bit } else { connection.want &= ~bit }
    }
    let isAlone = caching.keepsData
    // Nobody else changes the data, so the kernel need not throw its pages away when a size or a time has changed.
    want(FUSE_CAP_AUTO_INVAL_DATA, !isAlone)
    want(FUSE_CAP_EXPLICIT_INVAL_DATA, isAlone)
    want(FUSE_CAP_CACHE_SYMLINKS, isAlone)
    want(FUSE_CAP_ASYNC_READ, true)
    want(FUSE_CAP_ASYNC_DIO, true)
    want(FUSE_CAP_PARALLEL_DIROPS, true)
    want(FUSE_CAP_ATOMIC_O_TRUNC, true)
    want(FUSE_CAP_READDIRPLUS, true)
    want(FUSE_CAP_READDIRPLUS_AUTO, true)
    // Writes come in order and at once, so that they can be made durable in order.
    want(FUSE_CAP_WRITEBACK_CACHE, false)
    // The kernel takes set-user-ID bits away itself.
    want(FUSE_CAP_HANDLE_KILLPRIV, false)
    // Locks are the kernel's own: they end with the process that has them.
    want(FUSE_CAP_POSIX_LOCKS, false)
    want(FUSE_CAP_FLOCK_LOCKS, false)
    // Bytes are copied once into the thread's buffer; pipes cost more than that for a page.
    want(FUSE_CAP_SPLICE_READ, false)
    want(FUSE_CAP_SPLICE_WRITE, false)
    want(FUSE_CAP_SPLICE_MOVE, false)
    directoriesNeedNoOpen.store(
      isAlone && connection.capable & UInt32(FUSE_CAP_NO_OPENDIR_SUPPORT) != 0, ordering: .relaxed)
    connection.max_write = min(connection.max_write, FUSEMount.requestBytesMax)
    // Enough that checkpoints and scans are not held up by each other.
    connection.max_background = UInt32(options.threadsMax)
    begun()
  }
}
