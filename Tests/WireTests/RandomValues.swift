import BorealisCore
import BorealisWire

/// Random but well-formed values of every type on the wire.
struct RandomValues {
  var g: DeterministicGenerator

  mutating func u64() -> UInt64 {
    switch g.index(5) {
    case 0: g.below(4)
    case 1: .max - g.below(3)
    default: g.next() >> g.below(60)
    }
  }
  mutating func u32() -> UInt32 { UInt32(truncatingIfNeeded: u64()) }
  mutating func lsn() -> LSN { LSN(u64()) }
  mutating func bytes(_ most: Int) -> [UInt8] {
    (0..<g.index(most + 1)).map { _ in UInt8(truncatingIfNeeded: g.next()) }
  }
  mutating func page() -> PageID { PageID(object: ObjectID(u64()), index: u64()) }
  mutating func ascending(_ most: Int) -> [LSN] {
    Array(Set((0..<g.index(most + 1)).map { _ in u64() })).sorted().map { LSN($0) }
  }
  mutating func ranges() -> [LSNRange] {
    let bounds = ascending(8)
    return stride(from: 0, to: bounds.count - 1, by: 2).map { LSNRange(after: bounds[$0], through: bounds[$0 + 1]) }
  }
  mutating func truncation() -> TruncationList { TruncationList(epoch: VolumeEpoch(u32()), ranges: ranges()) }
  mutating func retention() -> Retention {
    Retention(epoch: VolumeEpoch(u32()), sequence: u32(), visible: ranges(), pins: ascending(5), floor: lsn())
  }
  mutating func status() -> SegmentStatus {
    SegmentStatus(
      scl: lsn(), gcPoint: lsn(), knownVDL: lsn(), minReadPoint: lsn(), truncationEpoch: VolumeEpoch(u32()),
      usedBytes: u64(), isDamaged: g.chance(1, in: 2))
  }
  mutating func rule(_ count: Int) -> QuorumRule {
    func clauses(_ g: inout DeterministicGenerator) -> [[Threshold]] {
      (0...g.index(3)).map { _ in
        (0...g.index(3)).map { _ in
          var set = MemberSet(rawValue: UInt16(truncatingIfNeeded: g.next())).intersection(.first(count))
          if set.isEmpty { set = .first(1) }
          return Threshold(1 + g.index(set.count), of: set)
        }
      }
    }
    return QuorumRule(write: clauses(&g), read: clauses(&g))
  }
  mutating func configuration() -> GroupConfiguration {
    let count = 1 + g.index(GroupConfiguration.membersMax)
    let first = UInt32(truncatingIfNeeded: g.next() >> 33)
    let members = (0..<count).map { i in
      SegmentMember(
        node: NodeID(first &+ UInt32(i)), zone: ZoneID(UInt8(truncatingIfNeeded: g.next())),
        kind: g.chance(1, in: 2) ? .full : .tail)
    }
    return GroupConfiguration(
      group: ProtectionGroupID(u32()), epoch: MembershipEpoch(u32()), proposedBy: VolumeEpoch(u32()),
      members: members, rule: rule(count), pending: g.chance(1, in: 2) ? rule(count) : nil, hydrationTarget: lsn(),
      geometry: u32())
  }
  mutating func configurations() -> [GroupConfiguration] { (0..<g.index(4)).map { _ in configuration() } }
  mutating func payload(_ kind: RecordKind, pageSize: Int) -> [UInt8] {
    switch kind {
    case .discard: return []
    case .image: return bytes(min(pageSize, 60))
    case .delta:
      var result: [UInt8] = []
      var at = g.index(pageSize / 4)
      repeat {
        let length = 1 + g.index(min(16, pageSize - at))
        let bytes = (0..<length).map { _ in UInt8(truncatingIfNeeded: g.next()) }
        bytes.withUnsafeBytesTyped { RecordPayload.appendRange(offset: at, bytes: $0, to: &result) }
        at += length + g.index(64)
      } while at < pageSize && g.chance(1, in: 2)
      return result
    }
  }
  mutating func record(pageSize: Int = 512) -> [UInt8] {
    let kind = [RecordKind.delta, .image, .discard][g.index(3)]
    let payload = payload(kind, pageSize: pageSize)
    let links = [g.next() >> 1, g.next() >> 1, g.next() >> 1].sorted()
    let header = RecordHeader(
      lsn: LSN(links[2] + 1 + g.below(100)), previousInVolume: LSN(links[2]), previousInGroup: LSN(links[1]),
      previousOfPage: LSN(links[0]), page: page(), group: ProtectionGroupID(u32()), epoch: VolumeEpoch(u32()),
      kind: kind, isConsistencyPoint: g.chance(1, in: 2), timestamp: u64(), payloadSize: payload.count)
    var result: [UInt8] = []
    payload.withUnsafeBytesTyped { header.encode(payload: $0, into: &result) }
    return result
  }
  mutating func batch() -> RecordBatch { RecordBatch((0..<g.index(4)).flatMap { _ in record() }) }
  mutating func header() -> MessageHeader {
    MessageHeader(
      volume: VolumeID(u64()), sender: PeerID(rawValue: u64()), volumeEpoch: VolumeEpoch(u32()),
      group: ProtectionGroupID(u32()), membershipEpoch: MembershipEpoch(u32()))
  }

