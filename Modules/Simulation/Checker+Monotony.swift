import BorealisCore
import BorealisWire

/// I2: VDL, VCL, PGCL, SCL and epochs never go back; VDL is a consistency point.
struct MonotonyChecker {
  private struct Writer {
    var epoch: VolumeEpoch
    var vdl: LSN
    var vcl: LSN
  }
  private var writers: [Writer] = []

  /// Looks at a writer after a step.
  mutating func writer(
    epoch: VolumeEpoch, vdl: LSN, vcl: LSN, base: LSN, ledger: RecordLedger, _ verdicts: inout Verdicts
  ) {
    guard let i = writers.firstIndex(where: { $0.epoch == epoch }) else {
      return writers.append(Writer(epoch: epoch, vdl: vdl, vcl: vcl))
    }
    let before = writers[i]
    verdicts.require(vdl >= before.vdl, .i2, "VDL of epoch \(epoch) went from \(before.vdl) back to \(vdl)")
    verdicts.require(vcl >= before.vcl, .i2, "VCL of epoch \(epoch) went from \(before.vcl) back to \(vcl)")
    verdicts.require(vcl >= vdl, .i2, "VDL \(vdl) of epoch \(epoch) is above VCL \(vcl)")
    if vdl > before.vdl, vdl > base {
      verdicts.require(
        ledger.entry(vdl)?.isConsistencyPoint == true, .i2,
        "VDL \(vdl) of epoch \(epoch) is not the end of a mini-transaction")
    }
    writers[i] = Writer(epoch: epoch, vdl: vdl, vcl: vcl)
  }

  /// Looks at a segment after a step of its node; `wasReleased` tells whether its group has gone on without the node, so
  /// that it may have dropped its segment and made a new one.
  func segment(
    _ node: NodeID, _ group: ProtectionGroupID, _ status: SegmentStatus, fleet: FleetTruth,
    wasReleased: () -> Bool, _ verdicts: inout Verdicts
  ) {
    let hasRot = fleet[node].hasRot
    fleet.update(node, group) { segment in
      let hasSameList = status.truncationEpoch == segment.truncationEpoch
      // A new segment holds nothing of what an earlier one held.
      if !segment.exists || (hasSameList && status.scl < segment.scl && wasReleased()) {
        let ever = segment.highestEver
        segment = SegmentTruth()
        segment.highestEver = ever
      }
      if status.truncationEpoch < segment.truncationEpoch {
        verdicts.require(
          hasRot, .i2,
          "\(node) \(group) went from the truncation list of epoch \(segment.truncationEpoch) back to \(status.truncationEpoch)"
        )
      } else if hasSameList {
        verdicts.require(
          status.scl >= segment.scl || hasRot, .i2,
          "SCL of \(node) \(group) went from \(segment.scl) back to \(status.scl)")
      }
      segment.exists = true
      segment.scl = status.scl
      segment.truncationEpoch = status.truncationEpoch
      segment.highest = max(segment.highest, status.scl)
      segment.highestEver = max(segment.highestEver, status.scl)
    }
  }

  /// A node holds no segment of the group: it may have had one only if the group has gone on without it, or if it had not
  /// yet promised anything when it crashed.
  func absent(
    _ node: NodeID, _ group: ProtectionGroupID, wasReleased: () -> Bool, fleet: FleetTruth, _ verdicts: inout Verdicts
  ) {
    let segment = fleet[node][group]
    guard segment.exists else { return }
    verdicts.require(
      segment.told == .zero || wasReleased(), .i2,
      "\(node) has dropped its segment of \(group), of which it is a member")
    // What it held counts on for those who heard of it, until it holds a new one.
    fleet.update(node, group) { $0.exists = false }
  }

  /// A node says something.
  ///
  /// Answers of some kinds are promises: what they say must be durable.
  func told(
    _ envelope: Envelope, _ bytes: [UInt8], by node: NodeID, fleet: FleetTruth, _ verdicts: inout Verdicts
  ) {
    let before = fleet[node].epochTold
    verdicts.require(
      envelope.volumeEpoch >= before, .i2,
      "\(node) answered at volume epoch \(before) before and speaks now at \(envelope.volumeEpoch)")
    switch envelope.kind {
    case MessageKind.appendAck, MessageKind.prepared, MessageKind.truncated: break
    default: return
    }
    if envelope.volumeEpoch > before { fleet.update(node) { $0.epochTold = envelope.volumeEpoch } }
    let scl = Envelope.lsn(bytes, at: 0)
    let list = envelope.kind == MessageKind.appendAck ? .zero : VolumeEpoch(Envelope.number(bytes, at: 32))
    fleet.update(node, envelope.group) { segment in
      if segment.toldEpoch != segment.truncationEpoch { segment.told = .zero }
      segment.toldEpoch = segment.truncationEpoch
      segment.told = max(segment.told, scl)
      segment.truncationTold = max(segment.truncationTold, list)
    }
  }

  /// A node has recovered from its disk: nothing that it promised may be gone.
  func restarted(
    _ node: NodeID, _ group: ProtectionGroupID, _ status: SegmentStatus, fleet: FleetTruth,
    _ verdicts: inout Verdicts
  ) {
    let truth = fleet[node]
    let before = truth[group]
    let scl = status.scl
    let truncation = status.truncationEpoch
    if !truth.hasRot {
      verdicts.require(
        truncation >= before.truncationTold, .i2,
        "\(node) \(group) forgot the truncation list of epoch \(before.truncationTold) in a restart (now \(truncation))"
      )
      if truncation == before.toldEpoch {
        verdicts.require(
          scl >= before.told, .i2, "\(node) \(group) had told SCL \(before.told) and has \(scl) after a restart")
      }
    }
    fleet.update(node, group) { segment in
      segment.scl = scl
      segment.truncationEpoch = truncation
    }
  }
}
