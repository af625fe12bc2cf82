/// A log sequence number: the position of one log record in a volume's single order.
///
/// Given by the volume's one writer, increasing, never given twice. `.zero` means "before the first record".
/// Source: P18 §2.1.
public struct LSN: Hashable, Comparable, Sendable, CustomStringConvertible {
  /// The number itself; 0 is before the first record.
  public let value: UInt64
  /// Makes an LSN from its number.
  @inlinable public init(_ value: UInt64) { self.value = value }
  /// Before the first record of any volume.
  @inlinable public static var zero: LSN { LSN(0) }
  /// Above every record that can exist.
  @inlinable public static var max: LSN { LSN(.max) }
  /// The LSN `count` records later; saturates.
  @inlinable public func advanced(by count: UInt64) -> LSN {
    let (sum, overflow) = value.addingReportingOverflow(count)
    return LSN(overflow ? .max : sum)
  }
  /// Whether `lhs` comes before `rhs` in the volume's order.
  @inlinable public static func < (lhs: LSN, rhs: LSN) -> Bool { lhs.value < rhs.value }
  /// The number in decimal.
  public var description: String { value == .max ? "max" : String(value) }
}

/// The volume epoch: bumped each time a volume is opened for writing; a request with a lower one is refused.
///
/// Source: P18 §2.4.
public struct VolumeEpoch: Hashable, Comparable, Sendable, CustomStringConvertible {
  /// The number; 0 means "never opened".
  public let value: UInt32
  /// Makes an epoch from its number.
  @inlinable public init(_ value: UInt32) { self.value = value }
  /// Never opened.
  @inlinable public static var zero: VolumeEpoch { VolumeEpoch(0) }
  /// The next epoch.
  @inlinable public var next: VolumeEpoch { VolumeEpoch(value + 1) }
  /// Whether `lhs` is older.
  @inlinable public static func < (lhs: VolumeEpoch, rhs: VolumeEpoch) -> Bool { lhs.value < rhs.value }
  /// The number in decimal.
  public var description: String { String(value) }
}

/// The membership epoch of one protection group: bumped at every change of its members or quorum rules.
///
/// Source: P18 §4.1.
public struct MembershipEpoch: Hashable, Comparable, Sendable, CustomStringConvertible {
  /// The number; 0 means "no members yet".
  public let value: UInt32
  /// Makes an epoch from its number.
  @inlinable public init(_ value: UInt32) { self.value = value }
  /// No members yet.
  @inlinable public static var zero: MembershipEpoch { MembershipEpoch(0) }
  /// The next epoch.
  @inlinable public var next: MembershipEpoch { MembershipEpoch(value + 1) }
  /// Whether `lhs` is older.
  @inlinable public static func < (lhs: MembershipEpoch, rhs: MembershipEpoch) -> Bool { lhs.value < rhs.value }
  /// The number in decimal.
  public var description: String { String(value) }
}

/// A volume's identity: tells a storage node that a message is for another volume's data.
public struct VolumeID: Hashable, Sendable, CustomStringConvertible {
  /// The number, chosen at creation.
  public let value: UInt64
  /// Makes an identity from its number.
  @inlinable public init(_ value: UInt64) { self.value = value }
  /// Sixteen hexadecimal digits.
  public var description: String { "vol-" + hexadecimal(value, digits: 16) }
}

/// An object of the volume: an address space of pages (a file, or the catalog, which is object 0).
public struct ObjectID: Hashable, Comparable, Sendable, CustomStringConvertible {
  /// The number; 0 is the volume's own catalog.
  public let value: UInt64
  /// Makes an object identity from its number.
  @inlinable public init(_ value: UInt64) { self.value = value }
  /// The volume's own catalog of extents and protection groups; callers never write to it.
  @inlinable public static var catalog: ObjectID { ObjectID(0) }
  /// Order by number.
  @inlinable public static func < (lhs: ObjectID, rhs: ObjectID) -> Bool { lhs.value < rhs.value }
  /// The number in decimal.
  public var description: String { String(value) }
}

/// The address of a page: an object and the page's index in it.
public struct PageID: Hashable, Comparable, Sendable, CustomStringConvertible {
  /// The object that the page belongs to.
  public let object: ObjectID
  /// The page's place in the object, counted from 0.
  public let index: UInt64
  /// Makes an address.
  @inlinable public init(object: ObjectID, index: UInt64) {
    self.object = object
    self.index = index
  }
  /// Order by object, then by index.
  @inlinable public static func < (lhs: PageID, rhs: PageID) -> Bool {
    lhs.object == rhs.object ? lhs.index < rhs.index : lhs.object < rhs.object
  }
  /// `object:index`.
  public var description: String { "\(object):\(index)" }
}

/// A protection group: the unit of replication, up to 10 GiB of pages held by (normally six) segments.
public struct ProtectionGroupID: Hashable, Comparable, Sendable, CustomStringConvertible {
  /// The number, counted from 0 in order of growth.
  public let value: UInt32
  /// Makes a group identity from its number.
  @inlinable public init(_ value: UInt32) { self.value = value }
  /// Order of growth.
  @inlinable public static func < (lhs: ProtectionGroupID, rhs: ProtectionGroupID) -> Bool { lhs.value < rhs.value }
  /// `pg` and the number.
  public var description: String { "pg\(value)" }
}

