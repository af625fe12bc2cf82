import BorealisCore
import BorealisWire

/// A page version and its slot, as the journal remembers it.
struct InstalledPage: Hashable, Sendable {
  var group: ProtectionGroupID
  var page: PageID
  var lsn: LSN
  var slot: UInt32

  static let encodedSize = 32
}

/// One entry of the journal.
enum JournalEntry: Hashable, Sendable {
  case fact(JournalFact)
  case chunkSealed(SealedChunk)
  case chunkRetired(UInt64)
  /// In snapshots: the highest sequence ever sealed.
  case lastSealed(UInt64)
  case pagesInstalled([InstalledPage])
  case slotsFreed([UInt32])

  private enum Tag: UInt8 {
    case volumeEpoch = 1
    case configuration = 2
    case truncation = 3
    case retention = 4
    case segment = 5
    case segmentRemoved = 6
    case chunkSealed = 7
    case chunkRetired = 8
    case lastSealed = 9
    case pagesInstalled = 10
    case slotsFreed = 11
  }

  /// Appends the entry: tag, three zero bytes, length of the rest, the rest.
  func encode(into b: inout [UInt8]) {
    let start = b.count
    b.append(contentsOf: [0, 0, 0, 0, 0, 0, 0, 0])
    let tag: Tag
    switch self {
    case .fact(.volumeEpoch(let epoch)):
      tag = .volumeEpoch
      b.appendInteger(epoch.value)
    case .fact(.configuration(let configuration)):
      tag = .configuration
      b.append(contentsOf: configuration.encoded())
    case .fact(.truncation(let list)):
      tag = .truncation
      list.encode(into: &b)
    case .fact(.retention(let retention)):
      tag = .retention
      retention.encode(into: &b)
    case .fact(.segment(let facts)):
      tag = .segment
      facts.encode(into: &b)
    case .fact(.segmentRemoved(let group, let configuration)):
      tag = .segmentRemoved
      b.appendInteger(group.value)
      if let configuration { b.append(contentsOf: configuration.encoded()) }
    case .chunkSealed(let chunk):
      tag = .chunkSealed
      chunk.encode(into: &b)
    case .chunkRetired(let sequence):
      tag = .chunkRetired
      b.appendInteger(sequence)
    case .lastSealed(let sequence):
      tag = .lastSealed
      b.appendInteger(sequence)
    case .pagesInstalled(let pages):
      tag = .pagesInstalled
      for page in pages { page.encode(into: &b) }
    case .slotsFreed(let slots):
      tag = .slotsFreed
      for slot in slots { b.appendInteger(slot) }
    }
    b[start] = tag.rawValue
    b.storeInteger(UInt32(b.count - start - 8), at: start + 4)
  }

  /// Reads one entry.
  static func decode(from r: inout ByteReader) throws(DecodeError) -> JournalEntry {
    let at = r.offset
    guard let tag = Tag(rawValue: try r.u8()), try r.u8() == 0, try r.u16() == 0 else {
      throw DecodeError(.invalidField, "journal.entry", offset: at)
    }
    var e = ByteReader(try r.raw(Int(try r.u32())), structure: "journal.entry")
    let entry: JournalEntry
    switch tag {
    case .volumeEpoch: entry = .fact(.volumeEpoch(VolumeEpoch(try e.u32())))
    case .configuration:
      entry = .fact(.configuration(try GroupConfiguration.decode(try e.raw(e.remaining))))
    case .truncation: entry = .fact(.truncation(try TruncationList(from: &e)))
    case .retention: entry = .fact(.retention(try Retention(from: &e)))
    case .segment: entry = .fact(.segment(try SegmentFacts(from: &e)))
    case .segmentRemoved:
      let group = ProtectionGroupID(try e.u32())
      let configuration = e.remaining > 0 ? try GroupConfiguration.decode(try e.raw(e.remaining)) : nil
      entry = .fact(.segmentRemoved(group, by: configuration))
    case .chunkSealed: entry = .chunkSealed(try SealedChunk(from: &e))
    case .chunkRetired: entry = .chunkRetired(try e.u64())
    case .lastSealed: entry = .lastSealed(try e.u64())
    case .pagesInstalled:
      var pages: [InstalledPage] = []
      pages.reserveCapacity(e.remaining / InstalledPage.encodedSize)
      while e.remaining > 0 { pages.append(try InstalledPage(from: &e)) }
      entry = .pagesInstalled(pages)
    case .slotsFreed:
      var slots: [UInt32] = []
      while e.remaining > 0 { slots.append(try e.u32()) }
      entry = .slotsFreed(slots)
    }
    try e.finish()
    return entry
  }
}

