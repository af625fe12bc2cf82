import Borealis
import BorealisControl
import BorealisMount
import BorealisPostgreSQL
import Foundation

/// The engine of a cluster whose instances are servers.
struct ServerEngine {
  let engine: PostgreSQLEngine
  /// The cluster's name.
  let cluster: String

  /// Makes the engine that a cluster's file names; nil for SQLite, which needs none.
  init?(_ file: ClusterFile, in directory: String) throws {
    switch file.engine {
    case "sqlite": return nil
    case "postgresql":
      var options = PostgreSQLOptions()
      options.serverNames = ["\(file.identifier).cluster.local", "\(file.identifier)-ro.cluster.local"]
      options.onLog = { instance, line in
        // What needs an eye; the rest is PostgreSQL's own daily business.
        guard line.contains("FATAL:") || line.contains("PANIC:") else { return }
        FileHandle.standardError.write(Data("\(instance)  \(line)\n".utf8))
      }
      let path = URL(fileURLWithPath: directory).standardizedFileURL.path
      options.room = { MountCapacity(ofDiskWith: path) }
      engine = try PostgreSQLEngine(at: path + "/postgresql", mounter: FUSEMounter(), options: options)
      cluster = file.identifier
    default:
      throw ControlError("engine '\(file.engine)' is not known here; there are: sqlite, postgresql")
    }
  }
  /// How to connect with psql to an address.
  func psql(_ address: EngineAddress) -> String {
    """
    PGPASSWORD=$(cat \(engine.passwordFile(of: cluster))) psql "host=\(address.host) port=\(address.port) \
    user=\(engine.options.superuser) dbname=postgres sslmode=verify-full \
    sslrootcert=\(engine.authorityFile(of: cluster))"
    """
  }
}
