public import BorealisCore
import Synchronization

/// A storage backend that goes wrong on request: loses power, tears writes, fails calls, fills up, rots, lies.
///
/// Decorates any backend; the tests and the simulator put it around `InMemoryStorageBackend`. Every change is passed to
/// the base at once, so reads see it, and the old bytes of the sectors it touches are kept until a sync; `crash` puts
/// them back, sector by sector. So the object stays usable after `crash`, and a crash with nothing unsynced costs four
/// uncontended locks.
///
/// Deterministic: with one thread, the same calls after the same `seed` do the same. Several threads may call it; it
/// serialises the calls for one file.
///
/// `close` closes the decorator only, `reopen` opens it again: the base stays open in between, as `crash` needs it.
public final class FaultyStorageBackend<Base: StorageBackend>: StorageBackend {
  /// The decorated backend; what is done to it directly is not tracked.
  public let base: Base
  private let control: Mutex<FaultControl>
  private let files: [TrackedFile]

  /// Decorates `base`; `seed` decides the lengths of torn writes.
  public init(_ base: Base, seed: UInt64 = 0) {
    self.base = base
    control = Mutex(FaultControl(generator: DeterministicGenerator(seed: seed)))
    files = StorageFile.allCases.map { _ in TrackedFile() }
  }

  // MARK: the seam

  /// The base's size of the file.
  public func size(of file: StorageFile) throws(StorageBackendError) -> ByteCount {
    try control.withLock { (control: inout sending FaultControl) throws(StorageBackendError) in
      if control.isClosed { throw StorageBackendError(.closed, operation: "size", file: file) }
    }
    return try base.size(of: file)
  }
  /// Reads through to the base, unless a fault says otherwise.
  public func read(
    _ file: StorageFile, at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer
  ) throws(StorageBackendError) {
    try perform(.read, file, bytes: buffer.count) { (_, effect) throws(StorageBackendError) in
      if effect == .lie {
        buffer.initializeMemory(as: UInt8.self, repeating: 0)
      } else {
        try base.read(file, at: offset, into: buffer)
      }
    }
  }
  /// Writes through to the base and remembers what was there.
  public func write(
    _ file: StorageFile, at offset: UInt64, _ bytes: UnsafeRawBufferPointer
  ) throws(StorageBackendError) {
    try perform(.write, file, bytes: bytes.count) { (tracked, effect) throws(StorageBackendError) in
      if effect == .lie || bytes.isEmpty { return }
      try checkRoom("write", file, tracked, offset, bytes.count)
      guard case .tear(let sectors) = effect else {
        return try apply(file, &tracked, offset, bytes)
      }
      let length = tornLength(offset: offset, count: bytes.count, sectors: sectors)
      if length > 0 { try apply(file, &tracked, offset, UnsafeRawBufferPointer(rebasing: bytes[..<length])) }
      throw StorageBackendError(.injected, operation: "write", file: file, detail: "torn after \(length) bytes")
    }
  }
  /// Syncs the base; the file's changes can no longer be lost.
  public func sync(_ file: StorageFile) throws(StorageBackendError) {
    try perform(.sync, file) { (tracked, effect) throws(StorageBackendError) in
      switch effect {
      case .lie: return
      case .failAndForget:
        tracked.unsynced.forget()
        throw StorageBackendError(.inputOutput, operation: "sync", file: file, detail: "unsynced writes are lost")
      case .fail, .tear, nil:
        try base.sync(file)
        tracked.unsynced.synced()
      }
    }
  }
  /// Reserves in the base.
  public func reserve(_ file: StorageFile, upTo size: ByteCount) throws(StorageBackendError) {
    try perform(.reserve, file) { (tracked, effect) throws(StorageBackendError) in
      let old = try knownSize(file, &tracked)
      if effect == .lie || size.value <= old { return }
      if isFull { throw StorageBackendError(.noSpace, operation: "reserve", file: file, detail: "set full") }
      tracked.unsynced.recordReserve(upTo: size.value, size: old)
      try settleSize(file, &tracked) { () throws(StorageBackendError) in try base.reserve(file, upTo: size) }
      tracked.blank.insert(old..<size.value)
    }
  }
  /// Releases in the base and remembers what was there.
  public func release(_ file: StorageFile, from offset: UInt64, length: ByteCount) throws(StorageBackendError) {
    try perform(.release, file) { (tracked, effect) throws(StorageBackendError) in
      let size = try knownSize(file, &tracked)
      let (sum, overflow) = offset.addingReportingOverflow(length.value)
      let end = overflow ? size : min(sum, size)
      if effect == .lie || offset >= end { return }
      try tracked.unsynced.recordRelease(
        file, from: offset, to: end, size: size, blank: tracked.blank, base: base)
      try base.release(file, from: offset, length: length)
      tracked.holes.insert(offset..<end)
      tracked.blank.insert(offset..<end)
    }
  }
  /// Truncates the base and remembers what was there.
  public func truncate(_ file: StorageFile, to size: ByteCount) throws(StorageBackendError) {
    try perform(.truncate, file) { (tracked, effect) throws(StorageBackendError) in
      let old = try knownSize(file, &tracked)
      if effect == .lie || size.value == old { return }
      try tracked.unsynced.recordTruncate(file, to: size.value, size: old, blank: tracked.blank, base: base)
      try settleSize(file, &tracked) { () throws(StorageBackendError) in try base.truncate(file, to: size) }
      if size.value < old {
        tracked.holes.remove(size.value..<UInt64.max)
        tracked.blank.remove(size.value..<UInt64.max)
      } else {
        tracked.holes.insert(old..<size.value)
        tracked.blank.insert(old..<size.value)
      }
    }
  }
  /// Makes every later call throw `.closed` until `reopen`; unsynced changes stay unsynced and can still be lost.
  public func close() { control.withLock { $0.isClosed = true } }

