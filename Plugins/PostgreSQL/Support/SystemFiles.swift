#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Files and directories whose owner and mode matter: secrets, and what a server of another user reads.
enum SystemFiles {
  /// What the system said last.
  static func reason(_ code: Int32 = errno) -> String { String(cString: strerror(code)) }
  private static func failed(_ path: String, _ what: String) -> PostgreSQLError {
    PostgreSQLError(.file, path, "\(what): \(reason())")
  }

  /// Whether there is anything at the path.
  static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }
  /// Whether there is a program at the path that this user may run.
  static func isExecutable(_ path: String) -> Bool { access(path, X_OK) == 0 }

  /// The whole of a small file; nil where there is none that can be read.
  static func text(of path: String, bytesMax: Int = 1 << 20) -> String? {
    contents(of: path, bytesMax).map { String(decoding: $0, as: UTF8.self) }
  }
  /// The bytes of a small file; none where there is none that can be read.
  static func bytes(of path: String, bytesMax: Int = 1 << 20) -> [UInt8] { contents(of: path, bytesMax) ?? [] }
  private static func contents(of path: String, _ bytesMax: Int) -> [UInt8]? {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return nil }
    defer { close(file) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 16 << 10)
    while bytes.count < bytesMax {
      let count = read(file, &buffer, buffer.count)
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { break }
      bytes += buffer[..<count]
    }
    return bytes
  }

  /// Where a symbolic link leads; nil where it cannot be read.
  static func target(of link: String) -> String? {
    var buffer = [CChar](repeating: 0, count: 4096)
    let count = readlink(link, &buffer, buffer.count)
    return count > 0 ? String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self) : nil
  }
  /// Names in a directory, sorted; none where it is not there.
  static func names(in directory: String) -> [String] {
    guard let stream = opendir(directory) else { return [] }
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: MemoryLayout.size(ofValue: $0.pointee)) { String(cString: $0) }
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  /// Makes a directory, and those above it; one that is there gets the mode and the owner.
  static func makeDirectory(_ path: String, mode: mode_t, owner: ServiceUser? = nil) throws(PostgreSQLError) {
    var made = ""
    let parts = path.split(separator: "/")
    for (i, part) in parts.enumerated() {
      made += (i == 0 && !path.hasPrefix("/") ? "" : "/") + part
      // What lies above must be passable for a server of another user, and shows nothing.
      if mkdir(made, i == parts.count - 1 ? mode : 0o711) != 0, errno != EEXIST {
        throw failed(made, "the directory cannot be made")
      }
    }
    guard chmod(path, mode) == 0 else { throw failed(path, "its mode cannot be set") }
    try give(path, to: owner)
  }
  /// Makes a user the owner; nobody: it stays as it is.
  static func give(_ path: String, to owner: ServiceUser?) throws(PostgreSQLError) {
    guard let owner else { return }
    guard chown(path, owner.user, owner.group) == 0 else { throw failed(path, "it cannot be given to \(owner.name)") }
  }

  /// Writes a file as a whole: who reads it finds the old contents or the new ones.
  ///
  /// Durable when it returns.
  static func write(
    _ text: String, to path: String, mode: mode_t, owner: ServiceUser? = nil
  ) throws(PostgreSQLError) {
    let new = path + ".new"
    unlink(new)
    // The mode from the first moment on: nobody else can open a secret before it is shut.
    let file = open(new, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode)
    guard file >= 0 else { throw failed(new, "the file cannot be made") }
    let bytes = Array(text.utf8)
    var done = 0
    var isWritten = true
    while done < bytes.count, isWritten {
      let count = bytes[done...].withUnsafeBytes { Self.put(file, $0) }
      if count < 0 { isWritten = errno == EINTR } else { done += count }
    }
    isWritten = isWritten && fsync(file) == 0
    let code = errno
    close(file)
    guard isWritten else {
      unlink(new)
      throw PostgreSQLError(.file, path, "the file cannot be written: \(reason(code))")
    }
    try give(new, to: owner)
    guard rename(new, path) == 0 else { throw failed(path, "the file cannot be put in place") }
    try syncDirectory(of: path)
  }
  private static func put(_ file: Int32, _ bytes: UnsafeRawBufferPointer) -> Int {
    #if canImport(Glibc)
      Glibc.write(file, bytes.baseAddress, bytes.count)
    #elseif canImport(Musl)
      Musl.write(file, bytes.baseAddress, bytes.count)
    #else
      Darwin.write(file, bytes.baseAddress, bytes.count)
    #endif
  }
  /// Moves a directory or file, durably.
  static func move(_ path: String, to new: String) throws(PostgreSQLError) {
    guard rename(path, new) == 0 else { throw failed(path, "it cannot be moved to \(new)") }
    try syncDirectory(of: new)
  }
  private static func syncDirectory(of path: String) throws(PostgreSQLError) {
    let parent = parent(of: path)
    let directory = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard directory >= 0 else { throw failed(parent, "the directory cannot be opened") }
    defer { close(directory) }
    guard fsync(directory) == 0 else { throw failed(parent, "the directory cannot be made durable") }
  }
  /// The directory that a path is in.
  static func parent(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }

  /// Removes a directory and all that is in it; links are removed and not followed.
  static func removeAll(_ path: String) {
    var status = stat()
    guard lstat(path, &status) == 0 else { return }
    guard status.st_mode & S_IFMT == S_IFDIR else {
      unlink(path)
      return
    }
    for name in names(in: path) { removeAll(path + "/" + name) }
    rmdir(path)
  }

  /// The first directory on the way to `path` that users other than its owner cannot pass; nil where all can be passed.
  static func impassable(_ path: String, for user: ServiceUser) -> String? {
    var at = ""
    for part in path.split(separator: "/").dropLast() {
      at += "/" + part
      var status = stat()
      guard stat(at, &status) == 0 else { return nil }
      let bit: mode_t = status.st_uid == user.user ? 0o100 : status.st_gid == user.group ? 0o010 : 0o001
      if status.st_mode & bit == 0 { return at }
    }
    return nil
  }
}
