import Borealis
import BorealisClusterModel
import BorealisComputeEngine
import BorealisConformance
import BorealisCore
import BorealisFileSystem
import BorealisMount
import BorealisRuntime
import Foundation
import Testing

@testable import BorealisPostgreSQL

extension PostgreSQLTests {
  /// The engine on mounts of real volumes of six nodes.
  @Suite(.serialized) struct EngineTests {
    private static func withEngine(
      _ options: PostgreSQLOptions = PostgreSQLOptions(), _ body: (PostgreSQLEngine) async throws -> Void
    ) async throws {
      let directory = "/tmp/bpg-engine-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
      let engine = try PostgreSQLEngine(at: directory, mounter: FUSEMounter(), options: options)
      do { try await body(engine) } catch {
        await removeWhenUnmounted(directory)
        throw error
      }
      await removeWhenUnmounted(directory)
    }

    @Test(arguments: ComputeEngineConformance.checks)
    func conforms(check: ComputeEngineConformance.Check) async throws {
      var options = PostgreSQLOptions()
      options.encryption = .none
      try await Self.withEngine(options) { try await check.run($0, patienceMilliseconds: 60_000) }
    }

    @Test func aParameterThatBreaksPromisesIsRefusedWhenTheEngineIsMade() {
      var options = PostgreSQLOptions()
      options.parameters = ["fsync": "off"]
      let chosen = options
      let error = #expect(throws: PostgreSQLError.self) {
        try PostgreSQLEngine(at: "/tmp/unused", mounter: FUSEMounter(), options: chosen)
      }
      #expect(error?.description.contains("fsync") == true)
    }
  }
}
