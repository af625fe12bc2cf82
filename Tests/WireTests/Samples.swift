import BorealisCore
import BorealisWire

/// One fixed value of every message and record: what the fixture files hold.
///
/// Never change one; add new ones.
enum Samples {
  static let header = MessageHeader(
    volume: VolumeID(0x0102_0304_0506_0708), sender: .instance(7), volumeEpoch: VolumeEpoch(5),
    group: ProtectionGroupID(3), membershipEpoch: MembershipEpoch(9))

  static func record(_ kind: RecordKind) -> [UInt8] {
    var payload: [UInt8] = []
    switch kind {
    case .delta:
      [1, 2, 3].withUnsafeBytesTyped { RecordPayload.appendRange(offset: 16, bytes: $0, to: &payload) }
      [UInt8](repeating: 0xEE, count: 5).withUnsafeBytesTyped {
        RecordPayload.appendRange(offset: 100, bytes: $0, to: &payload)
      }
    case .image: payload = [UInt8](0..<20)
    case .discard: break
    }
    let header = RecordHeader(
      lsn: LSN(1000 + UInt64(kind.rawValue)), previousInVolume: LSN(999), previousInGroup: LSN(990),
      previousOfPage: LSN(900), page: PageID(object: ObjectID(2), index: 77), group: ProtectionGroupID(3),
      epoch: VolumeEpoch(5), kind: kind, isConsistencyPoint: kind != .delta,
      timestamp: kind == .delta ? 0 : 1_700_000_000_000_000_000, payloadSize: payload.count)
    var bytes: [UInt8] = []
    payload.withUnsafeBytesTyped { header.encode(payload: $0, into: &bytes) }
    return bytes
  }
  static let records: [(name: String, bytes: [UInt8])] = [
    ("delta", record(.delta)), ("image", record(.image)), ("discard", record(.discard)),
  ]
  static let batch = RecordBatch(records.flatMap(\.bytes))

  static let status = SegmentStatus(
    scl: LSN(1003), gcPoint: LSN(500), knownVDL: LSN(1001), minReadPoint: LSN(800), truncationEpoch: VolumeEpoch(4),
    usedBytes: 123_456, isDamaged: true)
  static let truncation = TruncationList(
    epoch: VolumeEpoch(4),
    ranges: [LSNRange(after: LSN(100), through: LSN(200)), LSNRange(after: LSN(200), through: LSN(350))])
  static let retention = Retention(
    epoch: VolumeEpoch(4), sequence: 2,
    visible: [LSNRange(after: .zero, through: LSN(600)), LSNRange(after: LSN(700), through: .max)],
    pins: [LSN(550), LSN(720)], floor: LSN(400))

  private static func members(_ nodes: [UInt32]) -> [SegmentMember] {
    nodes.enumerated().map { index, node in
      SegmentMember(node: NodeID(node), zone: ZoneID(UInt8(index / 2 % 3)), kind: index % 2 == 0 ? .full : .tail)
    }
  }
  static let steady = GroupConfiguration(
    group: ProtectionGroupID(0), epoch: MembershipEpoch(1), proposedBy: VolumeEpoch(1),
    members: members([0, 1, 2, 3, 4, 5]),
    rule: QuorumRule(
      write: [[Threshold(4, of: .first(6)), Threshold(3, of: MemberSet(rawValue: 0b010101))]],
      read: [[Threshold(3, of: .first(6)), Threshold(1, of: MemberSet(rawValue: 0b010101))]]),
    geometry: 4)
  static let transition = GroupConfiguration(
    group: ProtectionGroupID(3), epoch: MembershipEpoch(9), proposedBy: VolumeEpoch(5),
    members: members([10, 11, 12, 13, 14, 15, 16]),
    rule: QuorumRule(write: [[Threshold(4, of: .first(6))]], read: [[Threshold(3, of: .first(6))]]),
    pending: QuorumRule(
      write: [[Threshold(4, of: MemberSet(rawValue: 0b1011111))]],
      read: [[Threshold(3, of: MemberSet(rawValue: 0b1011111))]]),
    hydrationTarget: LSN(990))

  static let links = [
    RecordLink(lsn: LSN(1002), previousInVolume: LSN(1001), previousInGroup: LSN(990), isConsistencyPoint: false),
    RecordLink(lsn: LSN(1003), previousInVolume: LSN(1002), previousInGroup: LSN(1002), isConsistencyPoint: true),
  ]
  static let page = PageID(object: ObjectID(2), index: 77)

  /// Every kind of message, in the order of their numbers.
  static let messages: [(name: String, message: Message)] = [
    ("append", .append(vdl: LSN(1000), minReadPoint: LSN(800), batch)),
    ("appendAck", .appendAck(scl: LSN(1003))),
    ("reject", .reject(request: 42, reason: .staleMembershipEpoch, configuration: transition)),
    ("advance", .advance(vdl: LSN(1003), minReadPoint: LSN(900))),
    ("readPage", .readPage(request: 43, page: page, readPoint: LSN(1003), requiredSCL: LSN(1002))),
    ("pageImage", .pageImage(request: 43, lsn: LSN(1002), image: [UInt8](0..<32))),
    ("prepare", .prepare),
    ("prepared", .prepared(status, truncation, retention, transition, links: links)),
    ("truncate", .truncate(truncation, vdl: LSN(1001), tail: LSN(990))),
    ("truncated", .truncated(status)),
    ("catchUp", .catchUp(target: LSN(1001), source: NodeID(12))),
    ("statusRequest", .statusRequest),
    ("status", .status(status)),
    ("inventoryRequest", .inventoryRequest),
    ("inventory", .inventory([steady, transition])),
    ("configure", .configure(transition)),
    ("configured", .configured(steady)),
    ("retain", .retain(retention)),
    ("retained", .retained(Retention())),
    ("gossip", .gossip(status, truncation, configuration: steady, retention: retention)),
    ("pull", .pull(after: LSN(990), through: LSN(1003), limit: 65536)),
    ("records", .records(vdl: LSN(1001), batch)),
    ("pullBaseline", .pullBaseline(cursor: page, baseline: LSN(800), limit: 1 << 20)),
    (
      "baseline",
      .baseline(
        baseline: LSN(800),
        pages: [
          PageVersion(page: page, lsn: LSN(700), image: [1, 2, 3]),
          PageVersion(page: PageID(object: ObjectID(2), index: 78), lsn: LSN(701), image: []),
        ], next: nil)
    ),
    ("fetchPage", .fetchPage(request: 44, page: page, readPoint: LSN(1000))),
    ("attach", .attach),
    (
      "attached",
      .attached(
        vdl: LSN(1003), deadline: 10_000_000_000,
        tails: [
          GroupTail(group: ProtectionGroupID(0), lsn: LSN(10)), GroupTail(group: ProtectionGroupID(3), lsn: LSN(1003)),
        ], configurations: [steady])
    ),
    ("stream", .stream(vdl: LSN(1001), batch)),
    ("vdlAdvanced", .vdlAdvanced(vdl: LSN(1003))),
    ("readPoint", .readPoint(lowest: LSN(800), applied: LSN(1001))),
    ("detached", .detached),
    ("configurations", .configurations([transition])),
    ("readPages", .readPages(request: 45, page: page, count: 32, readPoint: LSN(1003), requiredSCL: LSN(1002))),
    ("pageRun", .pageRun(request: 45, PageRun([(LSN(1002), [UInt8](0..<32)), (.zero, []), (LSN(7), [9])]))),
  ]
}
