#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The user as whom servers run, where that is another one than ours.
struct ServiceUser: Hashable, Sendable {
  /// The name.
  let name: String
  /// Its number.
  let user: uid_t
  /// The number of its group.
  let group: gid_t

  /// Whom to become: nobody, unless this process is root's, as whom PostgreSQL refuses to run.
  static func needed(_ name: String) throws(PostgreSQLError) -> ServiceUser? {
    guard geteuid() == 0 else { return nil }
    guard let found = named(name) else {
      throw PostgreSQLError(
        .notInstalled, "user '\(name)'",
        "PostgreSQL does not run as root, and there is no such user: run 'useradd --system \(name)', "
          + "name another user, or start this process as an ordinary one")
    }
    guard found.user != 0 else {
      throw PostgreSQLError(.notInstalled, "user '\(name)'", "is root, as whom PostgreSQL does not run: name another")
    }
    return found
  }
  private static func named(_ name: String) -> ServiceUser? {
    var record = passwd()
    var result: UnsafeMutablePointer<passwd>?
    var buffer = [CChar](repeating: 0, count: 16 << 10)
    guard getpwnam_r(name, &record, &buffer, buffer.count, &result) == 0, result != nil else { return nil }
    return ServiceUser(name: name, user: record.pw_uid, group: record.pw_gid)
  }
  /// The name of the user of this process.
  static var ownName: String {
    var record = passwd()
    var result: UnsafeMutablePointer<passwd>?
    var buffer = [CChar](repeating: 0, count: 16 << 10)
    guard getpwuid_r(geteuid(), &record, &buffer, buffer.count, &result) == 0, result != nil, let name = record.pw_name
    else { return "\(geteuid())" }
    return String(cString: name)
  }
}