  // MARK: crash and reopen

  /// Opens the backend again after `close`, as a restarted process would; throws `.locked` while it is open.
  public func reopen() throws(StorageBackendError) {
    try control.withLock { (control: inout sending FaultControl) throws(StorageBackendError) in
      if !control.isClosed { throw StorageBackendError(.locked, operation: "open", file: nil) }
      control.isClosed = false
    }
  }
  /// Loses power: what was not synced is kept or lost as `crash` says, sector by sector.
  ///
  /// May be called open or closed, and changes neither. Faults stay. Constant time when nothing is unsynced; the
  /// generator is then not touched. A base that refuses to take old bytes back is a programmer's error.
  @discardableResult
  public func crash(
    using generator: inout DeterministicGenerator, _ crash: StorageCrash = .random
  ) -> StorageCrashReport {
    var report = StorageCrashReport()
    for file in StorageFile.allCases {
      files[Int(file.rawValue)].state.withLock { tracked in
        if tracked.unsynced.isEmpty { return }
        do throws(StorageBackendError) {
          let size = try tracked.unsynced.crash(file, crash, base: base, using: &generator, report: &report)
          tracked.size = size
          tracked.blank.removeAll()
          tracked.holes.removeAll()
        } catch {
          preconditionFailure("the base backend failed while a crash was applied to it: \(error)")
        }
      }
    }
    return report
  }
  /// Whether any change of the file would be at stake in a crash.
  public func hasUnsyncedChanges(_ file: StorageFile) -> Bool {
    files[Int(file.rawValue)].state.withLock { !$0.unsynced.isEmpty }
  }

  // MARK: faults

