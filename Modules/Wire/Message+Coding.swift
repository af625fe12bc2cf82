public import BorealisCore

// Envelope: 0 magic "BRL1" | 4 version | 5 kind | 6 zero u16 | 8 length | 12 crc32c(0..<12, 16..<length) | 16 volume
// | 24 sender | 32 volume epoch | 36 group | 40 membership epoch | 44 zero u32 | 48 body.

private let magic: UInt32 = 0x314C_5242
private let version: UInt8 = 1

extension Message {
  /// The byte that names the kind of message on the wire.
  public var kind: UInt8 {
    switch self {
    case .append: 1
    case .appendAck: 2
    case .reject: 3
    case .advance: 4
    case .readPage: 5
    case .pageImage: 6
    case .prepare: 7
    case .prepared: 8
    case .truncate: 9
    case .truncated: 10
    case .catchUp: 11
    case .statusRequest: 12
    case .status: 13
    case .inventoryRequest: 14
    case .inventory: 15
    case .configure: 16
    case .configured: 17
    case .retain: 18
    case .retained: 19
    case .gossip: 20
    case .pull: 21
    case .records: 22
    case .pullBaseline: 23
    case .baseline: 24
    case .fetchPage: 25
    case .attach: 26
    case .attached: 27
    case .stream: 28
    case .vdlAdvanced: 29
    case .readPoint: 30
    case .detached: 31
    case .configurations: 32
    case .readPages: 33
    case .pageRun: 34
    }
  }

  /// The whole message as bytes.
  public func encoded(_ header: MessageHeader) -> [UInt8] {
    var b = Message.begin(kind: kind, header, capacity: 64)
    encodeBody(into: &b)
    Message.seal(&b)
    return b
  }

  /// Begins a message's bytes: the envelope, whose length and checksum `seal` fills in.
  public static func begin(kind: UInt8, _ h: MessageHeader, capacity: Int) -> [UInt8] {
    var b: [UInt8] = []
    b.reserveCapacity(MessageHeader.encodedSize + capacity)
    b.appendInteger(magic)
    b.append(version)
    b.append(kind)
    b.appendInteger(UInt16(0))
    b.appendInteger(UInt64(0))
    b.appendInteger(h.volume.value)
    b.appendInteger(h.sender.value)
    b.appendInteger(h.volumeEpoch.value)
    b.appendInteger(h.group.value)
    b.appendInteger(h.membershipEpoch.value)
    b.appendInteger(UInt32(0))
    return b
  }

  /// Fills in length and checksum.
  public static func seal(_ b: inout [UInt8]) {
    b.storeInteger(UInt32(b.count), at: 8)
    let sum = b.withUnsafeBytes { checksum($0) }
    b.storeInteger(sum, at: 12)
  }

  /// Of everything but the checksum itself: the kind too, since several kinds have bodies of one shape.
  private static func checksum(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
    let start = CRC32C.checksum(UnsafeRawBufferPointer(rebasing: bytes[..<12]))
    return CRC32C.checksum(UnsafeRawBufferPointer(rebasing: bytes[16...]), seed: start)
  }

