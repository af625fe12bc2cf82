import BorealisClusterModel
import BorealisComputeEngine
import BorealisCore
import BorealisEndpointResolver
import BorealisRuntime
import Synchronization

/// Who can be connected to now: changed by the cluster, asked at each connect without going through it.
final class EndpointDirectory: Sendable {
  struct Entry: Sendable {
    var instance: InstanceIdentifier
    var role: InstanceRole
    var zone: ZoneID
    var isAvailable: Bool
    var engine: any EngineInstance
  }
  private struct State: Sendable {
    var entries: [Entry] = []
    var resolvers: [(endpoint: Endpoint, resolver: any EndpointResolver)] = []
    var customEndpoints: [CustomEndpoint] = []
    /// Where clients of other processes find endpoints, by name.
    var addresses: [String: EngineAddress] = [:]
    var isOver = false
    /// Where the writer was when the last change of this program was acknowledged.
    var acknowledged = LSN.zero
  }
  private let state: Mutex<State>
  private let balancing: any EndpointResolver

  init(_ configuration: ClusterConfiguration) {
    balancing = configuration.balancing
    state = Mutex(State(customEndpoints: configuration.customEndpoints))
  }

  // MARK: Changed by the cluster

  /// An instance is as given from now on.
  func set(_ entry: Entry) {
    state.withLock { state in
      if let i = state.entries.firstIndex(where: { $0.instance == entry.instance }) {
        state.entries[i] = entry
      } else {
        state.entries.append(entry)
      }
    }
  }
  /// An instance takes no connections any more, or again.
  func setAvailable(_ instance: InstanceIdentifier, _ isAvailable: Bool) {
    state.withLock { state in
      if let i = state.entries.firstIndex(where: { $0.instance == instance }) {
        state.entries[i].isAvailable = isAvailable
      }
    }
  }
  func remove(_ instance: InstanceIdentifier) {
    state.withLock { state in state.entries.removeAll { $0.instance == instance } }
  }
  func setCustomEndpoints(_ endpoints: [CustomEndpoint]) { state.withLock { $0.customEndpoints = endpoints } }
  func setAddress(_ address: EngineAddress?, of endpoint: String) {
    state.withLock { $0.addresses[endpoint] = address }
  }
  func address(of endpoint: String) -> EngineAddress? { state.withLock { $0.addresses[endpoint] } }
  func close() {
    state.withLock { state in
      state.isOver = true
      state.entries = []
    }
  }

  // MARK: Asked by those who connect

  /// What a program was told to be committed up to here must be seen by what it reads next.
  var acknowledged: LSN { state.withLock { $0.acknowledged } }
  func noteAcknowledged(_ lsn: LSN) { state.withLock { $0.acknowledged = max($0.acknowledged, lsn) } }

  var isOver: Bool { state.withLock { $0.isOver } }
  var members: [EndpointMember] { state.withLock { $0.entries }.map(\.member) }
  var customEndpoints: [CustomEndpoint] { state.withLock { $0.customEndpoints } }
  func engine(of instance: InstanceIdentifier) -> (any EngineInstance)? {
    state.withLock { $0.entries.first { $0.instance == instance }?.engine }
  }

  func entry(of instance: InstanceIdentifier) -> Entry? {
    state.withLock { $0.entries.first { $0.instance == instance } }
  }
  /// All instances that an endpoint leads to now.
  func eligible(_ endpoint: Endpoint) -> [Entry] {
    let entries = state.withLock { $0.entries }
    let names = endpoint.eligible(entries.map(\.member)).map(\.instance)
    return entries.filter { names.contains($0.instance) }
  }
  /// The instance for a new connection; nil where there is none now.
  func choose(_ endpoint: Endpoint, from zone: ZoneID?) -> Entry? {
    let entries = state.withLock { $0.entries }
    // Counting connections asks the engines: not under the lock.
    let eligible = endpoint.eligible(entries.map(\.member))
    return state.withLock { state in
      let i: Int
      if let known = state.resolvers.firstIndex(where: { $0.endpoint == endpoint }) {
        i = known
      } else {
        state.resolvers.append((endpoint, balancing))
        i = state.resolvers.count - 1
      }
      guard let chosen = state.resolvers[i].resolver.choose(among: eligible, from: zone) else { return nil }
      return state.entries.first { $0.instance == chosen }
    }
  }
}

extension EndpointDirectory.Entry {
  var member: EndpointMember {
    EndpointMember(
      instance, role: role, zone: zone, isAvailable: isAvailable, connections: engine.statistics.connections)
  }
}
