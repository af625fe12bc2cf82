import ArgumentParser
import Borealis
import BorealisControl
import BorealisRuntime
import Dispatch
import Foundation
import Synchronization

/// `borealis up`: runs a cluster until it is stopped.
struct UpCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "up", abstract: "Run a cluster that is kept in a directory, until Ctrl-C or `borealis down`.",
    discussion: """
      The first time it makes the cluster: six storage nodes in three zones, a writer and readers. Later it starts what \
      cluster.json in the directory says. Options other than the directory count the first time only.

      With --engine postgresql the instances are PostgreSQL servers, the one that is installed, on mounts of the volume.
      """)

  @Argument(help: "The cluster's directory.") var directory: String
  @Option(help: "The cluster's name.") var name = "demo"
  @Option(help: "The SQL engine: sqlite, postgresql.") var engine = "sqlite"
  @Option(help: "Readers, 0 to 15.") var readers = 1
  @Option(help: "With a server engine: the writer endpoint's port; the next one is the readers'. Default: any.")
  var port: UInt16 = 0
  @Option(name: .customLong("class"), help: "The class of the instances, such as local.small or db.r6g.large.")
  var size = InstanceClass.localSmall.name
  @Option(help: "Replication policy: \(BuiltInPolicies.all.map(\.name).joined(separator: ", ")).")
  var replication = "aurora"
  @Option(help: "Storage nodes that stand by for those that are lost.") var spares = 0

  func validate() throws {
    if port == UInt16.max { throw ValidationError("--port is at most 65534: the readers' is the next one") }
  }
  func run() async throws {
    var file: ClusterFile
    if let known = try ClusterFile.load(from: directory) {
      file = known
    } else {
      file = ClusterFile(identifier: name, readers: readers, size: size)
      file.replication = replication
      file.spares = spares
      file.engine = engine
      if port > 0 { file.ports = ["cluster": port, "reader": port + 1] }
    }
    if ControlClient.isRunning(directory) {
      throw ValidationError("another process runs the cluster in \(directory); `borealis status \(directory)` shows it")
    }
    let engine = try ServerEngine(file, in: directory)
    let configuration = try file.configuration(in: directory, engine: engine?.engine)
    let cluster = try await Cluster.start(configuration)
    // Whatever fails from here on, the cluster is ended in good order: no server and no mount is left behind.
    do { try await serve(cluster, &file, engine) } catch {
      await cluster.stop()
      throw error
    }
  }

  /// Offers the cluster's endpoints and its control socket until somebody stops it.
  private func serve(_ cluster: Cluster, _ file: inout ClusterFile, _ engine: ServerEngine?) async throws {
    let listening = try await ListeningEndpoints.start(cluster, &file, engine, in: directory)
    do { try await run(cluster, file, listening) } catch {
      await listening?.stop()
      throw error
    }
  }
  private func run(_ cluster: Cluster, _ file: ClusterFile, _ listening: ListeningEndpoints?) async throws {
    try file.save(in: directory)
    let stopping = StopSignal()
    let keeper = FileKeeper(file, directory: directory, cluster: cluster)
    let server = try ControlServer(
      cluster, directory: directory, onChange: { await keeper.save() },
      onEndpoints: { ports in
        if let listening { try await listening.follow(ports) } else { try await ControlServer.noPorts(ports) }
      }, onStop: { stopping.raise() })
    let events = cluster.events
    print(await cluster.status().picture)
    print(
      """

      The cluster runs. \(listening?.help ?? "")In another terminal:
        borealis sql --cluster \(directory)                      SQL on the writer
        borealis sql --cluster \(directory) --endpoint reader    SQL on a reader
        borealis status \(directory)                             how it is
        borealis add-reader \(directory)                         one reader more
        borealis chaos \(directory) kill-writer                  see a failover
      Ctrl-C stops it.

      """)
    fflush(nil)
    let printer = Task {
      for await event in events {
        if case .failoverCompleted = event.kind { await keeper.save() }
        if case .volume = event.kind { continue }
        print(line(event))
        fflush(nil)
      }
    }
    await stopping.wait()
    server.stop()
    await keeper.save()
    await listening?.stop()
    await cluster.stop()
    await printer.value
  }
}

/// One line of an event, with its time.
func line(_ event: ClusterEvent) -> String {
  line(time: event.time, level: event.level.rawValue, text: event.description)
}
func line(time: UInt64, level: String, text: String) -> String {
  let seconds = time / 1_000_000_000 % 86400
  let clock = String(
    format: "%02d:%02d:%02d.%03d", Int(seconds / 3600), Int(seconds / 60 % 60), Int(seconds % 60),
    Int(time / 1_000_000 % 1000))
  return "\(clock)  \(level == "info" ? "" : level + ": ")\(text)"
}

/// Waits for Ctrl-C, a termination signal, or somebody who asks.
final class StopSignal: @unchecked Sendable {
  // @unchecked: `sources` is made in `init` and only kept; everything else is behind `state`.
  private let state = Mutex<(raised: Bool, waiting: CheckedContinuation<Void, Never>?)>((false, nil))
  private let sources: [any DispatchSourceSignal]

  init() {
    sources = [SIGINT, SIGTERM].map { number in
      signal(number, SIG_IGN)
      return DispatchSource.makeSignalSource(signal: number, queue: .global())
    }
    for source in sources {
      source.setEventHandler { [weak self] in self?.raise() }
      source.resume()
    }
  }
  func raise() {
    let waiting = state.withLock { state in
      state.raised = true
      defer { state.waiting = nil }
      return state.waiting
    }
    waiting?.resume()
  }
  func wait() async {
    await withCheckedContinuation { continuation in
      let isRaised = state.withLock { state in
        if !state.raised { state.waiting = continuation }
        return state.raised
      }
      if isRaised { continuation.resume() }
    }
  }
}

/// Keeps `cluster.json` as the cluster is.
final class FileKeeper: Sendable {
  private let file: Mutex<ClusterFile>
  private let directory: String
  private let cluster: Cluster

  init(_ file: ClusterFile, directory: String, cluster: Cluster) {
    self.file = Mutex(file)
    self.directory = directory
    self.cluster = cluster
  }
  func save() async {
    let status = await cluster.status()
    guard !status.instances.isEmpty else { return }
    let endpoints = cluster.customEndpoints
    // It waits for the disk: not on one of Swift's threads.
    await onThread { [self] in
      file.withLock { file in
        file.update(from: status, endpoints)
        do throws(ControlError) { try file.save(in: directory) } catch {
          FileHandle.standardError.write(Data("warning: \(error)\n".utf8))
        }
      }
    }
  }
}
