import BorealisConformance
import BorealisCore
import BorealisFileStorageBackend
import BorealisStorageBackend
import Glibc
import Synchronization

/// A directory that is removed with the object; on a small file system of its own when that can be mounted.
final class TemporaryDirectory: Sendable {
  let path: String
  let isMounted: Bool

  /// With `mounting`, a tmpfs of that many bytes is mounted where the process may do so.
  init(mounting bytes: UInt64? = nil) throws {
    var template = Array("/tmp/borealis-test-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw TestFailure("no temporary directory: errno \(errno)") }
    path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    isMounted = bytes.map { [path] in mount("none", path, "tmpfs", 0, "size=\($0)") == 0 } ?? false
  }
  deinit {
    if isMounted { _ = umount2(path, Int32(MNT_DETACH)) }
    removeTree(path)
  }
  /// Whether this process may mount.
  static let canMount: Bool = (try? TemporaryDirectory(mounting: 1 << 20).isMounted) ?? false
}

struct TestFailure: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

private func removeTree(_ path: String) {
  if let directory = opendir(path) {
    while let entry = readdir(directory) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
        String(cString: UnsafeRawPointer(pointer).assumingMemoryBound(to: CChar.self))
      }
      if name != "." && name != ".." { removeTree("\(path)/\(name)") }
    }
    closedir(directory)
  }
  _ = remove(path)
}

extension StorageBackend {
  func put(_ file: StorageFile, at offset: UInt64, _ bytes: [UInt8]) throws(StorageBackendError) {
    try perform(.write(file, at: offset, bytes))
  }
  func bytes(_ file: StorageFile, at offset: UInt64, count: Int) throws -> [UInt8] {
    var result = [UInt8](repeating: 0xA5, count: count)
    try result.withUnsafeMutableBytes { try read(file, at: offset, into: $0) }
    return result
  }
  /// The whole file.
  func contents(_ file: StorageFile) throws -> [UInt8] {
    try bytes(file, at: 0, count: Int(try size(of: file).value))
  }
}

extension DeterministicGenerator {
  mutating func bytes(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8(1 + below(255)) } }
}

/// The code that a call throws; nil when it returns.
func code(_ body: () throws(StorageBackendError) -> Void) -> StorageBackendError.Code? {
  do throws(StorageBackendError) { try body() } catch { return error.code }
  return nil
}

/// An object in memory; full when its capacity is what it uses.
final class MemoryPlace: StorageBackendPlace {
  let backend = InMemoryStorageBackend()
  let abilities: [StorageBackendConformance.Ability] = [.fillUp]
  private let isNew = Mutex(true)

  func open() throws(StorageBackendError) -> any StorageBackend {
    if isNew.withLock({ isNew in
      defer { isNew = false }
      return isNew
    }) {
      return backend
    }
    try backend.reopen()
    return backend
  }
  func setFull(_ isFull: Bool) { backend.setCapacity(isFull ? backend.used : nil) }
  func destroy() { backend.close() }
}

/// A directory; on a small file system of its own for the checks that fill it.
final class FilePlace: StorageBackendPlace {
  static let fileSystemSize: UInt64 = 48 << 20
  let directory: TemporaryDirectory
  let abilities: [StorageBackendConformance.Ability]
  private struct Saved {
    var number: Int32
    var original: Int32
  }
  /// The real descriptors of files whose syncs fail.
  private let saved = Mutex<[StorageFile: Saved]>([:])

  init(onOwnFileSystem: Bool) throws {
    directory = try TemporaryDirectory(mounting: onOwnFileSystem ? FilePlace.fileSystemSize : nil)
    abilities = directory.isMounted ? [.failSyncs, .fillUp] : [.failSyncs]
  }
  var path: String { "\(directory.path)/node" }
  func open() throws(StorageBackendError) -> any StorageBackend { try FileStorageBackend(directory: path) }

