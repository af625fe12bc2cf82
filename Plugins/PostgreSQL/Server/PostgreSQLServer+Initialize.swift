import BorealisCore

extension PostgreSQLServer {
  /// Whether a database is at a path.
  package static func isInitialized(_ path: String) -> Bool { SystemFiles.exists(path + "/PG_VERSION") }

  /// Makes a database at `path`, which must not be there; durable when it returns, and whole or not there.
  ///
  /// Without data checksums: the volume has a CRC32C of every page on every node and of every message already, and with
  /// checksums a hint bit that is set has to be logged with its page. Encoding UTF8 and locale C.UTF-8 are the same on every
  /// machine, whatever is installed there: an index sorted by one C library and read by another would be damaged.
  ///
  /// - Parameters:
  ///   - path: the directory, in one that is there.
  ///   - superuser: the superuser's name.
  ///   - password: the superuser's password; stored as a SCRAM verifier.
  ///   - workDirectory: a directory for the password while it is handed over.
  ///   - serviceUser: who shall own it where this process is root's.
  ///   - places: where servers are looked for; the newest is taken.
  /// - Throws: `.notInstalled`, `.file`, `.program` with the last lines of `initdb`, `.timedOut`.
  package static func initialize(
    at path: String, superuser: String = "postgres", password: String, workDirectory: String,
    serviceUser: String = "postgres", places: [String] = PostgreSQLInstallation.places
  ) throws(PostgreSQLError) {
    let owner = try ServiceUser.needed(serviceUser)
    let installation = try PostgreSQLInstallation.find(in: places)
    guard !isInitialized(path) else { throw PostgreSQLError(.file, path, "there is a database already") }
    // What an earlier try left, which may be anything, is under another name.
    let new = path + ".new"
    SystemFiles.removeAll(new)
    try SystemFiles.makeDirectory(new, mode: 0o700, owner: owner)
    try SystemFiles.makeDirectory(workDirectory, mode: 0o711)
    let secret = workDirectory + "/initial-password"
    try SystemFiles.write(password + "\n", to: secret, mode: 0o600, owner: owner)
    defer { SystemFiles.removeAll(secret) }
    let arguments = [
      "-D", new, "-U", superuser, "--auth=scram-sha-256", "--pwfile=\(secret)", "-E", "UTF8", "--locale=C.UTF-8",
    ]
    _ = try ChildProcess.run(
      Program(path: installation.program("initdb"), arguments: arguments, user: owner, directory: workDirectory),
      milliseconds: 300_000)
    SystemFiles.removeAll(path)
    try SystemFiles.move(new, to: path)
  }
}
