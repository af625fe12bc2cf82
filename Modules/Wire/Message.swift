public import BorealisCore

/// The envelope of every message: who speaks, about which volume and group, at which epochs.
public struct MessageHeader: Hashable, Sendable {
  /// Bytes before the body.
  public static let encodedSize = 48
  /// Largest message.
  public static let messageSizeMax = 64 << 20
  /// The volume that the message is about.
  public var volume: VolumeID
  /// Who sent it.
  public var sender: PeerID
  /// The sender's volume epoch.
  public var volumeEpoch: VolumeEpoch
  /// The group that the message is about (0 where it is about the whole volume or node).
  public var group: ProtectionGroupID
  /// The sender's membership epoch of the group (0 where it knows none).
  public var membershipEpoch: MembershipEpoch
  /// Makes an envelope.
  public init(
    volume: VolumeID, sender: PeerID, volumeEpoch: VolumeEpoch,
    group: ProtectionGroupID = ProtectionGroupID(0), membershipEpoch: MembershipEpoch = .zero
  ) {
    self.volume = volume
    self.sender = sender
    self.volumeEpoch = volumeEpoch
    self.group = group
    self.membershipEpoch = membershipEpoch
  }
}

/// Encoded records one after the other, inside a message's bytes: shared, never copied.
public struct RecordBatch: Sendable, Hashable {
  /// The bytes of the whole message.
  public var bytes: [UInt8]
  /// Where the records stand in them.
  public var range: Range<Int>
  /// Makes a batch over part of `bytes`.
  public init(bytes: [UInt8], range: Range<Int>) {
    precondition(range.lowerBound >= 0 && range.upperBound <= bytes.count)
    self.bytes = bytes
    self.range = range
  }
  /// A batch that is all of `bytes`.
  public init(_ bytes: [UInt8]) { self.init(bytes: bytes, range: 0..<bytes.count) }
  /// Whether there is no record.
  public var isEmpty: Bool { range.isEmpty }
  /// Calls `body` with each record's header and encoded bytes (header and payload), in order.
  public func forEach(
    verifying: Bool = true, _ body: (RecordHeader, UnsafeRawBufferPointer) -> Void
  ) throws(DecodeError) {
    try bytes.withUnsafeBytesTyped { raw throws(DecodeError) in
      let part = UnsafeRawBufferPointer(rebasing: raw[range])
      var at = 0
      while at < part.count {
        let header = try RecordHeader.decode(part, at: at, verifying: verifying)
        body(header, UnsafeRawBufferPointer(rebasing: part[at..<(at + header.encodedSize)]))
        at += header.encodedSize
      }
    }
  }
  /// The headers, in order.
  public func headers() throws(DecodeError) -> [RecordHeader] {
    var result: [RecordHeader] = []
    try forEach { header, _ in result.append(header) }
    return result
  }
}

extension Array where Element == UInt8 {
  /// `withUnsafeBytes` with a typed error.
  @inlinable public func withUnsafeBytesTyped<R, E: Error>(
    _ body: (UnsafeRawBufferPointer) throws(E) -> R
  ) throws(E) -> R {
    let result: Result<R, E> = withUnsafeBytes { raw in
      do throws(E) { return .success(try body(raw)) } catch { return .failure(error) }
    }
    return try result.get()
  }
}

/// What a segment knows of one record besides its contents: enough to walk the volume chain at recovery.
public struct RecordLink: Hashable, Sendable {
  /// The record.
  public var lsn: LSN
  /// The record before it in the volume.
  public var previousInVolume: LSN
  /// The record before it in its group.
  public var previousInGroup: LSN
  /// Whether it is a consistency point.
  public var isConsistencyPoint: Bool
  /// Makes a link.
  public init(lsn: LSN, previousInVolume: LSN, previousInGroup: LSN, isConsistencyPoint: Bool) {
    self.lsn = lsn
    self.previousInVolume = previousInVolume
    self.previousInGroup = previousInGroup
    self.isConsistencyPoint = isConsistencyPoint
  }
}

