import BorealisCore
import BorealisWire

extension VolumeWriter {
  /// What the writer has done so far, and what it holds.
  public var statistics: VolumeWriterStatistics {
    var s = counters
    s.evictions = cache.evictions
    s.readsHedged = reads.hedges
    s.waiters = waiters.count
    s.recordsInFlight = outstanding.count
    s.bytesInFlight = bytesInFlight
    s.readers = readers.count
    s.cachedPages = cache.count
    s.groups = groups.count
    s.extents = catalog.mappedCount
    return s
  }

  /// Which invariants do not hold, by number; empty when all do.
  ///
  /// Costs as much as there is in flight.
  public func checkInvariants() -> [String] {
    var problems: [String] = []
    if !(minReadPoint <= vdl && vdl <= vcl) {
      problems.append("I2: PGMRPL \(minReadPoint) <= VDL \(vdl) <= VCL \(vcl) does not hold")
    }
    if lastRecord > allocationBound { problems.append("I5: LSN \(lastRecord) issued above \(allocationBound)") }
    if let lowest = readPoints.lowest, lowest < minReadPoint {
      problems.append("I10: PGMRPL \(minReadPoint) has passed the read point \(lowest)")
    }
    for reader in readers where reader.lowest < minReadPoint {
      problems.append("I10: PGMRPL \(minReadPoint) has passed reader \(reader.peer) at \(reader.lowest)")
    }
    checkQueue(&problems)
    for group in groups {
      let name = group.configuration.group
      if group.pgcl > group.lastIssued { problems.append("\(name): PGCL \(group.pgcl) above the last LSN issued") }
      var set = MemberSet()
      for i in group.scls.indices where group.scls[i] >= group.pgcl { set.insert(MemberSet(member: i)) }
      if group.pgcl > .zero, group.tail.current < group.pgcl, !group.quorum.isWriteQuorum(set),
        group.configuration.pending == nil
      {
        problems.append("\(name): PGCL \(group.pgcl) without a write quorum: \(set)")
      }
      problems += group.checkBatches()
      if (group.open.isEmpty && group.queued == 0) != (group.lastSent == group.lastIssued) {
        problems.append("\(name): open batch and last LSN sent \(group.lastSent) do not agree")
      }
    }
    problems += cache.checkInvariants(lastIssued: lastRecord)
    problems += catalog.checkInvariants()
    if !waiters.isOrdered { problems.append("waiters are out of order") }
    if let lowest = waiters.lowest, lowest <= vdl {
      problems.append("a waiter for LSN \(lowest) was not woken at \(vdl)")
    }
    if unsealed != nil { problems.append("a record was left unsealed") }
    return problems
  }
  private func checkQueue(_ problems: inout [String]) {
    var bytes = 0
    var previous = vdl
    var isEndOfTransaction = false
    for i in 0..<outstanding.count {
      let record = outstanding[i]
      bytes += record.size
      if record.lsn <= previous { problems.append("queue: LSN \(record.lsn) after \(previous)") }
      if i > 0, record.lsn.value != previous.value + 1 { problems.append("queue: LSN \(record.lsn) after \(previous)") }
      previous = record.lsn
      isEndOfTransaction = record.isConsistencyPoint
      let isCovered = record.lsn <= groups[Int(record.group)].pgcl
      if i < coveredCount, !isCovered { problems.append("VCL \(vcl) covers LSN \(record.lsn), which has no quorum") }
      if i == coveredCount, isCovered {
        problems.append("VCL \(vcl) stops before LSN \(record.lsn), which has a quorum")
      }
      if i < coveredCount, record.isConsistencyPoint { problems.append("VDL \(vdl) stops before \(record.lsn)") }
    }
    if !outstanding.isEmpty, !isEndOfTransaction { problems.append("queue: the last record is no consistency point") }
    if bytes != bytesInFlight { problems.append("queue: \(bytes) bytes in flight, not \(bytesInFlight)") }
    if outstanding.isEmpty, vdl < lastRecord { problems.append("queue: empty, but VDL \(vdl) < \(lastRecord)") }
  }
}
