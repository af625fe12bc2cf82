import BorealisFileSystem
import CBorealisFUSE
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// libfuse's session: the connection to the kernel.
final class FUSESession: Sendable {
  /// The address of libfuse's structure; written before any thread serves, and cleared after the last has ended.
  private let address = Atomic<UInt>(0)
  private let hasLetGo = Atomic<Bool>(false)
  /// Held by whoever ends it, so that it is not ended twice at once.
  private let ending = Mutex<Void>(())
  /// The session's reference to the mount.
  private let owner = Atomic<UInt>(0)

  /// Mounts at a point.
  func begin(
    _ mount: FUSEMount, at point: MountPoint, _ options: MountOptions, isReadOnly: Bool
  ) throws(MountError) {
    // What libfuse says about a failure goes to one place for the whole process: one mount after the other.
    try FUSELog.shared.one.withLock { _ throws(MountError) in
      _ = FUSELog.shared.take()
      let session = try make(mount, point, options, isReadOnly: isReadOnly)
      guard fuse_session_mount(session, point.path) == 0 else {
        let code = errno
        fuse_session_destroy(session)
        releaseOwner()
        throw failure(point.path, code, FUSELog.shared.take())
      }
      address.store(UInt(bitPattern: session), ordering: .releasing)
    }
  }
  private func make(
    _ mount: FUSEMount, _ point: MountPoint, _ options: MountOptions, isReadOnly: Bool
  ) throws(MountError) -> OpaquePointer {
    var arguments = fuse_args(argc: 0, argv: nil, allocated: 0)
    defer { fuse_opt_free_args(&arguments) }
    let words = ["borealis", "-o", FUSESession.words(options, isReadOnly: isReadOnly)]
    for word in words where fuse_opt_add_arg(&arguments, word) != 0 {
      throw MountError(.system, point.path, "no memory")
    }
    let reference = Unmanaged.passRetained(mount).toOpaque()
    owner.store(UInt(bitPattern: reference), ordering: .releasing)
    guard
      let session = fuse_session_new(
        &arguments, FUSEOperations.table, MemoryLayout<fuse_lowlevel_ops>.size, reference)
    else {
      releaseOwner()
      throw MountError(.system, point.path, FUSELog.shared.take())
    }
    return session
  }
  /// The options for `-o`.
  static func words(_ options: MountOptions, isReadOnly: Bool) -> String {
    // A comma would end the word.
    let source = options.source.map { $0 == "," || $0 == "\\" || $0.isNewline ? "_" : $0 }
    var words = ["fsname=\(String(source))", "subtype=borealis", "default_permissions", "noatime"]
    if options.allowsOtherUsers { words.append("allow_other") }
    if isReadOnly { words.append("ro") }
    return words.joined(separator: ",")
  }
  private func failure(_ path: String, _ code: Int32, _ log: String) -> MountError {
    let said = log.isEmpty ? String(cString: strerror(code)) : log
    guard code == EPERM || code == EACCES || geteuid() != 0 else { return MountError(.system, path, said) }
    return MountError(
      .notPossible, path,
      "\(said). As root it needs CAP_SYS_ADMIN (a container: `--cap-add SYS_ADMIN --security-opt apparmor=unconfined`); "
        + "an ordinary user needs to own the directory, and \(MountPrerequisites.helper) to be setuid root")
  }

  /// Takes requests and has them served, until the connection ends.
  func serve(_ thread: ServingThread) {
    guard let session = OpaquePointer(bitPattern: address.load(ordering: .acquiring)) else { return }
    var buffer = fuse_buf()
    while fuse_session_exited(session) == 0 {
      let count = fuse_session_receive_buf(session, &buffer)
      if count == -EINTR || count == -EAGAIN { continue }
      // 0: unmounted. Anything else: the connection is of no use any more.
      guard count > 0 else { break }
      thread.progress.wrappingAdd(1, ordering: .relaxed)
      fuse_session_process_buf(session, &buffer)
      thread.progress.wrappingAdd(1, ordering: .relaxed)
    }
    fuse_session_exit(session)
    free(buffer.mem)
  }
  /// Has the threads find nothing any more where they look for requests, and answers go nowhere.
  func letGoOfDevice() {
    ending.withLock { _ in
      guard let session = OpaquePointer(bitPattern: address.load(ordering: .acquiring)) else { return }
      let nothing = open("/dev/null", O_RDWR | O_CLOEXEC)
      guard nothing >= 0 else { return }
      let device = fuse_session_fd(session)
      dup2(nothing, device)
      hasLetGo.store(true, ordering: .relaxed)
      _ = fcntl(device, F_SETFD, FD_CLOEXEC)
      close(nothing)
    }
  }
  /// Gives the connection back; no thread serves any more.
  func end() {
    ending.withLock { _ in
      let bits = address.exchange(0, ordering: .acquiringAndReleasing)
      guard let session = OpaquePointer(bitPattern: bits) else { return }
      // Sees by the device that the kernel has ended the connection, and then unmounts nothing. Without the device it would
      // unmount whatever has been mounted there since.
      if !hasLetGo.load(ordering: .relaxed) { fuse_session_unmount(session) }
      fuse_session_destroy(session)
    }
    releaseOwner()
  }
  private func releaseOwner() {
    let bits = owner.exchange(0, ordering: .acquiringAndReleasing)
    if let reference = UnsafeRawPointer(bitPattern: bits) { Unmanaged<FUSEMount>.fromOpaque(reference).release() }
  }
}

/// What libfuse says, kept instead of printed.
final class FUSELog: Sendable {
  static let shared = FUSELog()
  /// Held by whoever mounts.
  let one = Mutex<Void>(())
  private static let linesMax = 20
  private static let lineBytesMax = 512
  private let lines = Mutex<[String]>([])

  private init() {
    fuse_set_log_func { _, format, arguments in
      guard let format, let arguments else { return }
      var text = [CChar](repeating: 0, count: FUSELog.lineBytesMax)
      guard vsnprintf(&text, text.count, format, arguments) > 0 else { return }
      let bytes = text.prefix { $0 != 0 && $0 != 10 }.map { UInt8(bitPattern: $0) }
      FUSELog.shared.add(String(decoding: bytes, as: UTF8.self))
    }
  }
  private func add(_ line: String) {
    lines.withLock { lines in
      if lines.count == FUSELog.linesMax { lines.removeFirst() }
      lines.append(line)
    }
  }
  /// What was said since the last time, in one line.
  func take() -> String {
    lines.withLock { lines in
      defer { lines = [] }
      return lines.joined(separator: "; ")
    }
  }
}
