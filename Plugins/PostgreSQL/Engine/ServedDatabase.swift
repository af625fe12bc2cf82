import BorealisClusterModel
import BorealisComputeEngine
import BorealisCore
import BorealisFileSystem
import BorealisRuntime
import BorealisVolume
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// A server on a mount of the volume, or on one of a private view of it: what an instance is at the moment.
final class ServedDatabase: Sendable {
  /// The directory of the database on the volume.
  static let folder: FileName = "pgdata"

  /// The volume, as the instance was given it.
  let storage: EngineStorage
  let server: PostgreSQLServer
  let mount: any MountedFileSystem
  /// A reader's own changes; nil for the writer.
  let overlay: OverlaySpace?
  /// Moves a reader's view; nil for the writer.
  let upkeep: ViewUpkeep?
  /// The LSN at which a reader's view is; nil for the writer.
  var readPoint: LSN? { (overlay?.base as? ReadPointSpace)?.readPoint }
  /// Certificates, where there are any.
  let certificates: ServerCertificates?
  private let files: VolumeFileSystem
  private let isEnded = Atomic(false)
  private let release: @Sendable () -> Void

  /// Mounts the volume and starts a server on it; blocks until that takes connections.
  ///
  /// Where it throws, nothing runs and nothing is mounted; the storage is the caller's to close.
  init(_ order: ServerOrder, _ storage: EngineStorage) throws(EngineError) {
    order.prepareWriter(storage)
    let view: View
    do throws(FileSystemError) { view = try View(storage) { order.engine.options.overlayLimit } } catch {
      throw order.error(error, storage)
    }
    let path = order.engine.directories.claim(order.cluster, order.instance)
    let directories = order.engine.directories
    var mounted: (any MountedFileSystem)?
    do {
      let owner = try ServiceUser.needed(order.engine.options.serviceUser)
      let isNew = try view.prepare(owner)
      // What a reader writes is in its overlay, which has a limit of its own.
      let limit = view.overlay == nil ? GrowthLimit(order.engine.options) : nil
      let mount = try order.mount(view.files, at: path + "/data-mount", owner, limit)
      mounted = mount
      (server, certificates) = try order.startServer(storage, on: mount.path, in: path, isNew: isNew, owner)
      limit?.begin()
      self.mount = mount
    } catch {
      mounted?.abort()
      directories.release(path)
      throw order.error(error, storage)
    }
    self.storage = storage
    files = view.files
    overlay = view.overlay
    release = { directories.release(path) }
    upkeep = order.upkeep(storage, view.files, view.overlay, server)
    upkeep?.start()
  }
  deinit { terminate() }

  /// Ends it at once, and waits for nothing; the storage stays open.
  func terminate() {
    guard !isEnded.exchange(true, ordering: .acquiringAndReleasing) else { return }
    upkeep?.end()
    server.terminate()
    let (server, mount, release) = (server, mount, release)
    _ = WorkerThread {
      // Processes that wait for the mount end when it does.
      mount.abort()
      server.waitForEnd(milliseconds: 10_000)
      release()
    }
  }
  /// Ends it at once, and blocks until its port and its mount are free.
  func terminateAndWait() {
    terminate()
    server.waitForEnd(milliseconds: 10_000)
  }
  /// Ends it in good order; blocks.
  func stop(milliseconds: UInt64) {
    guard !isEnded.exchange(true, ordering: .acquiringAndReleasing) else { return }
    upkeep?.end()
    server.stop(milliseconds: milliseconds)
    do throws(MountError) { try mount.unmount(timeoutMilliseconds: milliseconds) } catch { mount.abort() }
    release()
  }
}

/// The files that a server is to see.
private struct View {
  let files: VolumeFileSystem
  var overlay: OverlaySpace?

  init(_ storage: EngineStorage, limit: () -> ByteCount) throws(FileSystemError) {
    switch storage {
    case .writer(let volume):
      files =
        try VolumeFileSystem.exists(on: volume)
        ? try VolumeFileSystem.mount(volume) : try VolumeFileSystem.format(on: volume)
    case .reader(let reader, _):
      let overlay = OverlaySpace(on: ReadPointSpace(reader), limit: limit())
      files = try VolumeFileSystem.mount(overlay)
      self.overlay = overlay
    }
  }

  /// Makes the data directory what the role needs; whether there is none yet.
  func prepare(_ owner: ServiceUser?) throws -> Bool {
    let data: InodeNumber
    do throws(FileSystemError) { data = try files.lookup(ServedDatabase.folder, in: .root).inode } catch {
      guard error.code == .notFound else { throw error }
      guard overlay == nil else {
        throw PostgreSQLError(.unusableData, "the volume", "has no database yet: start a writer first")
      }
      // An ordinary user may not write into root's directory.
      var change = AttributeChange()
      (change.uid, change.gid) = (geteuid(), getegid())
      try files.setAttributes(of: .root, change)
      return true
    }
    // Of a server that is no more, or cannot reach the volume any more: the epoch sees to that. Its number may be another
    // process's now, which would keep this one from starting.
    var names: [FileName] = ["postmaster.pid"]
    // A volume that was made of a reader's view, a clone for instance, must come up as a primary.
    if overlay == nil { names += ["standby.signal", "recovery.signal"] }
    for name in names {
      do throws(FileSystemError) { try files.unlink(name, in: data) } catch {
        guard error.code == .notFound else { throw error }
      }
    }
    if overlay != nil {
      let file = FileOwner(mode: 0o600, uid: owner?.user ?? geteuid(), gid: owner?.group ?? getegid())
      _ = try files.create("standby.signal", in: data, .openExisting, owner: file)
      try removeSlots(in: data)
    }
    return false
  }
  /// The writer's replication slots are none of a reader's: it would keep log for them for as long as it runs.
  private func removeSlots(in data: InodeNumber) throws(FileSystemError) {
    let slots: InodeNumber
    do throws(FileSystemError) { slots = try files.lookup("pg_replslot", in: data).inode } catch {
      guard error.code == .notFound else { throw error }
      return
    }
    for slot in try files.list(slots, limit: 4096) where slot.type == .directory {
      for file in try files.list(slot.inode, limit: 4096) { try files.unlink(file.name, in: slot.inode) }
      try files.removeDirectory(slot.name, in: slots)
    }
  }
}