  /// Adds a rule.
  ///
  /// Of several that pick the same call, the one added first has its way; those that skip calls count it all the same.
  public func inject(_ fault: StorageFault) {
    control.withLock { $0.rules.append(FaultControl.Rule(fault: fault, skipping: fault.skipping, left: fault.times)) }
  }
  /// Removes the rules of that label, used up or not.
  public func removeFaults(labelled label: String) {
    control.withLock { $0.rules.removeAll { $0.fault.label == label } }
  }
  /// Removes every rule, makes the disk not full and fast again.
  public func heal() {
    control.withLock { control in
      control.rules.removeAll()
      control.isFull = false
      control.slowDown = 0
    }
  }
  /// How often rules of that label have picked a call.
  public func firings(of label: String) -> Int {
    control.withLock { control in control.fired.first { $0.label == label }?.count ?? 0 }
  }
  /// Full: writes beyond the end or into released ranges and reservations that grow throw `.noSpace`.
  public func setFull(_ isFull: Bool) { control.withLock { $0.isFull = isFull } }
  /// Whether the disk is set full.
  public var isFull: Bool { control.withLock { $0.isFull } }
  /// Nanoseconds that a shell should add to each write and sync; the backend itself never waits.
  public var slowDown: UInt64 {
    get { control.withLock { $0.slowDown } }
    set { control.withLock { $0.slowDown = newValue } }
  }
  /// Flips `count` random bits of synced bytes in `range`, as a rotting disk does; returns the offsets hit.
  ///
  /// Sectors with unsynced changes are passed over; fewer bits are flipped when there are not enough others.
  @discardableResult
  public func flipBits(
    _ file: StorageFile, in range: Range<UInt64>, count: Int, using generator: inout DeterministicGenerator
  ) -> [UInt64] {
    if range.isEmpty { return [] }
    var hit: [UInt64] = []
    files[Int(file.rawValue)].state.withLock { tracked in
      for _ in 0..<count * 16 where hit.count < count {
        let offset = range.lowerBound + generator.below(range.upperBound - range.lowerBound)
        let mask = UInt8(1) << UInt8(generator.below(8))
        if tracked.unsynced.contains(offset) || hit.contains(offset) { continue }
        var byte: UInt8 = 0
        do throws(StorageBackendError) {
          if offset >= (try base.size(of: file).value) { continue }
          try unsafeRead(file, offset, &byte)
          byte ^= mask
          try unsafeWrite(file, offset, byte)
          tracked.blank.remove(offset..<offset + 1)
        } catch {
          preconditionFailure("the base backend failed while bits were flipped in it: \(error)")
        }
        hit.append(offset)
      }
    }
    return hit
  }

  // MARK: counters

  /// What was called on one file so far.
  public func counters(of file: StorageFile) -> StorageCounters {
    files[Int(file.rawValue)].state.withLock { $0.counters }
  }
  /// What was called on all files so far.
  public var counters: StorageCounters {
    StorageFile.allCases.reduce(StorageCounters()) { $0 + counters(of: $1) }
  }

  // MARK: helpers

