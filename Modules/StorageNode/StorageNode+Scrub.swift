import BorealisCore
import BorealisStorageBackend
import BorealisWire

// Bytes that are not what was written: found by reads and by the scrub, never served, fetched again from peers.

/// A record or a page version here whose bytes are wrong.
struct Damage: Sendable, Equatable {
  enum Kind: Sendable, Equatable { case record, page }
  var kind: Kind
  var group: ProtectionGroupID
  var page: PageID
  var lsn: LSN
  /// The page request under way.
  var request: UInt64 = 0
  /// What it asked for.
  var readPoint = LSN.zero
  /// Whom to ask next, as an index of member.
  var member = 0
  /// When to ask (again).
  var deadline = Instant.zero
  /// The page that came, on its way to the page store.
  var fetched: (lsn: LSN, image: [UInt8])?
  var isStaged = false

  static func == (a: Damage, b: Damage) -> Bool {
    a.kind == b.kind && a.group == b.group && a.page == b.page && a.lsn == b.lsn
  }
}

extension StorageNode {
  func isDamaged(_ group: ProtectionGroupID) -> Bool { damages.contains { $0.group == group } }

  func isDamaged(record lsn: LSN, group: ProtectionGroupID) -> Bool {
    damages.contains { $0.kind == .record && $0.lsn == lsn && $0.group == group }
  }

  mutating func foundDamage(record entry: RecordEntry) {
    found(Damage(kind: .record, group: entry.group, page: entry.page, lsn: entry.lsn))
  }

  mutating func foundDamage(page: PageID, lsn: LSN, group: ProtectionGroupID) {
    found(Damage(kind: .page, group: group, page: page, lsn: lsn))
  }

  private mutating func found(_ damage: Damage) {
    guard damages.count < StorageNodeLimits.damagesMax, !damages.contains(damage) else { return }
    counters.damageFound += 1
    damages.append(damage)
  }

  /// A record was written anew.
  mutating func repaired(record lsn: LSN, group: ProtectionGroupID) {
    let before = damages.count
    damages.removeAll { $0.kind == .record && $0.lsn == lsn && $0.group == group }
    counters.damageRepaired += UInt64(before - damages.count)
  }

  /// Asks peers for what is damaged here.
  mutating func repairDamage(now: Instant, into out: inout [Outgoing]) {
    guard !damages.isEmpty, diskTrouble == nil else { return }
    var asked = 0
    for k in damages.indices where asked < StorageNodeLimits.repairsPerTick {
      guard damages[k].deadline <= now, damages[k].fetched == nil, let i = index(of: damages[k].group),
        !segments[i].isHydrating
      else { continue }
      guard let peer = nextPeer(for: k, i) else { continue }
      asked += 1
      damages[k].deadline = now.advanced(byNanoseconds: configuration.requestTimeout)
      switch damages[k].kind {
      case .record:
        let lsn = damages[k].lsn
        // Folded meanwhile: the record is not needed any more.
        if lsn <= segments[i].gcPoint { damages[k].kind = .page }
        send(
          .pull(after: LSN(lsn.value - 1), through: lsn, limit: UInt32(StorageNodeLimits.pullBytes)), to: .node(peer),
          group: damages[k].group, into: &out)
      case .page:
        guard let point = pointToFetch(k, i) else { continue }
        damages[k].request = nextRequest
        nextRequest += 1
        damages[k].readPoint = point
        send(
          .fetchPage(request: damages[k].request, page: damages[k].page, readPoint: point), to: .node(peer),
          group: damages[k].group, into: &out)
      }
    }
  }

  private mutating func nextPeer(for k: Int, _ i: Int) -> NodeID? {
    let members = segments[i].configuration.members
    for _ in members.indices {
      damages[k].member = (damages[k].member + 1) % members.count
      let member = members[damages[k].member]
      if member.node != id, damages[k].kind == .record || member.kind == .full { return member.node }
    }
    return nil
  }

  /// The read point at which a peer can give a page that takes the place of the damaged version: as high as this segment
  /// may fold, because the peer may have folded that far; or the pin that the version is kept for.
  private mutating func pointToFetch(_ k: Int, _ i: Int) -> LSN? {
    let damage = damages[k]
    if let newest = store.pages.version(damage.group, damage.page), newest > damage.lsn {
      return retention.pins.first { $0 >= damage.lsn && $0 < newest }
    }
    let point = min(knownVDL, segments[i].scl, segments[i].minReadPoint)
    let last = try? store.log.last(of: damage.group, atOrBelow: point)
    return max(last?.lsn ?? .zero, segments[i].gcPoint, damage.lsn)
  }

