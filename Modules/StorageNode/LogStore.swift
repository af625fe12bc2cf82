import BorealisCore
import BorealisStorageBackend
import BorealisWire

/// What a chunk of the log holds.
package struct ChunkSummary: Hashable, Sendable {
  /// Its number in the order of the log.
  package var sequence: UInt64
  /// Number of records.
  package var recordCount: Int
  /// What it holds, by group, ascending.
  ///
  /// `maxLSN` of a group whose highest records are void is lowered to the beginning of the void range.
  package var groups: [ChunkGroup]
}

/// The log of a node: chunks of flush blocks, and the indexes of their records.
///
/// Look-ups see records that were `insert`ed (and not void by `truncation`), in whatever chunk they are; indexes of
/// sealed chunks are read when needed, hence `throws`.
///
/// A chunk is *active* (being filled; at most one), then *full* (waits to be sealed; its index is still in memory), then
/// *sealed* (its index stands at its end), then retired: its slot is free and will hold another chunk.
package struct LogStore: ~Copyable, Sendable {
  /// How far the sealing of a full chunk is.
  ///
  /// The background lane writes the index and never syncs the log: a failed sync loses other unsynced writes of the file
  /// too, also those of a flush whose own sync then succeeds. The next flush makes the index durable with its own sync.
  enum SealPhase: Sendable {
    /// Not begun, or to be done again.
    case none
    /// The index is being written.
    case writing
    /// It is written: a flush that begins after this makes it durable.
    case written
    /// It is durable: the journal entry may be made.
    case durable
  }
  /// A chunk that is full or sealed.
  struct Chunk: Sendable {
    var sequence: UInt64
    var slot: UInt32
    /// Bytes of flush blocks.
    var used: Int
    var flushes: UInt32
    var groups: [ChunkGroup]
    var recordCount: Int
    /// The index, until the chunk is sealed.
    var open: OpenIndex?
    /// How far sealing is.
    var phase = SealPhase.none
    /// The index of a sealed chunk, when in memory.
    var loaded: SealedIndex?
    /// The filter of a sealed chunk, once read.
    var filter: PageFilter?
    /// Order of use, for eviction.
    var lastUse: UInt64 = 0
    /// Whether records of it were found to be lost and their loss has been heeded.
    var isLossHeeded = false

    var isSealed: Bool { open == nil }
    func group(_ id: ProtectionGroupID) -> ChunkGroup? {
      for group in groups where group.group == id { return group }
      return nil
    }
  }
  /// The chunk being filled.
  struct Active: Sendable {
    var sequence: UInt64
    var slot: UInt32
    var used = 0
    var flushes: UInt32 = 0
    /// Records in its blocks, whether indexed or not: what its index may need room for.
    var written = 0
    var previousFlushes: UInt32
  }

  let backend: any StorageBackend
  let identity: StoreIdentity
  let configuration: NodeStoreConfiguration
  /// As formatted.
  package let chunkSize: Int
  /// Slots that appends may use, and that all may use.
  let (slotsForAppends, slotsMax): (Int, Int)

  /// Full and sealed chunks by sequence.
  var chunks: [Chunk] = []
  var active: Active?
  var index = OpenIndex()
  /// An emptied index whose buffers the next chunk takes.
  var spareIndex: OpenIndex?
  var nextSequence: UInt64 = 1
  /// Free slots, descending: the lowest is taken first.
  var freeSlots: [UInt32] = []
  /// Slots that the file has (or will have).
  var slotCount = 0
  /// A slot for which space is being reserved.
  var reserving: UInt32?
  /// Slots from the first on whose space was reserved, as far as that was possible.
  var reservedSlots = 0
  /// What `reservedSlots` will be when the reservation under way has ended.
  var reservedSlotsToBe = 0
  /// The chunk in each slot, 0 where free.
  var slotSequence: [UInt64] = []
  /// Upper bounds of the LSNs in full and sealed chunks, by group; never lowered.
  var highest: [(group: ProtectionGroupID, lsn: LSN)] = []
  var useCounter: UInt64 = 0
  /// Sealed chunks whose index is damaged, and records with it: look-ups in them fail until the loss is heeded.
  var losses: [UInt64] = []
  /// Sealed indexes that had to be made from the records because they were damaged.
  package internal(set) var rebuiltIndexes = 0

  // Staging.
  var staging: [UInt8] = []
  var batches: [StagedBatch] = []
  var stagedRecords = 0
  var lastTicket: UInt64 = 0
  var completedTicket: UInt64 = 0
  var flight: FlushedBlock?
  var spareBytes: [UInt8] = []
  var spareBatches: [StagedBatch] = []
  var isBlocked = false

  // Scratch buffers, reused.
  var candidates: [(min: LSN, chunk: Int)] = []
  var scratch: [UInt8] = []

  /// Records inside these ranges are void: no look-up gives them.
  ///
  /// A newer list replaces the older one whole. Set this when the fact is durable, and at opening.
  package var truncation = TruncationList()
  /// Off only for planted bugs: look-ups then give void records too.
  package var hidesVoidRecords = true

  init(
    backend: any StorageBackend, identity: StoreIdentity, configuration: NodeStoreConfiguration, chunkSize: Int
  ) {
    self.backend = backend
    self.identity = identity
    self.configuration = configuration
    self.chunkSize = chunkSize
    slotsForAppends = max(4, Int(clamping: configuration.logLimit / UInt64(chunkSize)))
    slotsMax = slotsForAppends + max(2, slotsForAppends / 8)
    staging = [UInt8](repeating: 0, count: FlushBlock.headerSize)
  }

  /// Ranges to hide in look-ups.
  var void: TruncationList { hidesVoidRecords ? truncation : TruncationList() }

  // MARK: Records

  /// Puts a durable record into the index of the active chunk.
  ///
  /// Returns false when that chunk has it already.
  ///
  /// A record that stands in two chunks (fetched again because the older copy is damaged) is given once, from the newer.
  @discardableResult package mutating func insert(_ header: RecordHeader, position: UInt64) -> Bool {
    index.insert(RecordEntry(header, position: position))
  }

  /// An upper bound of the LSNs of the group's records; cheap.
  package func highestLSN(of group: ProtectionGroupID) -> LSN {
    var result = LSN.zero
    if let run = index.run(of: group) { result = index.runs[run].maxLSN }
    for entry in highest where entry.group == group { result = max(result, entry.lsn) }
    return result
  }
  /// Bytes of records of the group in the log.
  package func bytes(of group: ProtectionGroupID) -> UInt64 {
    var result: UInt64 = 0
    if let run = index.run(of: group) { result = index.runs[run].bytes }
    for chunk in chunks { result += chunk.group(group)?.bytes ?? 0 }
    return result
  }

  // MARK: Chunks

  /// The summary of a chunk, with void records at its upper end left out.
  func summary(_ chunk: Chunk) -> ChunkSummary {
    var groups = chunk.groups
    for i in groups.indices {
      for range in void.ranges.reversed() where range.contains(groups[i].maxLSN) {
        groups[i].maxLSN = max(range.after, groups[i].minLSN)
      }
    }
    return ChunkSummary(sequence: chunk.sequence, recordCount: chunk.recordCount, groups: groups)
  }
  /// Sealed chunks, oldest first: what coalescing chooses from.
  package var sealedChunks: [ChunkSummary] {
    var result: [ChunkSummary] = []
    for chunk in chunks where chunk.isSealed { result.append(summary(chunk)) }
    return result
  }
  /// The oldest sealed chunk; cheap to test each tick.
  package var oldestSealed: ChunkSummary? {
    for chunk in chunks where chunk.isSealed { return summary(chunk) }
    return nil
  }
  /// Bytes in use: chunks times their size.
  ///
  /// What the limit is compared with.
  package var usedBytes: UInt64 { UInt64(chunks.count + (active == nil ? 0 : 1)) * UInt64(chunkSize) }
  /// How full the log is, in percent of what appends may use.
  package var fullness: Int {
    let whole = chunks.count * chunkSize + (active?.used ?? 0)
    return whole * 100 / (slotsForAppends * chunkSize)
  }

  func noteHighest(_ groups: [ChunkGroup]) -> [(group: ProtectionGroupID, lsn: LSN)] {
    var result = highest
    for group in groups {
      if let i = result.firstIndex(where: { $0.group == group.group }) {
        result[i].lsn = max(result[i].lsn, group.maxLSN)
      } else {
        result.append((group.group, group.maxLSN))
      }
    }
    return result
  }

  /// How far the log is durable.
  ///
  /// Says nothing while there is no block: then no SCL rests on one.
  package var end: LogEnd {
    if let active, active.flushes > 0 { return LogEnd(chunk: active.sequence, blocks: active.flushes) }
    return chunks.last.map { LogEnd(chunk: $0.sequence, blocks: $0.flushes) } ?? LogEnd()
  }

  // MARK: Slots

  /// Takes the lowest free slot, or one more of the file; nil when the log is at its limit.
  mutating func takeSlot() -> UInt32? {
    if let slot = freeSlots.popLast() { return slot }
    guard slotCount < slotsMax else { return nil }
    slotCount += 1
    slotSequence.append(0)
    return UInt32(slotCount - 1)
  }
  /// Puts a slot among the free ones.
  mutating func giveSlot(_ slot: UInt32) {
    slotSequence[Int(slot)] = 0
    let at = freeSlots.firstIndex { $0 < slot } ?? freeSlots.count
    freeSlots.insert(slot, at: at)
  }
  /// Whether a slot should be reserved ahead of need, or one that was taken meanwhile should be after all: a whole chunk's
  /// flushes would each move the file's end.
  var wantsReserve: Bool { reserving == nil && (wantsSlot || reservedSlots < slotCount) }
  private var wantsSlot: Bool { freeSlots.isEmpty && slotCount < slotsMax }
  /// The reservation of all slots, and of one more where none is free.
  mutating func beginReserve() -> [StorageOperation] {
    if wantsSlot {
      slotCount += 1
      slotSequence.append(0)
      reserving = UInt32(slotCount - 1)
    }
    reservedSlotsToBe = slotCount
    return [.reserve(.log, upTo: UInt64(slotCount) * UInt64(chunkSize))]
  }
  /// The slots are usable either way: without the reservation writing to them may run out of space.
  mutating func endReserve() {
    if let slot = reserving { giveSlot(slot) }
    reserving = nil
    reservedSlots = reservedSlotsToBe
    isBlocked = false
  }

  /// What is wrong; empty when nothing is.
  func checkInvariants() -> [String] {
    var wrong = index.checkInvariants()
    var slots = Set<UInt32>(freeSlots)
    var count = freeSlots.count
    for chunk in chunks {
      slots.insert(chunk.slot)
      count += 1
      if slotSequence[Int(chunk.slot)] != chunk.sequence { wrong.append("log: slot \(chunk.slot) is not its chunk's") }
      if chunk.used > chunkSize { wrong.append("log: chunk \(chunk.sequence) is overfull") }
      if let open = chunk.open { wrong += open.checkInvariants() }
    }
    for i in chunks.indices.dropFirst() where chunks[i - 1].sequence >= chunks[i].sequence {
      wrong.append("log: chunks out of order")
    }
    if let active {
      slots.insert(active.slot)
      count += 1
      if active.used + IndexBlock.size(index.count) > chunkSize { wrong.append("log: no room for the active index") }
      if index.count > active.written { wrong.append("log: more records indexed than written") }
    }
    if let reserving {
      slots.insert(reserving)
      count += 1
    }
    if slots.count != count || count != slotCount {
      wrong.append("log: \(slotCount) slots, \(count) accounted for, \(slots.count) distinct")
    }
    return wrong
  }
}
