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
    private let cluster: Cluster

    /// Listens where the cluster's file says, or where there is room, and notes that in the file; nil for SQLite.
    ///
    /// - Throws: `ControlError` that names the port which is taken; nothing listens then.
    static func start(
      _ cluster: Cluster, _ file: inout ClusterFile, _ engine: ServerEngine?, in directory: String
    ) async throws -> ListeningEndpoints? {
      guard let engine else { return nil }
      var ports = file.ports ?? [:]
      let router = try await EndpointRouter.start(cluster, []) { error in
        FileHandle.standardError.write(Data("warning: \(error)\n".utf8))
      }
      var lines: [String] = []
      do {
        var endpoints = [cluster.writer, cluster.reader]
        for custom in cluster.customEndpoints { endpoints.append(try cluster.endpoint(custom.name)) }
        for endpoint in endpoints {
          let name = "\(endpoint.endpoint)"
          let route = try await open(Route(endpoint, port: ports[name] ?? 0), router, directory)
          ports[name] = route.port
          cluster.setAddress(route.address, ofEndpoint: name)
          lines.append("endpoint \(name):\n  \(engine.psql(route.address))")
        }
        let names = try await explained("the name server", advice(directory)) {
          () async throws(RouterError) in try await NameServer.start(cluster, port: ports["dns"] ?? 0)
        }
        ports["dns"] = names.address.port
        file.ports = ports
        lines.append("names: dig @\(names.address.host) -p \(names.address.port) \(cluster.identifier).cluster.local")
        return ListeningEndpoints(
          router: router, names: names, help: "Connect with any PostgreSQL client:\n\(lines.joined(separator: "\n"))\n",
          cluster: cluster)
      } catch {
        await router.stop()
        throw error
      }
    }
    /// Has the custom endpoints of now listen, and no others; `ports` are asked for by name.
    func follow(_ ports: [String: UInt16]) async throws {
      let wanted = cluster.customEndpoints
      for route in router.routes {
        guard case .custom(let listening) = route.endpoint.endpoint,
          !wanted.contains(where: { $0.name == listening.name })
        else { continue }
        await router.close(listening.name)
        cluster.setAddress(nil, ofEndpoint: listening.name)
      }
      for custom in wanted {
        let endpoint = try cluster.endpoint(custom.name)
        if router.routes.contains(where: { "\($0.endpoint.endpoint)" == custom.name }) {
          router.change(endpoint)
        } else {
          let port = ports[custom.name] ?? 0
          let route = try await Self.explained(
            "endpoint '\(custom.name)'", "give another port, or none for any that is free"
          ) { () async throws(RouterError) in try await router.open(Route(endpoint, port: port)) }
          cluster.setAddress(route.address, ofEndpoint: custom.name)
        }
      }
    }
    private static func open(_ route: Route, _ router: EndpointRouter, _ directory: String) async throws -> Route {
      try await explained("endpoint '\(route.endpoint.endpoint)'", advice(directory)) {
        () async throws(RouterError) in try await router.open(route)
      }
    }
    private static func advice(_ directory: String) -> String {
      "choose another one: --port when the cluster is made, later \"ports\" in \(ClusterFile.path(in: directory)). "
        + "The cluster was stopped; its data are as they were"
    }
    /// What cannot listen, and what to do.
    private static func explained<T>(
      _ what: String, _ advice: String, _ body: () async throws(RouterError) -> T
    ) async throws(ControlError) -> T {
      do throws(RouterError) { return try await body() } catch {
        throw ControlError(
          "\(what) cannot listen on \(error.address): \(error.detail). End the process that has the port "
            + "(`ss -ltnup` shows it), or \(advice)")
      }
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
    func follow(_ ports: [String: UInt16]) async throws { try await ControlServer.noPorts(ports) }
    static func start(
      _ cluster: Cluster, _ file: inout ClusterFile, _ engine: ServerEngine?, in directory: String
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
