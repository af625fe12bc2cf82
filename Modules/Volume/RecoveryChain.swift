import BorealisCore
import BorealisWire

/// What one segment said when it was fenced.
struct RecoveryAnswer: Sendable {
  /// The node that answered.
  var node: NodeID
  /// Where its segment stood.
  var status: SegmentStatus
  /// The truncation list it holds.
  var truncation: TruncationList
  /// The retention it holds.
  var retention: Retention
  /// The configuration it holds.
  var configuration: GroupConfiguration
  /// Its records above `status.knownVDL`, in LSN order, as it sent them: a list that it has not heard of may void some.
  var links: [RecordLink]

  /// The link of the record at `lsn`, if it was sent.
  func link(at lsn: LSN) -> RecordLink? {
    var (low, high) = (0, links.count)
    while low < high {
      let middle = (low + high) / 2
      if links[middle].lsn < lsn { low = middle + 1 } else { high = middle }
    }
    return low < links.count && links[low].lsn == lsn ? links[low] : nil
  }

  /// Completeness under `list`: an SCL inside a void range counts as the range's lower end.
  ///
  /// A segment with SCL s holds every record of its group at or below s, hence every one at or below the range's lower
  /// end; what it holds above that is void. The result is a bound on LSNs, not necessarily a record of the group.
  func completeness(under list: TruncationList) -> LSN { clip(status.scl, under: list) }

  /// The last kept record of the group at or below both `vdl` and this segment's SCL; nil where this answer's links do not
  /// reach down to it.
  ///
  /// SCL is a record of the group (or zero, before the first). Where it is kept and not above `vdl` it is the answer;
  /// else its back-links lead down, through void records and through records above `vdl`, to the answer. A kept record
  /// links back to a kept record, and the records that a truncation voids link back, one to the next, to the last one
  /// that was kept below the range, because a writer links each record to the one it issued before.
  func lastRecord(atOrBelow vdl: LSN, under list: TruncationList) -> LSN? {
    var lsn = status.scl
    while lsn > vdl || list.isVoid(lsn) {
      guard let found = link(at: lsn) else { return nil }
      lsn = found.previousInGroup
    }
    return lsn
  }
}

/// `lsn`, or the lower end of the void range that it lies in.
func clip(_ lsn: LSN, under list: TruncationList) -> LSN {
  guard let last = list.ranges.last, lsn <= last.through else { return lsn }
  for range in list.ranges where range.contains(lsn) { return range.after }
  return lsn
}

/// The end of the volume's kept log, found from the answers of a read quorum of every group: steps 3 to 5 of §5.6.
struct RecoveredChain: Sendable, Equatable {
  /// Volume complete LSN: the volume chain has no hole up to here.
  var vcl: LSN
  /// Volume durable LSN: the last consistency point at or below VCL.
  var vdl: LSN
  /// `tail(g, VDL)` of each group, by number.
  var tails: [LSN]

  /// Why the answers do not suffice although they are read quorums.
  struct Obstacle: Error, Sendable, Equatable {
    var group: Int
    var reason: StaticString
    static func == (lhs: Obstacle, rhs: Obstacle) -> Bool {
      lhs.group == rhs.group && lhs.reason.description == rhs.reason.description
    }
  }

