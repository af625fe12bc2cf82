import BorealisConformance
import BorealisCore
import BorealisStorageBackend
import Glibc
import Synchronization

/// What is wrong with a broken backend.
enum Flaw: String, CaseIterable, Sendable {
  case beginsWithOldBytes, losesWrites, reordersWrites, garbageBeyondTheEnd, keepsReleasedBytes, keepsCutBytes
  case emptyWritesGrow, mixesUpJournals, releasesWholeBlocks
  case liesAboutSync, syncsWritesOnly, syncsTheLastWritesOnly, tearsWithinSectors, damagesSyncedNeighbours
  case swallowsFailedSync, skipsWritesThatChangeNothing
  case reservationErases, reservationErasesBehindTheEnd, reservesNothing
  case swallowsNoSpace, staysFull, swallowsNoSpaceOfReservations
  case sharesABuffer, writesWholeSectors
  case worksAfterClose, forgetsUnsyncedOnClose, losesSyncedWhenClosed, opensTwice
  case swallowsQueuedJobs, forgetsQueuedJobsWhenClosed

  /// The check that has to see it.
  var check: String {
    switch self {
    case .beginsWithOldBytes: "1 a new place is empty"
    case .losesWrites, .reordersWrites: "1 reads return what was written last"
    case .garbageBeyondTheEnd: "1 bytes beyond the end are zero"
    case .keepsReleasedBytes: "1 released bytes are zero and the size stays"
    case .keepsCutBytes: "1 bytes cut off are zero when the file grows again"
    case .emptyWritesGrow: "1 empty reads and writes change nothing"
    case .mixesUpJournals: "1 the four files are apart"
    case .releasesWholeBlocks: "1 random calls agree with a model"
    case .liesAboutSync: "2 synced writes survive loss of power"
    case .syncsWritesOnly: "2 synced sizes, releases and truncations survive"
    case .syncsTheLastWritesOnly: "2 a sync leaves nothing of its file behind"
    case .tearsWithinSectors: "3 unsynced sectors are old or new"
    case .damagesSyncedNeighbours: "3 unsynced writes leave synced sectors alone"
    case .swallowsFailedSync: "4 a failed sync throws"
    case .skipsWritesThatChangeNothing: "4 what a failed sync lost is durable once written and synced again"
    case .reservationErases: "5 a reservation keeps contents and extends with zeros"
    case .reservationErasesBehindTheEnd: "5 a reservation leaves writes alone that go on beside it"
    case .reservesNothing: "5 reserved space takes writes on a full disk"
    case .swallowsNoSpace, .staysFull: "6 a full disk throws noSpace and heals"
    case .swallowsNoSpaceOfReservations: "6 a reservation that finds no space throws noSpace and heals"
    case .sharesABuffer: "7 four threads on four files"
    case .writesWholeSectors: "7 four threads on one file"
    case .worksAfterClose: "8 after close every call throws closed"
    case .forgetsUnsyncedOnClose: "8 opening again shows everything written"
    case .losesSyncedWhenClosed: "8 what was synced survives close and loss of power"
    case .opensTwice: "9 a second opening throws locked"
    case .swallowsQueuedJobs: "10 queued jobs end as performed ones do"
    case .forgetsQueuedJobsWhenClosed: "10 closing waits for queued jobs"
    }
  }
}

/// A sound place whose backends have one flaw.
final class BrokenPlace: StorageBackendPlace {
  let flaw: Flaw
  private let sound = faultyMemoryPlace()
  private let memory = Mutex(Memory())
  var abilities: [StorageBackendConformance.Ability] { sound.abilities }

  /// What the flaws need to remember, beyond one opening.
  struct Memory {
    struct Write {
      var file: StorageFile
      var offset: UInt64
      var bytes: [UInt8]
    }
    var unsynced: [Write] = []
    var overlooked: [Write] = []
    var held: [Write] = []
    var cut: [UInt8] = []
    var shared: [UInt8] = []
    var count = 0
    var isClosed = false
    var wasFull = false
    var isNew = true
  }

  init(_ flaw: Flaw) { self.flaw = flaw }

