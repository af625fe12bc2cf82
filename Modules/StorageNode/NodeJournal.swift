import BorealisCore
import BorealisStorageBackend
import BorealisWire

/// Small durable facts in two files, of which one is live.
///
/// Frames are appended to the live file, each at a sector of its own and with the file's generation and its number.
/// Compaction writes a snapshot into the other file piece by piece; frames that are appended meanwhile go to both; the
/// header, with the next generation, is written last. So at each instant the valid header with the highest generation
/// belongs to a file that is whole.
///
/// After a failed write or sync nobody knows what is durable. A frame in doubt is written over (same place and number)
/// before anything else is done; a header in doubt is destroyed before anything is appended to the live file.
struct NodeJournal: Sendable {
  /// A compaction under way.
  struct Compaction: Sendable {
    /// End of what has been written.
    var offset = JournalHeader.framesStart
    var frames: UInt64 = 0
    /// Next slot of the page table to copy; nil before the facts were written.
    var slot: Int?
    /// Whether all of the page table was copied.
    var isComplete = false
  }

  let identity: StoreIdentity
  let pageSize: UInt32
  let chunkSize: UInt32
  /// The facts that are durable.
  var state = JournalState()
  private(set) var live: StorageFile
  private(set) var generation: UInt64
  /// Where the next frame goes.
  private(set) var offset = JournalHeader.framesStart
  private(set) var frames: UInt64 = 0
  /// Whether the last frame failed, and may be durable all the same.
  private(set) var isFrameInDoubt = false
  /// Whether the other file's header may be durable although its compaction failed.
  private(set) var isHeaderInDoubt = false
  /// Whether the other file holds a superseded journal.
  private(set) var hasOldFile: Bool
  private(set) var compaction: Compaction?
  /// What the job under way would make of this.
  private var next: (offset: UInt64, frames: UInt64)?
  private var nextCompaction: Compaction?
  private var isFinishing = false

  var other: StorageFile { live == .journalA ? .journalB : .journalA }
  /// Bytes of the live file.
  var size: Int { Int(clamping: offset) }

  init(header: JournalHeader, live: StorageFile, hasOldFile: Bool) {
    identity = header.identity
    pageSize = header.pageSize
    chunkSize = header.chunkSize
    generation = header.generation
    self.live = live
    self.hasOldFile = hasOldFile
  }

  var header: JournalHeader {
    JournalHeader(generation: generation, identity: identity, pageSize: pageSize, chunkSize: chunkSize)
  }
  /// Sets where the next frame goes, after replay.
  mutating func resume(offset: UInt64, frames: UInt64) {
    self.offset = offset
    self.frames = frames
  }

  // MARK: Appending

  /// Appends the entries as one frame, durable with the last operation.
  mutating func beginAppend(_ entries: [JournalEntry]) -> [StorageOperation] {
    var operations: [StorageOperation] = []
    if isHeaderInDoubt { operations += [.truncate(other, to: 0), .sync(other)] }
    var body = JournalFrame.begin()
    for entry in entries { entry.encode(into: &body) }
    var frame = body
    JournalFrame.seal(&frame, count: entries.count, generation: generation, number: frames)
    next = (offset + UInt64(frame.count), frames + 1)
    operations += [.write(live, at: offset, frame), .sync(live)]
    if var copy = compaction, copy.slot != nil {
      JournalFrame.seal(&body, count: entries.count, generation: generation + 1, number: copy.frames)
      operations.append(.write(other, at: copy.offset, body))
      copy.offset += UInt64(body.count)
      copy.frames += 1
      nextCompaction = copy
    }
    return operations
  }

  // MARK: Compaction

  /// Whether a compaction step should be taken.
  func wantsCompaction(limit: Int, pages: Int) -> Bool {
    if compaction != nil || hasOldFile { return true }
    return size > limit && size > 2 * (state.snapshotSize + pages * InstalledPage.encodedSize)
  }

  /// The next step: begin with the facts, then pages piece by piece, then the header; at last empty the old file.
  mutating func beginCompactionStep(_ table: borrowing PageTable, pagesPerStep: Int) -> [StorageOperation] {
    if hasOldFile, compaction == nil { return [.truncate(other, to: 0), .sync(other)] }
    var copy = compaction ?? Compaction()
    var operations: [StorageOperation] = []
    if copy.isComplete {
      isFinishing = true
      var new = header
      new.generation += 1
      operations = [.sync(other), .write(other, at: 0, new.encoded()), .sync(other)]
    } else {
      var frame = JournalFrame.begin()
      var count = 0
      if let slot = copy.slot {
        let (pages, after) = table.installed(from: slot, limit: pagesPerStep)
        JournalEntry.pagesInstalled(pages).encode(into: &frame)
        count = 1
        copy.slot = after
        copy.isComplete = after >= table.slotCount
      } else {
        operations.append(.truncate(other, to: 0))
        for entry in state.snapshot {
          entry.encode(into: &frame)
          count += 1
        }
        copy.slot = 0
        copy.isComplete = table.slotCount == 0
      }
      JournalFrame.seal(&frame, count: count, generation: generation + 1, number: copy.frames)
      operations.append(.write(other, at: copy.offset, frame))
      copy.offset += UInt64(frame.count)
      copy.frames += 1
    }
    nextCompaction = copy
    return operations
  }

  // MARK: Outcome

  /// Ends a job that holds what `beginAppend` gave.
  mutating func endAppend(succeeded: Bool) {
    defer { (next, nextCompaction) = (nil, nil) }
    isFrameInDoubt = !succeeded
    if succeeded {
      if let next { (offset, frames) = next }
      if let nextCompaction { compaction = nextCompaction }
      isHeaderInDoubt = false
    } else {
      // The copy may lack the frame: begin anew some time.
      compaction = nil
    }
  }
  /// Ends a job that holds a compaction step.
  mutating func endCompactionStep(succeeded: Bool) {
    defer { (nextCompaction, isFinishing) = (nil, false) }
    guard let copy = nextCompaction else {
      if succeeded { hasOldFile = false }
      return
    }
    if !succeeded {
      isHeaderInDoubt = isFinishing
      compaction = nil
    } else if isFinishing {
      live = other
      generation += 1
      (offset, frames) = (copy.offset, copy.frames)
      compaction = nil
      hasOldFile = true
    } else {
      compaction = copy
    }
  }
}
