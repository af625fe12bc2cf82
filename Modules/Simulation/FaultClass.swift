/// The kinds of trouble that a run may meet.
public struct FaultClass: OptionSet, Sendable, Hashable {
  /// One bit for each kind.
  public let rawValue: UInt32
  /// Makes a set from its bits.
  public init(rawValue: UInt32) { self.rawValue = rawValue }

  /// Messages are lost.
  public static let loss = FaultClass(rawValue: 1 << 0)
  /// Messages are held up and overtake each other by far.
  public static let delay = FaultClass(rawValue: 1 << 1)
  /// Messages arrive twice.
  public static let duplication = FaultClass(rawValue: 1 << 2)
  /// Now and then a bit of a message flips.
  public static let corruption = FaultClass(rawValue: 1 << 3)
  /// Nodes, zones or instances are cut off for a while, perhaps one way.
  public static let partition = FaultClass(rawValue: 1 << 4)
  /// Nodes crash; unsynced sectors are lost or torn.
  public static let nodeCrash = FaultClass(rawValue: 1 << 5)
  /// A whole zone goes down for a while, sometimes with one node more (AZ+1).
  public static let zoneOutage = FaultClass(rawValue: 1 << 6)
  /// The writer crashes, also in the middle of an opening.
  public static let writerCrash = FaultClass(rawValue: 1 << 7)
  /// A second writer is started while the first one runs.
  public static let twoWriters = FaultClass(rawValue: 1 << 8)
  /// Readers crash.
  public static let readerCrash = FaultClass(rawValue: 1 << 9)
  /// Disks become very slow for a while.
  public static let slowDisk = FaultClass(rawValue: 1 << 10)
  /// Disks are full for a while.
  public static let fullDisk = FaultClass(rawValue: 1 << 11)
  /// Bits on disks flip, within the budget of `Documentation/FaultModel.md`.
  public static let bitRot = FaultClass(rawValue: 1 << 12)
  /// A disk is lost for ever; a spare takes its place.
  public static let lostDisk = FaultClass(rawValue: 1 << 13)
  /// Members are replaced, given up and taken back without need.
  public static let membership = FaultClass(rawValue: 1 << 14)
  /// The metadata service is away for a while.
  public static let metadata = FaultClass(rawValue: 1 << 15)
  /// Our own maintenance restarts nodes, one of a group at a time.
  public static let maintenance = FaultClass(rawValue: 1 << 16)

  /// Every kind.
  public static let all = FaultClass(rawValue: (1 << 17) - 1)
  /// Only the order and time in which messages arrive.
  public static let network: FaultClass = [.loss, .delay, .duplication, .corruption, .partition]
  /// Names for command lines.
  public static let named: [(name: String, value: FaultClass)] = [
    ("loss", .loss), ("delay", .delay), ("duplication", .duplication), ("corruption", .corruption),
    ("partition", .partition), ("node-crash", .nodeCrash), ("zone-outage", .zoneOutage),
    ("writer-crash", .writerCrash), ("two-writers", .twoWriters), ("reader-crash", .readerCrash),
    ("slow-disk", .slowDisk), ("full-disk", .fullDisk), ("bit-rot", .bitRot), ("lost-disk", .lostDisk),
    ("membership", .membership), ("metadata", .metadata), ("maintenance", .maintenance),
  ]
  /// The kinds named in a comma-separated list, `all`, `none` or `network`; nil where a name is unknown.
  public static func parse(_ text: String) -> FaultClass? {
    var result: FaultClass = []
    for word in text.split(separator: ",") {
      switch word {
      case "all": result.formUnion(.all)
      case "none": break
      case "network": result.formUnion(.network)
      default:
        guard let found = named.first(where: { $0.name == word }) else { return nil }
        result.insert(found.value)
      }
    }
    return result
  }
  /// The names, comma-separated.
  public var names: String {
    let found = FaultClass.named.filter { contains($0.value) }.map(\.name)
    return found.isEmpty ? "none" : found.joined(separator: ",")
  }
}