/// Where a segment stands.
public struct SegmentStatus: Hashable, Sendable {
  /// Segment complete LSN: durable and without gap up to and including here.
  public var scl: LSN
  /// Records at or below are in pages (full) or dropped (tail); the log below may be gone.
  public var gcPoint: LSN
  /// Highest VDL heard of.
  public var knownVDL: LSN
  /// Highest PGMRPL heard of.
  public var minReadPoint: LSN
  /// Epoch of the truncation list held.
  public var truncationEpoch: VolumeEpoch
  /// Bytes of pages and log held for this segment.
  public var usedBytes: UInt64
  /// Whether damage is known and not yet repaired.
  public var isDamaged: Bool
  /// Makes a status.
  public init(
    scl: LSN, gcPoint: LSN, knownVDL: LSN, minReadPoint: LSN, truncationEpoch: VolumeEpoch, usedBytes: UInt64 = 0,
    isDamaged: Bool = false
  ) {
    self.scl = scl
    self.gcPoint = gcPoint
    self.knownVDL = knownVDL
    self.minReadPoint = minReadPoint
    self.truncationEpoch = truncationEpoch
    self.usedBytes = usedBytes
    self.isDamaged = isDamaged
  }
}

/// One page on its way to a new segment.
public struct PageVersion: Hashable, Sendable {
  /// The page.
  public var page: PageID
  /// LSN of the last record applied to the image.
  public var lsn: LSN
  /// The image, trailing zeros left out.
  public var image: [UInt8]
  /// Makes a version.
  public init(page: PageID, lsn: LSN, image: [UInt8]) {
    self.page = page
    self.lsn = lsn
    self.image = image
  }
}

/// Last LSN issued to a group at or below some read point.
public struct GroupTail: Hashable, Sendable {
  /// The group.
  public var group: ProtectionGroupID
  /// `tail(g, P)`.
  public var lsn: LSN
  /// Makes a tail.
  public init(group: ProtectionGroupID, lsn: LSN) {
    self.group = group
    self.lsn = lsn
  }
}

/// Why a node refused a request.
public enum RejectReason: UInt8, Hashable, Sendable {
  /// The request's volume epoch is lower than the node's: the sender is fenced.
  case staleVolumeEpoch = 1
  /// The request's membership epoch is not the node's.
  case staleMembershipEpoch = 2
  /// The node holds no such segment (or is not, or no longer, a member).
  case noSuchSegment = 3
  /// The node's log is at its limit; try again later.
  case busy = 4
  /// The node's disk is full.
  case diskFull = 5
  /// The node's disk failed.
  case diskFailed = 6
  /// The read point is below PGMRPL: versions may be gone; attach again.
  case readPointTooOld = 7
  /// The segment is not complete up to the required SCL.
  case notComplete = 8
  /// The segment keeps no pages.
  case tailSegment = 9
  /// The page's bytes are damaged here and under repair: ask another segment.
  case damaged = 10
  /// A range that was asked for is below the GC point: take a baseline instead.
  case belowGCPoint = 11
}

/// Everything that compute and storage, and storage nodes among themselves, say to each other.
///
/// Byte tables are in `Documentation/Formats.md`. Every message is idempotent and may be lost, delayed, reordered and
/// repeated.
public enum Message: Hashable, Sendable {
  // MARK: Writer to node

  /// Records of one group. The same bytes go to all members. `vdl` and `minReadPoint` ride along.
  case append(vdl: LSN, minReadPoint: LSN, RecordBatch)
  /// Node to writer: SCL is durable here. Sent after each flush that advanced it, and in answer to a repeat.
  case appendAck(scl: LSN)
  /// Node to anybody: refused. `configuration` is the node's current one where the membership epoch was stale.
  case reject(request: UInt64, reason: RejectReason, configuration: GroupConfiguration?)
  /// Heartbeat with no records: `vdl` and PGMRPL advance. Answered by `appendAck`.
  case advance(vdl: LSN, minReadPoint: LSN)

  // MARK: Reads

  /// Instance to node: the newest visible version at or below `readPoint`. `requiredSCL` is `tail(g, readPoint)`.
  case readPage(request: UInt64, page: PageID, readPoint: LSN, requiredSCL: LSN)
  /// Node to instance. `lsn` is `.zero` and the image empty where the page does not exist at that read point.
  case pageImage(request: UInt64, lsn: LSN, image: [UInt8])
  /// Instance to node: as `readPage`, of `count` pages of one extent from `page` on. Answered by `pageRun`.
  case readPages(request: UInt64, page: PageID, count: UInt32, readPoint: LSN, requiredSCL: LSN)
  /// Node to instance: the first of the pages asked for, at least one, perhaps not all.
  case pageRun(request: UInt64, PageRun)

