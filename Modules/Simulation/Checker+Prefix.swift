import BorealisCore

/// Who reads a whole database sees the state after one transaction: a prefix of what was committed.
///
/// It judges by what the pages say of themselves, and knows nothing of records and LSNs but where they end.
struct PrefixChecker {
  /// A snapshot of the whole database was read.
  ///
  /// `floor` is the transaction that it must contain: acknowledged, or seen by the same reader, before it began.
  /// `shown` is what the same snapshot showed before. Returns the transaction.
  func completed(
    _ pages: [[UInt8]], at point: LSN, by instance: PeerID, floor: Int, shown: Int?, durable: LSN, model: DatabaseModel,
    oracle: Oracle, _ verdicts: inout Verdicts
  ) -> Int? {
    let number: Int
    switch model.judge(pages) {
    case .success(let found): number = found
    case .failure(let fault):
      verdicts.report(.prefix, "\(instance) reads the database at \(point), and it is torn: \(fault)")
      return nil
    }
    let transaction = model.transactions[number]
    let name = "\(instance) at \(point) sees the database after transaction \(number) (\(transaction.lsn))"
    verdicts.require(
      model.contains(floor, in: number), .prefix,
      "\(name), without transaction \(floor) (\(model.transactions[floor].lsn)), which was acknowledged or seen before")
    verdicts.require(shown ?? number == number, .prefix, "\(name), and saw it after \(shown ?? 0) before")
    verdicts.require(transaction.lsn <= durable, .prefix, "\(name), but only \(durable) is durable")
    verdicts.require(
      number == 0 || !oracle.transactions[transaction.oracleNumber].isRemoved, .prefix,
      "\(name), which a recovery has taken away")
    model.see(number)
    return number
  }

  /// A transaction begins: a page of the head, as the writer of `head` left it.
  func readsHead(
    _ page: Int, _ bytes: [UInt8], by instance: PeerID, head: Int, model: DatabaseModel, _ verdicts: inout Verdicts
  ) {
    guard let fault = model.judge(page, bytes, after: head) else { return }
    verdicts.report(.prefix, "\(instance) reads its head after transaction \(head): \(fault)")
  }

  /// A writer has opened the volume: what somebody saw, or was told, is still there.
  ///
  /// `epoch` is that of the writer: one that opens late, and is fenced already, knows nothing of its successors.
  func opened(
    by instance: PeerID, epoch: VolumeEpoch, head: Int, model: DatabaseModel, oracle: Oracle,
    _ verdicts: inout Verdicts
  ) {
    for (number, transaction) in model.transactions.enumerated() where number > 0 {
      let known = oracle.transactions[transaction.oracleNumber]
      let isAcknowledged = known.isAcknowledged
      guard known.epoch < epoch, isAcknowledged || transaction.isSeen, !model.contains(number, in: head) else {
        continue
      }
      verdicts.report(
        .prefix,
        "\(instance) opens the database after transaction \(head), without transaction \(number) (\(transaction.lsn)),"
          + " which was \(isAcknowledged ? "acknowledged" : "seen")")
    }
  }
}