extension InstalledPage {
  func encode(into b: inout [UInt8]) {
    b.appendInteger(page.object.value)
    b.appendInteger(page.index)
    b.append(lsn)
    b.appendInteger(slot)
    b.appendInteger(group.value)
  }
  init(from r: inout ByteReader) throws(DecodeError) {
    page = PageID(object: ObjectID(try r.u64()), index: try r.u64())
    lsn = try r.lsn()
    let at = r.offset
    slot = try r.u32()
    group = ProtectionGroupID(try r.u32())
    guard slot <= PageTable.slotMax else { throw DecodeError(.invalidField, "journal.slot", offset: at) }
  }
}

extension SegmentFacts {
  func encode(into b: inout [UInt8]) {
    b.appendInteger(group.value)
    b.appendInteger(flags)
    b.append(gcPoint)
    b.append(scl)
    b.append(knownVDL)
    b.append(minReadPoint)
    b.append(mark)
    b.appendInteger(logEnd.chunk)
    b.appendInteger(logEnd.blocks)
  }
  init(from r: inout ByteReader) throws(DecodeError) {
    group = ProtectionGroupID(try r.u32())
    flags = try r.u32()
    gcPoint = try r.lsn()
    scl = try r.lsn()
    knownVDL = try r.lsn()
    minReadPoint = try r.lsn()
    mark = try r.lsn()
    // Older journals do not say.
    logEnd = r.remaining > 0 ? LogEnd(chunk: try r.u64(), blocks: try r.u32()) : LogEnd()
  }
}

extension SealedChunk {
  func encode(into b: inout [UInt8]) {
    b.appendInteger(sequence)
    b.appendInteger(slot)
    b.appendInteger(usedBytes)
    b.appendInteger(flushCount)
    b.appendInteger(recordCount)
    b.appendInteger(indexOffset)
    b.appendInteger(UInt32(groups.count))
    for group in groups {
      b.appendInteger(group.group.value)
      b.appendInteger(group.count)
      b.append(group.minLSN)
      b.append(group.maxLSN)
      b.appendInteger(group.bytes)
    }
  }
  init(from r: inout ByteReader) throws(DecodeError) {
    sequence = try r.u64()
    slot = try r.u32()
    usedBytes = try r.u32()
    flushCount = try r.u32()
    recordCount = try r.u32()
    indexOffset = try r.u32()
    groups = []
    for _ in 0..<(try r.count(itemSize: 32)) {
      let at = r.offset
      let (id, count) = (ProtectionGroupID(try r.u32()), try r.u32())
      let (low, high) = (try r.lsn(), try r.lsn())
      guard low <= high, groups.last.map({ $0.group < id }) ?? true else {
        throw DecodeError(.invalidField, "journal.chunk", offset: at)
      }
      groups.append(ChunkGroup(group: id, minLSN: low, maxLSN: high, count: count, bytes: try r.u64()))
    }
  }
}

/// Entries that become durable together: header, entries, padding to whole sectors.
enum JournalFrame {
  static let magic: UInt32 = 0x464A_4C42  // "BLJF"
  static let headerSize = 40

