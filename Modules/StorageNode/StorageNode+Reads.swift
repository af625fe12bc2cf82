import BorealisCore
import BorealisStorageBackend
import BorealisWire

// Pages at a read point from one segment (protocol §5.5, I9).

extension StorageNode {
  /// What a page is at a read point; its bytes are in `page`.
  enum PageState: Sendable, Equatable {
    /// All visible changes up to `lsn` are in `page`.
    case present(lsn: LSN)
    /// Never written, or discarded.
    case absent
    /// The versions asked for are gone.
    case tooOld
    /// Bytes that are needed are damaged, or cannot be read now.
    case damaged
  }

  mutating func receiveReadPage(
    _ header: MessageHeader, request: UInt64, _ id: PageID, at readPoint: LSN, requiredSCL: LSN,
    into out: inout [Outgoing]
  ) {
    guard let i = index(of: header.group) else {
      reject(header, request: request, .noSuchSegment, into: &out)
      return
    }
    guard header.membershipEpoch >= segments[i].configuration.epoch else {
      reject(
        header, request: request, .staleMembershipEpoch, configuration: segments[i].configuration, into: &out)
      return
    }
    serve(
      header, request: request, i, id, at: readPoint, requiredSCL: requiredSCL,
      floor: max(segments[i].minReadPoint, segments[i].gcPoint), into: &out)
  }

  /// A peer's page is damaged: it wants ours.
  mutating func receiveFetchPage(
    _ header: MessageHeader, request: UInt64, _ id: PageID, at readPoint: LSN, into out: inout [Outgoing]
  ) {
    guard let i = index(of: header.group) else {
      reject(header, request: request, .noSuchSegment, into: &out)
      return
    }
    // The peer asks at a record of the group, so that SCL can be compared with the read point itself; at a pin it
    // knows nothing better than what is below GC point anyway.
    let required = retention.pins.contains(readPoint) ? LSN.zero : readPoint
    // PGMRPL is a point of the volume and may lie above the group's last record: only what is folded sets a bound.
    serve(
      header, request: request, i, id, at: readPoint, requiredSCL: required, floor: segments[i].gcPoint, into: &out)
  }

  private mutating func serve(
    _ header: MessageHeader, request: UInt64, _ i: Int, _ id: PageID, at readPoint: LSN, requiredSCL: LSN,
    floor: LSN, into out: inout [Outgoing]
  ) {
    if let reason = refusal(header, i, at: readPoint, requiredSCL: requiredSCL, floor: floor) {
      reject(header, request: request, reason, into: &out)
      return
    }
    switch makePage(i, id, at: readPoint) {
    case .present(let lsn): sendPage(header, request: request, lsn: lsn, isAbsent: false, into: &out)
    case .absent: sendPage(header, request: request, lsn: .zero, isAbsent: true, into: &out)
    case .tooOld: reject(header, request: request, .readPointTooOld, into: &out)
    case .damaged: reject(header, request: request, .damaged, into: &out)
    }
  }

  /// Why a segment does not serve reads at a read point; nil where it does.
  func refusal(
    _ header: MessageHeader, _ i: Int, at readPoint: LSN, requiredSCL: LSN, floor: LSN
  ) -> RejectReason? {
    guard segments[i].kind == .full else { return .tailSegment }
    if readPoint < floor, !retention.pins.contains(readPoint) { return .readPointTooOld }
    let isComplete =
      !segments[i].isHydrating && segments[i].scl >= requiredSCL && isCurrent(header.volumeEpoch, segments[i])
    return isComplete || configuration.plantedBug == .serveIncompleteRead ? nil : .notComplete
  }

  /// Encodes straight from `page`, trailing zeros left out.
  private mutating func sendPage(
    _ header: MessageHeader, request: UInt64, lsn: LSN, isAbsent: Bool, into out: inout [Outgoing]
  ) {
    counters.pagesServed += 1
    let used = isAbsent ? 0 : page.withUnsafeBytes { significantBytes($0) }
    var bytes = Message.begin(kind: Message.pageImageKind, envelope(header.group), capacity: 16 + used)
    bytes.appendInteger(request)
    bytes.append(lsn)
    bytes.append(contentsOf: page[..<used])
    Message.seal(&bytes)
    out.append(Outgoing(to: header.sender, bytes: bytes))
  }