  private func encodeBody(into b: inout [UInt8]) {
    switch self {
    case .append(let vdl, let minReadPoint, let batch):
      b.append(vdl)
      b.append(minReadPoint)
      b.append(contentsOf: batch.bytes[batch.range])
    case .appendAck(let scl): b.append(scl)
    case .reject(let request, let reason, let configuration):
      b.appendInteger(request)
      b.append(reason.rawValue)
      b.append(configuration == nil ? 0 : 1)
      configuration?.encode(into: &b)
    case .advance(let vdl, let minReadPoint):
      b.append(vdl)
      b.append(minReadPoint)
    case .readPage(let request, let page, let readPoint, let requiredSCL):
      b.appendInteger(request)
      page.encode(into: &b)
      b.append(readPoint)
      b.append(requiredSCL)
    case .pageImage(let request, let lsn, let image):
      b.appendInteger(request)
      b.append(lsn)
      b.append(contentsOf: image)
    case .readPages(let request, let page, let count, let readPoint, let requiredSCL):
      b.appendInteger(request)
      page.encode(into: &b)
      b.appendInteger(count)
      b.append(readPoint)
      b.append(requiredSCL)
    case .pageRun(let request, let run):
      b.appendInteger(request)
      b.appendInteger(UInt32(run.count))
      b.append(contentsOf: run.bytes[run.range])
    case .prepare, .statusRequest, .inventoryRequest, .attach, .detached: break
    case .prepared(let status, let list, let retention, let configuration, let links):
      status.encode(into: &b)
      list.encode(into: &b)
      retention.encode(into: &b)
      configuration.encode(into: &b)
      b.appendInteger(UInt32(links.count))
      for link in links {
        b.append(link.lsn)
        b.append(link.previousInVolume)
        b.append(link.previousInGroup)
        b.append(link.isConsistencyPoint ? 1 : 0)
      }
    case .truncate(let list, let vdl, let tail):
      list.encode(into: &b)
      b.append(vdl)
      b.append(tail)
    case .truncated(let status), .status(let status): status.encode(into: &b)
    case .catchUp(let target, let source):
      b.append(target)
      b.appendInteger(source.value)
    case .inventory(let configurations), .configurations(let configurations):
      b.appendInteger(UInt32(configurations.count))
      for c in configurations { c.encode(into: &b) }
    case .configure(let configuration), .configured(let configuration): configuration.encode(into: &b)
    case .retain(let retention), .retained(let retention): retention.encode(into: &b)
    case .gossip(let status, let list, let configuration, let retention):
      status.encode(into: &b)
      list.encode(into: &b)
      configuration.encode(into: &b)
      retention.encode(into: &b)
    case .pull(let after, let through, let limit):
      b.append(after)
      b.append(through)
      b.appendInteger(limit)
    case .records(let vdl, let batch), .stream(let vdl, let batch):
      b.append(vdl)
      b.append(contentsOf: batch.bytes[batch.range])
    case .pullBaseline(let cursor, let baseline, let limit):
      encodeOptional(cursor, into: &b)
      b.append(baseline)
      b.appendInteger(limit)
    case .baseline(let baseline, let pages, let next):
      b.append(baseline)
      encodeOptional(next, into: &b)
      b.appendInteger(UInt32(pages.count))
      for p in pages {
        p.page.encode(into: &b)
        b.append(p.lsn)
        b.appendInteger(UInt32(p.image.count))
        b.append(contentsOf: p.image)
      }
    case .fetchPage(let request, let page, let readPoint):
      b.appendInteger(request)
      page.encode(into: &b)
      b.append(readPoint)
    case .attached(let vdl, let deadline, let tails, let configurations):
      b.append(vdl)
      b.appendInteger(deadline)
      b.appendInteger(UInt32(tails.count))
      for t in tails {
        b.appendInteger(t.group.value)
        b.append(t.lsn)
      }
      b.appendInteger(UInt32(configurations.count))
      for c in configurations { c.encode(into: &b) }
    case .vdlAdvanced(let vdl): b.append(vdl)
    case .readPoint(let lowest, let applied):
      b.append(lowest)
      b.append(applied)
    }
  }

