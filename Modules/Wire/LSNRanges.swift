public import BorealisCore

/// LSNs above `after` up to and including `through`.
public struct LSNRange: Hashable, Sendable, CustomStringConvertible {
  /// Exclusive lower bound.
  public var after: LSN
  /// Inclusive upper bound.
  public var through: LSN
  /// Makes a range; `after` must not be above `through`.
  public init(after: LSN, through: LSN) {
    self.after = after
    self.through = through
  }
  /// Whether the range holds `lsn`.
  @inlinable public func contains(_ lsn: LSN) -> Bool { after < lsn && lsn <= through }
  /// `(10, 20]`.
  public var description: String { "(\(after), \(through)]" }
}

/// The complete list of truncation ranges of a volume, stamped with the volume epoch that wrote it.
///
/// A list replaces any list with a lower epoch, whole. Every record inside a range is void for ever.
/// Source: P17 §4.3, P18 §2.4, protocol §5.6.
public struct TruncationList: Hashable, Sendable {
  /// The volume epoch whose recovery wrote this list.
  public var epoch: VolumeEpoch
  /// Ascending, not overlapping.
  public var ranges: [LSNRange]
  /// Makes a list.
  public init(epoch: VolumeEpoch = .zero, ranges: [LSNRange] = []) {
    self.epoch = epoch
    self.ranges = ranges
  }
  /// Whether the record at `lsn` is void.
  public func isVoid(_ lsn: LSN) -> Bool {
    // Nearly always the LSN is above the last range.
    guard let last = ranges.last, lsn <= last.through else { return false }
    for range in ranges where range.contains(lsn) { return true }
    return false
  }
}

/// What a segment must keep and show of history: visible intervals (backtrack), pins (clones), and the floor.
///
/// A record is visible when its LSN lies in an interval. The version visible at each pin, and every version at or
/// above `floor`, must be kept. `epoch` orders replacements as for `TruncationList`.
public struct Retention: Hashable, Sendable {
  /// Orders replacements: a higher one replaces a lower one whole.
  public var epoch: VolumeEpoch
  /// Second order within an epoch.
  public var sequence: UInt32
  /// Visible intervals, ascending, not overlapping; `[(0, max]]` when nothing was ever rewound.
  public var visible: [LSNRange]
  /// Fork points of live clones and other pinned read points, ascending.
  public var pins: [LSN]
  /// Lowest LSN to which a rewind may go; `.max` when backtrack is off.
  public var floor: LSN

  /// Makes a retention; by default everything is visible and nothing is pinned.
  public init(
    epoch: VolumeEpoch = .zero, sequence: UInt32 = 0,
    visible: [LSNRange] = [LSNRange(after: .zero, through: .max)], pins: [LSN] = [], floor: LSN = .max
  ) {
    self.epoch = epoch
    self.sequence = sequence
    self.visible = visible
    self.pins = pins
    self.floor = floor
  }
  /// Whether the record at `lsn` is visible.
  public func isVisible(_ lsn: LSN) -> Bool {
    if visible.count == 1 { return visible[0].contains(lsn) }
    for interval in visible where interval.contains(lsn) { return true }
    return false
  }
  /// Whether this one replaces `other`.
  public func supersedes(_ other: Retention) -> Bool {
    epoch == other.epoch ? sequence > other.sequence : epoch > other.epoch
  }
}

extension LSNRange {
  init(from r: inout ByteReader) throws(DecodeError) {
    let at = r.offset
    after = try r.lsn()
    through = try r.lsn()
    guard after <= through else { throw DecodeError(.invalidField, "range", offset: at) }
  }
  static func list(from r: inout ByteReader) throws(DecodeError) -> [LSNRange] {
    var result: [LSNRange] = []
    for _ in 0..<(try r.count(itemSize: 16)) {
      let at = r.offset
      let range = try LSNRange(from: &r)
      if let last = result.last, range.after < last.through { throw DecodeError(.invalidField, "ranges", offset: at) }
      result.append(range)
    }
    return result
  }
  static func encode(_ ranges: [LSNRange], into b: inout [UInt8]) {
    b.appendInteger(UInt32(ranges.count))
    for range in ranges {
      b.append(range.after)
      b.append(range.through)
    }
  }
}

extension TruncationList {
  /// Appends the encoded form.
  public func encode(into b: inout [UInt8]) {
    b.appendInteger(epoch.value)
    LSNRange.encode(ranges, into: &b)
  }
  /// Reads the encoded form.
  public init(from r: inout ByteReader) throws(DecodeError) {
    epoch = VolumeEpoch(try r.u32())
    ranges = try LSNRange.list(from: &r)
  }
}

extension Retention {
  /// Appends the encoded form.
  public func encode(into b: inout [UInt8]) {
    b.appendInteger(epoch.value)
    b.appendInteger(sequence)
    LSNRange.encode(visible, into: &b)
    b.appendInteger(UInt32(pins.count))
    for pin in pins { b.append(pin) }
    b.append(floor)
  }
  /// Reads the encoded form.
  public init(from r: inout ByteReader) throws(DecodeError) {
    epoch = VolumeEpoch(try r.u32())
    sequence = try r.u32()
    visible = try LSNRange.list(from: &r)
    pins = []
    for _ in 0..<(try r.count(itemSize: 8)) {
      let pin = try r.lsn()
      if let last = pins.last, pin <= last { throw DecodeError(.invalidField, "retention.pins", offset: r.offset) }
      pins.append(pin)
    }
    floor = try r.lsn()
  }
}
