import BorealisCore
import BorealisStorageBackend
import BorealisWire

extension LogStore {
  /// Whether the record is in the log.
  package mutating func contains(_ group: ProtectionGroupID, _ lsn: LSN) throws(StorageBackendError) -> Bool {
    if void.isVoid(lsn) || lsn > highestLSN(of: group) { return false }
    if index.entry(group, lsn) != nil { return true }
    for i in chunks.indices.reversed() {
      guard let part = chunks[i].group(group), part.minLSN <= lsn, lsn <= part.maxLSN else { continue }
      if let open = chunks[i].open {
        if open.entry(group, lsn) != nil { return true }
      } else {
        try load(i)
        if chunks[i].loaded?.entry(group, lsn) != nil { return true }
      }
    }
    return false
  }

  /// Appends at most `limit` records of the group in `(after, through]`, ascending.
  package mutating func records(
    of group: ProtectionGroupID, after: LSN, through: LSN, limit: Int, into entries: inout [RecordEntry]
  ) throws(StorageBackendError) {
    guard limit > 0 else { return }
    let start = entries.count
    candidates.removeAll(keepingCapacity: true)
    for i in chunks.indices {
      if let part = chunks[i].group(group), part.minLSN <= through, part.maxLSN > after {
        candidates.append((part.minLSN, i))
      }
    }
    if let run = index.run(of: group), index.runs[run].minLSN <= through, index.runs[run].maxLSN > after {
      candidates.append((index.runs[run].minLSN, chunks.count))
    }
    // By lowest LSN: once enough is found, a chunk that begins above it has nothing to add.
    candidates.sort { $0.min == $1.min ? $0.chunk < $1.chunk : $0.min < $1.min }
    for (low, i) in candidates {
      if entries.count - start >= limit, let last = entries.last, last.lsn < low { break }
      let before = entries.count
      if i == chunks.count {
        index.collect(group, after: after, through: through, limit: limit, void: void, into: &entries)
      } else if let open = chunks[i].open {
        open.collect(group, after: after, through: through, limit: limit, void: void, into: &entries)
      } else {
        try load(i)
        chunks[i].loaded?.collect(group, after: after, through: through, limit: limit, void: void, into: &entries)
      }
      settle(&entries, from: start, boundary: before)
      if entries.count - start > limit { entries.removeLast(entries.count - start - limit) }
    }
  }

  /// Appends the records of the page in `(after, through]`, ascending.
  package mutating func records(
    of group: ProtectionGroupID, page: PageID, after: LSN, through: LSN, into entries: inout [RecordEntry]
  ) throws(StorageBackendError) {
    try collect(group, page, after: after, through: through, excluding: nil, into: &entries)
  }

  /// Whether any record of the page in `(after, through]` stands in a chunk other than `excluding`.
  package mutating func hasRecords(
    of group: ProtectionGroupID, page: PageID, after: LSN, through: LSN, excluding: UInt64?
  ) throws(StorageBackendError) -> Bool {
    var found: [RecordEntry] = []
    try collect(group, page, after: after, through: through, excluding: excluding, into: &found)
    return !found.isEmpty
  }

  private mutating func collect(
    _ group: ProtectionGroupID, _ page: PageID, after: LSN, through: LSN, excluding: UInt64?,
    into entries: inout [RecordEntry]
  ) throws(StorageBackendError) {
    let start = entries.count
    for i in chunks.indices where chunks[i].sequence != excluding {
      guard let part = chunks[i].group(group), part.minLSN <= through, part.maxLSN > after else { continue }
      let before = entries.count
      if let open = chunks[i].open {
        open.collect(group, page: page, after: after, through: through, void: void, into: &entries)
      } else {
        if chunks[i].loaded == nil {
          try loadFilter(i)
          if let filter = chunks[i].filter, !filter.mayContain(group, page) { continue }
          try load(i)
        }
        touch(i)
        chunks[i].loaded?.collect(group, page: page, after: after, through: through, void: void, into: &entries)
      }
      settle(&entries, from: start, boundary: before)
    }
    if active?.sequence != excluding || excluding == nil {
      let before = entries.count
      index.collect(group, page: page, after: after, through: through, void: void, into: &entries)
      settle(&entries, from: start, boundary: before)
    }
  }

  /// Restores order after records of one more chunk were appended at `boundary`; of two copies the newer chunk's stays.
  private func settle(_ entries: inout [RecordEntry], from start: Int, boundary: Int) {
    guard boundary > start, boundary < entries.count, entries[boundary - 1].lsn >= entries[boundary].lsn else { return }
    entries[start...].sort {
      $0.lsn == $1.lsn ? chunk(at: $0.position) < chunk(at: $1.position) : $0.lsn < $1.lsn
    }
    var kept = start
    for i in (start + 1)..<entries.count {
      if entries[i].lsn != entries[kept].lsn { kept += 1 }
      entries[kept] = entries[i]
    }
    entries.removeLast(entries.count - kept - 1)
  }

