import BorealisCore
import BorealisStorageBackend
import Synchronization

/// One open file of the backend.
///
/// A failed flush ends its use for writing. Linux reports the failure once, marks the pages that it could not write
/// clean and drops them: a second fdatasync then succeeds although the data is lost, so trying again would acknowledge
/// lost writes. (PostgreSQL's "fsync surprise" of 2018, whence its panic at a failed fsync; Rebello et al., "Can
/// Applications Recover from fsync Failures?", USENIX ATC 2020.) Only opening again, and recovering from what the device
/// really holds, is safe; reading goes on meanwhile.
final class DataFile: Sendable {
  /// Steps in which reserved space of the log is written with zeros.
  private static let zeroStep = 1 << 20

  let file: StorageFile
  let descriptor: Descriptor
  private let flush: FileStorageOptions.Flush
  /// Why the first failed flush failed.
  private let flushFailure = Mutex<String?>(nil)
  /// The same as a flag that costs nothing to look at.
  ///
  /// Relaxed: a write that races with the failing flush may go either way, and the flush after it is refused.
  private let hasFailed = Atomic(false)
  /// Held by what moves the file's end, so that `reserve` does not write zeros over a write behind the old end.
  private let growth = Mutex(())
  /// At or below the file's end: writes up to here need not take `growth`.
  ///
  /// Relaxed: it guards no other memory.
  private let settledEnd: Atomic<UInt64>

  /// For the log: how a commit's flush is written; nil: as all else.
  private let direct: DirectWrites?
  /// Counts changes that need a flush, each before its call returns.
  ///
  /// It begins above `flushed`: what an earlier process has left in the page cache wants one, too.
  private let changes: Atomic<UInt64> = Atomic(1)
  /// Changes up to here are durable.
  private let flushed: Atomic<UInt64> = Atomic(0)

  init(
    _ file: StorageFile, _ descriptor: Descriptor, flush: FileStorageOptions.Flush, direct: DirectWrites? = nil
  ) throws(SystemFailure) {
    self.file = file
    self.descriptor = descriptor
    self.flush = flush
    self.direct = direct
    settledEnd = Atomic(try descriptor.size())
  }

