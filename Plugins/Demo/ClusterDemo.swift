import Borealis
import BorealisRuntime
import Foundation

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// A cluster on files, under load, through all that it is made for: readers added, a node, a zone and the writer lost.
public struct ClusterDemo {
  private let work: String
  private let act: Double

  /// - Parameters:
  ///   - directory: where to put the files; a new directory in it is used and removed.
  ///   - act: seconds for each act.
  public init(directory: String = "/tmp", act: Double = 2) {
    work = directory + "/borealis-demo-\(getpid())"
    self.act = act
  }
  /// Plays it; whether every acknowledged order was there at the end.
  public func run() async throws -> Bool {
    defer { try? FileManager.default.removeItem(atPath: work) }
    let cluster = try await Cluster.files("orders", at: work)
    let problems: [String]
    do { problems = try await play(cluster) } catch {
      await cluster.stop()
      throw error
    }
    await cluster.stop()
    return problems.isEmpty
  }

  private func play(_ cluster: Cluster) async throws -> [String] {
    let load = OrderLoad(cluster)
    try await load.prepare()
    let picture = DemoPicture(cluster, load)
    let running = Task { await load.run(readers: 2) }
    defer {
      load.stop()
      running.cancel()
    }
    picture.begin("four clients order, two read; six copies in three zones")
    await picture.play("a writer, a reader, six storage nodes; four clients order, two read", seconds: act)

    let size = try await cluster.writer.rows("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
    picture.begin("two readers are added")
    let before = ContinuousClock.now
    for _ in 0..<2 { try await cluster.addReader() }
    let took = before.duration(to: .now) / Duration.milliseconds(2)
    let copied = cluster.recentEvents.reduce(into: UInt64(0)) { sum, event in
      if case .instanceAdded(_, let bytes) = event.kind { sum += bytes }
    }
    let database = ByteCount(UInt64(try size[0].get(0, as: Int64.self)))
    await picture.play(
      note("two readers more, %.0f ms each: %@ read of a database of %@", took, "\(ByteCount(copied))", "\(database)"),
      seconds: act)

    picture.begin("storage node n1 is killed")
    try await cluster.chaos.stopNode(NodeID(1))
    await picture.play("a storage node is killed: five of six copies, commits go on", seconds: act)
    picture.begin("it is back, and catches up")
    try await cluster.chaos.startNode(NodeID(1))
    await picture.play("the node is back and catches up from its peers", seconds: act)

    picture.begin("zone c is lost")
    try await cluster.chaos.loseZone("c")
    await picture.play("zone c is lost, with its instance: four of six copies, commits go on", seconds: act)
    picture.begin("zone c is back")
    try await cluster.chaos.restoreZone("c")
    await picture.play("zone c is back", seconds: act)

    picture.begin("the writer is killed in the middle of a commit")
    try await cluster.chaos.killWriterDuringNextCommit()
    await picture.play("the writer was killed in the middle of a commit; a reader has taken over", seconds: act)
    picture.begin("the writer cannot be reached, and still runs: it is fenced")
    if let writer = cluster.writer.members.first?.instance { try await cluster.chaos.isolate(writer) }
    await picture.play("the new writer cannot be reached any more, but still runs: it is fenced", seconds: act + 1)
    picture.begin("a planned failover")
    try await cluster.failover()
    await picture.play("a planned failover: transactions end first", seconds: act)

    load.stop()
    await running.value
    let problems = try await load.verify()
    let seen = load.now
    print(picture.latencies)
    print("")
    for report in await cluster.failoverReports { print(report.timeline) }
    let sorted = seen.writes.map(\.took).sorted()
    func milliseconds(_ share: Double) -> Double {
      sorted.isEmpty ? 0 : Double(sorted[min(sorted.count - 1, Int(Double(sorted.count) * share))]) / 1e6
    }
    print("")
    print(
      note(
        "%d orders acknowledged, p50 %.1f ms, p99 %.1f ms; %d reads; %d outcomes looked up, %d orders made again",
        Int(load.acknowledged), milliseconds(0.5), milliseconds(0.99),
        Int(seen.reads), seen.lookedUp, seen.repeated))
    print(
      problems.isEmpty
        ? "every acknowledged order is there, once; each reader saw whole transactions; integrity_check: ok"
        : "PROBLEMS:\n  " + problems.joined(separator: "\n  "))
    print(
      """

      Try next:
        make tool                                          the command line tool; then, of .build/release:
        borealis up /tmp/orders                            a cluster of your own, to be played with from another terminal
        borealis demo-volume                               below SQL: the volume's copies, LSNs and epochs
        borealis sim --seeds 100                           the same machines in the deterministic simulator
        ls Examples                                        clusters in Swift, each under 100 lines
      """)
    return problems
  }
}

func note(_ format: String, _ arguments: any CVarArg...) -> String { String(format: format, arguments: arguments) }
