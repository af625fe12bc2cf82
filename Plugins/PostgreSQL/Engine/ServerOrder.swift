import BorealisClusterModel
import BorealisComputeEngine
import BorealisCore
import BorealisFileSystem
import BorealisRuntime
import BorealisVolume

/// A server to start for an instance.
struct ServerOrder: Sendable {
  let engine: PostgreSQLEngine
  let cluster: String
  let instance: InstanceIdentifier
  let capacity: InstanceCapacity
  let onLog: @Sendable (String) -> Void

  /// How long a reader waits for a checkpoint before it starts from the last one, in milliseconds.
  private static let checkpointMilliseconds: UInt64 = 8000
  /// How far behind its writer a reader of the volume may be, in milliseconds.
  private static let lagMilliseconds: UInt64 = 20

  /// Has the writer write a checkpoint, so that a reader whose view is taken now has next to nothing to replay, and reads
  /// next to nothing.
  ///
  /// Only time is lost where it fails, or is not in the view yet: the reader then starts from the one before.
  func prepareWriter(_ storage: EngineStorage) {
    guard case .reader(_, .some(let writer)) = storage,
      let password = try? engine.directories.password(of: cluster).text
    else { return }
    let target = target(writer, password, "borealis checkpoint")
    let cutter = PQSession.Cutter()
    let isDone = ThreadSignal()
    let (name, limit) = (instance.name, Self.checkpointMilliseconds)
    let work = WorkerThread {
      if let session = try? PQSession(target, instance: name, cutter: cutter, timeoutMilliseconds: limit) {
        _ = try? session.execute("CHECKPOINT", parameters: [])
      }
      isDone.raise()
    }
    if !isDone.wait(milliseconds: limit) { cutter.cut() }
    work.join()
    ThreadSignal().wait(milliseconds: Self.lagMilliseconds)
  }
  private func target(_ writer: EngineAddress, _ password: String, _ application: String) -> ConnectionTarget {
    ConnectionTarget(
      host: writer.host, port: writer.port, user: engine.options.superuser, password: password,
      security: security, application: application)
  }
  /// What moves a reader's view; nil for a writer.
  func upkeep(
    _ storage: EngineStorage, _ files: VolumeFileSystem, _ overlay: OverlaySpace?, _ server: PostgreSQLServer
  ) -> ViewUpkeep? {
    guard case .reader(let reader, .some(let writer)) = storage, let overlay else { return nil }
    return ViewUpkeep(
      reader, files, overlay, server,
      writer: target(writer, server.configuration.password, "borealis view"), instance, engine.options)
  }
  private var security: ConnectionTarget.Security {
    switch engine.options.encryption {
    case .none: .plain
    case .ownAuthority: .verified(authority: engine.authorityFile(of: cluster))
    }
  }

  func mount(
    _ files: VolumeFileSystem, at path: String, _ owner: ServiceUser?, _ limit: GrowthLimit?
  ) throws -> any MountedFileSystem {
    if !SystemFiles.exists(path) || SystemFiles.names(in: path).isEmpty {
      // Left as it is where something is mounted there: that is the mounter's to clean away.
      try? SystemFiles.makeDirectory(path, mode: 0o755)
    }
    var options = MountOptions()
    options.source = "borealis:\(cluster)"
    options.allowsOtherUsers = owner != nil
    if let limit {
      options.capacity = engine.options.room
      options.refusesGrowth = { limit.refusesGrowth }
    }
    return try engine.mounter.mount(files, at: path, options: options)
  }

  /// Starts the server, after making the database where there is none.
  func startServer(
    _ storage: EngineStorage, on mount: String, in path: String, isNew: Bool, _ owner: ServiceUser?
  ) throws -> (PostgreSQLServer, ServerCertificates?) {
    let options = engine.options
    let data = "\(mount)/\(ServedDatabase.folder)"
    let password = try engine.directories.password(of: cluster)
    if isNew {
      try PostgreSQLServer.initialize(
        at: data, superuser: options.superuser, password: password.text, workDirectory: path + "/initdb",
        serviceUser: options.serviceUser, places: options.places)
    }
    var certificates: ServerCertificates?
    if case .ownAuthority = options.encryption {
      let names = options.serverNames + [options.host] + options.addresses.values.map(\.host).sorted()
      certificates = try engine.directories.certificates(
        of: cluster, names: names, in: path + "/certificates", owner: owner)
    }
    let fixed = options.addresses[instance]
    var last: PostgreSQLError?
    // Between the look for a free port and the server's own use of it somebody else may take it.
    for _ in 0..<3 {
      let address: EngineAddress
      if let fixed {
        address = fixed
      } else {
        let port = try engine.directories.port(of: cluster, instance, on: options.host)
        address = EngineAddress(host: options.host, port: port)
      }
      var configuration = ServerConfiguration(
        instance, dataDirectory: data, runDirectory: path, address: address, password: password.text)
      configuration.capacity = capacity
      configuration.superuser = options.superuser
      configuration.certificates = certificates
      configuration.parameters = options.parameters
      configuration.serviceUser = options.serviceUser
      configuration.places = options.places
      configuration.onLog = onLog
      if case .reader(_, let writer) = storage {
        guard let writer else {
          throw PostgreSQLError(.notStarted, "reader \(instance)", "its writer tells no address to stream from")
        }
        configuration.role = .standby(of: writer, authority: certificates?.authority)
      }
      do throws(PostgreSQLError) {
        let server = try PostgreSQLServer(configuration, startMilliseconds: options.startMilliseconds)
        if password.isNew, !isNew, case .writer = storage { try setPassword(password.text, server) }
        return (server, certificates)
      } catch {
        last = error
        guard fixed == nil, error.detail.contains("could not bind"), error.detail.contains("Address already in use")
        else {
          throw error
        }
      }
    }
    throw last ?? PostgreSQLError(.notStarted, "instance \(instance)", "no port was free")
  }
  /// Gives the superuser of a database that came from elsewhere the password that this machine's cluster knows.
  private func setPassword(_ password: String, _ server: PostgreSQLServer) throws(PostgreSQLError) {
    do throws(SQLError) {
      let session = try PQSession(server.ownTarget())
      defer { session.close() }
      let user = "\"" + engine.options.superuser.replacing("\"", with: "\"\"") + "\""
      _ = try session.execute("ALTER ROLE \(user) PASSWORD '\(password)'", parameters: [])
    } catch {
      server.terminate()
      throw PostgreSQLError(.notStarted, "role \(engine.options.superuser)", "its password cannot be set: \(error)")
    }
  }

  /// An error in the terms of the seam.
  func error(_ error: any Error, _ storage: EngineStorage) -> EngineError {
    if case .writer(let volume) = storage, volume.isFenced {
      return EngineError(.fenced, instance, "another writer has opened the volume: \(error)")
    }
    switch error {
    case let error as EngineError: return error
    case let error as FileSystemError:
      return EngineError(
        error.volumeError == nil ? .unusableStorage : .volume, instance, "the volume's files: \(error)")
    case let error as PostgreSQLError:
      return EngineError(error.code == .unusableData ? .unusableStorage : .cannotStart, instance, "\(error)")
    default: return EngineError(.cannotStart, instance, "\(error)")
    }
  }
}
