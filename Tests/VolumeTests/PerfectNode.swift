import BorealisCore
import BorealisWire

/// A segment that never fails: keeps every record, and answers by applying all of them.
struct PerfectSegment {
  struct Record {
    var header: RecordHeader
    var payload: [UInt8]
  }
  var configuration: GroupConfiguration
  var records: [LSN: Record] = [:]
  var successor: [LSN: LSN] = [:]
  var scl = LSN.zero
  var vdl = LSN.zero
  var minReadPoint = LSN.zero

  mutating func add(_ header: RecordHeader, _ payload: [UInt8]) -> Bool {
    if let old = records[header.lsn] { return old.header == header && old.payload == payload }
    records[header.lsn] = Record(header: header, payload: payload)
    successor[header.previousInGroup] = header.lsn
    while let next = successor[scl] { scl = next }
    return true
  }
  func page(_ page: PageID, at readPoint: LSN, pageSize: Int) -> (lsn: LSN, image: [UInt8])? {
    var image = [UInt8](repeating: 0, count: pageSize)
    var last = LSN.zero
    for lsn in records.keys.sorted() where lsn <= readPoint {
      guard let record = records[lsn], record.header.page == page else { continue }
      let applied: Void? = image.withUnsafeMutableBytes { target in
        record.payload.withUnsafeBytes { try? RecordPayload.apply(kind: record.header.kind, payload: $0, to: target) }
      }
      if applied == nil { return nil }
      last = lsn
    }
    return (last, image)
  }
}

/// A storage node that never fails, by the same messages as a real one.
struct PerfectNode {
  let id: NodeID
  let pageSize: Int
  var epoch = VolumeEpoch.zero
  var segments: [ProtectionGroupID: PerfectSegment] = [:]
  /// What no node should ever see: two records with one LSN, malformed records.
  var complaints: [String] = []
  var readsServed = 0
  var runsServed = 0
  /// Pages of a run that it gives at most.
  var runMax = UInt64.max
  /// Whether it says that it knows of damage.
  var isDamaged = false

  mutating func receive(_ bytes: [UInt8]) -> Outgoing? {
    guard let (header, message) = try? Message.decode(bytes) else {
      complaints.append("a malformed message")
      return nil
    }
    func answer(_ message: Message) -> Outgoing {
      let membership = segments[header.group]?.configuration.epoch ?? .zero
      let envelope = MessageHeader(
        volume: header.volume, sender: .node(id), volumeEpoch: epoch, group: header.group, membershipEpoch: membership)
      return Outgoing(to: header.sender, bytes: message.encoded(envelope))
    }
    var request: UInt64 = 0
    if case .readPage(let number, _, _, _) = message { request = number }
    if case .readPages(let number, _, _, _, _) = message { request = number }
    if header.volumeEpoch < epoch {
      return answer(.reject(request: request, reason: .staleVolumeEpoch, configuration: nil))
    }
    epoch = header.volumeEpoch
    if case .configure(let configuration) = message {
      if let old = segments[header.group] {
        if configuration.supersedes(old.configuration) { segments[header.group]?.configuration = configuration }
      } else {
        segments[header.group] = PerfectSegment(configuration: configuration)
      }
      return segments[header.group].map { answer(.configured($0.configuration)) }
    }
    if case .inventoryRequest = message {
      return answer(.inventory(segments.values.map(\.configuration).sorted { $0.group < $1.group }))
    }
    guard var segment = segments[header.group] else {
      return answer(.reject(request: request, reason: .noSuchSegment, configuration: nil))
    }
    guard header.membershipEpoch == segment.configuration.epoch else {
      return answer(
        .reject(request: request, reason: .staleMembershipEpoch, configuration: segment.configuration))
    }
    defer { segments[header.group] = segment }
    switch message {
    case .append(let vdl, let minReadPoint, let batch):
      var problems: [String] = []
      let decoded: Void? = try? batch.forEach { record, raw in
        if record.group != header.group { problems.append("a record of another group") }
        let payload = Array(raw[RecordHeader.encodedSize...])
        let valid: Void? = payload.withUnsafeBytes {
          try? RecordPayload.validate(kind: record.kind, payload: $0, pageSize: pageSize)
        }
        if valid == nil { problems.append("a malformed payload at LSN \(record.lsn)") }
        if !segment.add(record, payload) { problems.append("I3: two records with LSN \(record.lsn)") }
      }
      if decoded == nil { problems.append("a malformed record") }
      complaints += problems
      segment.vdl = max(segment.vdl, vdl)
      segment.minReadPoint = max(segment.minReadPoint, minReadPoint)
      return answer(.appendAck(scl: segment.scl))
    case .advance(let vdl, let minReadPoint):
      segment.vdl = max(segment.vdl, vdl)
      segment.minReadPoint = max(segment.minReadPoint, minReadPoint)
      return answer(.appendAck(scl: segment.scl))
    case .readPage(let request, let page, let readPoint, let requiredSCL):
      if readPoint < segment.minReadPoint {
        return answer(.reject(request: request, reason: .readPointTooOld, configuration: nil))
      }
      if segment.scl < requiredSCL {
        return answer(.reject(request: request, reason: .notComplete, configuration: nil))
      }
      guard let (lsn, image) = segment.page(page, at: readPoint, pageSize: pageSize) else { return nil }
      readsServed += 1
      var trimmed = image
      while trimmed.last == 0 { trimmed.removeLast() }
      return answer(.pageImage(request: request, lsn: lsn, image: trimmed))
    case .readPages(let request, let first, let count, let readPoint, let requiredSCL):
      guard readPoint >= segment.minReadPoint, segment.scl >= requiredSCL else {
        return answer(.reject(request: request, reason: .notComplete, configuration: nil))
      }
      var run: [(lsn: LSN, image: [UInt8])] = []
      for i in 0..<min(UInt64(count), runMax) {
        let page = PageID(object: first.object, index: first.index + i)
        guard var found = segment.page(page, at: readPoint, pageSize: pageSize) else { return nil }
        while found.image.last == 0 { found.image.removeLast() }
        run.append((found.lsn, found.image))
      }
      runsServed += 1
      return answer(.pageRun(request: request, PageRun(run)))
    case .statusRequest:
      return answer(
        .status(
          SegmentStatus(
            scl: segment.scl, gcPoint: .zero, knownVDL: segment.vdl, minReadPoint: segment.minReadPoint,
            truncationEpoch: .zero, isDamaged: isDamaged)))
    default:
      complaints.append("message kind \(message.kind)")
      return nil
    }
  }
}
