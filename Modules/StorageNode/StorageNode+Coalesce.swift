import BorealisCore
import BorealisStorageBackend
import BorealisWire

// Folding the log into pages, and giving its chunks back (protocol §5.11).

/// A chunk of the log that is being folded into pages, over several jobs.
struct Fold: Sendable {
  var sequence: UInt64
  var cursor = 0
  /// For each group: up to where its pages are brought.
  ///
  /// Every record of the chunk is at or below, and so may be records of younger chunks that came out of order: they are
  /// folded too, because gcPoint says that all is.
  var points: [(group: ProtectionGroupID, through: LSN)]
  /// How far those strays have been looked for: which of `points`, and up to which record.
  var stray = (point: 0, after: LSN.zero)
  /// Whether the chunk goes when its pages are installed.
  ///
  /// Not so where tail segments still need its records: then only gcPoints rise, so that tail segments elsewhere can
  /// drop theirs.
  var retires = true
  /// Whether all pages are staged or installed, and the chunk goes with the next job.
  var isRetiring = false
  /// Whether all pages are staged, of a chunk that stays.
  var isStaged = false
}

extension StorageNode {
  /// The LSN at or below which no version is needed any more besides the newest and the pinned ones.
  func coalescePoint(_ i: Int, now: Instant) -> LSN {
    let segment = segments[i]
    let bug = configuration.plantedBug
    let ignoresReaders = bug == .coalesceAboveMinReadPoint || bug == .collectIgnoringReadPoint
    var point = min(knownVDL, segment.scl)
    if !ignoresReaders { point = min(point, segment.minReadPoint) }
    point = min(point, retention.floor)
    if segment.kind == .tail {
      let hasRoom = store.log.fullness < StorageNodeLimits.tailRoom
      point = min(point, segment.tailDropPoint(node: id, hasRoom: hasRoom))
    }
    return min(point, segment.heldBaseline(now: now))
  }

  /// The next chunk to fold, and whether it may be retired too.
  ///
  /// Normally the oldest sealed one, whole. Where tail segments of this node still need its records, the first that has
  /// something to fold for the full ones: else nodes that are full for one group and tail for another would wait for
  /// each other for ever.
  func chunkToFold(now: Instant) -> (chunk: ChunkSummary, retires: Bool)? {
    guard configuration.isCoalescing, diskTrouble == nil, let oldest = store.log.oldestSealed else { return nil }
    guard mayFold(oldest, now: now) else { return nil }
    if mayDropTails(oldest, now: now) { return (oldest, true) }
    for chunk in store.log.sealedChunks where hasPagesToFold(chunk) {
      return mayFold(chunk, now: now) ? (chunk, false) : nil
    }
    return nil
  }

  /// Whether everything of the full segments in the chunk may be folded.
  private func mayFold(_ chunk: ChunkSummary, now: Instant) -> Bool {
    for span in chunk.groups {
      guard let i = index(of: span.group) else { continue }
      if segments[i].isHydrating || segments[i].needsRebuild { return false }
      // Not of the epoch promised: what is at or below PGMRPL is settled as of the epoch that PGMRPL is of.
      guard isCurrent(segments[i].readPointEpoch, segments[i]) else { return false }
      guard segments[i].kind == .full else { continue }
      if span.maxLSN > max(coalescePoint(i, now: now), segments[i].gcPoint) { return false }
    }
    return true
  }
  /// Whether the tail segments need none of the chunk's records.
  private func mayDropTails(_ chunk: ChunkSummary, now: Instant) -> Bool {
    for span in chunk.groups {
      guard let i = index(of: span.group), segments[i].kind == .tail else { continue }
      if span.maxLSN > max(coalescePoint(i, now: now), segments[i].gcPoint) { return false }
    }
    return true
  }
  private func hasPagesToFold(_ chunk: ChunkSummary) -> Bool {
    chunk.groups.contains { span in
      index(of: span.group).map { segments[$0].kind == .full && span.maxLSN > segments[$0].gcPoint } ?? false
    }
  }

