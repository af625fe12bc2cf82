import BorealisCore

/// One step of a storage job.
public enum StorageOperation: Sendable, Hashable {
  /// Write the bytes at an offset.
  case write(StorageFile, at: UInt64, [UInt8])
  /// Make earlier writes of the file durable.
  case sync(StorageFile)
  /// Reserve space up to a size.
  case reserve(StorageFile, upTo: UInt64)
  /// Give a range back.
  case release(StorageFile, from: UInt64, length: UInt64)
  /// Cut or extend the file.
  case truncate(StorageFile, to: UInt64)
}

/// The two lanes of a node: the foreground log, and everything else.
///
/// Each has at most one job under way.
public enum StorageLane: UInt8, Sendable, Hashable, CaseIterable {
  /// Appends to the log: the commit path.
  case log = 0
  /// Journal, pages, reclaiming: never waited for by a commit.
  case background = 1
}

/// Writes and flushes that a storage node wants done, in order, stopping at the first failure.
///
/// The machine decides; the shell performs it on a thread of the node's own and tells the machine the outcome.
public struct StorageJob: Sendable, Hashable {
  /// Counted up by the node.
  public var id: UInt64
  /// Which lane it occupies until completed.
  public var lane: StorageLane
  /// What to do, in order.
  public var operations: [StorageOperation]
  /// Makes a job.
  public init(id: UInt64, lane: StorageLane, operations: [StorageOperation]) {
    self.id = id
    self.lane = lane
    self.operations = operations
  }
}

extension StorageBackend {
  /// Performs one operation.
  public func perform(_ operation: StorageOperation) throws(StorageBackendError) {
    switch operation {
    case .write(let file, let offset, let bytes):
      let failure: StorageBackendError? = bytes.withUnsafeBytes { raw in
        do throws(StorageBackendError) { try write(file, at: offset, raw) } catch { return error }
        return nil
      }
      if let failure { throw failure }
    case .sync(let file): try sync(file)
    case .reserve(let file, let size): try reserve(file, upTo: ByteCount(size))
    case .release(let file, let offset, let length): try release(file, from: offset, length: ByteCount(length))
    case .truncate(let file, let size): try truncate(file, to: ByteCount(size))
    }
  }
  /// Performs a whole job; nil when all of it succeeded.
  public func perform(_ job: StorageJob) -> StorageBackendError? {
    for operation in job.operations {
      do throws(StorageBackendError) { try perform(operation) } catch { return error }
    }
    return nil
  }
}
