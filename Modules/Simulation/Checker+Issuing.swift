import BorealisCore
import BorealisWire

/// I5: no LSN above VDL + LAL is issued.
///
/// The void range of the last recovery does not count.
struct AllocationLimitChecker {
  let allocationLimit: UInt64

  /// A writer that stood at `vdl` issued LSNs up to `lsn`; it was opened with `firstLSN`.
  func issued(_ lsn: LSN, vdl: LSN, firstLSN: LSN, epoch: VolumeEpoch, _ verdicts: inout Verdicts) {
    let base = max(vdl, LSN(firstLSN.value == 0 ? 0 : firstLSN.value - 1))
    verdicts.require(
      lsn <= base.advanced(by: allocationLimit), .i5,
      "epoch \(epoch) issues LSN \(lsn) at VDL \(vdl) (first LSN \(firstLSN), LAL \(allocationLimit))")
  }
}

/// I16: the first LSN after a recovery is above every LSN ever issued; so the LSNs of epochs do not interleave.
struct FreshLSNChecker {
  private var epochs: [(epoch: VolumeEpoch, low: LSN, high: LSN)] = []

  /// A writer issued the LSNs from `first` to `last`.
  mutating func issued(first: LSN, last: LSN, epoch: VolumeEpoch, _ verdicts: inout Verdicts) {
    for other in epochs where other.epoch != epoch {
      let fine = other.epoch < epoch ? first > other.high : last < other.low
      verdicts.require(
        fine, .i16,
        "epoch \(epoch) issues \(first)...\(last), epoch \(other.epoch) issued \(other.low)...\(other.high)")
    }
    if let i = epochs.firstIndex(where: { $0.epoch == epoch }) {
      verdicts.require(first > epochs[i].high, .i16, "epoch \(epoch) issues LSN \(first) again")
      epochs[i].high = max(epochs[i].high, last)
    } else {
      epochs.append((epoch, first, last))
    }
  }
}

/// I17: at most one writer gets acknowledgements at any volume epoch.
struct SingleWriterChecker {
  private var owners: [(epoch: VolumeEpoch, peer: PeerID)] = []

  /// An instance sends records at `epoch`.
  mutating func sent(by peer: PeerID, epoch: VolumeEpoch, _ verdicts: inout Verdicts) {
    if let owner = owners.last, owner.epoch == epoch, owner.peer == peer { return }
    if let owner = owners.first(where: { $0.epoch == epoch }) {
      verdicts.require(owner.peer == peer, .i17, "both \(owner.peer) and \(peer) write at epoch \(epoch)")
    } else {
      owners.append((epoch, peer))
    }
  }
}
