import BorealisClusterModel
import BorealisCore
import Synchronization

/// Where clusters and instances have their directories, and who uses which of them.
///
///     DIRECTORY/CLUSTER/secrets/                  superuser-password, ca.crt, ca.key
///     DIRECTORY/CLUSTER/INSTANCE/port             the port that it keeps
///     DIRECTORY/CLUSTER/INSTANCE/0/data-mount/    the mount
///     DIRECTORY/CLUSTER/INSTANCE/0/server/        the server's configuration
///     DIRECTORY/CLUSTER/INSTANCE/0/socket/        its socket
///
/// A life of an instance has the first of 0, 1, … that no other life in this process has: one that was abandoned may still
/// run when the next one of its name starts.
final class EngineDirectories: Sendable {
  private let root: String
  private let taken = Mutex<Set<String>>([])
  /// Secrets are made by one at a time.
  private let turn = Mutex<Void>(())

  init(_ root: String) { self.root = root }

  func secrets(of cluster: String) -> String { "\(root)/\(cluster)/secrets" }
  private func home(_ cluster: String, _ instance: InstanceIdentifier) -> String { "\(root)/\(cluster)/\(instance)" }

  /// Takes a directory for a life of an instance.
  func claim(_ cluster: String, _ instance: InstanceIdentifier) -> String {
    let home = home(cluster, instance)
    return taken.withLock { taken in
      // Of a process that ended before; while their mount is there, they can be told by it.
      if !taken.contains(where: { $0.hasPrefix(home + "/") }) { ProcessTree.killOrphans(below: home) }
      var number = 0
      while !taken.insert("\(home)/\(number)").inserted { number += 1 }
      return "\(home)/\(number)"
    }
  }
  /// Gives it back: nothing of that life runs any more.
  func release(_ path: String) { _ = taken.withLock { $0.remove(path) } }

  // MARK: Secrets

  /// The superuser's password, made where there is none.
  func password(of cluster: String) throws(PostgreSQLError) -> (text: String, isNew: Bool) {
    try turn.withLock { _ throws(PostgreSQLError) in
      let path = secrets(of: cluster) + "/superuser-password"
      if let text = SystemFiles.text(of: path)?.split(separator: "\n").first { return (String(text), false) }
      try SystemFiles.makeDirectory(secrets(of: cluster), mode: 0o711)
      let letters = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
      // 190 bits of the system's own randomness; letters and digits need no quoting anywhere.
      let new = String((0..<32).map { _ in letters[Int.random(in: letters.indices)] })
      try SystemFiles.write(new + "\n", to: path, mode: 0o600)
      return (new, true)
    }
  }
  /// A server's certificates, signed by the cluster's authority, which is made where there is none.
  func certificates(
    of cluster: String, names: [String], in path: String, owner: ServiceUser?
  ) throws(PostgreSQLError) -> ServerCertificates {
    try turn.withLock { _ throws(PostgreSQLError) in
      try SystemFiles.makeDirectory(secrets(of: cluster), mode: 0o711)
      _ = try ServerCertificates.makeAuthority(in: secrets(of: cluster), cluster: cluster)
      return try ServerCertificates.make(in: path, authority: secrets(of: cluster), names: names, owner: owner)
    }
  }

  // MARK: Ports

  /// The port that an instance had before, where it is free, or another one.
  func port(of cluster: String, _ instance: InstanceIdentifier, on host: String) throws(PostgreSQLError) -> UInt16 {
    let path = home(cluster, instance) + "/port"
    let before = SystemFiles.text(of: path).flatMap { UInt16($0.prefix(while: \.isNumber)) }
    if let before, ListeningAddress.isFree(host, before) { return before }
    guard let new = ListeningAddress.freePort(on: host) else {
      throw PostgreSQLError(.notStarted, "instance \(instance)", "no port is free on \(host)")
    }
    if before == nil {
      try SystemFiles.makeDirectory(home(cluster, instance), mode: 0o711)
      try SystemFiles.write("\(new)\n", to: path, mode: 0o644)
    }
    return new
  }
}
