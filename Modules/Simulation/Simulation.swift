import BorealisCore
import BorealisReplicationPolicy
import BorealisStorageBackend
import BorealisStorageNode
import BorealisVolume
import BorealisWire

/// A whole cluster in one thread: virtual time, one seed, every message and flush in its power.
///
/// The machines are those of the real runtime; only clocks, disks, network and processes are simulated. A run has two
/// phases. Safety: clients work while faults strike; checkers watch. Liveness: all faults are healed and everything
/// must complete within bounded virtual time.
///
/// Equal options give equal runs, down to `SimulationReport.digest`, in any process on any machine.
public final class Simulation {
  let options: SimulationOptions
  let volume = VolumeID(0xB0)
  var now = Instant.zero
  var queue = EventQueue<SimulationEvent>()
  var digest: TraceDigest
  var story: Story
  var verdicts: Verdicts
  var counts = SimulationReport.Counts()

  // Independent streams of chance, so that one more draw in one part does not change all the others.
  var networkChance: DeterministicGenerator
  var diskChance: DeterministicGenerator
  var clientChance: DeterministicGenerator
  var faultChance: DeterministicGenerator

  var network: SimulatedNetwork
  var metadata = MetadataService()
  var nodes: [SimulatedNode] = []
  var writers: [SimulatedWriter] = []
  var readers: [SimulatedReader] = []
  /// The zones, by the policy's zone index.
  var zones: [ZoneID] = []
  /// Nodes that new groups are placed on at the beginning.
  var topology: [NodePlacement] = []

  // The truth, and what it is compared with.
  let ledger = RecordLedger()
  let oracle: Oracle
  let fleet = FleetTruth()
  var durability = DurabilityChecker()
  var monotony = MonotonyChecker()
  var records = RecordIdentityChecker()
  let void = VoidRecordChecker()
  let allocation: AllocationLimitChecker
  var fresh = FreshLSNChecker()
  var single = SingleWriterChecker()
  let fencing = FencingChecker()
  var quorums = QuorumChecker()
  var segmentReads = SegmentReadChecker()
  let readPoints = ReadPointChecker()
  let headReads = HeadReadChecker()
  let views = ReaderViewChecker()
  let controlPlane = ControlPlaneChecker()
  var maintenance = MaintenanceChecker()
  let prefix = PrefixChecker()

  // Load.
  /// With `SimulationOptions.Workload.sql`.
  var database: DatabaseWorkload?
  var mtr: MiniTransaction
  var nextRead: ReadID = 1
  var nextInstance: UInt32 = 1
  var buffer: [UInt8]
  var phase = Phase.safety
  var liveness = LivenessProgress()
  var outgoing: [Outgoing] = []
  var isSupervising = false
  var isSupervisingReaders = false
  /// Probes of the liveness phase that were answered out of turn.
  var answered: Set<Int> = []

  /// What the run is at.
  enum Phase { case safety, liveness, ended }

  private init(_ options: SimulationOptions) {
    self.options = options
    digest = TraceDigest(seed: options.seed)
    story = Story(capacity: 200, isVerbose: options.isVerbose)
    verdicts = Verdicts(ignored: options.ignoredInvariants)
    var root = DeterministicGenerator(seed: options.seed)
    networkChance = root.fork()
    diskChance = root.fork()
    clientChance = root.fork()
    faultChance = root.fork()
    network = SimulatedNetwork(quality: options.network)
    oracle = Oracle(
      objects: options.objects, pagesPerObject: options.pagesPerObject, pageSize: options.pageSize)
    allocation = AllocationLimitChecker(allocationLimit: options.allocationLimit)
    mtr = MiniTransaction(pageSize: options.pageSize)
    buffer = [UInt8](repeating: 0, count: options.pageSize)
    if options.workload == .sql { database = DatabaseWorkload(options) }
  }

  /// Runs one simulation to its end, or to the first violation.
  public static func run(_ options: SimulationOptions) -> SimulationReport {
    let simulation = Simulation(options)
    simulation.begin()
    simulation.loop()
    return simulation.report()
  }

  private func begin() {
    makeFleet()
    for i in nodes.indices { queue.push(.nodeStart(i), at: now) }
    queue.push(.supervise, at: now.advanced(byMilliseconds: 1))
    isSupervising = true
    for client in 0..<options.clients {
      queue.push(.client(client), at: now.advanced(byMilliseconds: 5 + UInt64(client)))
    }
    if !options.faults.isEmpty {
      queue.push(.fault, at: now.advanced(byNanoseconds: clientPause(options.faultInterval)))
    }
    queue.push(.liveness, at: now.advanced(byMilliseconds: 20))
  }

  private func loop() {
    while phase != .ended, verdicts.isEmpty, let (time, event) = queue.pop() {
      precondition(time >= now, "time went back")
      now = time
      verdicts.now = now
      counts.events += 1
      handle(event)
    }
    if phase != .ended, verdicts.isEmpty { verdicts.report(.liveness, "nothing is left to happen") }
  }

  private func handle(_ event: SimulationEvent) {
    switch event {
    case .deliver(let from, let to, let bytes): deliver(bytes, from: from, to: to)
    case .nodeTick(let i, let incarnation): tickNode(i, incarnation)
    case .storage(let i, let incarnation, let lane): storageDue(i, incarnation, lane)
    case .nodeStart(let i): startNode(i)
    case .instanceTick(let peer): tickInstance(peer)
    case .metadata(let peer, let read): metadataAnswers(peer, read: read)
    case .supervise: supervise()
    case .superviseReaders: superviseReaders()
    case .client(let client): clientStep(client)
    case .closePoint(let peer, let point): closePoint(peer, point)
    case .databaseTask(let id): finish(id)
    case .databaseRead(let id, let page): readAgain(page, for: id)
    case .databaseSnapshot(let id): lookAgain(id)
    case .fault: beginFault()
    case .heal(let healing): heal(healing)
    case .liveness: lookAtProgress()
    }
  }

  private func report() -> SimulationReport {
    if !verdicts.isEmpty { tellState() }
    counts.messages = network.sent
    counts.messagesLost = network.lost
    counts.groups = Set(quorums.configurations.map(\.group)).count
    var report = SimulationReport(seed: options.seed, options: options)
    report.digest = digest.value
    report.counts = counts
    report.virtualNanoseconds = now.nanoseconds
    report.violations = verdicts.violations
    report.story = story.lines
    return report
  }

  /// A random pause of about `mean`, from the clients' stream.
  func clientPause(_ mean: UInt64) -> UInt64 { clientChance.within(mean / 4...mean * 7 / 4) }
}
