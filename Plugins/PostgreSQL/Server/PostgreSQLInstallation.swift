#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// A PostgreSQL server that is installed on this machine.
public struct PostgreSQLInstallation: Hashable, Sendable, CustomStringConvertible {
  /// The major versions that are run.
  public static let versions = 13...17
  /// The line that installs a server on Debian and Ubuntu.
  public static let installLine = "apt-get install postgresql"

  /// Where its programs are.
  public let directory: String
  /// The major version: 15.
  public let version: Int
  /// The whole version, as the server tells it: `15.20`.
  public let fullVersion: String
  /// `PostgreSQL 15.20 in /usr/lib/postgresql/15/bin`.
  public var description: String { "PostgreSQL \(fullVersion) in \(directory)" }

  /// The path of a program.
  func program(_ name: String) -> String { directory + "/" + name }

  /// Where servers are looked for: Debian's directories, those of PostgreSQL's own packages, Homebrew's, and `PATH`.
  public static var places: [String] {
    var found: [String] = []
    func add(_ parent: String, _ suffix: String, where isRight: (String) -> Bool = { _ in true }) {
      for name in SystemFiles.names(in: parent) where isRight(name) { found.append("\(parent)/\(name)\(suffix)") }
    }
    add("/usr/lib/postgresql", "/bin")
    add("/usr", "/bin") { $0.hasPrefix("pgsql-") }
    add("/opt/homebrew/opt", "/bin") { $0.hasPrefix("postgresql@") }
    let path = getenv("PATH").map { String(cString: $0) } ?? ""
    for part in path.split(separator: ":").map(String.init) where !found.contains(part) { found.append(part) }
    return found
  }

  /// Every server in `places` whose version is one of `versions`, the newest first.
  ///
  /// Asks each for its version: blocks for some milliseconds.
  public static func all(in places: [String] = places) -> [PostgreSQLInstallation] {
    places.compactMap { inspect($0) }.filter { versions.contains($0.version) }
      .sorted { ($1.version, $0.directory) < ($0.version, $1.directory) }
  }
  private static func inspect(_ directory: String) -> PostgreSQLInstallation? {
    guard ["postgres", "initdb", "pg_controldata"].allSatisfy({ SystemFiles.isExecutable("\(directory)/\($0)") }),
      let lines = try? ChildProcess.run(
        Program(path: directory + "/postgres", arguments: ["--version"]), milliseconds: 10_000),
      let full = lines.first?.split(separator: " ").first(where: { $0.first?.isNumber == true }),
      let major = Int(full.prefix(while: \.isNumber))
    else { return nil }
    return PostgreSQLInstallation(directory: directory, version: major, fullVersion: String(full))
  }

  /// The newest server, or the newest of one version.
  ///
  /// - Parameter version: the major version that is needed; nil: any of `versions`.
  /// - Throws: `.notInstalled`, with what to install.
  public static func find(
    version: Int? = nil, in places: [String] = places
  ) throws(PostgreSQLError) -> PostgreSQLInstallation {
    let found = all(in: places)
    if let right = found.first(where: { version == nil || $0.version == version }) { return right }
    if let version {
      let others = found.isEmpty ? "none is" : "there are: \(found.map(\.fullVersion).joined(separator: ", "))"
      throw PostgreSQLError(
        .notInstalled, "PostgreSQL \(version)",
        "the database was made by this version, and it is not installed (\(others)); run "
          + "'apt-get install postgresql-\(version)', or move the data with pg_dump")
    }
    throw PostgreSQLError(
      .notInstalled, "PostgreSQL",
      "no server of version \(versions.lowerBound) to \(versions.upperBound) is installed here; run '\(installLine)'")
  }

  /// The major version that made a data directory; nil where there is none.
  static func version(ofDataDirectory path: String) -> Int? {
    SystemFiles.text(of: path + "/PG_VERSION").flatMap { Int($0.prefix(while: \.isNumber)) }
  }
}