  /// Walks the chain.
  ///
  /// - Parameters:
  ///   - samples: for each group, the answers of members of the rule in force: a read quorum.
  ///   - rules: for each group, whether a subset of its sample (by place in it) is a read quorum by itself.
  ///   - list: the truncation list of the highest epoch among all answers.
  init(
    samples: [[RecoveryAnswer]], list: TruncationList, isReadQuorum: (_ group: Int, _ subset: [NodeID]) -> Bool
  ) throws(Obstacle) {
    // Where the walk begins: a VDL that some writer had, so everything at or below is on write quorums. The lower end of
    // the last void range is one too: a list is sent only after step 6 has put all below it on write quorums.
    var start = list.ranges.last?.after ?? .zero
    for sample in samples {
      for answer in sample { start = max(start, answer.status.knownVDL) }
    }

    // PGCL'(g) is the highest completeness. The segment that has it holds every record of its group in between, so its
    // links alone are walked, from where they begin: above its own known VDL, which is not above `start`.
    var merged: [RecordLink] = []
    for (group, sample) in samples.enumerated() {
      var best: Int?
      for i in sample.indices {
        guard let b = best else {
          best = i
          continue
        }
        let (mine, other) = (sample[i].completeness(under: list), sample[b].completeness(under: list))
        if mine > other || (mine == other && sample[i].linksBegin < sample[b].linksBegin) { best = i }
      }
      guard let best else { throw Obstacle(group: group, reason: "no answer") }
      let pgcl = sample[best].completeness(under: list)
      guard sample[best].linksBegin <= start || pgcl <= start else {
        throw Obstacle(group: group, reason: "the most complete segment's log does not reach down to the known VDL")
      }
      for link in sample[best].links where link.lsn > start && link.lsn <= pgcl && !list.isVoid(link.lsn) {
        merged.append(link)
      }
    }
    if samples.count > 1 { merged.sort { $0.lsn < $1.lsn } }

    vcl = start
    vdl = start
    for link in merged {
      guard link.previousInVolume == vcl else { break }
      vcl = link.lsn
      if link.isConsistencyPoint { vdl = link.lsn }
    }

    tails = []
    tails.reserveCapacity(samples.count)
    for (group, sample) in samples.enumerated() {
      tails.append(
        try RecoveredChain.tail(of: group, sample: sample, vdl: vdl, list: list, isReadQuorum: isReadQuorum))
    }
  }

  /// `tail(g, VDL)` exactly: the next record of the group will link back to it, so a guess would break the chain for ever.
  ///
  /// Each answer names a record that is at or below the tail, the one with SCL at or above the tail names the tail itself.
  /// The highest name is therefore right if one such answer is among those that can name a record at all. Two cases:
  /// - the most complete answer of all can: it holds everything at or below PGCL', hence the tail;
  /// - it cannot, because its SCL is void under a list that it has not heard of and the log below is gone: then the tail
  ///   lies below a void range (a record above the range would make its holder the most complete), so step 6 of the
  ///   recovery that wrote the range put it on a write quorum, which every read quorum meets: those that can name must be one.
  /// Otherwise more answers are awaited.
  private static func tail(
    of group: Int, sample: [RecoveryAnswer], vdl: LSN, list: TruncationList,
    isReadQuorum: (_ group: Int, _ subset: [NodeID]) -> Bool
  ) throws(Obstacle) -> LSN {
    var tail = LSN.zero
    var mostCompleteThatNames: LSN?
    var mostComplete = LSN.zero
    var naming: [NodeID] = []
    for answer in sample {
      let completeness = answer.completeness(under: list)
      mostComplete = max(mostComplete, completeness)
      guard let record = answer.lastRecord(atOrBelow: vdl, under: list) else { continue }
      tail = max(tail, record)
      naming.append(answer.node)
      mostCompleteThatNames = max(mostCompleteThatNames ?? .zero, completeness)
    }
    guard mostCompleteThatNames == mostComplete || isReadQuorum(group, naming) else {
      throw Obstacle(group: group, reason: "no answer names the last kept record")
    }
    return tail
  }
}

extension RecoveryAnswer {
  /// The links hold every record of the segment above here: not above its known VDL unless its log has been cut higher.
  fileprivate var linksBegin: LSN { max(status.knownVDL, status.gcPoint) }
}

extension TruncationList {
  /// The list that a recovery at `epoch` writes: everything found, and above `vdl` all that was ever issued.
  ///
  /// A writer that opened after the last range began above it, before its own VDL had passed it; so the bound is LAL
  /// above the higher of VDL and that range's end, or its LSNs could be given again (I16).
  func extended(above vdl: LSN, allocationLimit: UInt64, epoch: VolumeEpoch) -> TruncationList {
    var result = TruncationList(epoch: epoch, ranges: ranges)
    let through = max(vdl, ranges.last?.through ?? .zero).advanced(by: allocationLimit)
    if let last = ranges.last, vdl <= last.through {
      // Nothing was kept above the last range: the two touch.
      result.ranges[result.ranges.count - 1].through = through
    } else {
      result.ranges.append(LSNRange(after: vdl, through: through))
    }
    return result
  }
}