  // MARK: Recovery

  /// Opener to node: persist the header's volume epoch, refuse lower ones, and say what you hold of the group.
  case prepare
  /// Node to opener. `links` are all records above `status.knownVDL`, in LSN order, voided ones left out.
  case prepared(SegmentStatus, TruncationList, Retention, GroupConfiguration, links: [RecordLink])
  /// Opener to node: replace the truncation list; clip SCL. `tail` is `tail(g, VDL')`.
  case truncate(TruncationList, vdl: LSN, tail: LSN)
  /// Node to opener: the list is durable.
  case truncated(SegmentStatus)
  /// Opener to node: bring SCL to `target` by pulling from `source` now.
  case catchUp(target: LSN, source: NodeID)
  /// Anybody to node: say your status of the group.
  case statusRequest
  /// Node's answer to `statusRequest` and, when done, to `catchUp`.
  case status(SegmentStatus)
  /// Anybody to node: which groups do you hold?
  case inventoryRequest
  /// Node's answer: its highest volume epoch is in the header.
  case inventory([GroupConfiguration])

  // MARK: Membership

  /// Writer to node: adopt this configuration if it supersedes yours. Creates the segment where the node has none.
  case configure(GroupConfiguration)
  /// Node to writer: this configuration (or a superseding one, named here) is durable here.
  case configured(GroupConfiguration)
  /// Writer to node: adopt this retention (visible intervals, pins, floor) if it supersedes yours.
  case retain(Retention)
  /// Node to writer: a retention at least as new is durable here.
  case retained(Retention)

  // MARK: Node to node

  /// Gossip: my status of the group and my configuration's order.
  case gossip(SegmentStatus, TruncationList, configuration: GroupConfiguration, retention: Retention)
  /// Send me the records of the group in `(after, through]`, at most `limit` bytes.
  case pull(after: LSN, through: LSN, limit: UInt32)
  /// Records from a peer, in LSN order. `vdl` is the highest VDL that the peer heard of.
  case records(vdl: LSN, RecordBatch)
  /// Send me pages after `cursor` (nil to begin). `baseline` is the baseline of this copy, `.zero` to begin.
  ///
  /// `limit` 0 asks for the baseline alone: a tail segment keeps no pages.
  case pullBaseline(cursor: PageID?, baseline: LSN, limit: UInt32)
  /// Pages of a baseline: all changes at or below `baseline` are in them; `next` is nil at the end, and `.unlisted` where no
  /// pages were asked for: who has become a full segment meanwhile must not take that for a baseline without pages.
  case baseline(baseline: LSN, pages: [PageVersion], next: PageID?)
  /// Send me this page at `readPoint`: mine is damaged. Answered by `pageImage`.
  case fetchPage(request: UInt64, page: PageID, readPoint: LSN)

  // MARK: Writer and reader instances

  /// Reader to writer: send me your stream.
  case attach
  /// Writer to reader: the stream begins above `vdl`; a read point at `vdl` is registered for you until `deadline`
  /// (in nanoseconds from now); groups and tails as of `vdl`.
  case attached(vdl: LSN, deadline: UInt64, tails: [GroupTail], configurations: [GroupConfiguration])
  /// Writer to reader: records of one or more groups in LSN order, as they are sent to storage, and the VDL.
  case stream(vdl: LSN, RecordBatch)
  /// Writer to reader: VDL has advanced. `tails` only for groups added since.
  case vdlAdvanced(vdl: LSN)
  /// Reader to writer: my lowest outstanding read point, and how far I have applied.
  case readPoint(lowest: LSN, applied: LSN)
  /// Writer to reader: your registration expired or your stream is gone; attach again.
  case detached
  /// Writer to reader: these configurations are new.
  case configurations([GroupConfiguration])
}

extension PageID {
  /// In an answer to a request for a baseline without pages.
  public static let unlisted = PageID(object: ObjectID(.max), index: .max)
}