  /// Looks for a fault, counts the call, and runs `body` under the file's lock.
  private func perform(
    _ operation: StorageOperationKind, _ file: StorageFile, bytes: Int = 0,
    _ body: (inout TrackedFile.State, StorageFault.Effect?) throws(StorageBackendError) -> Void
  ) throws(StorageBackendError) {
    let (isClosed, fault) = control.withLock { control in
      (control.isClosed, control.rules.isEmpty ? nil : control.pick(operation, file))
    }
    if isClosed { throw StorageBackendError(.closed, operation: operation.description, file: file) }
    try files[Int(file.rawValue)].state.withLock {
      (tracked: inout sending TrackedFile.State) throws(StorageBackendError) in
      tracked.counters.count(operation, bytes: bytes)
      do throws(StorageBackendError) {
        if let fault, case .fail(let code) = fault.effect {
          throw StorageBackendError(code, operation: operation.description, file: file, detail: fault.label)
        }
        try body(&tracked, fault?.effect)
      } catch {
        tracked.counters.failures += 1
        throw error
      }
    }
  }
  private func apply(
    _ file: StorageFile, _ tracked: inout TrackedFile.State, _ offset: UInt64, _ bytes: UnsafeRawBufferPointer
  ) throws(StorageBackendError) {
    let (end, overflow) = offset.addingReportingOverflow(UInt64(bytes.count))
    if overflow || end > UInt64.max - UnsyncedChanges.sectorSize { return try base.write(file, at: offset, bytes) }
    let size = try knownSize(file, &tracked)
    try tracked.unsynced.recordWrite(
      file, at: offset, length: bytes.count, size: size, blank: tracked.blank, base: base)
    tracked.blank.remove(offset..<end)
    try settleSize(file, &tracked) { () throws(StorageBackendError) in try base.write(file, at: offset, bytes) }
    tracked.size = max(size, end)
    tracked.holes.remove(offset..<end)
    if offset > size {
      tracked.holes.insert(size..<offset)
      tracked.blank.insert(size..<offset)
    }
  }
  private func checkRoom(
    _ operation: String, _ file: StorageFile, _ tracked: TrackedFile.State, _ offset: UInt64, _ count: Int
  ) throws(StorageBackendError) {
    if !isFull { return }
    let (end, overflow) = offset.addingReportingOverflow(UInt64(count))
    let size = try base.size(of: file).value
    if overflow || end > size || tracked.holes.intersects(offset..<end) {
      throw StorageBackendError(.noSpace, operation: operation, file: file, detail: "set full")
    }
  }
  /// Runs a change of the base; afterwards, whether it threw or not, the size is asked for anew.
  private func settleSize(
    _ file: StorageFile, _ tracked: inout TrackedFile.State, _ body: () throws(StorageBackendError) -> Void
  ) throws(StorageBackendError) {
    tracked.size = nil
    do throws(StorageBackendError) {
      try body()
    } catch {
      if let size = try? base.size(of: file).value { tracked.unsynced.clipNewest(to: size) }
      throw error
    }
  }
  private func knownSize(
    _ file: StorageFile, _ tracked: inout TrackedFile.State
  ) throws(StorageBackendError) -> UInt64 {
    if let size = tracked.size { return size }
    let size = try base.size(of: file).value
    tracked.size = size
    return size
  }
  /// The bytes of the first `sectors` sectors that a write touches; at least one sector is left out.
  private func tornLength(offset: UInt64, count: Int, sectors: Int?) -> Int {
    let size = Int(UnsyncedChanges.sectorSize)
    let lead = Int(offset % UnsyncedChanges.sectorSize)
    let touched = (lead + count + size - 1) / size
    let kept = sectors.map { min($0, touched - 1) } ?? control.withLock { $0.generator.index(touched) }
    return max(0, min(count, kept * size - lead))
  }
  private func unsafeRead(_ file: StorageFile, _ offset: UInt64, _ byte: inout UInt8) throws(StorageBackendError) {
    let failure: StorageBackendError? = withUnsafeMutableBytes(of: &byte) { raw in
      do throws(StorageBackendError) { try base.read(file, at: offset, into: raw) } catch { return error }
      return nil
    }
    if let failure { throw failure }
  }
  private func unsafeWrite(_ file: StorageFile, _ offset: UInt64, _ byte: UInt8) throws(StorageBackendError) {
    let failure: StorageBackendError? = withUnsafeBytes(of: byte) { raw in
      do throws(StorageBackendError) { try base.write(file, at: offset, raw) } catch { return error }
      return nil
    }
    if let failure { throw failure }
  }
}

/// The faults asked for, and the state of the decorator as a whole.
private struct FaultControl {
  struct Rule {
    var fault: StorageFault
    var skipping: Int
    var left: Int?
  }
  var generator: DeterministicGenerator
  var rules: [Rule] = []
  var fired: [(label: String, count: Int)] = []
  var isFull = false
  var isClosed = false
  var slowDown: UInt64 = 0

  init(generator: DeterministicGenerator) { self.generator = generator }

  /// The fault of this call; counts it against every rule that matches.
  mutating func pick(_ operation: StorageOperationKind, _ file: StorageFile) -> StorageFault? {
    if rules.isEmpty || isClosed { return nil }
    var picked: Int?
    for index in rules.indices {
      let fault = rules[index].fault
      if fault.operation != operation || (fault.file != nil && fault.file != file) { continue }
      if rules[index].skipping > 0 {
        rules[index].skipping -= 1
      } else if picked == nil {
        picked = index
      }
    }
    guard let picked else { return nil }
    let fault = rules[picked].fault
    if let left = rules[picked].left {
      if left <= 1 { rules.remove(at: picked) } else { rules[picked].left = left - 1 }
    }
    if let index = fired.firstIndex(where: { $0.label == fault.label }) {
      fired[index].count += 1
    } else {
      fired.append((label: fault.label, count: 1))
    }
    return fault
  }
}

/// What is known of one file: its size, its unsynced changes, its holes, its counters.
private final class TrackedFile: Sendable {
  struct State {
    /// nil: ask the base.
    var size: UInt64?
    var unsynced = UnsyncedChanges()
    /// Ranges below the end known to be without space of their own: writes there need some.
    var holes = ByteRanges()
    /// Ranges below the end known to be zero: no need to read what was there.
    var blank = ByteRanges()
    var counters = StorageCounters()
  }
  let state = Mutex(State())
}
