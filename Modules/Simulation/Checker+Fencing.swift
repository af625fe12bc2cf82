import BorealisCore
import BorealisVolume
import BorealisWire

/// I6: after Prepare(e') on a read quorum no append of an older epoch reaches a write quorum.
struct FencingChecker {
  /// A node that had promised `promised` was given an append of `epoch`, and made work for its log of it or acked it.
  func took(_ epoch: VolumeEpoch, promised: VolumeEpoch, by node: NodeID, _ verdicts: inout Verdicts) {
    verdicts.require(
      epoch >= promised, .i6, "\(node) promised epoch \(promised) and took an append of epoch \(epoch)")
  }

  /// A recovery was completed: a read quorum of each group must have promised its epoch.
  func opened(_ volume: OpenedVolume, fleet: FleetTruth, _ verdicts: inout Verdicts) {
    guard !volume.isNew else { return }
    for group in volume.groups {
      let promised = fleet.promised(group.configuration, volume.epoch)
      verdicts.require(
        group.configuration.isReadQuorum(promised), .i6,
        "epoch \(volume.epoch) opened although of \(group.configuration.group) only \(promised) promised it")
    }
  }
}