/// A storage node: one process (or machine) with one log, holding at most one segment of each group.
///
/// A segment is therefore named by its group and its node.
public struct NodeID: Hashable, Comparable, Sendable, CustomStringConvertible {
  /// The number; fits 31 bits.
  public let value: UInt32
  /// Makes a node identity from its number.
  @inlinable public init(_ value: UInt32) { self.value = value }
  /// Order by number.
  @inlinable public static func < (lhs: NodeID, rhs: NodeID) -> Bool { lhs.value < rhs.value }
  /// `n` and the number.
  public var description: String { "n\(value)" }
}

/// An Availability Zone, counted from 0.
public struct ZoneID: Hashable, Comparable, Sendable, CustomStringConvertible {
  /// The number, counted from 0.
  public let value: UInt8
  /// Makes a zone identity from its number.
  @inlinable public init(_ value: UInt8) { self.value = value }
  /// Order by number.
  @inlinable public static func < (lhs: ZoneID, rhs: ZoneID) -> Bool { lhs.value < rhs.value }
  /// A letter, `a` for the first.
  public var description: String { String(UnicodeScalar(UInt8(ascii: "a") + value % 26)) }
}

/// One end of the transport: a storage node or a database instance (writer or reader).
public struct PeerID: Hashable, Comparable, Sendable, CustomStringConvertible {
  /// Nodes are their number; instances have bit 63 set.
  public let value: UInt64
  /// Makes a peer from its encoded number, as on the wire.
  @inlinable public init(rawValue: UInt64) { value = rawValue }
  /// The peer that is a storage node.
  @inlinable public static func node(_ node: NodeID) -> PeerID { PeerID(rawValue: UInt64(node.value)) }
  /// The peer that is a database instance.
  @inlinable public static func instance(_ number: UInt32) -> PeerID { PeerID(rawValue: 1 << 63 | UInt64(number)) }
  /// The storage node, when it is one.
  @inlinable public var node: NodeID? { value >> 63 == 0 ? NodeID(UInt32(truncatingIfNeeded: value)) : nil }
  /// Order by encoded number: nodes before instances.
  @inlinable public static func < (lhs: PeerID, rhs: PeerID) -> Bool { lhs.value < rhs.value }
  /// The node's or instance's name.
  public var description: String { node.map(\.description) ?? "i\(value & 0xFFFF_FFFF)" }
}

/// A number of bytes.
public struct ByteCount: Hashable, Comparable, Sendable, CustomStringConvertible {
  /// The number; not negative.
  public let value: UInt64
  /// Makes a count of single bytes.
  @inlinable public init(_ value: UInt64) { self.value = value }
  /// Units of 1024 bytes.
  @inlinable public static func kibibytes(_ n: UInt64) -> ByteCount { ByteCount(n << 10) }
  /// Units of 1024 KiB.
  @inlinable public static func mebibytes(_ n: UInt64) -> ByteCount { ByteCount(n << 20) }
  /// Units of 1024 MiB.
  @inlinable public static func gibibytes(_ n: UInt64) -> ByteCount { ByteCount(n << 30) }
  /// Units of 1024 GiB.
  @inlinable public static func tebibytes(_ n: UInt64) -> ByteCount { ByteCount(n << 40) }
  /// Whether `lhs` is fewer.
  @inlinable public static func < (lhs: ByteCount, rhs: ByteCount) -> Bool { lhs.value < rhs.value }
  /// In the largest unit that divides or suits it.
  public var description: String {
    let units: [(UInt64, String)] = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")]
    for (size, name) in units where value >= size {
      let tenths = value / size * 10 + value % size * 10 / size
      return tenths % 10 == 0 ? "\(tenths / 10) \(name)" : "\(tenths / 10).\(tenths % 10) \(name)"
    }
    return "\(value) B"
  }
}

/// A point of monotonic time in nanoseconds from an arbitrary start; virtual in the simulator.
///
/// The machines never read a clock: each event brings its `now`.
public struct Instant: Hashable, Comparable, Sendable, CustomStringConvertible {
  /// Nanoseconds since the start.
  public let nanoseconds: UInt64
  /// Makes an instant from nanoseconds since the start.
  @inlinable public init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }
  /// The start.
  @inlinable public static var zero: Instant { Instant(nanoseconds: 0) }
  /// The instant this much later; saturates.
  @inlinable public func advanced(byNanoseconds count: UInt64) -> Instant {
    let (sum, overflow) = nanoseconds.addingReportingOverflow(count)
    return Instant(nanoseconds: overflow ? .max : sum)
  }
  /// The instant this many milliseconds later; saturates.
  @inlinable public func advanced(byMilliseconds count: UInt64) -> Instant {
    let (product, overflow) = count.multipliedReportingOverflow(by: 1_000_000)
    return advanced(byNanoseconds: overflow ? .max : product)
  }
  /// Nanoseconds from `earlier` to here; 0 where `earlier` is later.
  @inlinable public func nanoseconds(since earlier: Instant) -> UInt64 {
    nanoseconds > earlier.nanoseconds ? nanoseconds - earlier.nanoseconds : 0
  }
  /// Whether `lhs` is earlier.
  @inlinable public static func < (lhs: Instant, rhs: Instant) -> Bool { lhs.nanoseconds < rhs.nanoseconds }
  /// Milliseconds with three decimals.
  public var description: String {
    let micro = nanoseconds / 1000
    let fraction = String(micro % 1000)
    return "\(micro / 1000).\(String(repeating: "0", count: 3 - fraction.count))\(fraction)ms"
  }
}

/// `value` in hexadecimal, padded with zeros to `digits`.
public func hexadecimal(_ value: UInt64, digits: Int) -> String {
  let text = String(value, radix: 16)
  return String(repeating: "0", count: max(0, digits - text.count)) + text
}
