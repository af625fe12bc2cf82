import BorealisCore
import BorealisWire

/// I9: a segment serves a read only if PGMRPL <= P and SCL >= tail(g, P), and serves what the oracle says.
struct SegmentReadChecker {
  /// A read that an instance asked a node for.
  struct Request {
    var instance: PeerID
    var node: NodeID
    var id: UInt64
    var page: PageID
    var readPoint: LSN
    var group: ProtectionGroupID
  }
  private var requests: [Request] = []
  private static let requestsMax = 512

  /// An instance asks a node for a page.
  mutating func asked(_ request: Request) {
    if requests.count >= Self.requestsMax { requests.removeFirst(Self.requestsMax / 2) }
    requests.append(request)
  }
  /// The request that an answer belongs to.
  func request(of instance: PeerID, at node: NodeID, id: UInt64) -> Request? {
    requests.last { $0.id == id && $0.node == node && $0.instance == instance }
  }
  /// A node answers with a page; `status` is what it held when answering.
  func served(
    _ request: Request, lsn: LSN, image: [UInt8], status: SegmentStatus?, oracle: Oracle, ledger: RecordLedger,
    _ verdicts: inout Verdicts
  ) {
    let tail = ledger.tail(request.group, at: request.readPoint)
    if let status {
      verdicts.require(
        status.scl >= tail, .i9,
        "\(request.node) serves \(request.page) at \(request.readPoint) with SCL \(status.scl) below the tail \(tail)")
      verdicts.require(
        status.minReadPoint <= request.readPoint, .i9,
        "\(request.node) serves \(request.page) at \(request.readPoint) below its PGMRPL \(status.minReadPoint)")
    }
    verdicts.require(
      lsn <= request.readPoint, .i9,
      "\(request.node) serves \(request.page) at \(request.readPoint) with the later record \(lsn)")
    guard let index = oracle.index(of: request.page) else { return }
    image.withUnsafeBytes { raw in
      verdicts.require(
        oracle.matches(index, at: request.readPoint, raw), .i9,
        "\(request.node) serves \(request.page) at \(request.readPoint) (LSN \(lsn)) wrongly: "
          + oracle.explain(index, raw, expected: request.readPoint))
    }
  }
}

/// I10: a read at a live read point never fails for age and never differs.
struct ReadPointChecker {
  /// A read at a read point that is held open failed because versions are gone.
  func tooOld(_ page: PageID, at point: LSN, by instance: PeerID, _ verdicts: inout Verdicts) {
    verdicts.report(.i10, "\(instance) holds read point \(point) and is refused page \(page): versions are gone")
  }
  /// A read at a read point that is held open succeeded.
  func completed(
    _ page: Int, at point: LSN, by instance: PeerID, _ bytes: [UInt8], oracle: Oracle, _ verdicts: inout Verdicts
  ) {
    bytes.withUnsafeBytes { raw in
      verdicts.require(
        oracle.matches(page, at: point, raw), .i10,
        "\(instance) holds read point \(point) and reads page \(oracle.page(page)) wrongly: "
          + oracle.explain(page, raw, expected: point))
    }
  }
}

/// I11: a page leaves the writer's cache only when its changes are durable: the head always reads as written.
struct HeadReadChecker {
  /// A writer of `epoch`, opened at `base`, reads a page at its head.
  func completed(
    _ page: Int, base: LSN, epoch: VolumeEpoch, _ bytes: UnsafeRawBufferPointer, how: String, oracle: Oracle,
    _ verdicts: inout Verdicts
  ) {
    completed(
      page, base: base, epoch: epoch, taken: oracle.transactions.count, bytes, how: how, oracle: oracle, &verdicts)
  }
  /// The same for a read that took time: it began when there were `taken` mini-transactions.
  func completed(
    _ page: Int, base: LSN, epoch: VolumeEpoch, taken: Int, _ bytes: UnsafeRawBufferPointer, how: String,
    oracle: Oracle, _ verdicts: inout Verdicts
  ) {
    verdicts.require(
      oracle.matchesHead(page, base: base, epoch: epoch, taken: taken, bytes), .i11,
      "the writer of epoch \(epoch) reads page \(oracle.page(page)) at its head (\(how)) wrongly: "
        + oracle.explain(page, bytes, expected: .max))
  }
}

/// I8: a reader shows whole mini-transactions at or below VDL only.
struct ReaderViewChecker {
  /// Looks at how far a reader shows; `durable` is the highest VDL of any writer.
  func applied(_ vdl: LSN, by reader: PeerID, durable: LSN, ledger: RecordLedger, _ verdicts: inout Verdicts) {
    verdicts.require(vdl <= durable, .i8, "reader \(reader) shows \(vdl), VDL is \(durable)")
  }
  /// A page as the reader shows it at `point`.
  func shows(
    _ page: Int, lsn: LSN, at point: LSN, by reader: PeerID, how: String, _ bytes: UnsafeRawBufferPointer,
    oracle: Oracle, _ verdicts: inout Verdicts
  ) {
    verdicts.require(
      lsn <= point, .i8, "reader \(reader) shows page \(oracle.page(page)) with LSN \(lsn) at \(point) (\(how))")
    verdicts.require(
      oracle.matches(page, at: point, bytes), .i8,
      "reader \(reader) shows page \(oracle.page(page)) at \(point) (\(how)) wrongly: "
        + oracle.explain(page, bytes, expected: point))
  }
  /// A page as the reader showed it some time between two of its positions.
  func shows(
    _ page: Int, lsn: LSN, from low: LSN, through high: LSN, by reader: PeerID, _ bytes: UnsafeRawBufferPointer,
    oracle: Oracle, _ verdicts: inout Verdicts
  ) {
    verdicts.require(
      lsn <= high, .i8, "reader \(reader) shows page \(oracle.page(page)) with LSN \(lsn) at \(high) (read)")
    verdicts.require(
      oracle.matches(page, from: low, through: high, bytes), .i8,
      "reader \(reader) shows page \(oracle.page(page)) at \(low)...\(high) (read) wrongly: "
        + oracle.explain(page, bytes, expected: high))
  }
}