  /// Fills the file system to the last byte with a file of ours, or removes that.
  func setFull(_ isFull: Bool) throws {
    let filler = "\(directory.path)/filler"
    if !isFull {
      unlink(filler)
      return
    }
    let descriptor = Glibc.open(filler, O_RDWR | O_CREAT | O_APPEND, 0o600)
    defer { close(descriptor) }
    let block = [UInt8](repeating: 1, count: 64 << 10)
    var step = block.count
    for _ in 0..<4 * Int(FilePlace.fileSystemSize) / block.count {
      if write(descriptor, block, step) <= 0 {
        if errno != ENOSPC { throw TestFailure("filling up: errno \(errno)") }
        if step == 1 { return }
        step = step > 4096 ? 4096 : 1
      }
    }
    throw TestFailure("the file system does not fill up")
  }
  /// Puts a pipe, whose fdatasync fails, in place of the file behind the backend's back.
  func setSyncsFail(_ fail: Bool, of file: StorageFile) throws { try setFails(fail, of: file, descriptor: 0) }
  /// The same for the descriptor that this file was given as its first, second and so on.
  func setFails(_ fail: Bool, of file: StorageFile, descriptor place: Int) throws {
    try saved.withLock { saved in
      if fail {
        let number = try descriptor(of: file, place)
        var ends: [Int32] = [0, 0]
        saved[file] = Saved(number: number, original: dup(number))
        guard pipe(&ends) == 0, dup2(ends[1], number) == number else { throw TestFailure("no pipe: errno \(errno)") }
        close(ends[0])
        close(ends[1])
      } else if let entry = saved.removeValue(forKey: file) {
        dup2(entry.original, entry.number)
        close(entry.original)
      }
    }
  }
  private func descriptor(of file: StorageFile, _ place: Int) throws -> Int32 {
    var left = place
    var buffer = [CChar](repeating: 0, count: 4096)
    for number in Int32(3)..<4096 {
      let count = readlink("/proc/self/fd/\(number)", &buffer, buffer.count)
      if count <= 0 { continue }
      let target = String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
      if target == "\(path)/\(file)" {
        if left == 0 { return number }
        left -= 1
      }
    }
    throw TestFailure("\(file) is not open")
  }
  func destroy() {}
}

/// A faulty backend around any base; the base stays open when the decorator closes.
final class FaultyPlace<Base: StorageBackend>: StorageBackendPlace {
  let abilities: [StorageBackendConformance.Ability] = [.losePower, .fillUp, .failSyncs]
  private let makeBase: @Sendable () throws(StorageBackendError) -> Base
  /// Whether a loss of power opens the base anew, too.
  private let reopensBase: Bool
  private let forgets: Bool
  private let current = Mutex<FaultyStorageBackend<Base>?>(nil)

  init(
    reopensBase: Bool, forgets: Bool, _ makeBase: @escaping @Sendable () throws(StorageBackendError) -> Base
  ) {
    self.reopensBase = reopensBase
    self.forgets = forgets
    self.makeBase = makeBase
  }
  var faulty: FaultyStorageBackend<Base>? { current.withLock { $0 } }

  func open() throws(StorageBackendError) -> any StorageBackend {
    if let faulty {
      try faulty.reopen()
      return faulty
    }
    let made = FaultyStorageBackend(try makeBase(), seed: 1)
    current.withLock { $0 = made }
    return made
  }
  func losePower(seed: UInt64) throws -> any StorageBackend {
    guard let faulty else { return try open() }
    var generator = DeterministicGenerator(seed: seed)
    faulty.crash(using: &generator, seed % 4 == 3 ? .dropAll : .random)
    faulty.close()
    if reopensBase {
      faulty.base.close()
      current.withLock { $0 = nil }
    }
    return try open()
  }
  func setFull(_ isFull: Bool) throws { faulty?.setFull(isFull) }
  func setSyncsFail(_ fail: Bool, of file: StorageFile) throws {
    if fail {
      faulty?.inject(
        StorageFault(
          "sync", file: file, operation: .sync, times: nil, effect: forgets ? .failAndForget : .fail(.inputOutput)))
    } else {
      faulty?.removeFaults(labelled: "sync")
    }
  }
  func destroy() { faulty?.base.close() }
}

func faultyMemoryPlace() -> FaultyPlace<InMemoryStorageBackend> {
  FaultyPlace(reopensBase: false, forgets: true) { () throws(StorageBackendError) in InMemoryStorageBackend() }
}