  /// A peer refuses to give a record: it has folded it.
  ///
  /// Then its page will do. Only records that this segment may fold too can be meant: of another one the page would be a
  /// version above PGMRPL, and take the place of one that a read point still holds (I10; found by seed 1139 of the SQL
  /// workload). Those are asked of the next peer.
  mutating func refusedRepair(_ group: ProtectionGroupID) {
    guard let i = index(of: group) else { return }
    let foldable = min(knownVDL, segments[i].minReadPoint)
    for k in damages.indices
    where damages[k].group == group && damages[k].kind == .record && damages[k].lsn <= foldable {
      damages[k].kind = .page
      damages[k].deadline = .zero
    }
  }

  mutating func receiveFetchedPage(_ header: MessageHeader, request: UInt64, lsn: LSN, image: [UInt8]) {
    guard request != 0,
      let k = damages.firstIndex(where: { $0.kind == .page && $0.request == request && $0.group == header.group }),
      damages[k].fetched == nil, image.count <= page.count, let i = index(of: header.group), !segments[i].isHydrating
    else { return }
    damages[k].fetched = (lsn, image)
  }

  /// A copy of all pages begins: pages of before, on their way here, could bring back what it drops.
  mutating func forgetFetches(of group: ProtectionGroupID) {
    for k in damages.indices where damages[k].group == group && !damages[k].isStaged {
      damages[k].request = 0
      damages[k].fetched = nil
    }
  }

  /// Stages the pages that peers sent in place of damaged ones.
  mutating func stageFetched() {
    for k in damages.indices where !damages[k].isStaged {
      guard let fetched = damages[k].fetched else { continue }
      let damage = damages[k]
      let isStaged: Bool
      if fetched.lsn == .zero {
        isStaged = store.stagePage(
          damage.group, damage.page, lsn: damage.readPoint, image: nil, pins: retention.pins)
      } else {
        isStaged = withPadded(fetched.image, page.count) {
          store.stagePage(damage.group, damage.page, lsn: fetched.lsn, image: $0, pins: retention.pins)
        }
      }
      guard isStaged else { return }
      damages[k].isStaged = true
    }
  }

  var hasFetched: Bool { damages.contains { $0.fetched != nil } }

  /// A job with pages has ended.
  mutating func fetchedEnded(succeeded: Bool) {
    guard !damages.isEmpty else { return }
    if succeeded {
      let before = damages.count
      damages.removeAll(where: \.isStaged)
      counters.damageRepaired += UInt64(before - damages.count)
    } else {
      for k in damages.indices { damages[k].isStaged = false }
    }
  }

  /// Records of sealed chunks are lost, and it cannot be told which: the chains are followed anew from gcPoint over what
  /// is left, so that SCL stands before the first one that is missing, and peers send the rest.
  mutating func heedLosses() {
    while let groups = store.log.heedLoss() {
      for group in groups {
        guard let i = index(of: group) else { continue }
        counters.damageFound += 1
        segments[i].chain.reset(to: min(segments[i].scl, segments[i].gcPoint))
        segments[i].staged = segments[i].chain
        segments[i].acked = min(segments[i].acked, segments[i].scl)
        segments[i].needsRebuild = true
        rebuildIfNeeded(i)
        // A restart must not go on from where SCL stood.
        journalFacts(i)
      }
    }
  }

  /// Verifies a few slots and records.
  mutating func scrub() {
    for _ in 0..<StorageNodeLimits.scrubsPerTick {
      let result: ScrubResult
      do throws(StorageBackendError) { result = try store.pages.scrub(&pageScrubCursor) } catch { break }
      counters.scrubbed += 1
      if case .damaged(let group, let page, let lsn) = result, index(of: group) != nil {
        foundDamage(page: page, lsn: lsn, group: group)
      }
      if case .end = result {
        pageScrubCursor = 0
        break
      }
    }
    if backgroundJob == nil {
      store.pages.stagePrune(pins: retention.pins, cursor: &pruneCursor, limit: StorageNodeLimits.prunesPerTick)
    }
    scrubLog()
  }

  private mutating func scrubLog() {
    guard !segments.isEmpty else { return }
    if logScrubSegment >= segments.count { logScrubSegment = 0 }
    let i = logScrubSegment
    entries.removeAll(keepingCapacity: true)
    try? store.log.records(
      of: segments[i].group, after: max(logScrubLSN, segments[i].gcPoint), through: segments[i].scl,
      limit: StorageNodeLimits.scrubsPerTick, into: &entries)
    guard let last = entries.last else {
      logScrubSegment += 1
      logScrubLSN = .zero
      return
    }
    logScrubLSN = last.lsn
    for k in entries.indices { verify(entries[k]) }
  }

  /// Reads a record, to see whether it is good.
  mutating func verify(_ entry: RecordEntry) {
    counters.scrubbed += 1
    record.removeAll(keepingCapacity: true)
    do throws(StoreReadError) { try store.log.read(entry, into: &record) } catch {
      if case .damaged = error { foundDamage(record: entry) }
    }
  }
}
