import BorealisCore

/// The certificates that a server shows to its clients.
///
/// Made with the program `openssl`, which Debian always has: nothing has to be linked for what runs once in a cluster's
/// life.
package struct ServerCertificates: Hashable, Sendable {
  /// The file with the cluster's authority: clients give it as `sslrootcert`, with `sslmode=verify-full`.
  package let authority: String
  /// The server's certificate.
  package let certificate: String
  /// Its key, which only the server's user can read.
  package let key: String

  private static let days = 3650

  /// Makes an authority in `directory` where there is none: `ca.crt` for everybody, `ca.key` for its owner.
  ///
  /// Blocks for some tens of milliseconds. - Throws: `.program`, `.file`.
  package static func makeAuthority(in directory: String, cluster: String) throws(PostgreSQLError) -> String {
    let (key, certificate) = (directory + "/ca.key", directory + "/ca.crt")
    if SystemFiles.exists(certificate), SystemFiles.exists(key) { return certificate }
    let options = """
      [req]
      distinguished_name = name
      prompt = no
      x509_extensions = authority
      [name]
      CN = Borealis \(cluster)
      [authority]
      basicConstraints = critical, CA:true, pathlen:0
      keyUsage = critical, keyCertSign, cRLSign
      subjectKeyIdentifier = hash

      """
    try SystemFiles.write(options, to: directory + "/ca.cnf", mode: 0o600)
    // Secret from the first moment on: openssl writes into a file that is there.
    try SystemFiles.write("", to: key + ".new", mode: 0o600)
    try openssl(
      ["req", "-x509", "-new", "-nodes", "-days", "\(days)", "-config", directory + "/ca.cnf", "-keyout", key + ".new"]
        + newKey + ["-out", certificate + ".new"])
    try SystemFiles.move(key + ".new", to: key)
    try SystemFiles.move(certificate + ".new", to: certificate)
    return certificate
  }

  /// Makes a server's certificate, signed by the authority in `authorityDirectory`.
  ///
  /// - Parameters:
  ///   - names: what clients may call the server by: names and addresses, besides `localhost`, `127.0.0.1` and `::1`.
  ///   - directory: where the certificate, the key and a copy of the authority are put.
  static func make(
    in directory: String, authority authorityDirectory: String, names: [String], owner: ServiceUser?
  ) throws(PostgreSQLError) -> ServerCertificates {
    try SystemFiles.makeDirectory(directory, mode: 0o700, owner: owner)
    var all = ["localhost", "127.0.0.1", "::1"]
    for name in names where !all.contains(name) && isName(name) { all.append(name) }
    let entries = all.map { isAddress($0) ? "IP:\($0)" : "DNS:\($0)" }.joined(separator: ", ")
    let options = """
      [req]
      distinguished_name = name
      prompt = no
      [name]
      CN = \(all.last?.prefix(63) ?? "localhost")
      [server]
      basicConstraints = critical, CA:false
      keyUsage = critical, digitalSignature
      extendedKeyUsage = serverAuth
      subjectAltName = \(entries)

      """
    let made = ServerCertificates(
      authority: directory + "/ca.crt", certificate: directory + "/server.crt", key: directory + "/server.key")
    let (settings, request) = (directory + "/server.cnf", directory + "/server.csr")
    try SystemFiles.write(options, to: settings, mode: 0o600)
    try SystemFiles.write("", to: made.key, mode: 0o600)
    try openssl(["req", "-new", "-nodes", "-config", settings, "-keyout", made.key] + newKey + ["-out", request])
    try openssl([
      "x509", "-req", "-in", request, "-CA", authorityDirectory + "/ca.crt", "-CAkey", authorityDirectory + "/ca.key",
      "-CAcreateserial", "-CAserial", directory + "/serial", "-days", "\(days)", "-extfile", settings, "-extensions",
      "server", "-out", made.certificate,
    ])
    guard let text = SystemFiles.text(of: authorityDirectory + "/ca.crt") else {
      throw PostgreSQLError(.file, authorityDirectory + "/ca.crt", "the authority cannot be read")
    }
    try SystemFiles.write(text, to: made.authority, mode: 0o644, owner: owner)
    for path in [made.certificate, made.key] { try SystemFiles.give(path, to: owner) }
    return made
  }

  private static let newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]

  /// Whether it is safe to write a name into OpenSSL's settings.
  private static func isName(_ name: String) -> Bool {
    !name.isEmpty
      && name.utf8.allSatisfy {
        (97...122).contains($0) || (65...90).contains($0) || (48...58).contains($0) || [42, 45, 46].contains($0)
      }
  }
  private static func isAddress(_ name: String) -> Bool {
    name.contains(":") || name.utf8.allSatisfy { (48...57).contains($0) || $0 == 46 }
  }
  private static func openssl(_ arguments: [String]) throws(PostgreSQLError) {
    let places = ["/usr/bin", "/usr/local/bin", "/opt/homebrew/bin", "/bin"]
    guard let place = places.first(where: { SystemFiles.isExecutable($0 + "/openssl") }) else {
      throw PostgreSQLError(
        .notInstalled, "openssl", "TLS certificates are made with it; run 'apt-get install openssl', or switch TLS off")
    }
    _ = try ChildProcess.run(Program(path: place + "/openssl", arguments: arguments), milliseconds: 20_000)
  }
}
