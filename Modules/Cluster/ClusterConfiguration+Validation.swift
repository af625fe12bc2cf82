import BorealisStorageNode
import BorealisCapacityScaler
import BorealisClusterModel
import BorealisCore
import BorealisEndpointResolver
import BorealisReplicationPolicy

/// A configuration that describes no cluster that could run, with everything that is wrong.
public struct ClusterConfigurationError: Error, Hashable, Sendable, CustomStringConvertible {
  /// One thing that is wrong.
  public struct Problem: Hashable, Sendable, CustomStringConvertible {
    /// The setting, `instances[orders-2].tier`.
    public let setting: String
    /// What is wrong with it.
    public let reason: String
    /// What would be right.
    public let remedy: String
    /// `setting: reason; remedy`.
    public var description: String { "\(setting): \(reason); \(remedy)" }
  }
  /// The cluster's identifier as given.
  public let cluster: String
  /// What is wrong, in the order of the settings; at least one.
  public let problems: [Problem]
  /// All problems, a line each.
  public var description: String {
    "cluster '\(cluster)' cannot be built:\n" + problems.map { "  - \($0)" }.joined(separator: "\n")
  }
}

extension ClusterConfiguration {
  /// Checks the whole description.
  ///
  /// - Throws: everything that is wrong, each with the setting, the reason and what would be right.
  public func validate() throws(ClusterConfigurationError) {
    var problems: [ClusterConfigurationError.Problem] = []
    func note(_ setting: String, _ reason: String, _ remedy: String) {
      problems.append(ClusterConfigurationError.Problem(setting: setting, reason: reason, remedy: remedy))
    }
    if let problem = IdentifierRules.problem(of: identifier) {
      note("identifier", "'\(identifier)' is no identifier", "it \(problem)")
    }
    checkZones(note)
    checkStorage(note)
    checkInstances(note)
    checkEndpoints(note)
    let checks = healthChecks
    if checks.intervalMilliseconds < 10 || checks.timeoutMilliseconds < 10 {
      note("healthChecks", "intervals and time limits below 10 ms leave no time to answer", "give 10 ms or more")
    }
    if checks.failuresMax < 1 { note("healthChecks.failuresMax", "is \(checks.failuresMax)", "give 1 or more") }
    if !problems.isEmpty { throw ClusterConfigurationError(cluster: identifier, problems: problems) }
  }

  private typealias Note = (_ setting: String, _ reason: String, _ remedy: String) -> Void

  private func checkZones(_ note: Note) {
    let needed = storage.replication.zones
    if zones.count < needed {
      note(
        "zones", "there are \(zones.count), and '\(storage.replication.name)' keeps copies in \(needed)",
        "name \(needed) zones, or choose a policy for fewer")
    }
    if zones.count > 26 { note("zones", "there are \(zones.count)", "name at most 26") }
    if Set(zones).count < zones.count { note("zones", "a name comes twice", "give each zone a name of its own") }
  }

  private func checkStorage(_ note: Note) {
    do { try storage.replication.validate() } catch {
      note("storage.replication", "\(error)", "choose quorums of which every two meet")
    }
    if !(0...100).contains(storage.spares) { note("storage.spares", "is \(storage.spares)", "give 0 to 100") }
    let pageSize = storage.nodes.pageSize
    if pageSize < 2048 || pageSize > 65536 || pageSize.nonzeroBitCount != 1 {
      note("storage.nodes.pageSize", "is \(pageSize)", "give 2048, 4096, 8192 (as usual), 16384, 32768 or 65536")
    }
  }

  private func checkInstances(_ note: Note) {
    let all = resolvedInstances
    let writers = all.count { $0.role == .writer }
    if writers > 1 {
      note("instances", "\(writers) writers are listed, and a cluster has one", "make the others readers")
    }
    let readers = all.count - writers
    if readers > ClusterConfiguration.readersMax {
      note(
        "instances", "\(readers) readers are listed, and a cluster has at most \(ClusterConfiguration.readersMax)",
        "remove \(readers - ClusterConfiguration.readersMax)")
    }
    var seen: Set<InstanceIdentifier> = []
    for instance in all {
      let name = instance.identifier ?? ""
      let setting = "instances[\(name)]"
      if let problem = name.problem { note("\(setting).identifier", "'\(name)' is no identifier", "it \(problem)") }
      if !seen.insert(name).inserted { note("\(setting).identifier", "comes twice", "rename one of them") }
      if !PromotionTier.range.contains(instance.tier.value) {
        note("\(setting).tier", "is \(instance.tier)", "give 0 (promoted first) to 15 (last)")
      }
      if let zone = instance.zone, !zones.contains(zone) {
        note("\(setting).zone", "'\(zone)' is none of the zones", "give one of \(zones.joined(separator: ", "))")
      }
      let (bounds, initial) = (instance.capacity.bounds, instance.capacity.initial)
      if !bounds.contains(initial) {
        note("\(setting).capacity", "starts with \(initial), outside of its bounds", "give bounds that hold it")
      }
      if initial.memory < .mebibytes(64) {
        note("\(setting).capacity", "has \(initial.memory) of memory", "give 64 MiB or more")
      }
    }
  }

  private func checkEndpoints(_ note: Note) {
    let instances = Set(resolvedInstances.compactMap(\.identifier))
    if customEndpoints.count > ClusterConfiguration.customEndpointsMax {
      note(
        "customEndpoints", "there are \(customEndpoints.count)",
        "a cluster has at most \(ClusterConfiguration.customEndpointsMax)")
    }
    var seen: Set<String> = ["cluster", "reader"]
    for endpoint in customEndpoints {
      let setting = "customEndpoints[\(endpoint.name)]"
      if let problem = IdentifierRules.problem(of: endpoint.name) {
        note("\(setting).name", "'\(endpoint.name)' is no identifier", "it \(problem)")
      }
      if !seen.insert(endpoint.name).inserted || instances.contains(InstanceIdentifier(endpoint.name)) {
        note("\(setting).name", "is taken", "choose another name than cluster, reader, an instance's or endpoint's")
      }
      let named: [InstanceIdentifier] =
        switch endpoint.members {
        case .only(let list), .allExcept(let list): list
        }
      for name in named where !instances.contains(name) {
        let known = instances.sorted().map(\.name).joined(separator: ", ")
        note("\(setting).members", "there is no instance '\(name)'", "name some of \(known)")
      }
      if case .only([]) = endpoint.members { note("\(setting).members", "are none", "name at least one instance") }
    }
  }
}