  /// Stages as much of a fold as one job may write.
  mutating func foldStep(now: Instant) {
    canFold = false
    guard !letsCommitsGoFirst else { return }
    if fold == nil {
      guard let (chunk, retires) = chunkToFold(now: now) else { return }
      fold = begin(chunk)
      fold?.retires = retires
    }
    guard var current = fold, !current.isRetiring else { return }
    // A copy of pages has begun meanwhile: what is folded stays, and nothing more may come between.
    if current.points.contains(where: { point in index(of: point.group).map { segments[$0].isHydrating } ?? false }) {
      fold = nil
      return
    }
    if current.isStaged {
      // All its pages are installed when none waits (they may have to, for a full disk) and no job has failed.
      guard !store.pages.hasStaged, store.pages.flight == nil else { return }
      fold = nil
      raiseGCPoints(current)
      canFold = chunkToFold(now: now) != nil
      return
    }
    var budget = StorageNodeLimits.coalescePages
    while true {
      let before = current.cursor
      var isMore = false
      do throws(StorageBackendError) {
        isMore = try store.log.nextPage(ofChunk: current.sequence, cursor: &current.cursor, into: &foldEntries)
      } catch {
        fold = nil
        return
      }
      guard isMore else { break }
      guard budget > 0 else {
        current.cursor = before
        fold = current
        return
      }
      guard let first = foldEntries.first, let i = index(of: first.group), segments[i].kind == .full,
        let point = current.points.first(where: { $0.group == first.group })
      else { continue }
      switch foldPage(i, first.page, through: point.through, chunk: current.sequence) {
      case .done: budget -= 1
      case .noRoom:
        current.cursor = before
        fold = current
        return
      case .failed:
        fold = nil  // tried again when what is damaged is repaired
        return
      }
    }
    guard foldStrays(&current, &budget) else { return }
    // A peer may have begun to copy a baseline meanwhile: what is folded stays, the chunk too.
    guard let (chunk, retires) = chunkToFold(now: now), chunk.sequence == current.sequence else {
      fold = nil
      return
    }
    guard current.retires, retires else {
      current.retires = false
      current.isStaged = true
      fold = current
      return
    }
    store.stageRetire(current.sequence)
    current.isRetiring = true
    fold = current
  }

  /// What segments must remember once the chunk is retired: goes with it, both or neither, so that neither SCL rests on
  /// records that are gone nor gcPoint promises records that are gone.
  func factsOfRetiring() -> [JournalFact] {
    guard let fold, fold.isRetiring else { return [] }
    var result: [JournalFact] = []
    for point in fold.points {
      guard let i = index(of: point.group) else { continue }
      var facts = facts(of: segments[i])
      facts.gcPoint = max(facts.gcPoint, point.through)
      result.append(.segment(facts))
    }
    return result
  }

  private mutating func begin(_ chunk: ChunkSummary) -> Fold? {
    var points: [(group: ProtectionGroupID, through: LSN)] = []
    for span in chunk.groups {
      guard let i = index(of: span.group) else { continue }
      // The last record, not the highest LSN: the gcPoint to come is a link of the chain.
      let last: RecordEntry?
      do throws(StorageBackendError) { last = try store.log.last(of: span.group, atOrBelow: span.maxLSN) } catch {
        return nil
      }
      points.append((span.group, max(last?.lsn ?? .zero, segments[i].gcPoint)))
    }
    return Fold(sequence: chunk.sequence, points: points)
  }

  /// Folds the pages of records at or below the fold's points that stand in other chunks.
  ///
  /// False when the job is full or the fold was given up.
  private mutating func foldStrays(_ current: inout Fold, _ budget: inout Int) -> Bool {
    while current.stray.point < current.points.count {
      let (group, through) = current.points[current.stray.point]
      foldEntries.removeAll(keepingCapacity: true)
      if let i = index(of: group), segments[i].kind == .full,
        store.log.hasRecords(of: group, atOrBelow: through, outside: current.sequence)
      {
        do throws(StorageBackendError) {
          try store.log.records(
            of: group, after: max(segments[i].gcPoint, current.stray.after), through: through,
            limit: StorageNodeLimits.strayRecords, into: &foldEntries)
        } catch {
          fold = nil
          return false
        }
        for k in foldEntries.indices {
          let entry = foldEntries[k]
          if !store.log.isIn(entry, chunk: current.sequence) {
            guard budget > 0 else {
              fold = current
              return false
            }
            switch foldPage(i, entry.page, through: through, chunk: current.sequence) {
            case .done: budget -= 1
            case .noRoom:
              fold = current
              return false
            case .failed:
              fold = nil
              return false
            }
          }
          current.stray.after = entry.lsn
        }
      }
      if foldEntries.count < StorageNodeLimits.strayRecords {
        current.stray = (current.stray.point + 1, .zero)
      }
    }
    return true
  }

  private enum FoldOutcome { case done, noRoom, failed }