  func open() throws(StorageBackendError) -> any StorageBackend {
    let isNew = memory.withLock { memory in
      defer { (memory.isNew, memory.isClosed) = (false, false) }
      return memory.isNew
    }
    if !isNew && flaw == .forgetsUnsyncedOnClose {
      var generator = DeterministicGenerator(seed: 0)
      sound.faulty?.crash(using: &generator, .dropAll)
    }
    if flaw == .opensTwice { sound.faulty?.close() }
    let backend = try sound.open()
    if isNew && flaw == .beginsWithOldBytes { try backend.put(.pages, at: 0, [1]) }
    return BrokenStorageBackend(backend, self)
  }
  func losePower(seed: UInt64) throws -> any StorageBackend {
    let backend = try sound.losePower(seed: seed)
    let (unsynced, overlooked, wasClosed) = memory.withLock { memory in
      defer { (memory.unsynced, memory.overlooked, memory.isClosed) = ([], [], false) }
      return (memory.unsynced, memory.overlooked, memory.isClosed)
    }
    // Part of a sector arrives; or the sector before is hit.
    if let last = unsynced.last, flaw == .tearsWithinSectors {
      try backend.put(last.file, at: last.offset, Array(last.bytes.prefix(100)))
    }
    if let first = unsynced.first, flaw == .damagesSyncedNeighbours {
      try backend.put(first.file, at: max(1, first.offset) - 1, [0xEE])
    }
    for write in overlooked {
      try backend.put(write.file, at: write.offset, [UInt8](repeating: 0, count: write.bytes.count))
    }
    if wasClosed && flaw == .losesSyncedWhenClosed { try backend.truncate(.journalA, to: ByteCount(100)) }
    try backend.sync(.log)
    return BrokenStorageBackend(backend, self)
  }
  func setFull(_ isFull: Bool) throws { try sound.setFull(isFull) }
  func setSyncsFail(_ fail: Bool, of file: StorageFile) throws { try sound.setSyncsFail(fail, of: file) }
  func destroy() { sound.destroy() }

  func remembering<Result>(_ body: (inout sending Memory) -> sending Result) -> Result { memory.withLock(body) }
}

/// A backend that breaks the contract in one way.
final class BrokenStorageBackend: StorageBackend {
  private let base: any StorageBackend
  private let place: BrokenPlace
  private var flaw: Flaw { place.flaw }

  init(_ base: any StorageBackend, _ place: BrokenPlace) {
    self.base = base
    self.place = place
  }

