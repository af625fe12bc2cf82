import BorealisCore
import BorealisStorageBackend

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The volume's identity in `volume.id`: sixteen hexadecimal digits, written once.
enum FleetIdentity {
  static func loadOrCreate(in directory: String) throws(StorageBackendError) -> VolumeID {
    try makeDirectories(directory)
    let path = directory + "/volume.id"
    if let found = try read(path) { return found }
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    let value = UInt64(time.tv_sec) << 24 ^ UInt64(time.tv_nsec) ^ UInt64(getpid()) << 44
    let temporary = path + ".\(getpid())"
    let descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw failure("create \(temporary)") }
    let bytes = Array((hexadecimal(value, digits: 16) + "\n").utf8)
    let written = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
    let synced = fsync(descriptor)
    close(descriptor)
    guard written == bytes.count, synced == 0 else { throw failure("write \(temporary)") }
    // `link` fails where the name exists: of two processes that begin at once, both end up with the first one's identity.
    let linked = link(temporary, path)
    let linkError = errno
    unlink(temporary)
    guard linked == 0 || linkError == EEXIST else { throw failure("name \(path)") }
    let folder = open(directory, O_RDONLY | O_CLOEXEC)
    guard folder >= 0 else { throw failure("open \(directory)") }
    defer { close(folder) }
    guard fsync(folder) == 0 else { throw failure("sync \(directory)") }
    guard let identity = try read(path) else { throw failure("read \(path)") }
    return identity
  }

  /// Whether the node has ever had a directory here: a mark outside of it says so.
  static func isFormatted(_ node: NodeID, in directory: String) -> Bool {
    access("\(directory)/nodes/\(node.value)", F_OK) == 0
  }

  /// Marks that the node has a directory; durable on return.
  static func setFormatted(_ node: NodeID, in directory: String) throws(StorageBackendError) {
    try makeDirectories(directory + "/nodes")
    let path = "\(directory)/nodes/\(node.value)"
    let descriptor = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw failure("create \(path)") }
    close(descriptor)
    for name in [directory + "/nodes", directory] {
      let folder = open(name, O_RDONLY | O_CLOEXEC)
      guard folder >= 0 else { throw failure("open \(name)") }
      defer { close(folder) }
      guard fsync(folder) == 0 else { throw failure("sync \(name)") }
    }
  }

  private static func read(_ path: String) throws(StorageBackendError) -> VolumeID? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    if descriptor < 0, errno == ENOENT { return nil }
    guard descriptor >= 0 else { throw failure("open \(path)") }
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: 32)
    let count = bytes.withUnsafeMutableBytes { readBytes(descriptor, $0.baseAddress, $0.count) }
    guard count == 17, let value = UInt64(String(decoding: bytes.prefix(16), as: UTF8.self), radix: 16) else {
      throw StorageBackendError(
        .cannotOpen, operation: "open", file: nil,
        detail: "\(path) is not a volume identity; is this the right directory?")
    }
    return VolumeID(value)
  }

  private static func makeDirectories(_ path: String) throws(StorageBackendError) {
    var prefix = path.hasPrefix("/") ? "/" : ""
    for part in path.split(separator: "/") {
      prefix += part
      if mkdir(prefix, 0o755) != 0, errno != EEXIST { throw failure("create \(prefix)") }
      prefix += "/"
    }
  }

  private static func failure(_ what: String) -> StorageBackendError {
    let code: StorageBackendError.Code = errno == ENOSPC ? .noSpace : .cannotOpen
    return StorageBackendError(
      code, operation: "open", file: nil, detail: "\(what): \(String(cString: strerror(errno)))")
  }
}

private func readBytes(_ descriptor: Int32, _ buffer: UnsafeMutableRawPointer?, _ count: Int) -> Int {
  read(descriptor, buffer, count)
}
