// What users may set, and what not.
extension ServerParameter {
  /// Parameters that users do not set at all, and why.
  private static let ours: [String: String] = [
    "data_directory": "the cluster mounts it", "config_file": "the cluster writes it",
    "hba_file": "the cluster writes it",
    "ident_file": "the cluster writes it", "external_pid_file": "the cluster knows the process",
    "listen_addresses": "give the engine an address", "port": "give the engine an address",
    "unix_socket_directories": "each instance has its own", "ssl": "give the engine server names",
    "ssl_cert_file": "the cluster makes it", "ssl_key_file": "the cluster makes it",
    "ssl_ca_file": "the cluster makes it",
    "cluster_name": "it is the instance's name", "primary_conninfo": "the cluster leads readers to their writer",
    "primary_slot_name": "readers need no slot", "restore_command": "readers begin at a read point of the volume",
    "recovery_target": "restore the volume to a time instead",
    "recovery_target_time": "restore the volume to a time instead",
    "recovery_target_lsn": "restore the volume to a time instead",
    "recovery_target_xid": "restore the volume to a time instead",
    "recovery_target_name": "restore the volume to a time instead",
    "promote_trigger_file": "the cluster promotes instances", "logging_collector": "lines go to the cluster's log",
    "log_destination": "lines go to the cluster's log", "lc_messages": "the cluster reads the log",
    "restart_after_crash": "the cluster decides where a server goes on",
    "superuser_reserved_connections": "the cluster needs its own",
  ]
  /// Values without which an acknowledged commit could be lost, a damage be hidden, or a reader not run.
  private static let needed: [(name: String, allowed: [String], reason: String)] = [
    ("fsync", on, "acknowledged commits would be lost"),
    ("synchronous_commit", on + ["local", "remote_write", "remote_apply"], "acknowledged commits would be lost"),
    ("data_sync_retry", off, "a write that failed once would be taken for durable"),
    ("zero_damaged_pages", off, "damaged rows would vanish without a word"),
    ("ignore_checksum_failure", off, "damage would be served as data"),
    ("ignore_invalid_pages", off, "damage would be replayed as data"),
    ("wal_level", ["replica", "logical"], "readers could not replay it"),
    ("hot_standby", on, "readers could not answer queries"),
    ("wal_sync_method", ["fdatasync", "fsync", "open_datasync", "open_sync"], "it would not wait for the volume"),
    ("allow_system_table_mods", off, "the catalog could be broken for every instance"),
  ]
  private static let on = ["on", "true", "yes", "1"]
  private static let off = ["off", "false", "no", "0"]

  /// Whether a name could be a parameter's: `work_mem`, `pg_stat_statements.max`.
  private static func isName(_ name: String) -> Bool {
    guard let first = name.utf8.first, first == 95 || (97...122).contains(first) else { return false }
    return name.utf8.allSatisfy { $0 == 95 || $0 == 46 || (97...122).contains($0) || (48...57).contains($0) }
  }

  /// The cluster's parameters with those of a user in their place.
  ///
  /// - Throws: `.refusedParameter`, naming the one that cannot be set, and why.
  static func table(
    _ settings: ServerSettings, user: [String: String]
  ) throws(PostgreSQLError) -> [ServerParameter] {
    var all = table(settings)
    for (name, value) in user.sorted(by: { $0.key < $1.key }) {
      try check(name, value)
      var chosen = ServerParameter(name: name, value: value, reason: "chosen by the user")
      guard let i = all.firstIndex(where: { $0.name == name }) else {
        all.append(chosen)
        continue
      }
      chosen.place = all[i].place
      all[i] = chosen
    }
    for i in all.indices {
      guard let least = settings.minima[all[i].name], let number = Int(all[i].value), number < least else { continue }
      all[i] = ServerParameter(
        name: all[i].name, value: "\(least)", reason: "the writer's value, which no standby may be below",
        place: all[i].place)
    }
    return all
  }
  /// Whether a user may set a parameter to a value.
  static func check(_ name: String, _ value: String) throws(PostgreSQLError) {
    guard isName(name) else {
      throw PostgreSQLError(.refusedParameter, "'\(name)'", "is no name of a parameter: give it as 'work_mem'")
    }
    guard !value.utf8.contains(where: { $0 < 32 || $0 == 127 }) else {
      throw PostgreSQLError(.refusedParameter, name, "its value has a control character: remove it")
    }
    if let reason = ours[name] {
      throw PostgreSQLError(.refusedParameter, name, "is set by the cluster (\(reason)): remove it from the parameters")
    }
    if let rule = needed.first(where: { $0.name == name }), !rule.allowed.contains(value.lowercased()) {
      throw PostgreSQLError(
        .refusedParameter, name, "cannot be '\(value)' on a cluster: \(rule.reason); use \(rule.allowed[0])")
    }
  }
}