  /// An empty frame, to which entries are appended before it is sealed.
  static func begin() -> [UInt8] { [UInt8](repeating: 0, count: headerSize) }
  /// Fills in the header and pads.
  static func seal(_ bytes: inout [UInt8], count: Int, generation: UInt64, number: UInt64) {
    bytes.storeInteger(magic, at: 0)
    bytes.storeInteger(UInt32(bytes.count - headerSize), at: 4)
    bytes.storeInteger(generation, at: 8)
    bytes.storeInteger(number, at: 16)
    bytes.storeInteger(UInt32(count), at: 24)
    bytes.storeInteger(UInt64(0), at: 28)
    let sum = bytes.withUnsafeBytes { checksum($0, end: $0.count) }
    bytes.storeInteger(sum, at: 36)
    bytes.appendZeros((512 - bytes.count % 512) % 512)
  }
  private static func checksum(_ raw: UnsafeRawBufferPointer, end: Int) -> UInt32 {
    let head = CRC32C.checksum(UnsafeRawBufferPointer(rebasing: raw[0..<36]))
    return CRC32C.checksum(UnsafeRawBufferPointer(rebasing: raw[headerSize..<end]), seed: head)
  }
  /// Bytes that a header's length field asks for, whole sectors; nil where this is no header.
  static func size(_ header: UnsafeRawBufferPointer) -> Int? {
    guard header.count >= headerSize,
      UInt32(littleEndian: header.loadUnaligned(fromByteOffset: 0, as: UInt32.self)) == magic
    else { return nil }
    let length = Int(UInt32(littleEndian: header.loadUnaligned(fromByteOffset: 4, as: UInt32.self)))
    return (headerSize + length + 511) & ~511
  }
  /// Number and entries' bytes of a whole frame; nil where it is damaged or of another generation.
  static func check(_ raw: UnsafeRawBufferPointer, generation: UInt64) -> (number: UInt64, count: Int, end: Int)? {
    guard let size = size(raw), size <= raw.count else { return nil }
    let end = headerSize + Int(UInt32(littleEndian: raw.loadUnaligned(fromByteOffset: 4, as: UInt32.self)))
    guard UInt64(littleEndian: raw.loadUnaligned(fromByteOffset: 8, as: UInt64.self)) == generation,
      UInt32(littleEndian: raw.loadUnaligned(fromByteOffset: 36, as: UInt32.self)) == checksum(raw, end: end)
    else { return nil }
    return (
      UInt64(littleEndian: raw.loadUnaligned(fromByteOffset: 16, as: UInt64.self)),
      Int(UInt32(littleEndian: raw.loadUnaligned(fromByteOffset: 24, as: UInt32.self))), end
    )
  }
  /// The entries of a frame that `check` accepted.
  static func entries(
    _ raw: UnsafeRawBufferPointer, count: Int, end: Int
  ) throws(DecodeError) -> [JournalEntry] {
    var r = ByteReader(UnsafeRawBufferPointer(rebasing: raw[headerSize..<end]), structure: "journal.frame")
    var entries: [JournalEntry] = []
    for _ in 0..<count { entries.append(try JournalEntry.decode(from: &r)) }
    try r.finish()
    return entries
  }
}

/// The header of a journal file.
///
/// It is written last, so that a file with a valid one is whole.
struct JournalHeader: Hashable, Sendable {
  static let magic: UInt32 = 0x4E4A_4C42  // "BLJN"
  static let version: UInt16 = 1
  static let size = 64
  /// Where frames begin: after two copies of the header, in a sector each.
  static let framesStart: UInt64 = 1024

  var generation: UInt64
  var identity: StoreIdentity
  var pageSize: UInt32
  var chunkSize: UInt32

  /// Two sectors with the header in each.
  func encoded() -> [UInt8] {
    var b: [UInt8] = []
    b.appendInteger(Self.magic)
    b.appendInteger(Self.version)
    b.appendInteger(UInt16(0))
    b.appendInteger(generation)
    b.appendInteger(identity.node.value)
    b.appendInteger(pageSize)
    b.appendInteger(identity.volume.value)
    b.appendInteger(chunkSize)
    b.appendZeros(60 - b.count)
    b.appendInteger(CRC32C.checksum(b))
    b.appendZeros(512 - b.count)
    return b + b
  }
  /// Reads one copy.
  static func decode(_ bytes: UnsafeRawBufferPointer) throws(DecodeError) -> JournalHeader {
    var r = ByteReader(bytes, structure: "journal")
    guard try r.u32() == magic else { throw DecodeError(.badMagic, "journal") }
    guard bytes.count >= size else { throw DecodeError(.truncated, "journal") }
    guard
      CRC32C.checksum(UnsafeRawBufferPointer(rebasing: bytes[0..<60]))
        == UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 60, as: UInt32.self))
    else { throw DecodeError(.checksumMismatch, "journal") }
    guard try r.u16() == version else { throw DecodeError(.unsupportedVersion, "journal", offset: 4) }
    _ = try r.u16()
    let (generation, node, pageSize) = (try r.u64(), NodeID(try r.u32()), try r.u32())
    let volume = VolumeID(try r.u64())
    return JournalHeader(
      generation: generation, identity: StoreIdentity(node: node, volume: volume), pageSize: pageSize,
      chunkSize: try r.u32())
  }
}
