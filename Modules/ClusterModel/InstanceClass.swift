public import BorealisCore

/// A size of provisioned instances: memory, processors, connections and cache, from one table.
public struct InstanceClass: Hashable, Sendable, CustomStringConvertible {
  /// The name, `db.r6g.large`.
  public let name: String
  /// Virtual processors.
  public let processors: Int
  /// Memory of the instance.
  public let memory: ByteCount
  /// Makes a class of one's own.
  public init(_ name: String, processors: Int, memory: ByteCount) {
    self.name = name
    self.processors = processors
    self.memory = memory
  }
  /// The name.
  public var description: String { name }

  /// What an instance of this class has.
  public var capacity: InstanceCapacity { InstanceCapacity(memory: memory, processors: Double(processors)) }

  /// The class of a name; nil where there is none.
  public static func named(_ name: String) -> InstanceClass? { all.first { $0.name == name } }
}

extension InstanceClass {
  /// A quarter of a GiB: tests, and many clusters on one machine.
  public static let localSmall = InstanceClass("local.small", processors: 1, memory: .mebibytes(256))
  /// One GiB.
  public static let localMedium = InstanceClass("local.medium", processors: 2, memory: .gibibytes(1))
  /// Four GiB.
  public static let localLarge = InstanceClass("local.large", processors: 4, memory: .gibibytes(4))
  /// Two processors, 4 GiB.
  public static let t4gMedium = InstanceClass("db.t4g.medium", processors: 2, memory: .gibibytes(4))
  /// Two processors, 16 GiB.
  public static let r6gLarge = InstanceClass("db.r6g.large", processors: 2, memory: .gibibytes(16))
  /// Four processors, 32 GiB.
  public static let r6gXLarge = InstanceClass("db.r6g.xlarge", processors: 4, memory: .gibibytes(32))
  /// Eight processors, 64 GiB.
  public static let r6g2XLarge = InstanceClass("db.r6g.2xlarge", processors: 8, memory: .gibibytes(64))

  /// Every class, the smallest of a family first.
  ///
  /// Source: Aurora user guide, "Hardware specifications for DB instance classes"; `local.*` are ours, for one machine.
  public static let all: [InstanceClass] =
    [localSmall, localMedium, localLarge]
    + family("db.t3", [("medium", 2, 4), ("large", 2, 8)])
    + family("db.t4g", [("medium", 2, 4), ("large", 2, 8)])
    + family("db.r5", sizes + [("12xlarge", 48, 384), ("16xlarge", 64, 512), ("24xlarge", 96, 768)])
    + family("db.r6g", sizes + [("12xlarge", 48, 384), ("16xlarge", 64, 512)])
    + family(
      "db.r6i", sizes + [("12xlarge", 48, 384), ("16xlarge", 64, 512), ("24xlarge", 96, 768), ("32xlarge", 128, 1024)])
    + family("db.r7g", sizes + [("12xlarge", 48, 384), ("16xlarge", 64, 512)])

  private static let sizes: [(String, Int, UInt64)] = [
    ("large", 2, 16), ("xlarge", 4, 32), ("2xlarge", 8, 64), ("4xlarge", 16, 128), ("8xlarge", 32, 256),
  ]
  private static func family(_ name: String, _ sizes: [(String, Int, UInt64)]) -> [InstanceClass] {
    sizes.map { InstanceClass("\(name).\($0.0)", processors: $0.1, memory: .gibibytes($0.2)) }
  }
}

/// What an instance may use, whoever decided it: a class, or a scaler.
public struct InstanceCapacity: Hashable, Comparable, Sendable, CustomStringConvertible {
  /// Memory of the instance.
  public let memory: ByteCount
  /// Processors; a part of one with small capacities.
  public let processors: Double

  /// Makes a capacity.
  public init(memory: ByteCount, processors: Double) {
    self.memory = memory
    self.processors = processors
  }
  /// The capacity of so many Aurora capacity units; in steps of 0.5 from 0 (paused) to 256.
  ///
  /// Source: Aurora user guide, "Using Aurora Serverless v2": one ACU is about 2 GiB of memory with the processor that goes
  /// with it; the r6g classes have 8 GiB for each processor.
  public init(acu: Double) {
    let halves = UInt64(max(0, min(256, acu)) * 2)
    self.init(memory: .gibibytes(halves), processors: Double(halves) / 8)
  }
  /// The capacity in Aurora capacity units.
  public var acu: Double { Double(memory.value) / Double(ByteCount.gibibytes(2).value) }
  /// Page cache: three quarters of the memory, as Aurora's engines have it.
  public var cacheBytes: ByteCount { ByteCount(memory.value / 4 * 3) }
  /// Connections at a time.
  ///
  /// Source: Aurora PostgreSQL's default `max_connections`, `LEAST({DBInstanceClassMemory/9531392}, 5000)`; at least 10, so
  /// that the smallest can still be managed.
  public var connectionsMax: Int { max(10, min(5000, Int(clamping: memory.value / 9_531_392))) }
  /// By memory, then processors.
  public static func < (lhs: InstanceCapacity, rhs: InstanceCapacity) -> Bool {
    (lhs.memory, lhs.processors) < (rhs.memory, rhs.processors)
  }
  /// `16 GiB, 2 processors`.
  public var description: String { "\(memory), \(processors) processors" }
}