  /// Reads and checks a message: envelope, checksum, and every field of the body.
  ///
  /// Records inside a batch are checked by `RecordBatch.forEach`.
  ///
  /// - Parameter verifying: false only where the bytes never left this process: skips the checksum of the envelope.
  public static func decode(
    _ bytes: [UInt8], verifying: Bool = true
  ) throws(DecodeError) -> (header: MessageHeader, message: Message) {
    try bytes.withUnsafeBytesTyped { raw throws(DecodeError) in
      var r = ByteReader(raw, structure: "message")
      guard try r.u32() == magic else { throw DecodeError(.badMagic, "message") }
      guard try r.u8() == version else { throw DecodeError(.unsupportedVersion, "message", offset: 4) }
      let kind = try r.u8()
      guard try r.u16() == 0 else { throw DecodeError(.invalidField, "message.reserved", offset: 6) }
      let length = Int(try r.u32())
      guard length <= MessageHeader.messageSizeMax, length >= MessageHeader.encodedSize else {
        throw DecodeError(.invalidField, "message.length", offset: 8)
      }
      guard length <= raw.count else { throw DecodeError(.truncated, "message", offset: raw.count) }
      guard length == raw.count else { throw DecodeError(.trailingBytes, "message", offset: length) }
      let sum = try r.u32()
      if verifying, checksum(raw) != sum {
        throw DecodeError(.checksumMismatch, "message", offset: 12)
      }
      let header = MessageHeader(
        volume: VolumeID(try r.u64()), sender: PeerID(rawValue: try r.u64()), volumeEpoch: VolumeEpoch(try r.u32()),
        group: ProtectionGroupID(try r.u32()), membershipEpoch: MembershipEpoch(try r.u32()))
      guard try r.u32() == 0 else { throw DecodeError(.invalidField, "message.reserved", offset: 44) }
      let message = try decodeBody(kind: kind, from: &r, bytes: bytes)
      try r.finish()
      return (header, message)
    }
  }

  private static func decodeBody(
    kind: UInt8, from r: inout ByteReader, bytes: [UInt8]
  ) throws(DecodeError) -> Message {
    func batch() throws(DecodeError) -> RecordBatch {
      let start = r.offset
      _ = try r.raw(r.remaining)
      return RecordBatch(bytes: bytes, range: start..<bytes.count)
    }
    func configurations() throws(DecodeError) -> [GroupConfiguration] {
      var result: [GroupConfiguration] = []
      for _ in 0..<(try r.count(itemSize: 32)) { result.append(try GroupConfiguration(from: &r)) }
      return result
    }
    switch kind {
    case 1: return .append(vdl: try r.lsn(), minReadPoint: try r.lsn(), try batch())
    case 2: return .appendAck(scl: try r.lsn())
    case 3:
      let request = try r.u64()
      let at = r.offset
      guard let reason = RejectReason(rawValue: try r.u8()) else {
        throw DecodeError(.invalidField, "reject.reason", offset: at)
      }
      let has = try r.bool()
      return .reject(request: request, reason: reason, configuration: has ? try GroupConfiguration(from: &r) : nil)
    case 4: return .advance(vdl: try r.lsn(), minReadPoint: try r.lsn())
    case 5:
      return .readPage(
        request: try r.u64(), page: try PageID(from: &r), readPoint: try r.lsn(), requiredSCL: try r.lsn())
    case 6: return .pageImage(request: try r.u64(), lsn: try r.lsn(), image: try r.array(r.remaining))
    case 7: return .prepare
    case 8:
      let status = try SegmentStatus(from: &r)
      let list = try TruncationList(from: &r)
      let retention = try Retention(from: &r)
      let configuration = try GroupConfiguration(from: &r)
      var links: [RecordLink] = []
      for _ in 0..<(try r.count(itemSize: 25)) {
        let at = r.offset
        let link = RecordLink(
          lsn: try r.lsn(), previousInVolume: try r.lsn(), previousInGroup: try r.lsn(),
          isConsistencyPoint: try r.bool())
        if let last = links.last, link.lsn <= last.lsn {
          throw DecodeError(.invalidField, "prepared.links", offset: at)
        }
        links.append(link)
      }
      return .prepared(status, list, retention, configuration, links: links)
    case 9: return .truncate(try TruncationList(from: &r), vdl: try r.lsn(), tail: try r.lsn())
    case 10: return .truncated(try SegmentStatus(from: &r))
    case 11: return .catchUp(target: try r.lsn(), source: NodeID(try r.u32()))
    case 12: return .statusRequest
    case 13: return .status(try SegmentStatus(from: &r))
    case 14: return .inventoryRequest
    case 15: return .inventory(try configurations())
    case 16: return .configure(try GroupConfiguration(from: &r))
    case 17: return .configured(try GroupConfiguration(from: &r))
    case 18: return .retain(try Retention(from: &r))
    case 19: return .retained(try Retention(from: &r))
    case 20:
      return .gossip(
        try SegmentStatus(from: &r), try TruncationList(from: &r), configuration: try GroupConfiguration(from: &r),
        retention: try Retention(from: &r))
    case 21: return .pull(after: try r.lsn(), through: try r.lsn(), limit: try r.u32())
    case 22: return .records(vdl: try r.lsn(), try batch())
    case 23:
      return .pullBaseline(cursor: try decodeOptionalPage(from: &r), baseline: try r.lsn(), limit: try r.u32())
    case 24:
      let baseline = try r.lsn()
      let next = try decodeOptionalPage(from: &r)
      var pages: [PageVersion] = []
      for _ in 0..<(try r.count(itemSize: 28)) {
        let page = try PageID(from: &r)
        let lsn = try r.lsn()
        pages.append(PageVersion(page: page, lsn: lsn, image: try r.array(Int(try r.u32()))))
      }
      return .baseline(baseline: baseline, pages: pages, next: next)
    case 25: return .fetchPage(request: try r.u64(), page: try PageID(from: &r), readPoint: try r.lsn())
    case 26: return .attach
    case 27:
      let vdl = try r.lsn()
      let deadline = try r.u64()
      var tails: [GroupTail] = []
      for _ in 0..<(try r.count(itemSize: 12)) {
        tails.append(GroupTail(group: ProtectionGroupID(try r.u32()), lsn: try r.lsn()))
      }
      return .attached(vdl: vdl, deadline: deadline, tails: tails, configurations: try configurations())
    case 28: return .stream(vdl: try r.lsn(), try batch())
    case 29: return .vdlAdvanced(vdl: try r.lsn())
    case 30: return .readPoint(lowest: try r.lsn(), applied: try r.lsn())
    case 31: return .detached
    case 32: return .configurations(try configurations())
    case 33:
      return .readPages(
        request: try r.u64(), page: try PageID(from: &r), count: try r.u32(), readPoint: try r.lsn(),
        requiredSCL: try r.lsn())
    case 34:
      let request = try r.u64()
      let count = try r.count(itemSize: PageRun.overhead)
      return .pageRun(request: request, try PageRun(count: count, from: &r, bytes: bytes))
    default: throw DecodeError(.invalidField, "message.kind", offset: 5)
    }
  }
}

