public import BorealisCore
public import BorealisStorageBackend

#if canImport(Darwin)
  import Darwin
#elseif canImport(Musl)
  import Musl
#else
  import Glibc
#endif

/// A storage backend in a directory of the file system: `log`, `pages`, `journal-a`, `journal-b`, and `lock`.
///
/// Writes go through the page cache, so they survive kill -9 at once and loss of power after `sync` (fdatasync). Only small
/// writes of whole sectors into the log's reserved space, as a commit makes, go around it where the system can, and are
/// durable when they return; `begin` takes those, for one thread of the process (`FileStorageOptions.LogWrites`). Space of the log is allocated and written with zeros when it is reserved; that of the other files is allocated. Released ranges
/// become holes. An exclusive flock on `lock` keeps others out and ends with the process.
///
/// Calls may come from any threads. `close` waits for the calls under way.
public final class FileStorageBackend: StorageBackend {
  /// The directory, as given.
  public let directory: String
  private let files: [DataFile]
  private let lock: Descriptor
  private let use = UseLock()
  private let queue: FlushQueue?
  private let flight: LogFlight?

  /// Opens `directory` for this object alone, making it and its files where they are missing.
  ///
  /// - Throws: `.locked` when another object or process has it open, `.cannotOpen` for everything else.
  public init(
    directory: String, options: FileStorageOptions = FileStorageOptions()
  ) throws(StorageBackendError) {
    var opened: [Descriptor] = []
    do throws(OpenFailure) {
      if options.creation == .createIfMissing {
        try step(directory) { () throws(SystemFailure) in try makeDirectory(directory) }
      }
      let place = try step(directory) { () throws(SystemFailure) in
        try Descriptor.open(directory, flags: O_RDONLY | O_DIRECTORY)
      }
      opened.append(place)
      let lockPath = "\(directory)/lock"
      let lock = try step(lockPath) { () throws(SystemFailure) in
        try Descriptor.open(lockPath, flags: O_RDWR | O_CREAT, mode: 0o600)
      }
      opened.append(lock)
      if !(try step(lockPath) { () throws(SystemFailure) in try lock.lock() }) { throw .locked }
      var files: [DataFile] = []
      for file in StorageFile.allCases {
        let path = "\(directory)/\(file)"
        let descriptor = try step(path) { () throws(SystemFailure) in
          try Descriptor.open(path, flags: O_RDWR | O_CREAT, mode: 0o600)
        }
        opened.append(descriptor)
        files.append(
          try step(path) { () throws(SystemFailure) in
            // Opened once all else has succeeded: nothing below can fail for this file.
            let direct = file == .log && options.flush == .device ? DirectWrites(path) : nil
            return try DataFile(file, descriptor, flush: options.flush, direct: direct)
          })
      }
      // Every time: the process that made the files may have been killed before it came to this.
      try step(directory) { () throws(SystemFailure) in try place.flushDirectory() }
      place.close()
      self.directory = directory
      self.files = files
      self.lock = lock
      queue = options.logWrites == .queued && options.flush == .device ? FlushQueue.shared : nil
      flight = queue == nil ? nil : LogFlight(use)
    } catch {
      for descriptor in opened { descriptor.close() }
      switch error {
      case .locked: throw StorageBackendError(.locked, operation: "open", file: nil, detail: directory)
      case .failed(let path, let failure):
        throw StorageBackendError(.cannotOpen, operation: "open", file: nil, detail: "\(path): \(failure.detail)")
      }
    }
  }
  deinit { close() }

  /// The file's length.
  public func size(of file: StorageFile) throws(StorageBackendError) -> ByteCount {
    try begin("size", file)
    defer { use.leave() }
    return ByteCount(try files[Int(file.rawValue)].size())
  }
  /// Reads through the page cache; zeros beyond the end.
  public func read(
    _ file: StorageFile, at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer
  ) throws(StorageBackendError) {
    try begin("read", file)
    defer { use.leave() }
    try files[Int(file.rawValue)].read(at: offset, into: buffer)
  }
  /// Writes to the page cache.
  public func write(
    _ file: StorageFile, at offset: UInt64, _ bytes: UnsafeRawBufferPointer
  ) throws(StorageBackendError) {
    try begin("write", file)
    defer { use.leave() }
    try files[Int(file.rawValue)].write(at: offset, bytes)
  }
  /// Flushes with fdatasync; when that fails, the file refuses all changes until the directory is opened again.
  public func sync(_ file: StorageFile) throws(StorageBackendError) {
    try begin("sync", file)
    defer { use.leave() }
    try files[Int(file.rawValue)].sync()
  }
  /// Allocates space from the end of the file on; that of the log is written with zeros and flushed.
  public func reserve(_ file: StorageFile, upTo size: ByteCount) throws(StorageBackendError) {
    try begin("reserve", file)
    defer { use.leave() }
    try files[Int(file.rawValue)].reserve(upTo: size.value)
  }
  /// Punches a hole.
  public func release(_ file: StorageFile, from offset: UInt64, length: ByteCount) throws(StorageBackendError) {
    try begin("release", file)
    defer { use.leave() }
    try files[Int(file.rawValue)].release(from: offset, length: length.value)
  }
  /// Cuts or extends the file.
  public func truncate(_ file: StorageFile, to size: ByteCount) throws(StorageBackendError) {
    try begin("truncate", file)
    defer { use.leave() }
    try files[Int(file.rawValue)].truncate(to: size.value)
  }
  /// Whether the process has a queue for writes to logs.
  public var queuesLogJobs: Bool { queue != nil }
  /// Takes small writes of whole sectors into the log's reserved space, as a commit makes, with the flush behind them.
  public func begin(_ job: StorageJob, for lane: any LogLane) -> Bool {
    guard let queue, let flight, job.operations.count == 2, case .sync(.log) = job.operations[1],
      case .write(.log, let offset, let bytes) = job.operations[0], use.enter()
    else { return false }
    let file = files[Int(StorageFile.log.rawValue)]
    guard let direct = file.directWrites(at: offset, bytes.count),
      flight.take(bytes, at: offset, of: job, in: file, direct, for: lane)
    else {
      use.leave()
      return false
    }
    queue.put(flight)
    return true
  }
  /// Waits for the calls and queued jobs under way, closes the files and gives the lock back.
  public func close() {
    use.end {
      for file in files { file.close() }
      lock.close()
    }
  }

  /// Enters the use lock: every descriptor stays open until `use.leave()`.
  private func begin(_ operation: String, _ file: StorageFile) throws(StorageBackendError) {
    if !use.enter() { throw StorageBackendError(.closed, operation: operation, file: file) }
  }
}

/// Why opening failed.
private enum OpenFailure: Error {
  case locked
  case failed(String, SystemFailure)
}

/// Runs one step of opening; a failure is told with the path that it concerns.
private func step<Result>(
  _ path: String, _ body: () throws(SystemFailure) -> Result
) throws(OpenFailure) -> Result {
  do throws(SystemFailure) { return try body() } catch { throw .failed(path, error) }
}
