import BorealisCore
import BorealisStorageBackend
import CBorealisSystem

#if canImport(Darwin)
  import Darwin
#elseif canImport(Musl)
  import Musl
#else
  import Glibc
#endif

/// An errno value as it was when a call failed.
struct SystemFailure: Error {
  let number: Int32

  static var last: SystemFailure { SystemFailure(number: errno) }

  /// The seam's code for it.
  var code: StorageBackendError.Code {
    switch number {
    // EFBIG: the process's file size limit, which can be raised like a quota.
    case ENOSPC, EDQUOT, EFBIG: .noSpace
    default: .inputOutput
    }
  }
  /// Whether it says nothing of the device: the same call may succeed now.
  var isTemporary: Bool { number == EINTR || number == EAGAIN }
  /// The system's words and number.
  var detail: String { "\(String(cString: strerror(number))), errno \(number)" }
}

/// Repeats a call that a signal interrupted; throws what it failed with.
@discardableResult
func retrying<Count: FixedWidthInteger>(_ call: () -> Count) throws(SystemFailure) -> Count {
  while true {
    let result = call()
    if result >= 0 { return result }
    if errno != EINTR { throw .last }
  }
}

/// The calls on one descriptor, by names that do not clash with the backend's own methods.
struct Descriptor: Sendable {
  let number: Int32

  static func open(_ path: String, flags: Int32, mode: mode_t = 0) throws(SystemFailure) -> Descriptor {
    #if canImport(Darwin)
      Descriptor(number: try retrying { Darwin.open(path, flags | O_CLOEXEC, mode) })
    #elseif canImport(Musl)
      Descriptor(number: try retrying { Musl.open(path, flags | O_CLOEXEC, mode) })
    #else
      Descriptor(number: try retrying { Glibc.open(path, flags | O_CLOEXEC, mode) })
    #endif
  }
  /// Closes; not repeated when interrupted, as Linux has closed it by then.
  func close() {
    #if canImport(Darwin)
      _ = Darwin.close(number)
    #elseif canImport(Musl)
      _ = Musl.close(number)
    #else
      _ = Glibc.close(number)
    #endif
  }

  func size() throws(SystemFailure) -> UInt64 {
    var status = stat()
    try retrying { fstat(number, &status) }
    return UInt64(status.st_size)
  }
  /// Fills `buffer`, with zeros from the end of the file on.
  func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(SystemFailure) {
    var rest = buffer[...]
    while !rest.isEmpty {
      let piece = UnsafeMutableRawBufferPointer(rebasing: rest)
      let position = offset + UInt64(rest.startIndex)
      let count = try retrying { pread(number, piece.baseAddress, piece.count, off_t(position)) }
      if count == 0 {
        piece.initializeMemory(as: UInt8.self, repeating: 0)
        return
      }
      rest = rest.dropFirst(count)
    }
  }
  /// Writes all of `bytes`.
  func write(at offset: UInt64, _ bytes: UnsafeRawBufferPointer) throws(SystemFailure) {
    var rest = bytes[...]
    while !rest.isEmpty {
      let piece = UnsafeRawBufferPointer(rebasing: rest)
      let position = offset + UInt64(rest.startIndex)
      let count = try retrying { pwrite(number, piece.baseAddress, piece.count, off_t(position)) }
      // A write of something that wrote nothing would be repeated for ever.
      if count == 0 { throw SystemFailure(number: EIO) }
      rest = rest.dropFirst(count)
    }
  }
  /// Writes zeros over a range, in steps; `afterStep` runs after each.
  func writeZeros(
    from start: UInt64, to end: UInt64, step: Int, afterStep: () throws(SystemFailure) -> Void
  ) throws(SystemFailure) {
    let zeros = UnsafeMutableRawBufferPointer.allocate(byteCount: step, alignment: 4096)
    defer { zeros.deallocate() }
    zeros.initializeMemory(as: UInt8.self, repeating: 0)
    var offset = start
    while offset < end {
      let count = min(end - offset, UInt64(step))
      try write(at: offset, UnsafeRawBufferPointer(rebasing: zeros[..<Int(count)]))
      try afterStep()
      offset += count
    }
  }
  func truncate(to size: UInt64) throws(SystemFailure) {
    try retrying { ftruncate(number, off_t(size)) }
  }
  /// Allocates a range and extends the file to its end; false when the file system cannot.
  func preallocate(from start: UInt64, to end: UInt64) throws(SystemFailure) -> Bool {
    while true {
      let number = borealis_preallocate(self.number, Int64(start), Int64(end - start))
      switch number {
      case 0: return true
      case EINTR: continue
      case EOPNOTSUPP, ENOSYS, EINVAL: return false
      default: throw SystemFailure(number: number)
      }
    }
  }
  /// Gives a range back; false when the file system cannot.
  func punchHole(from start: UInt64, length: UInt64) throws(SystemFailure) -> Bool {
    do throws(SystemFailure) {
      try retrying { borealis_punch_hole(number, Int64(start), Int64(length)) }
      return true
    } catch {
      if error.number == EOPNOTSUPP || error.number == ENOSYS || error.number == ENOTSUP { return false }
      throw error
    }
  }
  func flushData() throws(SystemFailure) { try retrying { borealis_data_sync(number) } }
  /// Flushes a directory's entries.
  func flushDirectory() throws(SystemFailure) {
    do throws(SystemFailure) {
      try retrying { fsync(number) }
    } catch {
      // Some file systems have nothing to flush for a directory and say so.
      if error.number != EINVAL { throw error }
    }
  }
  /// Takes the exclusive lock of this open file, until its process ends; false when another has it.
  func lock() throws(SystemFailure) -> Bool {
    do throws(SystemFailure) {
      try retrying { flock(number, LOCK_EX | LOCK_NB) }
      return true
    } catch {
      if error.number == EWOULDBLOCK { return false }
      throw error
    }
  }
}

/// Makes a directory and those above it that are missing, each made durable in the one above.
func makeDirectory(_ path: String) throws(SystemFailure) {
  var missing: [String] = []
  var current = path
  // Upwards to the first one that exists or can be made ...
  while true {
    do throws(SystemFailure) {
      try retrying { mkdir(current, 0o700) }
      try flushParent(of: current)
      break
    } catch {
      if error.number == EEXIST { break }
      let above = parent(of: current)
      if error.number != ENOENT || above == current { throw error }
      missing.append(current)
      current = above
    }
  }
  // ... and down again.
  for path in missing.reversed() {
    do throws(SystemFailure) {
      try retrying { mkdir(path, 0o700) }
    } catch {
      if error.number != EEXIST { throw error }
    }
    try flushParent(of: path)
  }
}

private func flushParent(of path: String) throws(SystemFailure) {
  let descriptor = try Descriptor.open(parent(of: path), flags: O_RDONLY | O_DIRECTORY)
  defer { descriptor.close() }
  try descriptor.flushDirectory()
}

/// The directory above, by the text of the path alone.
private func parent(of path: String) -> String {
  var text = path[...]
  while text.count > 1, text.last == "/" { text = text.dropLast() }
  guard let slash = text.lastIndex(of: "/") else { return "." }
  let above = text[..<slash]
  return above.isEmpty ? "/" : String(above)
}
