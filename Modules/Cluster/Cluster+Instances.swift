import BorealisVolume
public import BorealisCapacityScaler
public import BorealisClusterModel
import BorealisComputeEngine
public import BorealisEndpointResolver
import BorealisRuntime

// Changing a cluster while it runs.
extension Cluster {
  /// Adds a reader; returns when it takes connections.
  ///
  /// Nothing is copied: it shares the volume.
  ///
  /// - Throws: `.refused` where there are fifteen, the name is taken, or a setting is out of range.
  @discardableResult
  public func addReader(
    _ capacity: any CapacityScaler = .provisioned(.localSmall), tier: PromotionTier = .standard,
    identifier name: InstanceIdentifier? = nil, zone: String? = nil
  ) async throws(ClusterError) -> InstanceIdentifier {
    try await alone { () async throws(ClusterError) in
      let identifier = name ?? nextIdentifier()
      var described = InstanceConfiguration(.reader, capacity, tier: tier, identifier: identifier, zone: zone)
      if described.zone == nil { described.zone = configuration.zones[members.count % configuration.zones.count] }
      try check(described)
      let storage = try await attachReader(capacity.initial)
      try await startMember(described, storage)
      var bytes: UInt64 = 0
      if case .reader(let reader, _) = storage { bytes = reader.statistics.cacheMisses * UInt64(reader.pageSize) }
      log.add(.instanceAdded(identifier, bytesCopied: bytes))
      return identifier
    }
  }
  private func nextIdentifier() -> InstanceIdentifier {
    while true {
      nextNumber += 1
      let name = InstanceIdentifier("\(identifier)-\(nextNumber)")
      let isTaken = directory.customEndpoints.contains { $0.name == name.name }
      if !isTaken, !members.contains(where: { $0.identifier == name }) { return name }
    }
  }
  private func check(_ described: InstanceConfiguration) throws(ClusterError) {
    let readers = members.count { $0.role == .reader }
    guard readers < ClusterConfiguration.readersMax else {
      throw .refused("the cluster has \(readers) readers, as many as it may have; remove one first")
    }
    if let name = described.identifier, members.contains(where: { $0.identifier == name }) {
      throw .refused("there is an instance '\(name)' already; choose another name")
    }
    if let name = described.identifier, directory.customEndpoints.contains(where: { $0.name == name.name }) {
      throw .refused("there is an endpoint '\(name)'; choose another name")
    }
    // The rules of the configuration hold for what comes later, too.
    var alone = ClusterConfiguration(identifier)
    alone.zones = configuration.zones
    alone.storage.replication = configuration.storage.replication
    alone.instances = [described]
    do throws(ClusterConfigurationError) { try alone.validate() } catch { throw .configuration(error) }
  }

  /// Removes an instance; its transactions end first, as far as they do within a second.
  ///
  /// Removing the writer is a failover first. - Throws: `.refused` for the last instance, and for the last one of a custom
  /// endpoint's list; `.notFound`.
  public func remove(_ name: InstanceIdentifier) async throws(ClusterError) {
    let i = try index(of: name)
    guard members.count > 1 else { throw .refused("'\(name)' is the last instance; stop the cluster instead") }
    _ = try customEndpoints(without: name)
    if members[i].role == .writer { try await failover() }
    try await alone { () async throws(ClusterError) in
      let i = try index(of: name)
      guard members[i].role == .reader else { throw .refused("'\(name)' has become the writer again; try once more") }
      let engine = members[i].engine
      // Who is gone is in no list: the description of the cluster would be refused at its next start.
      directory.setCustomEndpoints(try customEndpoints(without: name))
      members.remove(at: i)
      directory.remove(name)
      await engine.stop()
      log.add(.instanceRemoved(name))
    }
  }

  /// The custom endpoints once an instance is gone.
  private func customEndpoints(without name: InstanceIdentifier) throws(ClusterError) -> [CustomEndpoint] {
    var endpoints = directory.customEndpoints
    for i in endpoints.indices {
      switch endpoints[i].members {
      case .only([name]):
        throw .refused(
          "'\(name)' is the only member of endpoint '\(endpoints[i].name)'; change or remove the endpoint first")
      case .only(let list): endpoints[i].members = .only(list.filter { $0 != name })
      case .allExcept(let list): endpoints[i].members = .allExcept(list.filter { $0 != name })
      }
    }
    return endpoints
  }

  /// Changes an instance's tier or size.
  ///
  /// The number of connections changes at once; the cache with the instance's next start or failover.
  public func modify(
    _ name: InstanceIdentifier, tier: PromotionTier? = nil, capacity: (any CapacityScaler)? = nil
  ) async throws(ClusterError) {
    try await alone { () async throws(ClusterError) in
      let i = try index(of: name)
      if let tier {
        guard PromotionTier.range.contains(tier.value) else {
          throw .refused("tier \(tier) is out of range; give 0 (promoted first) to 15 (last)")
        }
        members[i].tier = tier
      }
      guard let capacity else { return }
      members[i].scaler = capacity
      members[i].capacity = capacity.initial
      log.add(.capacityChanged(name, capacity.initial))
      await members[i].engine.resize(to: capacity.initial)
    }
  }

  /// Adds a custom endpoint, or changes the one of that name.
  ///
  /// Connections that are open stay.
  public func setEndpoint(_ endpoint: CustomEndpoint) async throws(ClusterError) {
    var described = ClusterConfiguration(identifier)
    described.zones = configuration.zones
    described.storage.replication = configuration.storage.replication
    described.instances = members.map { InstanceConfiguration($0.role, $0.scaler, identifier: $0.identifier) }
    described.customEndpoints = directory.customEndpoints.filter { $0.name != endpoint.name } + [endpoint]
    do throws(ClusterConfigurationError) { try described.validate() } catch { throw .configuration(error) }
    directory.setCustomEndpoints(described.customEndpoints)
  }
  /// Removes a custom endpoint; connections that are open stay.
  public func removeEndpoint(_ name: String) async throws(ClusterError) {
    _ = try endpoint(name)
    directory.setCustomEndpoints(directory.customEndpoints.filter { $0.name != name })
    directory.setAddress(nil, of: name)
  }
}
