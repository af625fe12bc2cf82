import BorealisCore
import BorealisReplicationPolicy

/// What a run looks like: the volume, the load, and the trouble.
///
/// Drawn from a seed, or set by hand.
///
/// var options = SimulationOptions(seed: 7)
/// options.policy = MyPolicy()
/// let report = Simulation.run(options)
///
/// Times are virtual and in nanoseconds.
public struct SimulationOptions: Sendable {
  /// Decides everything that is left to chance in the run.
  public var seed: UInt64
  /// Copies and quorums.
  ///
  /// Not validated here: a wrong policy is what one may want to see fail.
  public var policy: any ReplicationPolicy
  /// Storage nodes in each zone that the policy uses, at the beginning.
  public var nodesPerZone: Int
  /// Nodes more that can take the place of others.
  public var spares: Int
  /// Bytes of a page.
  public var pageSize: Int
  /// Pages of an extent.
  public var extentPages: UInt64
  /// Pages of a protection group; small, so that the volume grows during the run.
  public var groupPages: UInt64
  /// Objects that clients write to.
  public var objects: Int
  /// Pages of each object.
  public var pagesPerObject: Int
  /// Bytes of a chunk of a node's log.
  public var chunkBytes: Int
  /// Pages in the caches of writer and readers.
  public var cachePages: Int
  /// LAL, in records.
  public var allocationLimit: UInt64
  /// Reader instances.
  public var readers: Int
  /// Clients that commit and read.
  public var clients: Int
  /// Mini-transactions to be committed in the safety phase.
  public var transactions: Int
  /// The safety phase ends after this time even when fewer have been committed.
  public var safetyTime: UInt64
  /// Mean pause of a client between operations.
  public var thinkTime: UInt64
  /// Whether writers hold open batches for clients that were just woken.
  public var holdsForWoken: Bool
  /// Whether commits are sent when somebody waits, and some are waited for by nobody, as those of a file system are.
  public var commitsLater: Bool
  /// What clients do.
  public var workload = Workload.pages
  /// What trouble there is.
  public var faults: FaultClass
  /// Mean time between two faults that begin.
  public var faultInterval: UInt64
  /// The network while it is troubled.
  public var network: NetworkQuality
  /// Invariants that are not checked.
  public var ignoredInvariants: Set<Invariant>
  /// The liveness phase must have reached its end after this time.
  public var livenessTime: UInt64
  /// Keep the story of every message.
  public var isVerbose: Bool
  /// What clients do with the volume.
  public enum Workload: String, Sendable, Hashable, CaseIterable {
    /// Mini-transactions over random pages, and reads of single pages.
    case pages
    /// A database, as SQLite keeps it: transactions that read and change several pages and page 0, grow and shrink it, and
    /// readers of all of it.
    case sql
  }
  /// A fault planted in a machine.
  package var plantedBug: PlantedBug?

  /// Draws everything from `seed`.
  public init(seed: UInt64) {
    self.seed = seed
    var g = DeterministicGenerator(seed: seed ^ 0x5EED_0F0D_DEED_5EED)
    func pick<T>(_ choices: [T]) -> T { choices[g.index(choices.count)] }
    policy = pick([
      AuroraPolicy(), AuroraPolicy(), AuroraPolicy(), AuroraPolicy(), FullAndTailPolicy(), FullAndTailPolicy(),
      MajorityPolicy(), MirroredPagesPolicy(), ZoneLostPolicy(), SingleCopyPolicy(),
    ])
    let perZone = policy.slots.count { $0.zone == 0 }
    nodesPerZone = perZone + (g.chance(1, in: 4) ? 1 : 0)
    spares = Int(g.below(3))
    pageSize = pick([512, 512, 1024])
    extentPages = g.within(2...4)
    groupPages = extentPages * g.within(2...6)
    objects = Int(g.within(1...3))
    pagesPerObject = Int(g.within(6...12))
    chunkBytes = pick([8, 16, 32]) << 10
    cachePages = Int(g.within(4...24))
    allocationLimit = pick([64, 128, 256, 512])
    readers = Int(g.below(4))
    clients = Int(g.within(2...4))
    transactions = Int(g.within(120...240))
    safetyTime = 4_000_000_000
    thinkTime = g.within(4_000_000...12_000_000)
    livenessTime = 30_000_000_000
    ignoredInvariants = []
    isVerbose = false
    // Swarm testing: each run has its own mixture, so that one kind of fault does not hide what another would show.
    var faults: FaultClass = []
    for (_, value) in FaultClass.named where g.chance(1, in: 2) { faults.insert(value) }
    if g.chance(1, in: 20) { faults = [] }
    self.faults = faults
    faultInterval = pick([60_000_000, 120_000_000, 250_000_000])
    network = NetworkQuality(
      delayMax: pick([300_000, 1_000_000, 3_000_000]),
      delayTail: pick([5_000_000, 30_000_000, 100_000_000]),
      slowPerMille: faults.contains(.delay) ? g.within(5...60) : 0,
      lossPerMille: faults.contains(.loss) ? g.within(2...80) : 0,
      duplicatePerMille: faults.contains(.duplication) ? g.within(5...100) : 0,
      corruptPer100000: faults.contains(.corruption) ? g.within(10...200) : 0)
    holdsForWoken = g.chance(1, in: 2)
    commitsLater = g.chance(1, in: 4)
  }

  /// One line for people.
  public var summary: String {
    "policy \(policy.name), \(nodesPerZone) nodes a zone + \(spares), pages \(pageSize) B x \(objects)x\(pagesPerObject), extent"
      + " \(extentPages), group \(groupPages), chunk \(chunkBytes >> 10) KiB, cache \(cachePages), LAL \(allocationLimit),"
      + " readers \(readers), clients \(clients), faults \(faults.names)"
      + (holdsForWoken ? ", holding for woken clients" : "") + (commitsLater ? ", sending late" : "")
      + (workload == .pages ? "" : ", workload \(workload.rawValue)")
  }
}
