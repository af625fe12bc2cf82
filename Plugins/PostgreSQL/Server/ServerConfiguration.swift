import BorealisClusterModel
import BorealisComputeEngine
import BorealisCore

/// All that a server needs to know; its data directory may be anywhere, a mount or not.
package struct ServerConfiguration: Sendable {
  /// What the server does.
  package enum Role: Hashable, Sendable {
    /// Reads and writes.
    case primary
    /// Replays what a primary writes: where that listens, and the file with its CA; nil: unencrypted.
    case standby(of: EngineAddress, authority: String?)
  }
  /// The instance's name.
  package var instance: InstanceIdentifier
  /// The data directory, made by `initialize`.
  package var dataDirectory: String
  /// The server's own directory, for what only this instance needs: its configuration and its socket.
  package var runDirectory: String
  /// Where it listens.
  package var address: EngineAddress
  /// What it may use.
  package var capacity = InstanceClass.localSmall.capacity
  /// What it does.
  package var role = Role.primary
  /// The superuser's name.
  package var superuser = "postgres"
  /// The superuser's password: for standbys, which show it to their primary.
  package var password: String
  /// Certificates; nil: no TLS.
  package var certificates: ServerCertificates?
  /// Parameters of the user.
  package var parameters: [String: String] = [:]
  /// As whom it runs where this process is root's.
  package var serviceUser = "postgres"
  /// Where servers are looked for.
  package var places = PostgreSQLInstallation.places
  /// Called with every line of its log, on a thread of its own; must not block for long.
  package var onLog: @Sendable (String) -> Void = { _ in }

  /// A primary.
  package init(
    _ instance: InstanceIdentifier, dataDirectory: String, runDirectory: String, address: EngineAddress,
    password: String
  ) {
    self.instance = instance
    self.dataDirectory = dataDirectory
    self.runDirectory = runDirectory
    self.address = address
    self.password = password
  }
}
