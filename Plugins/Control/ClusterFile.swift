public import Borealis
import Foundation

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// What a directory says of the cluster that is kept in it: `cluster.json`, for people to read too.
///
/// The data is the volume's; this is only who shall run on it.
public struct ClusterFile: Codable, Sendable, Hashable {
  /// An instance.
  public struct Instance: Codable, Sendable, Hashable {
    /// Its name.
    public var identifier: String
    /// `writer` or `reader`.
    public var role: InstanceRole
    /// Its class.
    public var size: String
    /// Its promotion tier.
    public var tier: Int
    /// Its zone.
    public var zone: String?
  }
  /// A custom endpoint.
  public struct Endpoint: Codable, Sendable, Hashable {
    /// Its name.
    public var name: String
    /// Which roles it takes.
    public var kind: CustomEndpoint.Kind
    /// Its instances, where it is a list.
    public var only: [String]?
    /// The instances that it leaves out, where it takes all others.
    public var allExcept: [String]?
  }
  /// The version of this file's format.
  public var format = 1
  /// The cluster's name.
  public var identifier: String
  /// The engine.
  public var engine = "sqlite"
  /// The replication policy, fixed when the volume is made.
  public var replication = "aurora"
  /// Storage nodes that stand by.
  public var spares = 0
  /// The zones.
  public var zones = ["a", "b", "c"]
  /// The instances.
  public var instances: [Instance]
  /// The custom endpoints.
  public var endpoints: [Endpoint] = []
  /// The ports on which endpoints of a server engine listen, by name; `dns`: the name server's.
  ///
  /// Kept so that clients find them again.
  public var ports: [String: UInt16]?

  /// Describes a new cluster: a writer and `readers` readers of one class.
  public init(identifier: String, readers: Int, size: String) {
    self.identifier = identifier
    let zones = ["a", "b", "c"]
    instances = (0...max(0, readers)).map { i in
      Instance(
        identifier: "\(identifier)-\(i + 1)", role: i == 0 ? .writer : .reader, size: size,
        tier: PromotionTier.standard.value, zone: zones[i % zones.count])
    }
  }

  /// The path in a cluster's directory.
  public static func path(in directory: String) -> String { directory + "/cluster.json" }

  /// Reads a directory's file; nil where there is none.
  public static func load(from directory: String) throws(ControlError) -> ClusterFile? {
    let path = path(in: directory)
    guard let data = FileManager.default.contents(atPath: path) else { return nil }
    let file: ClusterFile
    do { file = try JSONDecoder().decode(ClusterFile.self, from: data) } catch {
      throw ControlError("\(path) is not understood (\(error)); correct it, or remove it to describe the cluster anew")
    }
    guard file.format == 1 else { throw ControlError("\(path) has format \(file.format); this program knows format 1") }
    return file
  }
  /// Writes the file: whole, or as it was before, whatever happens meanwhile.
  public func save(in directory: String) throws(ControlError) {
    let path = ClusterFile.path(in: directory)
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
    do {
      try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
      let data = try encoder.encode(self) + Data([10])
      try data.write(to: URL(fileURLWithPath: path + ".new"))
    } catch { throw ControlError("cannot write \(path): \(error)") }
    let file = open(path + ".new", O_RDONLY)
    let folder = open(directory, O_RDONLY)
    defer {
      close(file)
      close(folder)
    }
    guard fsync(file) == 0, rename(path + ".new", path) == 0, fsync(folder) == 0 else {
      throw ControlError("cannot write \(path): \(String(cString: strerror(errno)))")
    }
  }

  /// The file of a cluster that runs, as it is now.
  public mutating func update(from status: ClusterStatus, _ customEndpoints: [CustomEndpoint]) {
    instances = status.instances.map {
      Instance(
        identifier: $0.identifier, role: InstanceRole(rawValue: $0.role) ?? .reader, size: $0.size, tier: $0.tier,
        zone: $0.zone)
    }
    if ports != nil {
      // The name server's is no endpoint's.
      var known = ports?.filter { $0.key == "dns" } ?? [:]
      for endpoint in status.endpoints {
        known[endpoint.name] =
          endpoint.address?.split(separator: ":").last.flatMap { UInt16($0) } ?? ports?[endpoint.name]
      }
      ports = known
    }
    endpoints = customEndpoints.map { endpoint in
      switch endpoint.members {
      case .only(let list): Endpoint(name: endpoint.name, kind: endpoint.kind, only: list.map(\.name))
      case .allExcept(let list): Endpoint(name: endpoint.name, kind: endpoint.kind, allExcept: list.map(\.name))
      }
    }
  }

  /// The cluster that is described, with its data in `directory`.
  ///
  /// - Parameter server: the engine, where the file names another one than SQLite.
  /// - Throws: for a class, policy or engine that is not known here.
  public func configuration(
    in directory: String, engine server: (any ComputeEngine)? = nil
  ) throws(ControlError) -> ClusterConfiguration {
    var configuration = ClusterConfiguration(identifier)
    configuration.zones = zones
    guard engine == server?.name ?? "sqlite" else {
      throw ControlError("engine '\(engine)' is not known here; there is: \(server?.name ?? "sqlite")")
    }
    configuration.engine = server
    guard let policy = BuiltInPolicies.named(replication) else {
      let known = BuiltInPolicies.all.map(\.name).joined(separator: ", ")
      throw ControlError("replication policy '\(replication)' is not known here; there are: \(known)")
    }
    configuration.storage = Storage(.files(at: directory), replication: policy, spares: spares)
    for instance in instances {
      guard let size = InstanceClass.named(instance.size) else {
        throw ControlError(
          "'\(instance.size)' is no instance class; there are: \(InstanceClass.all.map(\.name).joined(separator: ", "))"
        )
      }
      configuration.instances.append(
        InstanceConfiguration(
          instance.role, .provisioned(size), tier: PromotionTier(instance.tier),
          identifier: InstanceIdentifier(instance.identifier), zone: instance.zone))
    }
    configuration.customEndpoints = endpoints.map { endpoint in
      let names = (endpoint.only ?? endpoint.allExcept ?? []).map { InstanceIdentifier($0) }
      return CustomEndpoint(endpoint.name, endpoint.kind, endpoint.only != nil ? .only(names) : .allExcept(names))
    }
    return configuration
  }
}
