public import BorealisComputeEngine
public import BorealisFileSystem
import BorealisClusterModel
import BorealisRuntime

/// PostgreSQL as a cluster's engine: the server that is installed, unchanged, on mounts of the volume.
///
///     let engine = try PostgreSQLEngine(at: "/var/lib/borealis", mounter: FUSEMounter())
///
/// Versions 13 to 17 are found where Debian, PostgreSQL's own packages and Homebrew put them. What is shared and what each
/// instance writes: Documentation/PostgreSQL.md.
public struct PostgreSQLEngine: ComputeEngine {
  /// Where each cluster has a directory with its secrets and those of its instances.
  public let directory: String
  /// How it runs.
  public let options: PostgreSQLOptions
  let mounter: any FileSystemMounter
  let directories: EngineDirectories

  /// Makes the engine; touches nothing yet.
  ///
  /// - Parameters:
  ///   - directory: a directory of this machine, made where it is not there; holds nothing that a database would lose, but
  ///     the superuser's password and the certificates' authority.
  ///   - mounter: shows the volume's files to servers.
  ///   - options: how it runs.
  /// - Throws: `.refusedParameter` for a parameter that cannot be set, naming it and why.
  public init(
    at directory: String, mounter: any FileSystemMounter, options: PostgreSQLOptions = PostgreSQLOptions()
  ) throws(PostgreSQLError) {
    for (name, value) in options.parameters.sorted(by: { $0.key < $1.key }) { try ServerParameter.check(name, value) }
    guard directory.hasPrefix("/") else {
      throw PostgreSQLError(
        .file, directory, "give a path that begins with '/': servers have another working directory")
    }
    self.directory = directory
    self.mounter = mounter
    self.options = options
    directories = EngineDirectories(directory)
  }
  /// `postgresql`.
  public var name: String { "postgresql" }

  /// Starts an instance; the first writer makes the file system and the database.
  public func start(_ start: InstanceStart) async throws(EngineError) -> any EngineInstance {
    let instance = PostgreSQLEngineInstance(engine: self, start)
    do throws(EngineError) { try await instance.attach(start.storage) } catch {
      instance.terminate()
      throw error
    }
    return instance
  }

  /// The file with the superuser's password of a cluster, which only its owner can read.
  public func passwordFile(of cluster: String) -> String { directories.secrets(of: cluster) + "/superuser-password" }
  /// The file with the authority of a cluster's certificates, for clients with `sslmode=verify-full`.
  public func authorityFile(of cluster: String) -> String { directories.secrets(of: cluster) + "/ca.crt" }
}
