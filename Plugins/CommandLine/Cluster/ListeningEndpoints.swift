import Borealis
import BorealisControl
import BorealisRouter
import Foundation

#if Router
  /// The endpoints of a cluster of servers, as addresses and names.
  struct ListeningEndpoints {
    let router: EndpointRouter
    let names: NameServer
    /// What people are told.
    let help: String

    /// Listens where the cluster's file says, or where there is room, and notes that in the file; nil for SQLite.
    static func start(
      _ cluster: Cluster, _ file: inout ClusterFile, _ engine: ServerEngine?
    ) async throws -> ListeningEndpoints? {
      guard let engine else { return nil }
      var ports = file.ports ?? [:]
      var listed = [("cluster", cluster.writer), ("reader", cluster.reader)]
      for endpoint in cluster.customEndpoints { listed.append((endpoint.name, try cluster.endpoint(endpoint.name))) }
      let router = try await EndpointRouter.start(
        cluster, listed.map { Route($0.1, port: ports[$0.0] ?? 0) })
      let names = try await NameServer.start(cluster, port: ports["dns"] ?? 0)
      var lines: [String] = []
      for (route, (name, _)) in zip(router.routes, listed) {
        ports[name] = route.port
        cluster.setAddress(route.address, ofEndpoint: name)
        lines.append("endpoint \(name):\n  \(engine.psql(route.address))")
      }
      ports["dns"] = names.address.port
      file.ports = ports
      lines.append("names: dig @\(names.address.host) -p \(names.address.port) \(cluster.identifier).cluster.local")
      return ListeningEndpoints(
        router: router, names: names, help: "Connect with any PostgreSQL client:\n\(lines.joined(separator: "\n"))\n")
    }
    func stop() async {
      await router.stop()
      await names.stop()
    }
  }
#else
  /// Built without the trait Router: clients connect to the instances.
  struct ListeningEndpoints {
    let help: String
    static func start(
      _ cluster: Cluster, _ file: inout ClusterFile, _ engine: ServerEngine?
    ) async throws -> ListeningEndpoints? {
      guard let engine else { return nil }
      let lines = await cluster.status().instances.compactMap { instance in
        cluster.instance(InstanceIdentifier(instance.identifier)).target()?.address.map(engine.psql)
      }
      return ListeningEndpoints(
        help: "Built without endpoints (trait Router); its instances:\n\(lines.joined(separator: "\n"))\n")
    }
    func stop() async {}
  }
#endif
