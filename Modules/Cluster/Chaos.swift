import BorealisEndpointResolver
public import BorealisClusterModel
import BorealisComputeEngine
public import BorealisCore
import BorealisReplicationPolicy
import BorealisRuntime
import BorealisStorageBackend

/// Breaks parts of a running cluster, for drills and tests.
///
/// Nothing here tells the cluster what was done: it has to find out as it would of a real failure.
public struct Chaos: Sendable {
  let cluster: Cluster

  /// Ends an instance as kill -9 would.
  public func kill(_ instance: InstanceIdentifier) async throws(ClusterError) { try engine(instance).terminate() }
  /// Ends the writer as kill -9 would; its name.
  @discardableResult
  public func killWriter() async throws(ClusterError) -> InstanceIdentifier {
    let name = try writer()
    try engine(name).terminate()
    return name
  }
  /// Ends the writer in the middle of its next commit: submitted, and nobody told.
  @discardableResult
  public func killWriterDuringNextCommit() async throws(ClusterError) -> InstanceIdentifier {
    let name = try writer()
    try engine(name).inject(.terminateDuringNextCommit)
    return name
  }
  /// Cuts an instance off from the cluster's checks; it goes on running, and the cluster cannot know.
  public func isolate(_ instance: InstanceIdentifier) async throws(ClusterError) {
    try engine(instance).inject(.isolate)
  }
  /// Stops a storage node as kill -9 would.
  public func stopNode(_ node: NodeID) async throws(ClusterError) {
    try await setNodes([node], running: false)
  }
  /// Starts a storage node again, on what it had made durable.
  public func startNode(_ node: NodeID) async throws(ClusterError) { try await setNodes([node], running: true) }
  /// Takes a zone away: its storage nodes, and its instances, which are not started before it is back.
  public func loseZone(_ zone: String) async throws(ClusterError) {
    let id = try await cluster.zoneID(zone)
    try await setNodes(nodes(of: id), running: false)
    await cluster.setZone(id, isLost: true)
  }
  /// Gives a zone back.
  public func restoreZone(_ zone: String) async throws(ClusterError) {
    let id = try await cluster.zoneID(zone)
    try await setNodes(nodes(of: id), running: true)
    await cluster.setZone(id, isLost: false)
  }

  private func nodes(of zone: ZoneID) -> [NodeID] {
    cluster.fleet.topology.filter { $0.zone == zone }.map(\.node)
  }
  private func setNodes(_ nodes: [NodeID], running: Bool) async throws(ClusterError) {
    let fleet = cluster.fleet
    for node in nodes where !fleet.topology.contains(where: { $0.node == node }) {
      throw .notFound(
        "storage node \(node); there are \(fleet.topology.map(\.node.description).joined(separator: ", "))")
    }
    let done: Result<Void, ClusterError> = await onThread {
      for node in nodes {
        guard running else {
          fleet.stop(node)
          continue
        }
        do throws(StorageBackendError) { try fleet.start(node) } catch { return .failure(.storage(error)) }
      }
      return .success(())
    }
    try done.get()
    for node in nodes { cluster.log.add(.storageNode(node.description, isRunning: running)) }
  }
  private func writer() throws(ClusterError) -> InstanceIdentifier {
    guard let name = cluster.directory.members.first(where: { $0.role == .writer })?.instance else {
      throw .refused("there is no writer at the moment")
    }
    return name
  }
  private func engine(_ instance: InstanceIdentifier) throws(ClusterError) -> any EngineInstance {
    if let found = cluster.directory.engine(of: instance) { return found }
    let names = cluster.directory.members.map(\.instance.name).joined(separator: ", ")
    throw .notFound("instance '\(instance)'; there are: \(names)")
  }
}

extension Cluster {
  /// Breaks parts of this cluster, for drills and tests.
  public nonisolated var chaos: Chaos { Chaos(cluster: self) }

  func zoneID(_ name: String) throws(ClusterError) -> ZoneID {
    guard let i = configuration.zones.firstIndex(of: name) else {
      throw .notFound("zone '\(name)'; there are: \(configuration.zones.joined(separator: ", "))")
    }
    return ZoneID(UInt8(clamping: i))
  }
  func setZone(_ zone: ZoneID, isLost: Bool) {
    for i in members.indices where members[i].zone == zone {
      members[i].isHeld = isLost
      if isLost { members[i].engine.terminate() } else { members[i].retryAt = .zero }
    }
  }
}