  var queuesLogJobs: Bool { flaw == .swallowsQueuedJobs || flaw == .forgetsQueuedJobsWhenClosed }
  func begin(_ job: StorageJob, for lane: any LogLane) -> Bool {
    switch flaw {
    case .swallowsQueuedJobs:
      lane.ended(job, error: nil)
      return true
    // Nobody hears of it any more.
    case .forgetsQueuedJobsWhenClosed: return true
    default: return false
    }
  }
  func size(of file: StorageFile) throws(StorageBackendError) -> ByteCount {
    try releaseHeld()
    return try base.size(of: renamed(file))
  }
  func read(
    _ file: StorageFile, at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer
  ) throws(StorageBackendError) {
    try releaseHeld()
    if flaw == .garbageBeyondTheEnd {
      let size = try base.size(of: file).value
      let valid = Int(min(UInt64(buffer.count), size - min(size, offset)))
      return try base.read(file, at: offset, into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<valid]))
    }
    try base.read(renamed(file), at: offset, into: buffer)
  }
  func write(
    _ file: StorageFile, at offset: UInt64, _ bytes: UnsafeRawBufferPointer
  ) throws(StorageBackendError) {
    let write = BrokenPlace.Memory.Write(file: file, offset: offset, bytes: Array(bytes))
    let (count, wasFull) = place.remembering { memory in
      memory.unsynced.append(write)
      memory.count += 1
      return (memory.count, memory.wasFull)
    }
    switch flaw {
    case .losesWrites where count % 7 == 0: return
    case .staysFull where wasFull: throw StorageBackendError(.noSpace, operation: "write", file: file)
    case .reordersWrites:
      try base.write(file, at: offset, UnsafeRawBufferPointer(rebasing: bytes[..<0]))
      return place.remembering { $0.held.append(write) }
    case .emptyWritesGrow where bytes.isEmpty: return try base.put(file, at: offset, [0])
    case .skipsWritesThatChangeNothing:
      if let same = try? base.bytes(file, at: offset, count: bytes.count), same == write.bytes { return }
    case .sharesABuffer:
      // Staged where all threads stage, then written from there.
      place.remembering { $0.shared = write.bytes }
      sched_yield()
      return try base.put(file, at: offset, place.remembering { $0.shared })
    case .writesWholeSectors:
      let start = offset / 512 * 512
      let end = (offset + UInt64(bytes.count) + 511) / 512 * 512
      var sectors = (try? base.bytes(file, at: start, count: Int(end - start))) ?? []
      let size = try base.size(of: file).value
      sched_yield()
      sectors.replaceSubrange(Int(offset - start)..<Int(offset - start) + bytes.count, with: write.bytes)
      let valid = max(size, offset + UInt64(bytes.count)) - start
      return try base.put(file, at: start, Array(sectors.prefix(Int(min(valid, end - start)))))
    default: break
    }
    do throws(StorageBackendError) { try base.write(renamed(file), at: offset, bytes) } catch {
      if error.code == .noSpace { place.remembering { $0.wasFull = true } }
      if error.code == .noSpace && flaw == .swallowsNoSpace { return }
      throw error
    }
  }
  func sync(_ file: StorageFile) throws(StorageBackendError) {
    try releaseHeld()
    if flaw == .liesAboutSync { return }
    let hasWrites = place.remembering { memory in
      defer { memory.unsynced.removeAll { $0.file == file } }
      let writes = memory.unsynced.filter { $0.file == file }
      if writes.count > 64 && self.flaw == .syncsTheLastWritesOnly { memory.overlooked += writes.dropLast(64) }
      return !writes.isEmpty
    }
    if flaw == .syncsWritesOnly && !hasWrites { return }
    do throws(StorageBackendError) { try base.sync(renamed(file)) } catch {
      if flaw != .swallowsFailedSync { throw error }
    }
  }
  func reserve(_ file: StorageFile, upTo size: ByteCount) throws(StorageBackendError) {
    let old = try base.size(of: file).value
    switch flaw {
    case .reservesNothing where size.value > old: return try base.truncate(file, to: size)
    case .reservationErases where size.value > old: try base.truncate(file, to: ByteCount(0))
    case .reservationErasesBehindTheEnd where size.value > old:
      usleep(2_000)
      return try base.put(file, at: old, [UInt8](repeating: 0, count: Int(size.value - old)))
    default: break
    }
    do throws(StorageBackendError) { try base.reserve(renamed(file), upTo: size) } catch {
      if flaw != .swallowsNoSpaceOfReservations { throw error }
    }
  }
  func release(_ file: StorageFile, from offset: UInt64, length: ByteCount) throws(StorageBackendError) {
    if flaw == .keepsReleasedBytes { return }
    if flaw == .releasesWholeBlocks && length.value > 0 {
      let end = (offset + length.value + 4095) / 4096 * 4096
      return try base.release(file, from: offset / 4096 * 4096, length: ByteCount(end - offset / 4096 * 4096))
    }
    try base.release(renamed(file), from: offset, length: length)
  }
  func truncate(_ file: StorageFile, to size: ByteCount) throws(StorageBackendError) {
    let old = try base.size(of: renamed(file)).value
    if flaw == .keepsCutBytes {
      let count = Int(max(old, size.value) - min(old, size.value))
      if size.value < old {
        let cut = (try? base.bytes(file, at: size.value, count: count)) ?? []
        place.remembering { $0.cut = cut }
      } else {
        let cut = place.remembering { $0.cut }
        try base.put(file, at: old, Array(cut.prefix(count)))
      }
    }
    try base.truncate(renamed(file), to: size)
  }
  func close() {
    place.remembering { $0.isClosed = true }
    if flaw != .worksAfterClose { base.close() }
  }

  private func renamed(_ file: StorageFile) -> StorageFile {
    flaw == .mixesUpJournals && file == .journalB ? .journalA : file
  }
  /// Writes what was held back, the last first.
  private func releaseHeld() throws(StorageBackendError) {
    let held = place.remembering { memory in
      defer { memory.held = [] }
      return memory.held
    }
    for write in held.reversed() { try base.put(write.file, at: write.offset, write.bytes) }
  }
}
