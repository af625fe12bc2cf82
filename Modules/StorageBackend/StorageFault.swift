/// The calls of a storage backend, for naming them in faults and counters.
public enum StorageOperationKind: UInt8, CaseIterable, Sendable, Hashable, CustomStringConvertible {
  /// `read`.
  case read = 0
  /// `write`.
  case write = 1
  /// `sync`.
  case sync = 2
  /// `reserve`.
  case reserve = 3
  /// `release`.
  case release = 4
  /// `truncate`.
  case truncate = 5
  /// The name of the call.
  public var description: String {
    switch self {
    case .read: "read"
    case .write: "write"
    case .sync: "sync"
    case .reserve: "reserve"
    case .release: "release"
    case .truncate: "truncate"
    }
  }
}

/// A rule for a `FaultyStorageBackend`: which call goes wrong, and how.
public struct StorageFault: Sendable, Hashable {
  /// What happens to a call that the rule picks.
  public enum Effect: Sendable, Hashable {
    /// Throws this code; nothing is applied. A failed sync leaves unsynced changes unsynced, and a later one keeps them.
    case fail(StorageBackendError.Code)
    /// Applies the first sectors of a write, then throws `.injected`; nil: a random number of them, never all.
    case tear(sectors: Int?)
    /// Returns as if all were well: a write, truncation, release or reservation is not applied, a sync makes nothing
    /// durable.
    case lie
    /// Fails a sync as Linux does: throws `.inputOutput`, and a later successful sync does *not* make the changes
    /// durable, although reads show them; only writing them again does.
    case failAndForget
  }

  /// The name by which the rule is removed and its firings are counted; also the thrown error's detail.
  public var label: String
  /// The file, nil for any.
  public var file: StorageFile?
  /// The call.
  public var operation: StorageOperationKind
  /// How many matching calls go well first: 0 picks the next one.
  public var skipping: Int
  /// How many calls are picked after that; nil: all, until the rule is removed.
  public var times: Int?
  /// What happens to them.
  public var effect: Effect

  /// Makes a rule that picks `times` matching calls after `skipping` of them.
  public init(
    _ label: String, file: StorageFile?, operation: StorageOperationKind, skipping: Int = 0, times: Int? = 1,
    effect: Effect
  ) {
    self.label = label
    self.file = file
    self.operation = operation
    self.skipping = skipping
    self.times = times
    self.effect = effect
  }

  /// Fails the `nth` next write (1: the next one) with `code`.
  public static func failWrite(
    _ label: String, file: StorageFile?, nth: Int = 1, times: Int? = 1, code: StorageBackendError.Code = .injected
  ) -> StorageFault {
    StorageFault(label, file: file, operation: .write, skipping: nth - 1, times: times, effect: .fail(code))
  }
  /// Applies only the first `sectors` of the `nth` next write (nil: a random number), then throws `.injected`.
  public static func tearWrite(_ label: String, file: StorageFile?, nth: Int = 1, sectors: Int? = nil) -> StorageFault {
    StorageFault(label, file: file, operation: .write, skipping: nth - 1, effect: .tear(sectors: sectors))
  }
  /// Fails the `nth` next sync; the unsynced changes stay unsynced.
  public static func failSync(
    _ label: String, file: StorageFile?, nth: Int = 1, times: Int? = 1, code: StorageBackendError.Code = .inputOutput
  ) -> StorageFault {
    StorageFault(label, file: file, operation: .sync, skipping: nth - 1, times: times, effect: .fail(code))
  }
  /// Lets syncs return without making anything durable, until the rule is removed or `times` are used up.
  public static func lieAboutSync(_ label: String, file: StorageFile?, times: Int? = nil) -> StorageFault {
    StorageFault(label, file: file, operation: .sync, times: times, effect: .lie)
  }
}

/// What becomes of the changes that were not synced when power is lost.
public enum StorageCrash: Sendable, Hashable {
  /// Each unsynced sector is kept or lost by the toss of a coin: torn writes.
  case random
  /// All of them are lost.
  case dropAll
  /// All of them are kept: kill -9.
  case keepAll
}

/// What a crash did.
public struct StorageCrashReport: Sendable, Hashable {
  /// Unsynced 512-byte sectors that survived.
  public var keptSectors = 0
  /// Unsynced 512-byte sectors that went back to older contents.
  public var lostSectors = 0
  /// Makes a report of no damage.
  public init() {}
}

/// How often each call was made on one file, failed calls included.
public struct StorageCounters: Sendable, Hashable {
  /// Calls of `read`.
  public var reads: UInt64 = 0
  /// Calls of `write`.
  public var writes: UInt64 = 0
  /// Calls of `sync`.
  public var syncs: UInt64 = 0
  /// Calls of `reserve`.
  public var reserves: UInt64 = 0
  /// Calls of `release`.
  public var releases: UInt64 = 0
  /// Calls of `truncate`.
  public var truncates: UInt64 = 0
  /// Bytes asked for by reads.
  public var bytesRead: UInt64 = 0
  /// Bytes given to writes.
  public var bytesWritten: UInt64 = 0
  /// Calls that threw.
  public var failures: UInt64 = 0
  /// Makes counters at zero.
  public init() {}

  /// The sum of both.
  public static func + (lhs: StorageCounters, rhs: StorageCounters) -> StorageCounters {
    var sum = lhs
    sum.reads += rhs.reads
    sum.writes += rhs.writes
    sum.syncs += rhs.syncs
    sum.reserves += rhs.reserves
    sum.releases += rhs.releases
    sum.truncates += rhs.truncates
    sum.bytesRead += rhs.bytesRead
    sum.bytesWritten += rhs.bytesWritten
    sum.failures += rhs.failures
    return sum
  }
  mutating func count(_ operation: StorageOperationKind, bytes: Int) {
    switch operation {
    case .read:
      reads += 1
      bytesRead += UInt64(bytes)
    case .write:
      writes += 1
      bytesWritten += UInt64(bytes)
    case .sync: syncs += 1
    case .reserve: reserves += 1
    case .release: releases += 1
    case .truncate: truncates += 1
    }
  }
}