  func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(StorageBackendError) {
    let limit = UInt64(Int64.max)
    let (end, overflow) = offset.addingReportingOverflow(UInt64(buffer.count))
    if !overflow && end <= limit {
      return try calling("read") { () throws(SystemFailure) in try descriptor.read(at: offset, into: buffer) }
    }
    // Beyond what the system can address there are zeros.
    buffer.initializeMemory(as: UInt8.self, repeating: 0)
    if offset >= limit { return }
    try calling("read") { () throws(SystemFailure) in
      try descriptor.read(at: offset, into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<Int(limit - offset)]))
    }
  }

  func write(at offset: UInt64, _ bytes: UnsafeRawBufferPointer) throws(StorageBackendError) {
    try checkUsable("write")
    if bytes.isEmpty { return }
    let end = try end(of: offset, UInt64(bytes.count), "write")
    if end <= settledEnd.load(ordering: .relaxed) {
      if let direct, try writeDirectly(direct, at: offset, bytes) { return }
      defer { noteChange() }
      return try calling("write") { () throws(SystemFailure) in try descriptor.write(at: offset, bytes) }
    }
    defer { noteChange() }
    try growing("write") { () throws(SystemFailure) in
      try descriptor.write(at: offset, bytes)
      settledEnd.max(end, ordering: .relaxed)
    }
  }

  /// A write that is durable at once; false where it must be written as all else.
  private func writeDirectly(
    _ direct: DirectWrites, at offset: UInt64, _ bytes: UnsafeRawBufferPointer
  ) throws(StorageBackendError) -> Bool {
    do throws(SystemFailure) { return try direct.write(at: offset, bytes) == .written } catch {
      throw directWriteFailed(error)
    }
  }
  /// Remembers how a direct write failed.
  func directWriteFailed(_ failure: SystemFailure) -> StorageBackendError {
    // For lack of space nothing was lost; anything else is a failed flush (see above).
    if failure.code != .noSpace { rememberFailure(failure) }
    return StorageBackendError(failure.code, operation: "write", file: file, detail: failure.detail)
  }

  // MARK: Writes through a queue

  /// How to write a piece around the page cache; nil where it must be written as all else.
  func directWrites(at offset: UInt64, _ length: Int) -> DirectWrites? {
    guard let direct, direct.takes(offset, length), !hasFailed.load(ordering: .relaxed) else { return nil }
    let (end, overflow) = offset.addingReportingOverflow(UInt64(length))
    return !overflow && end <= settledEnd.load(ordering: .relaxed) ? direct : nil
  }
  /// The change that a flush would make durable last; nil where all are.
  var unflushed: UInt64? {
    // Changes that are counted later may or may not be in this flush: they want another one.
    let change = changes.load(ordering: .acquiring)
    return change <= flushed.load(ordering: .acquiring) ? nil : change
  }
  /// Changes up to here are durable.
  func flushed(_ change: UInt64) { flushed.max(change, ordering: .acquiringAndReleasing) }
  /// Remembers how a flush failed.
  func flushFailed(_ failure: SystemFailure) -> StorageBackendError {
    rememberFailure(failure)
    // Whatever the number: a flush that failed for lack of space has lost its pages, too.
    return StorageBackendError(.inputOutput, operation: "sync", file: file, detail: failure.detail)
  }
  private func noteChange() { changes.wrappingAdd(1, ordering: .acquiringAndReleasing) }

  func sync() throws(StorageBackendError) {
    try checkUsable("sync")
    guard let change = unflushed else { return }
    do throws(SystemFailure) { try flushData() } catch { throw flushFailed(error) }
    flushed(change)
  }

  func reserve(upTo size: UInt64) throws(StorageBackendError) {
    try checkUsable("reserve")
    defer { noteChange() }
    let end = try end(of: 0, size, "reserve")
    try growing("reserve") { () throws(SystemFailure) in
      let old = try descriptor.size()
      if end <= old { return }
      let isAllocated = try descriptor.preallocate(from: old, to: end)
      // The log is written with zeros as well. Allocated but unwritten extents have to be converted when they are first
      // written, which makes each flush of a commit carry a change of metadata; zeros flushed now spare it that. In
      // steps, so that the flush of a commit that comes in between has little to carry for us.
      if file == .log || !isAllocated {
        try descriptor.writeZeros(from: old, to: end, step: DataFile.zeroStep) { () throws(SystemFailure) in
          try flushData()
        }
      }
      if try descriptor.size() < end { try descriptor.truncate(to: end) }
      settledEnd.store(end, ordering: .relaxed)
    }
  }

  func release(from offset: UInt64, length: UInt64) throws(StorageBackendError) {
    try checkUsable("release")
    defer { noteChange() }
    try growing("release") { () throws(SystemFailure) in
      let size = try descriptor.size()
      let (sum, overflow) = offset.addingReportingOverflow(length)
      let end = overflow ? size : min(sum, size)
      if offset >= end { return }
      if try descriptor.punchHole(from: offset, length: end - offset) { return }
      // No holes on this file system: keep the promise of zeros, without giving space back.
      try descriptor.writeZeros(from: offset, to: end, step: DataFile.zeroStep) { () throws(SystemFailure) in }
    }
  }

  func truncate(to size: UInt64) throws(StorageBackendError) {
    try checkUsable("truncate")
    defer { noteChange() }
    let end = try end(of: 0, size, "truncate")
    try growing("truncate") { () throws(SystemFailure) in
      try descriptor.truncate(to: end)
      settledEnd.store(end, ordering: .relaxed)
    }
  }

  func size() throws(StorageBackendError) -> UInt64 {
    do throws(SystemFailure) { return try descriptor.size() } catch {
      throw StorageBackendError(error.code, operation: "size", file: file, detail: error.detail)
    }
  }

  /// Flushes, and remembers a failure for ever.
  private func flushData() throws(SystemFailure) {
    if flush == .unsafeNever { return }
    do throws(SystemFailure) { try descriptor.flushData() } catch {
      rememberFailure(error)
      throw error
    }
  }
  private func rememberFailure(_ failure: SystemFailure) {
    flushFailure.withLock { $0 = $0 ?? failure.detail }
    hasFailed.store(true, ordering: .relaxed)
  }
  func close() {
    descriptor.close()
    direct?.close()
  }
  private func checkUsable(_ operation: String) throws(StorageBackendError) {
    if !hasFailed.load(ordering: .relaxed) { return }
    let reason = flushFailure.withLock { $0 } ?? ""
    throw StorageBackendError(
      .inputOutput, operation: operation, file: file,
      detail: "a flush failed earlier (\(reason)), unsynced writes are lost: open the directory again")
  }
  private func end(of offset: UInt64, _ length: UInt64, _ operation: String) throws(StorageBackendError) -> UInt64 {
    let (end, overflow) = offset.addingReportingOverflow(length)
    if overflow || end > UInt64(Int64.max) {
      throw StorageBackendError(.noSpace, operation: operation, file: file, detail: "beyond the largest file")
    }
    return end
  }
  private func calling(
    _ operation: String, _ body: () throws(SystemFailure) -> Void
  ) throws(StorageBackendError) {
    do throws(SystemFailure) { try body() } catch {
      throw StorageBackendError(error.code, operation: operation, file: file, detail: error.detail)
    }
  }
  private func growing(
    _ operation: String, _ body: () throws(SystemFailure) -> Void
  ) throws(StorageBackendError) {
    try growth.withLock { (_: inout sending Void) throws(StorageBackendError) in try calling(operation, body) }
  }
}