  mutating func message(kind: UInt8) -> Message {
    switch kind {
    case 1: return .append(vdl: lsn(), minReadPoint: lsn(), batch())
    case 2: return .appendAck(scl: lsn())
    case 3:
      return .reject(
        request: u64(), reason: RejectReason(rawValue: UInt8(1 + g.index(11))) ?? .busy,
        configuration: g.chance(1, in: 2) ? configuration() : nil)
    case 4: return .advance(vdl: lsn(), minReadPoint: lsn())
    case 5: return .readPage(request: u64(), page: page(), readPoint: lsn(), requiredSCL: lsn())
    case 6: return .pageImage(request: u64(), lsn: lsn(), image: bytes(100))
    case 7: return .prepare
    case 8:
      let links = ascending(5).map {
        RecordLink(lsn: $0, previousInVolume: lsn(), previousInGroup: lsn(), isConsistencyPoint: g.chance(1, in: 2))
      }
      return .prepared(status(), truncation(), retention(), configuration(), links: links)
    case 9: return .truncate(truncation(), vdl: lsn(), tail: lsn())
    case 10: return .truncated(status())
    case 11: return .catchUp(target: lsn(), source: NodeID(u32()))
    case 12: return .statusRequest
    case 13: return .status(status())
    case 14: return .inventoryRequest
    case 15: return .inventory(configurations())
    case 16: return .configure(configuration())
    case 17: return .configured(configuration())
    case 18: return .retain(retention())
    case 19: return .retained(retention())
    case 20: return .gossip(status(), truncation(), configuration: configuration(), retention: retention())
    case 21: return .pull(after: lsn(), through: lsn(), limit: u32())
    case 22: return .records(vdl: lsn(), batch())
    case 23: return .pullBaseline(cursor: g.chance(1, in: 2) ? page() : nil, baseline: lsn(), limit: u32())
    case 24:
      let pages = (0..<g.index(4)).map { _ in PageVersion(page: page(), lsn: lsn(), image: bytes(30)) }
      return .baseline(baseline: lsn(), pages: pages, next: g.chance(1, in: 2) ? page() : nil)
    case 25: return .fetchPage(request: u64(), page: page(), readPoint: lsn())
    case 26: return .attach
    case 27:
      let tails = (0..<g.index(4)).map { _ in GroupTail(group: ProtectionGroupID(u32()), lsn: lsn()) }
      return .attached(vdl: lsn(), deadline: u64(), tails: tails, configurations: configurations())
    case 28: return .stream(vdl: lsn(), batch())
    case 29: return .vdlAdvanced(vdl: lsn())
    case 30: return .readPoint(lowest: lsn(), applied: lsn())
    case 31: return .detached
    case 32: return .configurations(configurations())
    case 33:
      return .readPages(request: u64(), page: page(), count: u32(), readPoint: lsn(), requiredSCL: lsn())
    default:
      return .pageRun(request: u64(), PageRun((0..<g.index(4)).map { _ in (lsn(), bytes(60)) }))
    }
  }
}
