import BorealisCore

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// Metadata in one file of a directory, replaced whole (write, fsync, rename, fsync of the directory) under a lock file.
///
/// Format: lines of `name value`, the last one `crc32c` in hexadecimal over all bytes before that line.
public final class FileCoordinator: Coordinator {
  private let directory: String
  private var path: String { directory + "/volume.meta" }

  /// Uses `directory`, which must exist.
  public init(directory: String) { self.directory = directory }

  /// The metadata of the volume; nil where there is none, `.corrupt` where it fails its checksum.
  public func load() throws(CoordinatorError) -> VolumeMetadata? {
    guard let bytes = try readFile() else { return nil }
    let text = String(decoding: bytes, as: UTF8.self)
    guard let marker = text.range(ofLast: "crc32c ") else {
      throw CoordinatorError(.corrupt, "\(path) has no checksum")
    }
    let body = Array(text.utf8.prefix(marker))
    let sum = text.utf8.dropFirst(marker + 7).prefix(8)
    guard UInt64(String(decoding: sum, as: UTF8.self), radix: 16) == UInt64(CRC32C.checksum(body)) else {
      throw CoordinatorError(.corrupt, "\(path) does not match its checksum; restore it from a copy")
    }
    var fields: [String: String] = [:]
    for line in String(decoding: body, as: UTF8.self).split(separator: "\n") {
      let parts = line.split(separator: " ", maxSplits: 1)
      if parts.count == 2 { fields[String(parts[0])] = String(parts[1]) }
    }
    func number(_ name: String) throws(CoordinatorError) -> UInt64 {
      guard let value = fields[name].flatMap({ UInt64($0) }) else {
        throw CoordinatorError(.corrupt, "\(path) has no valid '\(name)'")
      }
      return value
    }
    guard try number("version") == 1 else { throw CoordinatorError(.corrupt, "\(path) is of a later version") }
    return VolumeMetadata(
      volume: VolumeID(try number("volume")), epoch: VolumeEpoch(UInt32(clamping: try number("epoch"))),
      pageSize: Int(clamping: try number("pageSize")), extentPages: Int(clamping: try number("extentPages")),
      groupPages: Int(clamping: try number("groupPages")), policy: fields["policy"] ?? "",
      allocationLimit: try number("allocationLimit"))
  }

  /// Records a new volume; durable on return.
  public func create(_ metadata: VolumeMetadata) throws(CoordinatorError) {
    try locked { () throws(CoordinatorError) in
      if try load() != nil { throw CoordinatorError(.conflict, "\(path) exists; open the volume instead") }
      try replace(metadata)
    }
  }

  /// Compare-and-swap of the epoch under the lock file; durable on return.
  public func advanceEpoch(from: VolumeEpoch) throws(CoordinatorError) -> VolumeEpoch {
    try locked { () throws(CoordinatorError) in
      guard var metadata = try load() else { throw CoordinatorError(.notFound, "there is no \(path)") }
      guard metadata.epoch == from else {
        throw CoordinatorError(.conflict, "the epoch is \(metadata.epoch), not \(from); load it again")
      }
      metadata.epoch = from.next
      try replace(metadata)
      return metadata.epoch
    }
  }

  private func locked<T>(_ body: () throws(CoordinatorError) -> T) throws(CoordinatorError) -> T {
    let descriptor = open(directory + "/volume.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw unavailable("open volume.lock") }
    defer { close(descriptor) }
    while flock(descriptor, LOCK_EX) != 0 {
      if errno != EINTR { throw unavailable("lock volume.lock") }
    }
    return try body()
  }

  private func replace(_ m: VolumeMetadata) throws(CoordinatorError) {
    var text = "version 1\nvolume \(m.volume.value)\nepoch \(m.epoch)\npageSize \(m.pageSize)\n"
    text += "extentPages \(m.extentPages)\ngroupPages \(m.groupPages)\npolicy \(m.policy)\n"
    text += "allocationLimit \(m.allocationLimit)\n"
    let body = Array(text.utf8)
    let bytes = body + Array("crc32c \(hexadecimal(UInt64(CRC32C.checksum(body)), digits: 8))\n".utf8)
    let temporary = path + ".new"
    let descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw unavailable("create \(temporary)") }
    let written = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
    let synced = fsync(descriptor)
    close(descriptor)
    guard written == bytes.count, synced == 0 else { throw unavailable("write \(temporary)") }
    guard rename(temporary, path) == 0 else { throw unavailable("rename to \(path)") }
    let folder = open(directory, O_RDONLY | O_CLOEXEC)
    guard folder >= 0 else { throw unavailable("open \(directory)") }
    defer { close(folder) }
    guard fsync(folder) == 0 else { throw unavailable("sync \(directory)") }
  }

  private func readFile() throws(CoordinatorError) -> [UInt8]? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    if descriptor < 0, errno == ENOENT { return nil }
    guard descriptor >= 0 else { throw unavailable("open \(path)") }
    defer { close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: 4096)
    let count = bytes.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
    guard count >= 0 else { throw unavailable("read \(path)") }
    return Array(bytes.prefix(count))
  }

  private func unavailable(_ what: String) -> CoordinatorError {
    CoordinatorError(.unavailable, "\(what): \(String(cString: strerror(errno)))")
  }
}

extension String {
  /// UTF-8 offset of the last occurrence of an ASCII `needle`.
  fileprivate func range(ofLast needle: String) -> Int? {
    let hay = Array(utf8)
    let wanted = Array(needle.utf8)
    guard hay.count >= wanted.count else { return nil }
    for start in stride(from: hay.count - wanted.count, through: 0, by: -1)
    where Array(hay[start..<start + wanted.count]) == wanted {
      return start
    }
    return nil
  }
}
