import BorealisFileSystem
import BorealisRuntime
import CBorealisFUSE
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// The directory where something is, or shall be, mounted.
struct MountPoint: Sendable {
  /// How the kernel names our mounts in /proc/self/mountinfo.
  static let type = "fuse.borealis"
  /// A mount that answers nothing for so long is taken for one that is in use.
  private static let answerMilliseconds: UInt64 = 2000

  /// The path, absolute, without symbolic links.
  let path: String

  init(_ path: String) throws(MountError) {
    // A mount whose server died cannot be looked at, its parent can.
    var text = path
    while text.count > 1, text.hasSuffix("/") { text.removeLast() }
    let cut = text.lastIndex(of: "/")
    let name = String(cut.map { text[text.index(after: $0)...] } ?? text[...])
    let parent = cut.map { $0 == text.startIndex ? "/" : String(text[..<$0]) } ?? "."
    if let whole = MountPoint.real(text) {
      self.path = whole
      return
    }
    guard let folder = MountPoint.real(parent), name != ".", name != "..", !name.isEmpty else {
      throw MountError(.unusableDirectory, path, "there is no such directory")
    }
    self.path = folder == "/" ? "/" + name : folder + "/" + name
  }
  private static func real(_ path: String) -> String? {
    guard let found = realpath(path, nil) else { return nil }
    defer { free(found) }
    return String(cString: found)
  }

  // MARK: What is there

  /// One line of /proc/self/mountinfo.
  struct Entry: Hashable {
    let minor: Int
    let type: String
  }
  /// What is mounted at exactly this path, on top where there are several.
  var entry: Entry? {
    var found: Entry?
    for line in TextFile.lines(of: "/proc/self/mountinfo") ?? [] {
      let parts = line.split(separator: " ")
      guard parts.count > 6, MountPoint.unescaped(parts[4]) == path, let dash = parts.firstIndex(of: "-"),
        dash + 1 < parts.count, let minor = parts[2].split(separator: ":").last.flatMap({ Int($0) })
      else { continue }
      found = Entry(minor: minor, type: String(parts[dash + 1]))
    }
    return found
  }
  /// mountinfo writes blanks and backslashes as three octal digits.
  private static func unescaped(_ text: Substring) -> String {
    var bytes: [UInt8] = []
    var rest = Array(text.utf8)[...]
    while let byte = rest.popFirst() {
      let digits = rest.prefix(3)
      if byte == 92, digits.count == 3, digits.allSatisfy({ (48...55).contains($0) }) {
        bytes.append(digits.reduce(UInt8(0)) { $0 &* 8 &+ ($1 - 48) })
        rest = rest.dropFirst(3)
      } else {
        bytes.append(byte)
      }
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// Takes away what a dead process left here, and makes sure that it is an empty directory.
  func makeUsable() throws(MountError) {
    // One mount may lie over another; each dead one of ours goes.
    while let entry {
      guard entry.type == MountPoint.type else {
        throw MountError(.unusableDirectory, path, "something is mounted there already (\(entry.type))")
      }
      guard isDead else {
        throw MountError(.unusableDirectory, path, "a process serves a mount there: unmount it, or end that process")
      }
      let code = detach()
      guard code == 0 else {
        throw MountError(
          .system, path,
          "a dead mount is there and cannot be taken away (\(String(cString: strerror(code)))): "
            + "`\(MountPrerequisites.helper) -u -z \(path)` as its owner, or `umount -l \(path)` as root")
      }
    }
    guard let folder = opendir(path) else {
      throw MountError(.unusableDirectory, path, String(cString: strerror(errno)))
    }
    defer { closedir(folder) }
    while let entry = readdir(folder) {
      let isDot = withUnsafeBytes(of: &entry.pointee.d_name) { name in
        name[0] == 46 && (name[1] == 0 || (name[1] == 46 && name[2] == 0))
      }
      if !isDot { throw MountError(.unusableDirectory, path, "the directory is not empty") }
    }
  }
  /// Whether nobody serves the mount any more.
  ///
  /// `statfs` is the call that the kernel answers from no cache. On a thread of its own: a server that hangs must not
  /// hang us.
  private var isDead: Bool {
    let shared = Shared()
    let path = path
    _ = WorkerThread {
      var numbers = borealis_statvfs()
      let code = statvfs(path, &numbers) == 0 ? 0 : errno
      shared.answer.withLock { $0 = code }
      shared.signal.raise()
    }
    guard shared.signal.wait(milliseconds: MountPoint.answerMilliseconds) else { return false }
    let code = shared.answer.withLock { $0 }
    return code == ENOTCONN || code == ECONNABORTED
  }
  private final class Shared: Sendable {
    let answer = Mutex<Int32?>(nil)
    let signal = ThreadSignal()
  }

  // MARK: Unmounting

  /// Unmounts; 0, or an errno: EBUSY where files are open.
  func unmount() -> Int32 {
    if umount2(path, Int32(UMOUNT_NOFOLLOW)) == 0 { return 0 }
    let code = errno
    guard code == EPERM else { return code }
    // fusermount3 says why in words only; files that are open are the one reason that passes.
    return runHelper(["-u", "-q", "--", path]) == 0 ? 0 : EBUSY
  }
  /// Takes the mount out of the directory tree, whatever is open in it; 0, or an errno.
  func detach() -> Int32 {
    if umount2(path, Int32(MNT_DETACH | UMOUNT_NOFOLLOW)) == 0 { return 0 }
    let code = errno
    guard code == EPERM else { return code }
    return runHelper(["-u", "-z", "-q", "--", path]) == 0 ? 0 : EPERM
  }
  /// Ends the kernel's connection, so that all calls under way and later ones fail, and detaches the mount.
  ///
  /// - Parameter minor: the minor number of the mount's device.
  /// - Returns: false where this user cannot, and nothing was done.
  func abort(minor: Int) -> Bool {
    // Root: one call does both. The file of fusectl belongs to the user who mounted; not every container has it.
    if umount2(path, Int32(MNT_FORCE | MNT_DETACH | UMOUNT_NOFOLLOW)) == 0 { return true }
    let descriptor = open("/sys/fs/fuse/connections/\(minor)/abort", O_WRONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return false }
    defer { close(descriptor) }
    guard write(descriptor, "1", 1) == 1 else { return false }
    _ = detach()
    return true
  }
  /// Sends as many requests as there are threads that wait for one, and returns when all have failed.
  func wake(_ count: Int) {
    let workers = (0..<count).map { _ in
      WorkerThread { [path] in
        var numbers = borealis_statvfs()
        _ = statvfs(path, &numbers)
      }
    }
    for worker in workers { worker.join() }
  }
  /// Runs `fusermount3`; its exit code, or -1.
  private func runHelper(_ arguments: [String]) -> Int32 {
    guard let program = MountPrerequisites.helperPath else { return -1 }
    var texts = ([program] + arguments).map { strdup($0) }
    texts.append(nil)
    defer { for text in texts { free(text) } }
    var child = pid_t()
    guard posix_spawn(&child, program, nil, nil, &texts, environ) == 0 else { return -1 }
    var status: Int32 = 0
    while waitpid(child, &status, 0) < 0 {
      guard errno == EINTR else { return -1 }
    }
    return status
  }
}