  /// Puts the page as of `readPoint` into `page`: the stored version, and the visible records above it.
  mutating func makePage(_ i: Int, _ id: PageID, at readPoint: LSN) -> PageState {
    let group = segments[i].group
    let newest = store.pages.version(group, id)
    var from = segments[i].gcPoint
    if let newest, newest > readPoint, configuration.plantedBug != .coalesceAboveMinReadPoint {
      // Folded beyond the read point: only the versions at pins are exact below that.
      guard retention.pins.contains(readPoint) else { return .tooOld }
      from = readPoint
    }
    var state = PageState.absent
    do throws(StoreReadError) {
      let bound = configuration.plantedBug == .coalesceAboveMinReadPoint ? LSN.max : readPoint
      let base = try page.withUnsafeMutableBytesTyped { raw throws(StoreReadError) in
        let base = try store.pages.read(group, id, atOrBelow: bound, into: raw)
        if base == nil { raw.initializeMemory(as: UInt8.self, repeating: 0) }
        return base
      }
      if let base {
        from = max(from, base.lsn)
        if !base.isAbsent { state = .present(lsn: base.lsn) }
      }
    } catch {
      if case .damaged = error, let version = store.pages.version(group, id, atOrBelow: readPoint) {
        foundDamage(page: id, lsn: version, group: group)
      }
      return .damaged
    }
    guard from < readPoint else { return state }
    entries.removeAll(keepingCapacity: true)
    do throws(StorageBackendError) {
      try store.log.records(of: group, page: id, after: from, through: readPoint, into: &entries)
    } catch {
      return .damaged
    }
    for k in entries.indices {
      guard shows(entries[k]) else { continue }
      guard apply(entries[k]) else { return .damaged }
      state = entries[k].kind == .discard ? .absent : .present(lsn: entries[k].lsn)
    }
    return state
  }

  /// Whether a record counts in what is read: neither void nor in a part of history that was rewound.
  func shows(_ entry: RecordEntry) -> Bool {
    retention.isVisible(entry.lsn)
      && (!truncation.isVoid(entry.lsn) || configuration.plantedBug == .gossipResurrectsVoid)
  }

  /// Applies one record to `page`; false where its bytes are damaged.
  mutating func apply(_ entry: RecordEntry) -> Bool {
    record.removeAll(keepingCapacity: true)
    do throws(StoreReadError) { try store.log.read(entry, into: &record) } catch {
      if case .damaged = error { foundDamage(record: entry) }
      return false
    }
    counters.recordsApplied += 1
    let isApplied = page.withUnsafeMutableBytes { target in
      record.withUnsafeBytes { raw in
        let payload = UnsafeRawBufferPointer(rebasing: raw[RecordHeader.encodedSize...])
        do throws(DecodeError) {
          try RecordPayload.apply(kind: entry.kind, payload: payload, to: target)
          return true
        } catch { return false }
      }
    }
    // A payload that was written so by its writer: every copy has it, and none can apply it. It changes nothing.
    if !isApplied { counters.messagesMalformed += 1 }
    return true
  }
}

/// Bytes up to the last one that is not zero.
func significantBytes(_ raw: UnsafeRawBufferPointer) -> Int {
  var count = raw.count
  while count >= 8, raw.loadUnaligned(fromByteOffset: count - 8, as: UInt64.self) == 0 { count -= 8 }
  while count > 0, raw[count - 1] == 0 { count -= 1 }
  return count
}

extension Message {
  static let pageImageKind = Message.pageImage(request: 0, lsn: .zero, image: []).kind
  static let recordsKind = Message.records(vdl: .zero, RecordBatch([])).kind
}

extension Array where Element == UInt8 {
  /// `withUnsafeMutableBytes` with a typed error.
  mutating func withUnsafeMutableBytesTyped<R, E: Error>(
    _ body: (UnsafeMutableRawBufferPointer) throws(E) -> R
  ) throws(E) -> R {
    let result: Result<R, E> = withUnsafeMutableBytes { raw in
      do throws(E) { return .success(try body(raw)) } catch { return .failure(error) }
    }
    return try result.get()
  }
}