  /// Brings one page up to `through`: its version there, and those visible at pins on the way.
  private mutating func foldPage(_ i: Int, _ id: PageID, through: LSN, chunk: UInt64) -> FoldOutcome {
    if configuration.plantedBug == .collectIgnoringReadPoint, through > segments[i].minReadPoint { return .done }
    let group = segments[i].group
    let pins = retention.pins
    var lsn = LSN.zero
    var isAbsent = true
    var isChanged = false
    do throws(StoreReadError) {
      let base = try page.withUnsafeMutableBytesTyped { raw throws(StoreReadError) in
        let base = try store.pages.read(group, id, atOrBelow: .max, into: raw)
        if base == nil { raw.initializeMemory(as: UInt8.self, repeating: 0) }
        return base
      }
      if let base {
        lsn = base.lsn
        isAbsent = base.isAbsent
      }
    } catch {
      if case .damaged = error { foundDamage(page: id, lsn: store.pages.version(group, id) ?? .zero, group: group) }
      return .failed
    }
    let from = max(lsn, segments[i].gcPoint)
    guard from < through else { return .done }
    entries.removeAll(keepingCapacity: true)
    do throws(StorageBackendError) {
      try store.log.records(of: group, page: id, after: from, through: through, into: &entries)
    } catch {
      return .failed
    }
    for k in entries.indices {
      let entry = entries[k]
      guard shows(entry) else { continue }
      if isChanged, pins.contains(where: { lsn <= $0 && $0 < entry.lsn }) {
        guard stageVersion(group, id, lsn, isAbsent: isAbsent, pins) else { return .noRoom }
      }
      guard apply(entry) else { return .failed }
      lsn = entry.lsn
      isAbsent = entry.kind == .discard
      isChanged = true
    }
    guard isChanged else { return .done }
    if isAbsent, pins.isEmpty {
      let others: Bool
      do throws(StorageBackendError) {
        others = try store.log.hasRecords(of: group, page: id, after: .zero, through: through, excluding: chunk)
      } catch {
        return .failed
      }
      if !others { return store.stageDrop(group, id) ? .done : .noRoom }
    }
    return stageVersion(group, id, lsn, isAbsent: isAbsent, pins) ? .done : .noRoom
  }

  private mutating func stageVersion(
    _ group: ProtectionGroupID, _ id: PageID, _ lsn: LSN, isAbsent: Bool, _ pins: [LSN]
  ) -> Bool {
    let isStaged = page.withUnsafeBytes {
      store.stagePage(group, id, lsn: lsn, image: isAbsent ? nil : $0, pins: pins)
    }
    if isStaged { counters.pagesCoalesced += 1 }
    return isStaged
  }

  /// What a fold has brought into pages is no longer needed from the log; of a chunk that stays, the tail segments' is.
  private mutating func raiseGCPoints(_ fold: Fold) {
    for point in fold.points {
      guard let i = index(of: point.group), point.through > segments[i].gcPoint else { continue }
      guard fold.retires || segments[i].kind == .full else { continue }
      segments[i].gcPoint = point.through
      recordFacts(i)
    }
  }

  /// A background job has ended.
  mutating func ended(_ outcome: BackgroundOutcome, now: Instant, into out: inout [Outgoing]) {
    guard outcome.kind == .pages else { return }
    incomingEnded(succeeded: outcome.succeeded)
    fetchedEnded(succeeded: outcome.succeeded)
    if !outcome.succeeded {
      fold = nil
    } else if let current = fold, current.isRetiring, outcome.retired.contains(current.sequence) {
      fold = nil
      counters.chunksRetired += 1
      for point in current.points {
        guard let i = index(of: point.group), point.through > segments[i].gcPoint else { continue }
        segments[i].gcPoint = point.through
      }
      canFold = chunkToFold(now: now) != nil
    }
    continueHydration(now: now, into: &out)
  }
}

extension LogStore {
  /// Whether another chunk than `sequence` spans LSNs of the group at or below `bound`; cheap, may say yes for nothing.
  func hasRecords(of group: ProtectionGroupID, atOrBelow bound: LSN, outside sequence: UInt64) -> Bool {
    for chunk in chunks where chunk.sequence != sequence {
      if let part = chunk.group(group), part.minLSN <= bound { return true }
    }
    guard let run = index.run(of: group) else { return false }
    return index.runs[run].minLSN <= bound
  }
  /// Whether the record stands in that chunk.
  func isIn(_ entry: RecordEntry, chunk sequence: UInt64) -> Bool {
    let slot = Int(entry.position / UInt64(chunkSize))
    return slot < slotSequence.count && slotSequence[slot] == sequence
  }
}
