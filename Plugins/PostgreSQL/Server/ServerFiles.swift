import BorealisClusterModel
import BorealisComputeEngine
import BorealisCore

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The files that a server reads when it starts, all outside of its data directory: that is the cluster's, these are the
/// instance's.
struct ServerFiles: Sendable {
  /// The longest path of a socket that every system takes.
  private static let socketPathMax = 100

  let directory: String
  let socketDirectory: String
  private let isElsewhere: Bool
  private let configuration: ServerConfiguration
  private let owner: ServiceUser?

  var settings: String { directory + "/postgresql.conf" }
  var clients: String { directory + "/pg_hba.conf" }
  var users: String { directory + "/pg_ident.conf" }
  var passwords: String { directory + "/passwords" }
  var leftovers: String { directory + "/leftovers" }

  init(_ configuration: ServerConfiguration, owner: ServiceUser?) throws(PostgreSQLError) {
    self.configuration = configuration
    self.owner = owner
    directory = configuration.runDirectory + "/server"
    let own = configuration.runDirectory + "/socket"
    let socket = "\(own)/.s.PGSQL.\(configuration.address.port).lock"
    isElsewhere = socket.utf8.count > Self.socketPathMax
    socketDirectory = isElsewhere ? try Self.shortDirectory() : own
    if let owner, let closed = SystemFiles.impassable(settings, for: owner) {
      throw PostgreSQLError(
        .file, closed,
        "user \(owner.name), as whom the server runs, cannot enter it: choose another directory, or run "
          + "'chmod o+x \(closed)'")
    }
  }

  /// A directory with a path that is short enough, whatever the path of the instance's is.
  private static func shortDirectory() throws(PostgreSQLError) -> String {
    var template = Array("/tmp/borealis-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else {
      throw PostgreSQLError(.file, "/tmp", "no directory for a socket can be made: \(SystemFiles.reason())")
    }
    return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
  /// Removes what is not in the instance's own directory; the server has ended.
  func removeElsewhere() { if isElsewhere { SystemFiles.removeAll(socketDirectory) } }

  /// Writes all of them.
  func write(_ parameters: [ServerParameter]) throws(PostgreSQLError) {
    try SystemFiles.makeDirectory(directory, mode: 0o700, owner: owner)
    try SystemFiles.makeDirectory(socketDirectory, mode: 0o700, owner: owner)
    for name in SystemFiles.names(in: socketDirectory) { SystemFiles.removeAll(socketDirectory + "/" + name) }
    try put(text(of: parameters), settings)
    try put(clientRules, clients)
    try put(userMap, users)
    if case .standby(let primary, _) = configuration.role { try put(passwordLine(primary), passwords) }
  }
  private func put(_ text: String, _ path: String) throws(PostgreSQLError) {
    try SystemFiles.write(text, to: path, mode: 0o600, owner: owner)
  }

  private func text(of parameters: [ServerParameter]) -> String {
    var lines = ["# Written by Borealis at each start of instance \(configuration.instance): changes are lost."]
    for parameter in parameters where parameter.place == .file {
      lines += ["", "# \(parameter.reason)", "\(parameter.name) = \(Self.quoted(parameter.value))"]
    }
    return lines.joined(separator: "\n") + "\n"
  }
  /// A value as the file and connection strings want it.
  static func quoted(_ value: String) -> String {
    "'" + value.map { $0 == "'" ? "\\'" : $0 == "\\" ? "\\\\" : String($0) }.joined() + "'"
  }

  /// What the server is started with: what depends on the instance, and what nobody may change.
  func arguments(_ parameters: [ServerParameter]) -> [String] {
    var all = [("config_file", settings), ("data_directory", configuration.dataDirectory), ("hba_file", clients)]
    all += [("ident_file", users), ("listen_addresses", configuration.address.host)]
    all += [("port", "\(configuration.address.port)"), ("unix_socket_directories", socketDirectory)]
    all += [("unix_socket_permissions", "0700"), ("cluster_name", configuration.instance.name)]
    if let certificates = configuration.certificates {
      all += [("ssl", "on"), ("ssl_cert_file", certificates.certificate), ("ssl_key_file", certificates.key)]
      all += [("ssl_ca_file", certificates.authority), ("ssl_min_protocol_version", "TLSv1.2")]
    }
    if case .standby(let primary, let authority) = configuration.role {
      all += [("primary_conninfo", connectionString(primary, authority))]
    }
    all += parameters.filter { $0.place == .commandLine }.map { ($0.name, $0.value) }
    return all.flatMap { ["-c", "\($0.0)=\($0.1)"] }
  }
  private func connectionString(_ primary: EngineAddress, _ authority: String?) -> String {
    var parts = [
      ("host", primary.host), ("port", "\(primary.port)"), ("user", configuration.superuser), ("passfile", passwords),
      ("application_name", configuration.instance.name), ("connect_timeout", "2"), ("gssencmode", "disable"),
      // A writer that is gone without a word is noticed after about five seconds.
      ("keepalives_idle", "2"), ("keepalives_interval", "1"), ("keepalives_count", "3"), ("tcp_user_timeout", "5000"),
    ]
    if let authority {
      parts += [("sslmode", "verify-ca"), ("sslrootcert", authority)]
    } else {
      parts += [("sslmode", "prefer")]
    }
    return parts.map { "\($0.0)=\(Self.quoted($0.1))" }.joined(separator: " ")
  }

  private var clientRules: String {
    let remote = configuration.certificates == nil ? "host   " : "hostssl"
    return """
      # Written by Borealis. The socket's directory is its owner's and root's alone, and they are who they are; all others
      # show a password, which goes over the network encrypted.
      local    all          \(Self.name(configuration.superuser))  peer map=borealis
      local    all          all           scram-sha-256
      host     all          all           127.0.0.0/8  scram-sha-256
      host     all          all           ::1/128      scram-sha-256
      host     replication  all           127.0.0.0/8  scram-sha-256
      host     replication  all           ::1/128      scram-sha-256
      \(remote)  all          all           all          scram-sha-256
      \(remote)  replication  all           all          scram-sha-256

      """
  }
  private var userMap: String {
    let names = Set(["root", ServiceUser.ownName] + (owner.map { [$0.name] } ?? [])).sorted()
    return names.map { "borealis \(Self.name($0)) \(Self.name(configuration.superuser))\n" }.joined()
  }
  /// A name as those two files want it.
  private static func name(_ name: String) -> String {
    "\"" + name.replacing("\"", with: "\"\"") + "\""
  }
  private func passwordLine(_ primary: EngineAddress) -> String {
    let password = configuration.password.replacing("\\", with: "\\\\").replacing(":", with: "\\:")
    return "*:\(primary.port):*:*:\(password)\n"
  }
}
