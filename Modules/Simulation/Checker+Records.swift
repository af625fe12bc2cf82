import BorealisCore
import BorealisWire

/// I3: two records with the same LSN are byte for byte the same.
///
/// Also fills the ledger.
struct RecordIdentityChecker {
  private var lastBatch: UInt64 = 0

  /// Records that a writer sends.
  ///
  /// The same bytes to several members are looked at once.
  mutating func sent(
    _ batch: RecordBatch, messageSum: UInt64, ledger: RecordLedger, _ verdicts: inout Verdicts,
    fresh: (RecordHeader, inout Verdicts) -> Void
  ) {
    guard messageSum != lastBatch else { return }
    lastBatch = messageSum
    var found: [(RecordHeader, UInt32)] = []
    do throws(DecodeError) {
      try batch.forEach(verifying: false) { header, bytes in
        found.append((header, UInt32(littleEndian: bytes.loadUnaligned(as: UInt32.self))))
      }
    } catch {
      return verdicts.report(.i3, "a writer sends a malformed batch: \(error)")
    }
    for (header, sum) in found {
      if let known = ledger.insert(header, checksum: sum) {
        verdicts.require(
          known.checksum == sum && known.epoch == header.epoch, .i3,
          "LSN \(header.lsn) was issued by epoch \(known.epoch) and differently by epoch \(header.epoch)")
      } else {
        fresh(header, &verdicts)
      }
    }
  }

  /// Records that a node hands to a peer.
  func handedOver(
    _ batch: RecordBatch, by node: NodeID, hasRot: Bool, ledger: RecordLedger, _ verdicts: inout Verdicts
  ) {
    do throws(DecodeError) {
      try batch.forEach(verifying: true) { header, bytes in
        let sum = UInt32(littleEndian: bytes.loadUnaligned(as: UInt32.self))
        guard let known = ledger.entry(header.lsn) else {
          return verdicts.report(.i3, "\(node) hands over record \(header.lsn), which nobody issued")
        }
        verdicts.require(known.checksum == sum, .i3, "\(node) hands over another record \(header.lsn) than was issued")
      }
    } catch {
      verdicts.report(.i3, "\(node) hands over a malformed batch: \(error)")
    }
  }
}

/// I4: a void record is never served, nor counted into an SCL.
struct VoidRecordChecker {
  /// A node states an SCL, holding the truncation list of `epoch`.
  func counted(
    _ scl: LSN, by node: NodeID, _ group: ProtectionGroupID, holding epoch: VolumeEpoch, ledger: RecordLedger,
    _ verdicts: inout Verdicts
  ) {
    guard epoch >= ledger.void.epoch, ledger.isVoid(scl) else { return }
    verdicts.report(.i4, "\(node) \(group) counts the void record \(scl) into its SCL (list of epoch \(epoch))")
  }
  /// A node that holds `list` names records to a recovery.
  func listed(_ links: [RecordLink], under list: TruncationList, by node: NodeID, _ verdicts: inout Verdicts) {
    for link in links where list.isVoid(link.lsn) {
      verdicts.report(.i4, "\(node) names the void record \(link.lsn) to a recovery (list of epoch \(list.epoch))")
    }
  }
  /// A node that holds the list of `epoch` hands records to a peer.
  func handedOver(
    _ batch: RecordBatch, by node: NodeID, holding epoch: VolumeEpoch, ledger: RecordLedger,
    _ verdicts: inout Verdicts
  ) {
    guard epoch >= ledger.void.epoch, !ledger.void.ranges.isEmpty else { return }
    let headers = (try? batch.headers()) ?? []
    for header in headers where ledger.isVoid(header.lsn) {
      verdicts.report(.i4, "\(node) hands over the void record \(header.lsn) (list of epoch \(epoch))")
    }
  }
  /// A node serves a page whose newest change is `lsn`.
  func served(_ lsn: LSN, of page: PageID, by node: NodeID, ledger: RecordLedger, _ verdicts: inout Verdicts) {
    guard ledger.isVoid(lsn) else { return }
    verdicts.report(.i4, "\(node) serves page \(page) with the void record \(lsn)")
  }
}
