import BorealisCore
import BorealisStorageBackend
import BorealisWire

// Folding the log into pages, and giving its chunks back (protocol §5.11).

/// A chunk of the log that is being folded into pages, over several jobs.
struct Fold: Sendable {
  var sequence: UInt64
  var cursor = 0
  /// For each group: up to where its pages are brought. Every record of the chunk is at or below, and so may be
  /// records of younger chunks that came out of order.
  var points: [(group: ProtectionGroupID, through: LSN)]
  /// Pages with such records of younger chunks: gcPoint will pass those records, so they are folded too.
  var stragglers: [(group: ProtectionGroupID, page: PageID)] = []
  var straggler = 0
  /// Whether all pages are staged or installed, and the chunk goes with the next job.
  var isRetiring = false
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
    if segment.kind == .tail { point = min(point, segment.tailDropPoint(node: id)) }
    return min(point, segment.heldBaseline(now: now))
  }

  /// The oldest sealed chunk, if all that is in it may be folded.
  func chunkToFold(now: Instant) -> ChunkSummary? {
    guard configuration.isCoalescing, diskTrouble == nil, let oldest = store.log.oldestSealed else { return nil }
    // Load-shy: commits first, unless the log is filling up.
    if stagedBytes > configuration.stagedLimit / 4, store.log.fullness < 50 { return nil }
    for span in oldest.groups {
      guard let i = index(of: span.group) else { continue }
      if segments[i].isHydrating || segments[i].needsRebuild { return nil }
      guard isCurrent(volumeEpoch, segments[i]) else { return nil }
      if span.maxLSN > max(coalescePoint(i, now: now), segments[i].gcPoint) { return nil }
    }
    return oldest
  }

  /// Stages as much of a fold as one job may write.
  mutating func foldStep(now: Instant) {
    canFold = false
    if fold == nil {
      guard let chunk = chunkToFold(now: now) else { return }
      fold = begin(chunk)
    }
    guard var current = fold, !current.isRetiring else { return }
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
    while current.straggler < current.stragglers.count {
      let (group, id) = current.stragglers[current.straggler]
      guard budget > 0 else {
        fold = current
        return
      }
      current.straggler += 1
      guard let i = index(of: group), let point = current.points.first(where: { $0.group == group }) else { continue }
      switch foldPage(i, id, through: point.through, chunk: current.sequence) {
      case .done: budget -= 1
      case .noRoom:
        current.straggler -= 1
        fold = current
        return
      case .failed:
        fold = nil
        return
      }
    }
    // A peer may have begun to copy a baseline meanwhile: what is folded stays, the chunk too.
    guard let chunk = chunkToFold(now: now), chunk.sequence == current.sequence else {
      fold = nil
      return
    }
    // SCL must not rest on records that are about to go: durable first, because facts go before pages.
    for point in current.points { if let i = index(of: point.group) { recordFacts(i) } }
    store.stageRetire(current.sequence)
    current.isRetiring = true
    fold = current
  }

  private mutating func begin(_ chunk: ChunkSummary) -> Fold? {
    var points: [(group: ProtectionGroupID, through: LSN)] = []
    var stragglers: [(group: ProtectionGroupID, page: PageID)] = []
    for span in chunk.groups {
      guard let i = index(of: span.group) else { continue }
      // The last record, not the highest LSN: the gcPoint to come is a link of the chain.
      let last: RecordEntry?
      do throws(StorageBackendError) { last = try store.log.last(of: span.group, atOrBelow: span.maxLSN) } catch {
        return nil
      }
      let through = max(last?.lsn ?? .zero, segments[i].gcPoint)
      points.append((span.group, through))
      guard segments[i].kind == .full, through > segments[i].gcPoint else { continue }
      entries.removeAll(keepingCapacity: true)
      do throws(StorageBackendError) {
        try store.log.records(
          of: span.group, after: segments[i].gcPoint, through: through, limit: .max, into: &entries)
      } catch {
        return nil
      }
      // Normally the chunk's own records and no others.
      if entries.count > Int(span.count) || entries.contains(where: { store.log.chunk(at: $0.position) != chunk.sequence }) {
        for entry in entries where store.log.chunk(at: entry.position) != chunk.sequence {
          if stragglers.last?.page != entry.page || stragglers.last?.group != span.group {
            stragglers.append((span.group, entry.page))
          }
        }
      }
    }
    return Fold(sequence: chunk.sequence, points: points, stragglers: stragglers)
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
        recordFacts(i)
      }
      canFold = chunkToFold(now: now) != nil
    }
    continueHydration(now: now, into: &out)
  }
}