  /// The last record of the group at or below `lsn`.
  package mutating func last(
    of group: ProtectionGroupID, atOrBelow lsn: LSN
  ) throws(StorageBackendError) -> RecordEntry? {
    var best: RecordEntry?
    func voidBound(_ entry: RecordEntry?) -> LSN? {
      guard let entry else { return nil }
      for range in void.ranges where range.contains(entry.lsn) { return range.after }
      return nil
    }
    func better(_ entry: RecordEntry?) {
      if let entry, entry.lsn > best?.lsn ?? .zero { best = entry }
    }
    var found = index.last(of: group, atOrBelow: lsn)
    while let bound = voidBound(found) { found = index.last(of: group, atOrBelow: bound) }
    better(found)
    for i in chunks.indices.reversed() {
      guard let part = chunks[i].group(group), part.minLSN <= lsn, part.maxLSN > best?.lsn ?? .zero else { continue }
      if let open = chunks[i].open {
        found = open.last(of: group, atOrBelow: lsn)
        while let bound = voidBound(found) { found = open.last(of: group, atOrBelow: bound) }
      } else {
        try load(i)
        found = chunks[i].loaded?.last(of: group, atOrBelow: lsn)
        while let bound = voidBound(found) { found = chunks[i].loaded?.last(of: group, atOrBelow: bound) }
      }
      better(found)
    }
    return best
  }

  /// Replaces `entries` by the records of the next page in a sealed chunk, ascending by LSN; false at the end.
  ///
  /// Begin with `cursor` 0. Pages come in no meaningful, but always the same, order.
  ///
  /// The records are those of this chunk only: ask `records(of:page:...)` for all there are of the page.
  package mutating func nextPage(
    ofChunk sequence: UInt64, cursor: inout Int, into entries: inout [RecordEntry]
  ) throws(StorageBackendError) -> Bool {
    entries.removeAll(keepingCapacity: true)
    guard let i = chunks.firstIndex(where: { $0.sequence == sequence && $0.isSealed }) else { return false }
    try load(i)
    return chunks[i].loaded?.nextPage(&cursor, void: void, into: &entries) ?? false
  }

  /// The sequence of the chunk that holds a position of the file; 0 where none does.
  package func chunk(at position: UInt64) -> UInt64 {
    let slot = Int(position / UInt64(chunkSize))
    return slot < slotSequence.count ? slotSequence[slot] : 0
  }

  // MARK: Contents

  /// Appends the encoded record to `buffer`, verified.
  ///
  /// Nothing is appended on failure.
  package mutating func read(_ entry: RecordEntry, into buffer: inout [UInt8]) throws(StoreReadError) {
    let start = buffer.count
    try fetch(entry.position, count: Int(entry.length), to: &buffer)
    if let problem = problem(with: entry, in: buffer, at: start) {
      buffer.removeLast(buffer.count - start)
      throw problem
    }
  }

  /// Appends records in order until `limit` bytes are passed (at least one); neighbours in the file are read together.
  ///
  /// Returns how many were appended; stops before a damaged one, throws only when the first is damaged.
  package mutating func read(
    _ entries: ArraySlice<RecordEntry>, limit: Int, into buffer: inout [UInt8]
  ) throws(StoreReadError) -> Int {
    var at = entries.startIndex
    let start = buffer.count
    while at < entries.endIndex, buffer.count - start < limit {
      // A run of records that follow each other in the file, with at most a block's header between them.
      var end = at + 1
      var runEnd = entries[at].position + UInt64(entries[at].length)
      while end < entries.endIndex, entries[end].position >= runEnd, entries[end].position - runEnd < 1024,
        entries[end].position / UInt64(chunkSize) == entries[at].position / UInt64(chunkSize),
        Int(runEnd - entries[at].position) < min(limit, 1 << 20)
      {
        runEnd = entries[end].position + UInt64(entries[end].length)
        end += 1
      }
      let base = entries[at].position
      var scratch = takeScratch()
      defer { self.scratch = scratch }
      do throws(StoreReadError) {
        try fetch(base, count: Int(runEnd - base), to: &scratch)
      } catch {
        if at > entries.startIndex { return at - entries.startIndex }
        throw error
      }
      for i in at..<end where buffer.count - start < limit {
        let offset = Int(entries[i].position - base)
        if let problem = problem(with: entries[i], in: scratch, at: offset) {
          if i > entries.startIndex { return i - entries.startIndex }
          throw problem
        }
        scratch.withUnsafeBytes { raw in
          buffer.append(contentsOf: UnsafeRawBufferPointer(rebasing: raw[offset..<(offset + Int(entries[i].length))]))
        }
        at = i + 1
      }
    }
    return at - entries.startIndex
  }

  /// The scratch buffer, emptied; give it back.
  mutating func takeScratch() -> [UInt8] {
    var bytes: [UInt8] = []
    swap(&bytes, &scratch)
    bytes.removeAll(keepingCapacity: true)
    return bytes
  }
  private func fetch(_ position: UInt64, count: Int, to buffer: inout [UInt8]) throws(StoreReadError) {
    let slot = Int(position / UInt64(chunkSize))
    guard slot < slotSequence.count, slotSequence[slot] != 0 else { throw .gone }
    do throws(StorageBackendError) {
      try backend.append(.log, at: position, count: count, to: &buffer)
    } catch { throw .backend(error) }
  }

  /// What is wrong with the bytes of a record, nil when they are it.
  private func problem(with entry: RecordEntry, in bytes: [UInt8], at offset: Int) -> StoreReadError? {
    let isBugged = configuration.plantedBug == .tornTailAccepted
    let header = bytes.withUnsafeBytes { try? RecordHeader.decode($0, at: offset, verifying: !isBugged) }
    guard let header else { return .damaged }
    guard header.lsn == entry.lsn, header.group == entry.group, header.encodedSize == Int(entry.length) else {
      return .gone
    }
    return nil
  }
}