private func encodeOptional(_ page: PageID?, into b: inout [UInt8]) {
  b.append(page == nil ? 0 : 1)
  page?.encode(into: &b)
}

private func decodeOptionalPage(from r: inout ByteReader) throws(DecodeError) -> PageID? {
  try r.bool() ? try PageID(from: &r) : nil
}

extension ByteReader {
  mutating func bool() throws(DecodeError) -> Bool {
    let at = offset
    let value = try u8()
    guard value <= 1 else { throw DecodeError(.invalidField, structure, offset: at) }
    return value == 1
  }
}

extension PageID {
  /// Appends object and index, 16 bytes.
  public func encode(into b: inout [UInt8]) {
    b.appendInteger(object.value)
    b.appendInteger(index)
  }
  /// Reads object and index.
  public init(from r: inout ByteReader) throws(DecodeError) {
    self.init(object: ObjectID(try r.u64()), index: try r.u64())
  }
}

extension SegmentStatus {
  func encode(into b: inout [UInt8]) {
    b.append(scl)
    b.append(gcPoint)
    b.append(knownVDL)
    b.append(minReadPoint)
    b.appendInteger(truncationEpoch.value)
    b.appendInteger(usedBytes)
    b.append(isDamaged ? 1 : 0)
  }
  init(from r: inout ByteReader) throws(DecodeError) {
    self.init(
      scl: try r.lsn(), gcPoint: try r.lsn(), knownVDL: try r.lsn(), minReadPoint: try r.lsn(),
      truncationEpoch: VolumeEpoch(try r.u32()), usedBytes: try r.u64(), isDamaged: try r.bool())
  }
}
