import BorealisCore
import BorealisWire

/// How far the log is durable: up to a block of a chunk.
package struct LogEnd: Hashable, Comparable, Sendable {
  /// The chunk's sequence; 0 where nothing is said.
  package var chunk: UInt64
  /// Its flush blocks.
  package var blocks: UInt32
  /// Makes an end; by default one that says nothing.
  package init(chunk: UInt64 = 0, blocks: UInt32 = 0) {
    self.chunk = chunk
    self.blocks = blocks
  }
  /// By chunk, then block.
  package static func < (a: LogEnd, b: LogEnd) -> Bool { (a.chunk, a.blocks) < (b.chunk, b.blocks) }
}

/// What a segment must remember over a restart besides its records and pages.
package struct SegmentFacts: Hashable, Sendable {
  /// The group.
  package var group: ProtectionGroupID
  /// Records at or below may be gone from the log.
  package var gcPoint: LSN
  /// An SCL that was reached: opening follows the segment chain from here.
  package var scl: LSN
  /// Highest VDL heard of.
  package var knownVDL: LSN
  /// Highest PGMRPL heard of.
  package var minReadPoint: LSN
  /// The node's own bits (a baseline copy under way, known damage).
  package var flags: UInt32
  /// A position of the node's own (of a baseline copy under way).
  package var mark: LSN
  /// Where the log ended when they were stated: `scl` rests on its blocks up to there.
  package var logEnd: LogEnd
  /// Makes facts.
  package init(
    group: ProtectionGroupID, gcPoint: LSN = .zero, scl: LSN = .zero, knownVDL: LSN = .zero, minReadPoint: LSN = .zero,
    flags: UInt32 = 0, mark: LSN = .zero, logEnd: LogEnd = LogEnd()
  ) {
    self.group = group
    self.gcPoint = gcPoint
    self.scl = scl
    self.knownVDL = knownVDL
    self.minReadPoint = minReadPoint
    self.flags = flags
    self.mark = mark
    self.logEnd = logEnd
  }
}

/// A small durable fact that the protocol records in the journal.
package enum JournalFact: Hashable, Sendable {
  /// The volume epoch promised.
  case volumeEpoch(VolumeEpoch)
  /// A group's configuration; replaces the one of the same group.
  case configuration(GroupConfiguration)
  /// The truncation list; replaces the one before.
  case truncation(TruncationList)
  /// The retention; replaces the one before.
  case retention(Retention)
  /// What a segment must remember; replaces those of the same group.
  case segment(SegmentFacts)
  /// The segment is gone: forgets its facts and configuration. (Its pages are dropped one by one.)
  ///
  /// `by` is the configuration that left this node out: what it supersedes must not bring the segment back. (nil where an
  /// older journal did not say.)
  case segmentRemoved(ProtectionGroupID, by: GroupConfiguration?)
}

/// What the records of one group in one chunk span.
package struct ChunkGroup: Hashable, Sendable {
  /// The group.
  package var group: ProtectionGroupID
  /// Lowest LSN.
  package var minLSN: LSN
  /// Highest LSN.
  package var maxLSN: LSN
  /// Number of records.
  package var count: UInt32
  /// Bytes of encoded records.
  package var bytes: UInt64
}

/// A sealed chunk, as the journal remembers it.
package struct SealedChunk: Hashable, Sendable {
  /// Its number in the order of the log; never used twice.
  package var sequence: UInt64
  /// Its place in the log file, in units of the chunk size.
  package var slot: UInt32
  /// Bytes used by flush blocks.
  package var usedBytes: UInt32
  /// Flush blocks in it.
  package var flushCount: UInt32
  /// Records in its index.
  package var recordCount: UInt32
  /// Where in the chunk its index begins.
  package var indexOffset: UInt32
  /// What it holds, by group, ascending.
  package var groups: [ChunkGroup]
}

/// The durable facts: what replaying the journal gives (pages and slots aside, which the page store keeps).
package struct JournalState: Hashable, Sendable {
  /// The volume epoch promised.
  package internal(set) var volumeEpoch = VolumeEpoch.zero
  /// Configurations by group, ascending.
  package internal(set) var configurations: [GroupConfiguration] = []
  /// By group, ascending: the configurations that left this node out, of groups that it holds no segment of any more.
  package internal(set) var departures: [GroupConfiguration] = []
  /// The truncation list.
  package internal(set) var truncation = TruncationList()
  /// The retention.
  package internal(set) var retention = Retention()
  /// Facts by group, ascending.
  package internal(set) var segments: [SegmentFacts] = []
  /// Sealed chunks that are not retired, by sequence.
  package internal(set) var chunks: [SealedChunk] = []
  /// Highest sequence ever sealed; a flush block with this or a lower one outside `chunks` is stale.
  package internal(set) var lastSealed: UInt64 = 0
  /// Makes the state of a new node.
  package init() {}

  /// The facts of a group.
  package func segment(_ group: ProtectionGroupID) -> SegmentFacts? { segments.first { $0.group == group } }
  /// The configuration of a group.
  package func configuration(_ group: ProtectionGroupID) -> GroupConfiguration? {
    configurations.first { $0.group == group }
  }

  mutating func apply(_ fact: JournalFact) {
    switch fact {
    case .volumeEpoch(let epoch): volumeEpoch = epoch
    case .configuration(let new):
      replace(&configurations, new, by: \.group)
      departures.removeAll { $0.group == new.group }
    case .truncation(let list): truncation = list
    case .retention(let new): retention = new
    case .segment(var facts):
      // While a chunk's retirement is on its way to the disk, the node goes on with the gcPoint before it, and facts that it
      // states then come after the retirement: what is gone stays gone. (Found by seed 7804.)
      if let before = segments.first(where: { $0.group == facts.group }) {
        facts.gcPoint = max(facts.gcPoint, before.gcPoint)
      }
      replace(&segments, facts, by: \.group)
    case .segmentRemoved(let group, let configuration):
      segments.removeAll { $0.group == group }
      configurations.removeAll { $0.group == group }
      if let configuration { replace(&departures, configuration, by: \.group) }
    }
  }
  mutating func seal(_ chunk: SealedChunk) {
    replace(&chunks, chunk, by: \.sequence)
    lastSealed = max(lastSealed, chunk.sequence)
  }
  mutating func retire(_ sequence: UInt64) { chunks.removeAll { $0.sequence == sequence } }

  private func replace<Value, Key: Comparable>(
    _ values: inout [Value], _ new: Value, by key: KeyPath<Value, Key>
  ) {
    let at = values.firstIndex { $0[keyPath: key] >= new[keyPath: key] } ?? values.count
    if at < values.count, values[at][keyPath: key] == new[keyPath: key] {
      values[at] = new
    } else {
      values.insert(new, at: at)
    }
  }

  /// Entries that give this state when they are replayed.
  var snapshot: [JournalEntry] {
    var entries: [JournalEntry] = [.fact(.volumeEpoch(volumeEpoch)), .lastSealed(lastSealed)]
    entries += departures.map { .fact(.segmentRemoved($0.group, by: $0)) }
    entries += configurations.map { .fact(.configuration($0)) }
    entries += [.fact(.truncation(truncation)), .fact(.retention(retention))]
    entries += segments.map { .fact(.segment($0)) }
    entries += chunks.map { .chunkSealed($0) }
    return entries
  }
  /// Bytes of such entries, roughly.
  var snapshotSize: Int {
    1024 + (configurations.count + departures.count) * 256 + segments.count * 64 + truncation.ranges.count * 16
      + chunks.reduce(0) { $0 + 64 + $1.groups.count * 32 }
  }
}
