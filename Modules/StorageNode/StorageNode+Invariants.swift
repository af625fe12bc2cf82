import BorealisCore
import BorealisStorageBackend
import BorealisWire

extension StorageNode {
  /// What is wrong; empty when all of these hold.
  ///
  /// Numbers are those of the protocol where it has one.
  ///
  /// - I2: epochs in memory are not behind those in the journal; SCL is not below what was acked in this epoch.
  /// - I4: neither SCL nor the known VDL lies in a void range.
  /// - N1: gcPoint ≤ SCL, unless a baseline is being copied.
  /// - N2: islands lie above SCL, in order, and begin after the record that they miss.
  /// - N3: nothing is told to a writer of an older epoch than the one promised.
  /// - N4: staged bytes are those of the staged batches.
  /// - N5: segments are in order; each is of a member, or of one that is on its way out.
  /// - N6: the structures of the store are sound.
  public func checkInvariants() -> [String] {
    var wrong = store.checkInvariants()
    let state = store.state
    if volumeEpoch < state.volumeEpoch, configuration.plantedBug != .forgetEpochOnRestart {
      wrong.append("I2: volume epoch \(volumeEpoch) is behind the journal's \(state.volumeEpoch)")
    }
    if truncation.epoch < state.truncation.epoch, configuration.plantedBug != .forgetTruncationOnRestart {
      wrong.append("I2: truncation list \(truncation.epoch) is behind the journal's \(state.truncation.epoch)")
    }
    if truncation.isVoid(knownVDL) { wrong.append("I4: known VDL \(knownVDL) is void") }
    if stagedBytes != staged.reduce(0, { $0 + $1.bytes }) { wrong.append("N4: \(stagedBytes) bytes staged") }
    for i in segments.indices {
      let s = segments[i]
      if truncation.isVoid(s.scl) { wrong.append("I4: SCL \(s.scl) of \(s.group) is void") }
      if s.scl < s.acked { wrong.append("I2: SCL \(s.scl) of \(s.group) is below \(s.acked), which was acked") }
      if s.gcPoint > s.scl, !s.isHydrating { wrong.append("N1: gcPoint \(s.gcPoint) of \(s.group) above \(s.scl)") }
      var last = s.scl
      for island in s.chain.islands {
        if island.first <= last || island.last < island.first || island.after >= island.first {
          wrong.append("N2: island \(island) of \(s.group), SCL \(s.scl)")
        }
        last = island.first
      }
      if let writer = s.writer, s.writerEpoch < volumeEpoch, configuration.plantedBug != .acceptStaleEpoch {
        wrong.append("N3: \(s.group) acks to \(writer) of epoch \(s.writerEpoch), promised \(volumeEpoch)")
      }
      if i > 0, segments[i - 1].group >= s.group { wrong.append("N5: segments out of order") }
      if s.configuration.index(of: id) == nil, s.configuration.pending == nil {
        wrong.append("N5: \(id) is no member of \(s.group)")
      }
    }
    return wrong
  }

  /// Walks each segment's chain from gcPoint to SCL over the log's index, however long: for tests.
  package mutating func checkChains() throws(StorageBackendError) -> [String] {
    var wrong: [String] = []
    for i in segments.indices where !segments[i].isHydrating {
      entries.removeAll(keepingCapacity: true)
      try store.log.records(
        of: segments[i].group, after: segments[i].gcPoint, through: segments[i].scl, limit: .max, into: &entries)
      var at = segments[i].gcPoint
      for entry in entries where !truncation.isVoid(entry.lsn) {
        if entry.previousInGroup != at {
          wrong.append("N7: \(segments[i].group): \(entry.lsn) links to \(entry.previousInGroup), not to \(at)")
        }
        at = entry.lsn
      }
      if at != segments[i].scl { wrong.append("N7: \(segments[i].group): chain ends at \(at), SCL \(segments[i].scl)") }
    }
    return wrong
  }
}
