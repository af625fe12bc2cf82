import BorealisCore
import BorealisWire

// Configurations and retention (protocol §5.8, §5.12, the node's side).

extension StorageNode {
  mutating func receiveConfigure(
    _ header: MessageHeader, _ new: GroupConfiguration, into out: inout [Outgoing]
  ) {
    guard new.group == header.group else {
      counters.messagesMalformed += 1
      return
    }
    if index(of: new.group) == nil {
      guard new.index(of: id) != nil, segments.count < StorageNodeLimits.segmentsMax else {
        reject(header, .noSuchSegment, into: &out)
        return
      }
      // Held up for long: the group has gone on without this node since.
      if let later = departures.first(where: { $0.group == new.group }), !new.supersedes(later) {
        reject(header, .staleMembershipEpoch, configuration: later, into: &out)
        return
      }
      // A chunk that goes now took no account of the segment; the writer asks again.
      guard fold?.isRetiring != true else {
        reject(header, .busy, into: &out)
        return
      }
      create(new)
    } else {
      adopt(new, isWritersWord: true)
    }
    answer(header, .configured, into: &out)
  }

  /// Makes an empty segment.
  private mutating func create(_ new: GroupConfiguration) {
    let at = segments.firstIndex { $0.group > new.group } ?? segments.count
    segments.insert(Segment(configuration: new, node: id, base: .zero, gcPoint: .zero), at: at)
    fold = nil  // which took no account of it
    // Records and pages of an earlier life here are as good as any.
    dropping.removeAll { $0 == new.group }
    departures.removeAll { $0.group == new.group }
    segments[at].needsRebuild = true
    rebuildIfNeeded(at)
    journal(.configuration(new))
    journalFacts(at)
  }

  private mutating func drop(_ i: Int, for new: GroupConfiguration) {
    let group = segments[i].group
    departures.append(new)
    if incoming?.group == group { incoming = nil }
    damages.removeAll { $0.group == group }
    segments.remove(at: i)
    dropping.append(group)
  }

  /// Stages the removal of pages of segments that were dropped; their records go with the chunks that hold them.
  mutating func stageDropping() {
    guard let group = dropping.first, index(of: group) == nil else { return }
    var listed: [PageID] = []
    store.pages.pages(of: group, after: nil, limit: StorageNodeLimits.coalescePages, into: &listed)
    store.pages.endListing()
    for page in listed where !store.stageDrop(group, page) { return }
    if listed.isEmpty { dropping.removeFirst() }
  }

  /// Adopts a configuration that supersedes the segment's.
  ///
  /// One that leaves this node out, and that is not a transition any more, ends the segment: only then is everything
  /// that it held held by its successor (P18 §4.1).
  ///
  /// A member of a coming rule does not go on the word of an earlier writer than the one whose epoch it has promised,
  /// except from that one's mouth: what an earlier writer proposed and did not decide turns up at any time, and the
  /// present one may count on what it was told here.
  mutating func adopt(_ new: GroupConfiguration, isWritersWord: Bool = false) {
    guard let i = index(of: new.group), new.supersedes(segments[i].configuration) else { return }
    if new.index(of: id) == nil, new.pending == nil {
      if new.proposedBy < volumeEpoch, !isWritersWord, segments[i].isComing(id) { return }
      journal(.segmentRemoved(new.group, by: new))
      drop(i, for: new)
      return
    }
    let wasTail = segments[i].kind == .tail
    if let index = new.index(of: id), new.members[index].kind != segments[i].kind, let current = fold,
      current.points.contains(where: { $0.group == new.group })
    {
      // A fold was planned for a segment of the other kind: it has left out the pages of a tail segment. Where its chunk
      // is going already, the configuration has to wait; whoever sent it sends it again.
      if current.isRetiring { return }
      fold = nil
    }
    segments[i].adopt(new, node: id)
    journal(.configuration(new))
    // A configuration that leaves this node out does not say which kind it is: where it comes back as a full member after
    // a restart, it must know that it has no pages. (Found by seed 20559.)
    if new.index(of: id) == nil { journalFacts(i) }
    if wasTail, segments[i].kind == .full { becomeFull(i) }
  }

  /// A tail segment is to keep pages from now on.
  ///
  /// Those that the records it has given up went into it must copy from a full member first; what it still holds above it
  /// may fold by itself. SCL stays, but is not said to those who ask for it until the copy has ended: see `give`.
  private mutating func becomeFull(_ i: Int) {
    guard segments[i].gcPoint > .zero else { return }
    if incoming?.group == segments[i].group { incoming = nil }
    segments[i].hydration = nil
    segments[i].pull = nil
    segments[i].isHydrating = true
    segments[i].chain.reset(to: segments[i].scl)
    segments[i].staged = segments[i].chain
    // With the configuration, both or neither: a restart begins the copy again.
    journalFacts(i)
  }

  mutating func receiveRetain(_ header: MessageHeader, _ new: Retention, into out: inout [Outgoing]) {
    guard index(of: header.group) != nil else {
      reject(header, .noSuchSegment, into: &out)
      return
    }
    adopt(new)
    answer(header, .retained, into: &out)
  }

  /// Adopts a retention that supersedes the one held.
  mutating func adopt(_ new: Retention) {
    guard new.supersedes(retention) else { return }
    retention = new
    journal(.retention(new))
  }
}
