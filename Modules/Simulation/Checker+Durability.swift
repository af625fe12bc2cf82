import BorealisCore
import BorealisVolume
import BorealisWire

/// I1: an acknowledged commit is never lost, and is acknowledged only when a write quorum holds it durably.
struct DurabilityChecker {
  /// How far each writer said that everything is durable.
  private var durable: [(epoch: VolumeEpoch, vdl: LSN)] = []
  /// The latest completed opening.
  private var opening: (epoch: VolumeEpoch, vdl: LSN) = (.zero, .zero)

  /// The VDL that `epoch`'s writer has reached, as far as anybody saw.
  func vdl(of epoch: VolumeEpoch) -> LSN { durable.first { $0.epoch == epoch }?.vdl ?? .zero }
  /// The highest VDL of any writer.
  var highest: LSN { durable.reduce(opening.vdl) { max($0, $1.vdl) } }

  /// A writer's VDL advanced: a promise.
  ///
  /// `configurations` are the writer's. The promise rests on the rule in force: by that alone an opener reads in a
  /// transition, and by it too after a handover. So a write quorum of it must hold the record now. The coming rule must
  /// have been *met* (M2), but a member that only it names may have dropped its segment since: the writer still counts by
  /// both rules between proposing to take a transition back and seeing that decided, and such a member goes at the former.
  /// Nothing rests on it then, because a transition that is taken back is never resumed without hydrating anew. Where the
  /// coming rule begins to matter, at the handover, `QuorumChecker` wants a write quorum of it that holds everything
  /// announced so far, dropped segments not counted.
  mutating func advanced(
    epoch: VolumeEpoch, to vdl: LSN, configurations: [GroupConfiguration], ledger: RecordLedger, fleet: FleetTruth,
    _ verdicts: inout Verdicts
  ) {
    if let i = durable.firstIndex(where: { $0.epoch == epoch }) {
      durable[i].vdl = max(durable[i].vdl, vdl)
    } else {
      durable.append((epoch, vdl))
    }
    for configuration in configurations {
      let tail = ledger.tail(configuration.group, at: vdl)
      guard tail > .zero else { continue }
      let holders = fleet.holders(configuration, of: tail)
      // What is older than a transition may be on a write quorum of the old rule only, until hydration is over.
      let needsPending = tail > configuration.hydrationTarget
      verdicts.require(
        configuration.rule.isWriteQuorum(holders), .i1,
        "VDL \(vdl) of epoch \(epoch) is announced, but of \(configuration.group) (record \(tail)) only \(holders) hold it"
          + " durably; \(configuration.rule)")
      guard needsPending, let pending = configuration.pending else { continue }
      let former = fleet.formerHolders(configuration, of: tail)
      verdicts.require(
        pending.isWriteQuorum(former), .i1,
        "VDL \(vdl) of epoch \(epoch) is announced, but of \(configuration.group) (record \(tail)) only \(former) ever"
          + " held it durably; pending \(pending)")
    }
    if epoch < opening.epoch, vdl > opening.vdl {
      verdicts.report(
        .i6,
        "the writer of epoch \(epoch) announces VDL \(vdl) although epoch \(opening.epoch) opened at \(opening.vdl)")
    }
  }

  /// A recovery was completed.
  mutating func opened(_ volume: OpenedVolume, oracle: Oracle, fleet: FleetTruth, _ verdicts: inout Verdicts) {
    for promise in durable where promise.epoch < volume.epoch {
      verdicts.require(
        promise.vdl <= volume.vdl, .i1,
        "epoch \(volume.epoch) opened at VDL \(volume.vdl), but epoch \(promise.epoch) had announced \(promise.vdl)")
    }
    let promises = durable
    let lost = oracle.open(epoch: volume.epoch, vdl: volume.vdl) { transaction in
      promises.contains { $0.epoch == transaction.epoch && $0.vdl >= transaction.lsn }
    }
    for transaction in lost {
      verdicts.report(
        .i1,
        "commit \(transaction.lsn) of epoch \(transaction.epoch) was acknowledged and is lost: epoch"
          + " \(volume.epoch) opened at VDL \(volume.vdl)")
    }
    // What is shown to clients must be on a write quorum first, or the next recovery may un-happen it.
    for group in volume.groups {
      let holders = fleet.holders(group.configuration, of: group.tail)
      verdicts.require(
        group.tail == .zero || group.configuration.rule.isWriteQuorum(holders), .i1,
        "epoch \(volume.epoch) opened although of \(group.configuration.group) only \(holders) hold its tail \(group.tail)"
      )
    }
    if volume.epoch > opening.epoch { opening = (volume.epoch, volume.vdl) }
  }

  /// A waiter was woken.
  func acknowledged(_ transaction: Oracle.Transaction, vdl: LSN, _ verdicts: inout Verdicts) {
    verdicts.require(
      transaction.lsn <= vdl, .i1, "the waiter for \(transaction.lsn) was woken at VDL \(vdl)")
    verdicts.require(
      !transaction.isRemoved, .i1,
      "commit \(transaction.lsn) of epoch \(transaction.epoch) is acknowledged although it is void")
  }
}
