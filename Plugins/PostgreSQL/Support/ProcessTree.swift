import CBorealisSystem

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#elseif canImport(Darwin)
  import Darwin
#endif

/// The processes below one, from `/proc`.
///
/// A server's backends are sessions of their own, so that no process group has them all.
enum ProcessTree {
  /// All processes below `root`; none where the system has no `/proc`.
  static func descendants(of root: pid_t) -> [pid_t] {
    var children: [pid_t: [pid_t]] = [:]
    for name in SystemFiles.names(in: "/proc") {
      guard let pid = pid_t(name), let parent = parent(of: pid) else { continue }
      children[parent, default: []].append(pid)
    }
    var found: [pid_t] = []
    var next = children[root] ?? []
    while let pid = next.popLast() {
      found.append(pid)
      next += children[pid] ?? []
    }
    return found
  }
  private static func parent(of pid: pid_t) -> pid_t? {
    // `number (name) state parent …`; the name may hold anything, parentheses too.
    guard let text = SystemFiles.text(of: "/proc/\(pid)/stat"), let end = text.lastIndex(of: ")") else { return nil }
    let fields = text[text.index(after: end)...].split(separator: " ")
    return fields.count > 1 ? pid_t(fields[1]) : nil
  }

  /// Ends a process and everything below it at once, as a loss of power would.
  ///
  /// The caller makes sure that `root` cannot be another process meanwhile.
  static func kill(_ root: pid_t) {
    // Stopped first: else it might start another one between the look and the kill.
    _ = signal(root, SIGSTOP)
    for pid in descendants(of: root) { _ = signal(pid, SIGKILL) }
    _ = signal(root, SIGKILL)
  }
  private static func signal(_ pid: pid_t, _ number: Int32) -> Int32 {
    #if canImport(Glibc)
      Glibc.kill(pid, number)
    #elseif canImport(Musl)
      Musl.kill(pid, number)
    #else
      Darwin.kill(pid, number)
    #endif
  }
}

/// Shared memory that outlives a server that was killed, and nobody would remove: its data directory is another mount, with
/// another device number, the next time, by which PostgreSQL knows its own.
struct SharedLeftovers: Hashable, Sendable {
  /// The postmaster.
  let creator: pid_t
  /// The System V segment; nil: none is known.
  let segment: Int32?
  /// Names of POSIX segments.
  let names: [String]

  private static let folder = "/dev/shm/"

  /// What a running server would leave.
  init(of postmaster: pid_t, segment: Int32?) {
    creator = postmaster
    self.segment = segment
    let maps = SystemFiles.text(of: "/proc/\(postmaster)/maps", bytesMax: 8 << 20) ?? ""
    let found = maps.split(separator: "\n").compactMap { line -> String? in
      guard let start = line.firstRange(of: Self.folder + "PostgreSQL.") else { return nil }
      return line[start.lowerBound...].dropFirst(Self.folder.count).split(separator: " ").first.map(String.init)
    }
    names = Set(found).sorted()
  }
  /// Reads `text`; nil where it is none of ours.
  init?(_ text: String) {
    let fields = text.split(whereSeparator: \.isWhitespace)
    guard fields.count >= 2, let creator = pid_t(fields[0]) else { return nil }
    self.creator = creator
    segment = Int32(fields[1])
    names = fields.dropFirst(2).map(String.init).filter { $0.hasPrefix("PostgreSQL.") && !$0.contains("/") }
  }
  /// For a file.
  var text: String { ([String(creator), segment.map(String.init) ?? "-"] + names).joined(separator: " ") + "\n" }

  /// Removes them; the server has ended.
  func remove() {
    if let segment { _ = borealis_remove_shared_memory(segment, creator) }
    for name in names { unlink(Self.folder + name) }
  }
}
