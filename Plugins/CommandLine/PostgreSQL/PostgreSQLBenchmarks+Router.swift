import Borealis
import BorealisControl
import BorealisRouter
import Foundation

#if Router
  extension PostgreSQLBenchmarks {
    static let routerNames = ["router-select-8", "router-select-8-haproxy"]

    /// Select-only through an endpoint's address, beside the writer's own address, and beside HAProxy in front of that.
    static func router(_ options: PGBenchOptions, in directory: String) throws -> [Measurement] {
      try wait {
        try await BenchCluster.with(options, in: directory) { cluster in
          let router = try await EndpointRouter.start(cluster.cluster, [Route(cluster.cluster.writer)])
          do {
            let direct = cluster.clients
            let proxy = try await proxy(options, direct, directory)
            defer { proxy?.stop() }
            try await direct.prepare(scale: options.scale)
            try await direct.warmUp()
            let lines = try await routed(options, direct, router.routes[0].address, proxy?.address)
            await router.stop()
            return lines
          } catch {
            await router.stop()
            throw error
          }
        }
      }
    }
    private static func proxy(
      _ options: PGBenchOptions, _ direct: PGBench, _ directory: String
    ) async throws -> HAProxy? {
      guard options.wants(routerNames[1]), let program = HAProxy.find() else { return nil }
      return try await HAProxy(program, to: direct.address, in: directory + "/haproxy")
    }
    private static func routed(
      _ options: PGBenchOptions, _ direct: PGBench, _ router: EngineAddress, _ proxy: EngineAddress?
    ) async throws -> [Measurement] {
      // In turn, so that all see the same weather.
      var sums = [0.0, 0.0, 0.0]
      let rounds = 3
      let seconds = max(1, options.seconds / rounds)
      for _ in 0..<rounds {
        for (i, address) in [router, direct.address, proxy].enumerated() {
          guard let address else { continue }
          let clients = PGBench(
            installation: direct.installation, address: address, password: direct.password,
            interruption: direct.interruption)
          sums[i] += try await clients.run(.select, clients: 8, .seconds(seconds)).tps / Double(rounds)
        }
      }
      var lines: [Measurement] = []
      if options.wants(routerNames[0]) {
        lines.append(
          Measurement(
            name: routerNames[0], value: sums[0], unit: "tps", peer: sums[1], ratio: sums[0] / sums[1],
            target: "ratio > 0.95", note: "peer: the writer's own address"))
      }
      guard options.wants(routerNames[1]) else { return lines }
      var line = Measurement(name: routerNames[1], value: sums[0], unit: "tps")
      if proxy == nil {
        line.note = "no peer: HAProxy is not installed; `\(HAProxy.installLine)` installs it"
      } else {
        line.peer = sums[2]
        line.ratio = sums[0] / sums[2]
        line.note = note("peer: HAProxy, mode tcp, which has %.2f of the writer's own address", sums[2] / sums[1])
      }
      return lines + [line]
    }
  }
#endif
