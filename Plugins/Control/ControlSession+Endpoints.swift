import Borealis

// Custom endpoints, by Aurora's terms (Source: `CreateDBClusterEndpoint`, `ModifyDBClusterEndpoint`).
extension ControlSession {
  /// Adds, changes or removes a custom endpoint; with what listens for it, or not at all.
  func changeEndpoint(_ name: String, _ arguments: [String: String]) throws {
    let (cluster, onEndpoints) = (cluster, onEndpoints)
    let known = cluster.customEndpoints.first { $0.name == name }
    switch arguments["action"] {
    case "add":
      if known != nil { throw ControlError("there is an endpoint '\(name)' already; `endpoint modify` changes it") }
      let added = CustomEndpoint(
        name, try kind(arguments) ?? .any, try members(arguments) ?? .allExcept([]))
      let ports = try port(arguments).map { [name: $0] } ?? [:]
      try wait { try await cluster.setEndpoint(added) }
      do { try wait { try await onEndpoints(ports) } } catch {
        try wait { try await cluster.removeEndpoint(name) }
        throw error
      }
    case "modify":
      guard let known else { throw unknown(name) }
      let changed = CustomEndpoint(name, try kind(arguments) ?? known.kind, try members(arguments) ?? known.members)
      try wait { try await cluster.setEndpoint(changed) }
      do { try wait { try await onEndpoints([:]) } } catch {
        try wait { try await cluster.setEndpoint(known) }
        throw error
      }
    case "remove":
      guard known != nil else { throw unknown(name) }
      try wait { try await cluster.removeEndpoint(name) }
      try wait { try await onEndpoints([:]) }
    case let other:
      throw ControlError("'\(other ?? "")' is nothing that can be done to an endpoint: add, modify or remove it")
    }
  }
  private func unknown(_ name: String) -> ControlError {
    let names = cluster.customEndpoints.map(\.name).joined(separator: ", ")
    return ControlError("there is no custom endpoint '\(name)'; there are: \(names.isEmpty ? "none" : names)")
  }
  private func kind(_ arguments: [String: String]) throws -> CustomEndpoint.Kind? {
    guard let text = arguments["type"] else { return nil }
    guard let kind = CustomEndpoint.Kind(rawValue: text) else {
      throw ControlError("'\(text)' is no type of a custom endpoint; there are: any, reader")
    }
    return kind
  }
  private func members(_ arguments: [String: String]) throws -> CustomEndpoint.Members? {
    switch (arguments["static-members"], arguments["excluded-members"]) {
    case (nil, nil): return nil
    case (let list?, nil): return .only(identifiers(list))
    case (nil, let list?): return .allExcept(identifiers(list))
    case (_?, _?): throw ControlError("an endpoint has static members or excluded members, not both")
    }
  }
  private func identifiers(_ list: String) -> [InstanceIdentifier] {
    var found: [InstanceIdentifier] = []
    for name in list.split(separator: ",").map({ InstanceIdentifier($0.trimmingPrefix { $0 == " " }.description) })
    where !found.contains(name) {
      found.append(name)
    }
    return found
  }
  private func port(_ arguments: [String: String]) throws -> UInt16? {
    guard let text = arguments["port"] else { return nil }
    guard let port = UInt16(text), port > 0 else { throw ControlError("'\(text)' is no port; give 1 to 65535") }
    return port
  }
}
