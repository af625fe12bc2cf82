import BorealisCore
import BorealisStorageBackend
import BorealisWire

// Pages that lie one behind the other, in one message: what a scan asks for.

extension StorageNode {
  mutating func receiveReadPages(
    _ header: MessageHeader, request: UInt64, _ first: PageID, count: Int, at readPoint: LSN, requiredSCL: LSN,
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
    let floor = max(segments[i].minReadPoint, segments[i].gcPoint)
    if let reason = refusal(header, i, at: readPoint, requiredSCL: requiredSCL, floor: floor) {
      reject(header, request: request, reason, into: &out)
      return
    }
    guard count > 0, first.index <= .max - UInt64(StorageNodeLimits.readRunPages) else {
      counters.messagesMalformed += 1
      return
    }
    let fitting = max(1, StorageNodeLimits.readRunBytes / configuration.pageSize)
    let most = min(count, fitting, StorageNodeLimits.readRunPages)
    sendRun(header, request: request, i, first, most, at: readPoint, &out)
  }

  /// Sends as many of the pages as can be made; a refusal where that is none.
  private mutating func sendRun(
    _ header: MessageHeader, request: UInt64, _ i: Int, _ first: PageID, _ count: Int, at readPoint: LSN,
    _ out: inout [Outgoing]
  ) {
    var bytes = Message.begin(
      kind: Message.pageRunKind, envelope(header.group),
      capacity: 12 + count * (configuration.pageSize + PageRun.overhead))
    bytes.appendInteger(request)
    let place = bytes.count
    bytes.appendInteger(UInt32(0))
    var made = 0
    var reason = RejectReason.damaged
    let window = min(count, StorageNodeLimits.readTogether)
    withUnsafeTemporaryAllocation(byteCount: window * store.pages.slotSize, alignment: 4096) { raw in
      var loaded: Range<UInt32> = 0..<0
      while made < count {
        let id = PageID(object: first.object, index: first.index + UInt64(made))
        if appendStored(i, id, upTo: count - made, at: readPoint, raw, &loaded, into: &bytes) {
          made += 1
          continue
        }
        switch makePage(i, id, at: readPoint) {
        case .present(let lsn):
          page.withUnsafeBytes { PageRun.append(lsn, trimmed($0), to: &bytes) }
        case .absent: PageRun.append(.zero, UnsafeRawBufferPointer(start: nil, count: 0), to: &bytes)
        case .tooOld:
          reason = .readPointTooOld
          return
        case .damaged: return
        }
        made += 1
      }
    }
    guard made > 0 else {
      reject(header, request: request, reason, into: &out)
      return
    }
    counters.pagesServed += UInt64(made)
    bytes.storeInteger(UInt32(made), at: place)
    Message.seal(&bytes)
    out.append(Outgoing(to: header.sender, bytes: bytes))
  }

  /// Appends a page whose newest version is in the page store and has no records above it; false for all others, and
  /// where anything is wrong: `makePage` finds out what.
  ///
  /// Slots that lie side by side, as those of pages folded together do, are read together into `window`.
  private mutating func appendStored(
    _ i: Int, _ id: PageID, upTo count: Int, at readPoint: LSN, _ window: UnsafeMutableRawBufferPointer,
    _ loaded: inout Range<UInt32>, into bytes: inout [UInt8]
  ) -> Bool {
    guard configuration.plantedBug == nil else { return false }
    let group = segments[i].group
    guard let version = store.pages.version(group, id), version <= readPoint,
      let slot = store.pages.slot(group, id, atOrBelow: readPoint)
    else { return false }
    let size = store.pages.slotSize
    if !loaded.contains(slot) {
      var end = slot + 1
      let most = min(count, window.count / size)
      while end - slot < UInt32(most) {
        let next = PageID(object: id.object, index: id.index + UInt64(end - slot))
        guard store.pages.slot(group, next, atOrBelow: readPoint) == end else { break }
        end += 1
      }
      loaded = 0..<0
      let target = UnsafeMutableRawBufferPointer(rebasing: window[..<(Int(end - slot) * size)])
      do throws(StorageBackendError) { try store.pages.readSlots(slot, into: target) } catch { return false }
      loaded = slot..<end
    }
    let start = Int(slot - loaded.lowerBound) * size
    let raw = UnsafeRawBufferPointer(rebasing: window[start..<(start + size)])
    let wanted = PageSlot(group: group, page: id, lsn: version, isAbsent: false)
    guard let found = try? store.pages.decode(raw), found == wanted else { return false }
    let from = max(segments[i].gcPoint, version)
    if from < readPoint {
      entries.removeAll(keepingCapacity: true)
      do throws(StorageBackendError) {
        try store.log.records(of: group, page: id, after: from, through: readPoint, into: &entries)
      } catch { return false }
      guard entries.isEmpty else { return false }
    }
    PageRun.append(version, trimmed(UnsafeRawBufferPointer(rebasing: raw[PageSlot.headerSize...])), to: &bytes)
    return true
  }

  private func trimmed(_ raw: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(rebasing: raw[..<significantBytes(raw)])
  }
}

extension PageStore {
  /// Reads neighbouring slots as they are: to be checked one by one.
  func readSlots(_ first: UInt32, into buffer: UnsafeMutableRawBufferPointer) throws(StorageBackendError) {
    try backend.read(.pages, at: position(first), into: buffer)
  }
  /// Checks a slot and tells what it holds.
  func decode(_ raw: UnsafeRawBufferPointer) throws(DecodeError) -> PageSlot {
    try PageSlot.decode(raw, pageSize: pageSize, identity: identity)
  }
}

extension Message {
  static let pageRunKind = Message.pageRun(request: 0, PageRun([])).kind
}
