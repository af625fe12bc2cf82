import ArgumentParser
import Borealis
import BorealisRuntime
import BorealisSQLite
import Foundation

/// `borealis child sql-crash-child`: opens volume, file system and databases, checks all of them and says what it finds;
/// then makes transactions and says what was acknowledged, until killed.
struct SQLCrashChild: ParsableCommand {
  @Argument var directory: String
  @Option(help: "Nodes that stay down in this run.") var down: String = ""
  @Option(help: "Nodes to stop while transactions are under way.") var later: String = ""
  @Option(help: "When, in milliseconds.") var laterAfter: UInt32 = 0
  @Option var seed: UInt64
  @Option var lie: String?
  @Flag(help: "Only open, check and say what is there.") var verify = false

  static let clients = 5
  static let spares = 3
  /// The clients from here on have the second database attached.
  private static let firstWithOther = 3
  /// This one uses SQLite's own interface.
  private static let plain = 4

  func run() throws {
    let lie = lie.flatMap(SQLCrashLie.init)
    var nodes = CrashChild.nodes
    if lie == .nodes { nodes.plantedBug = .ackBeforeFlush }
    let fleet = try StorageFleet.files(at: directory, spares: SQLCrashChild.spares, configuration: nodes)
    for node in SQLCrashChild.list(down) { fleet.stop(NodeID(node)) }
    let isNew = try fleet.coordinator.load() == nil
    let options = SQLCrashChild.volumeOptions
    let volume = isNew ? try Volume.create(on: fleet, options: options) : try Volume.open(on: fleet, options: options)
    // A new volume may have been left without a file system, and that without a database.
    let files =
      try VolumeFileSystem.exists(on: volume) ? VolumeFileSystem.mount(volume) : VolumeFileSystem.format(on: volume)
    for problem in try files.check().problems { say("broken file system: \(problem)") }
    let vfs = try SQLiteVFS(writer: files)
    let session = try SQLCrashChild.session(vfs, hasOther: true)
    try makeDatabases(session)
    for problem in try SQLCrashChecks.problems(session) { say("broken \(problem)") }
    for found in try SQLCrashChecks.histories(session) { say("found \(found.client) \(found.number) \(found.weight)") }
    say("members " + SQLCrashChild.members(volume).map(String.init).joined(separator: " "))
    say("opened \(volume.epoch)")
    if verify {
      volume.close()
      fleet.stop()
      return
    }
    try work(volume, vfs, session, fleet, lie)
  }

  /// Both databases are made in one transaction: both are whole, or neither is there.
  private func makeDatabases(_ session: SQLiteSession) throws {
    let tables = try session.query("SELECT count(*) FROM sqlite_schema")[0][0]
    let others = try session.query("SELECT count(*) FROM other.sqlite_schema")[0][0]
    if tables == 0, others == 0 {
      try session.transaction {
        try session.execute(SQLCrashTransaction.schema)
        for client in 0..<SQLCrashChild.clients { try session.execute("INSERT INTO clients VALUES (?, 0, 0)", client) }
      }
    }
  }
  private func work(
    _ volume: Volume, _ vfs: SQLiteVFS, _ known: SQLiteSession, _ fleet: StorageFleet, _ lie: SQLCrashLie?
  ) throws {
    var seeds = DeterministicGenerator(seed: seed)
    var threads: [WorkerThread] = []
    for id in 0..<SQLCrashChild.clients {
      let chance = seeds.fork()
      func numbers(_ sql: String) throws -> [Int64] { try known.query(sql).map { try $0.get(0) } }
      let last = try numbers("SELECT coalesce(max(number), 0) FROM ledger WHERE client = \(id)")[0]
      let folded = try numbers("SELECT folded FROM clients WHERE id = \(id)")[0]
      let batches = try numbers("SELECT number FROM batches WHERE client = \(id)")
      let tables = try numbers(
        "SELECT number FROM ledger WHERE client = \(id) AND kind = 5 AND 'extra_' || client || '_' || number IN "
          + "(SELECT name FROM sqlite_schema)")
      threads.append(
        WorkerThread {
          do {
            let hasOther = id >= SQLCrashChild.firstWithOther
            let connection: any SQLCrashConnection =
              id == SQLCrashChild.plain
              ? try PlainConnection("/main.db", vfs: vfs) : try SQLCrashChild.session(vfs, hasOther: hasOther)
            if id == SQLCrashChild.plain { try connection.run(SQLCrashChild.preparation(hasOther: true)) }
            var client = SQLCrashClient(
              id: id, connection: connection, hasOther: hasOther, lie: lie, say: say, chance: chance,
              next: max(last, folded) + 1, folded: folded, batches: batches, tables: tables)
            try client.work()
          } catch { say("failed client \(id): \(error)") }
        })
    }
    let reader = try VolumeReaderInstance(of: volume)
    for vfs in [vfs, SQLiteVFS(reader: reader)] {
      threads.append(WorkerThread { SQLCrashChild.watch(vfs) })
    }
    if !later.isEmpty {
      usleep(laterAfter * 1000)
      for node in SQLCrashChild.list(later) { fleet.stop(NodeID(node)) }
    }
    for thread in threads { thread.join() }
  }

  /// Reads both databases at one moment, again and again: what was seen is durable, and must be there for ever.
  private static func watch(_ vfs: SQLiteVFS) {
    let name = vfs.isReadOnly ? "a reader" : "the writer"
    do {
      let session = try SQLiteSession(vfs, "/main.db")
      try session.execute("ATTACH '/other.db' AS other")
      while true {
        let (problems, last) = try session.transaction(.read) {
          var problems: [String] = []
          for (name, sql) in SQLCrashChecks.queries {
            if let row = try session.query(sql).first { problems.append("\(name): \(row)") }
          }
          return (problems, try SQLCrashChecks.histories(session))
        }
        for problem in problems { say("broken in the view of \(name): \(problem)") }
        for client in last where client.number > 0 { say("seen \(client.client) \(client.number)") }
        usleep(2000)
      }
    } catch { say("failed watching as \(name): \(error)") }
  }

  // MARK: Settings

  /// Repair within the harness's short lives, so that the process dies in the middle of it too.
  private static var volumeOptions: VolumeOptions {
    var options = VolumeOptions()
    options.extentPages = 64
    options.firstExtentPages = 4
    options.groupBytes = .mebibytes(1)
    options.cacheBytes = .mebibytes(2)
    options.repair?.checkEvery = 20_000_000
    options.repair?.downAfter = 80_000_000
    options.repair?.backAfter = 40_000_000
    return options
  }
  static func list(_ text: String) -> [UInt32] { text.split(separator: ",").compactMap { UInt32($0) } }

  /// The nodes that any group counts on, or will.
  private static func members(_ volume: Volume) -> [UInt32] {
    var found: Set<UInt32> = []
    for configuration in volume.configurations {
      for member in configuration.members { found.insert(member.node.value) }
    }
    return found.sorted()
  }
  private static func session(_ vfs: SQLiteVFS, hasOther: Bool) throws -> SQLiteSession {
    let session = try SQLiteSession(vfs, "/main.db", busyTimeoutMilliseconds: 60_000)
    try session.execute(preparation(hasOther: hasOther))
    return session
  }
  /// A small cache, so that large transactions spill.
  private static func preparation(hasOther: Bool) -> String {
    "PRAGMA foreign_keys = ON; PRAGMA cache_size = 40" + (hasOther ? "; ATTACH '/other.db' AS other" : "")
  }
}
