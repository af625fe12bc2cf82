import BorealisFileSystem

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// What a machine must have, and what to tell people where it has not.
enum MountPrerequisites {
  static let device = "/dev/fuse"
  static let helper = "fusermount3"
  private static let configuration = "/etc/fuse.conf"

  static func check(_ path: String, _ options: MountOptions, device: String) throws(MountError) {
    guard (1...options.threadsMax).contains(options.threads), options.threadsMax <= 1024 else {
      throw MountError(.system, path, "threads must be 1...threadsMax, and threadsMax at most 1024")
    }
    let descriptor = open(device, O_RDWR | O_CLOEXEC)
    guard descriptor >= 0 else { throw MountError(.notPossible, path, advice(errno, device)) }
    close(descriptor)
    guard geteuid() != 0 else { return }
    guard helperPath != nil else {
      throw MountError(
        .notPossible, path, "\(helper) is not there, which mounts for ordinary users: apt-get install fuse3")
    }
    if options.allowsOtherUsers, !allowsUsersToAllowOthers {
      throw MountError(
        .notPossible, path,
        "an ordinary user may let others in only where \(configuration) has a line `user_allow_other`")
    }
  }
  private static func advice(_ code: Int32, _ device: String) -> String {
    switch code {
    case ENOENT, ENODEV, ENXIO:
      "\(device) is not there: `modprobe fuse` on the host; for a container, "
        + "`--device \(device) --cap-add SYS_ADMIN --security-opt apparmor=unconfined`"
    case EACCES, EPERM:
      "\(device) may not be opened by user \(geteuid()): `chmod 666 \(device)` as root, "
        + "and in a container `--device \(device)`"
    default: "\(device): \(String(cString: strerror(code)))"
    }
  }
  private static var allowsUsersToAllowOthers: Bool {
    (TextFile.lines(of: configuration) ?? []).contains { $0.trimmed == "user_allow_other" }
  }
  /// Where the program is that mounts for ordinary users.
  static var helperPath: String? {
    let folders = (getenv("PATH").map { String(cString: $0) } ?? "").split(separator: ":").map(String.init)
    return (folders + ["/usr/bin", "/bin", "/usr/local/bin"]).map { "\($0)/\(helper)" }
      .first { access($0, X_OK) == 0 }
  }
}

/// Small text files of the system.
enum TextFile {
  /// Bytes read at most: far more than any that is read here has.
  private static let bytesMax = 4 << 20

  static func text(of path: String) -> String? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var part = [UInt8](repeating: 0, count: 16 << 10)
    while bytes.count < bytesMax {
      let count = read(descriptor, &part, part.count)
      if count < 0 { return nil }
      if count == 0 { break }
      bytes += part[..<count]
    }
    return String(decoding: bytes, as: UTF8.self)
  }
  static func lines(of path: String) -> [Substring]? { text(of: path)?.split(separator: "\n") }
}

extension Substring {
  /// Without blanks at both ends.
  var trimmed: Substring {
    var rest = self
    while rest.first?.isWhitespace == true { rest.removeFirst() }
    while rest.last?.isWhitespace == true { rest.removeLast() }
    return rest
  }
}
