import BorealisCore

/// Where a connection leads, and as whom.
package struct ConnectionTarget: Hashable, Sendable {
  /// How the connection is secured.
  package enum Security: Hashable, Sendable {
    /// Not at all: a socket of this machine.
    case plain
    /// Encrypted, and the server shows a certificate of the authority in this file for the name it was called by.
    case verified(authority: String)
  }
  /// A name or address, or the directory of a socket.
  package var host: String
  /// The port; of a socket, too.
  package var port: UInt16
  /// The user.
  package var user: String
  /// The password; nil where the server knows the user by its process.
  package var password: String?
  /// The database.
  package var database: String
  /// How it is secured.
  package var security = Security.plain
  /// What the server's lists of connections show.
  package var application: String

  /// Makes a target.
  package init(
    host: String, port: UInt16, user: String, password: String? = nil, database: String = "postgres",
    security: Security = .plain, application: String = "borealis"
  ) {
    self.host = host
    self.port = port
    self.user = user
    self.password = password
    self.database = database
    self.security = security
    self.application = application
  }

  /// What libpq is told.
  ///
  /// Everything that the environment or files of the user could say otherwise is said; `passfile` names what
  /// cannot be there.
  func settings(timeoutMilliseconds: UInt64) -> [(String, String)] {
    var all = [
      ("host", host), ("port", "\(port)"), ("user", user), ("dbname", database), ("application_name", application),
      ("password", password ?? ""), ("passfile", "/dev/null/none"), ("client_encoding", "UTF8"),
      ("gssencmode", "disable"),
      ("connect_timeout", "\(max(2, (timeoutMilliseconds + 999) / 1000))"), ("target_session_attrs", "any"),
      ("options", "-c datestyle=ISO -c bytea_output=hex -c extra_float_digits=1"),
      ("keepalives_idle", "10"), ("keepalives_interval", "2"), ("keepalives_count", "3"),
    ]
    switch security {
    case .plain: all.append(("sslmode", "disable"))
    case .verified(let authority): all += [("sslmode", "verify-full"), ("sslrootcert", authority)]
    }
    return all
  }
}
